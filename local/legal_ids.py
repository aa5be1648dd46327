"""Which ids AWS takes: the emulators of this project refuse others, which they would accept.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
"""

import re
from collections.abc import Mapping
from typing import Any

_SQS_IDS = ("ReceiveRequestAttemptId", "MessageDeduplicationId", "MessageGroupId")
# Letters, digits and punctuation of ASCII: all that is visible.
_SQS_ID = re.compile(r"[!-~]{1,128}")
# Other letters than ASCII's are allowed, whitespace, control characters and these are not.
_EXECUTION_NAME = re.compile(r'[^\s\x00-\x1f\x7f-\x9f<>{}\[\]?*"#%\\^|~`$&,;:/]{1,80}')


def illegal_sqs_id(request: Mapping[str, Any]) -> str | None:
    """Return the name of the first id that SQS would refuse in a request or one of its entries."""
    for part in (request, *(request.get("Entries") or [])):
        for name in _SQS_IDS:
            if part.get(name) is not None and not _SQS_ID.fullmatch(str(part[name])):
                return name
    return None


def is_execution_name(name: str) -> bool:
    """Tell whether an execution may be called so."""
    return bool(_EXECUTION_NAME.fullmatch(name))
