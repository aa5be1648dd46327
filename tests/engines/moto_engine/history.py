"""GetExecutionHistory in pages and from its end; moto 5.2.5 answers with all of it, oldest first.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetExecutionHistory.html
"""

from typing import Any
from unittest import mock

from moto.core.responses import ActionResult
from moto.stepfunctions.responses import StepFunctionResponse

_USUAL, _MOST = 100, 1_000


def patches() -> list[Any]:
    """Return what makes moto honour `reverseOrder`, `maxResults` and `nextToken`."""
    return [mock.patch.object(StepFunctionResponse, "get_execution_history", _page)]


def _page(self: Any) -> ActionResult:
    found = self.stepfunction_backend.get_execution_history(self._get_param("executionArn"))
    events = found["events"]
    if self._get_param("reverseOrder"):
        events = events[::-1]
    first = int(self._get_param("nextToken") or 0)
    after = first + min(int(self._get_param("maxResults") or 0) or _USUAL, _MOST)
    more = {"nextToken": str(after)} if after < len(events) else {}
    return ActionResult({"events": events[first:after], **more})
