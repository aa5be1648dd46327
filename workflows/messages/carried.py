"""Carried: what a message brings beside its body, kept on every way that the message goes.

That is its sender's message attributes, as they are, and the trace header of X-Ray. SQS keeps both
on its own moves; whoever sends a copy has to send them along. In the tables the column `carried`
stands beside each `body`, and goes when the body goes.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from workflows.messages.limits import MessageTooLarge, check_size
from workflows.runtime.settings import settings

COLUMN = "carried"
# Ours, by which a dead letter says why it is one; of a copy that comes back, not its sender's.
REASON_TYPE, REASON_MESSAGE = "ReasonType", "ReasonMessage"
_OURS = (REASON_TYPE, REASON_MESSAGE)
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
MOST_ATTRIBUTES = 10
# Names of attributes have no slash: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
_HEADER = "/"
_PARTS = ("DataType", "StringValue", "BinaryValue")


@dataclass(frozen=True)
class Carried:
    """The attributes, each as SQS's API has it in JSON, binary ones in base64, and the header."""

    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    trace_header: str = ""

    @classmethod
    def of(cls, attributes: Mapping[str, Mapping[str, Any]], trace_header: str = "") -> Self:
        """Take what came with a message, without what we once added to it."""
        theirs = {name: value for name, value in attributes.items() if name not in _OURS}
        return cls.all_of(theirs, trace_header)

    @classmethod
    def all_of(cls, attributes: Mapping[str, Mapping[str, Any]], trace_header: str = "") -> Self:
        """Take what came with a message to which we add nothing."""
        return cls(
            {
                name: {part: str(value[part]) for part in _PARTS if value.get(part) is not None}
                for name, value in attributes.items()
            },
            trace_header,
        )

    @classmethod
    def beside(cls, item: Mapping[str, Any]) -> Self:
        """Read what a table's item keeps beside its `body`; nothing of one that is older."""
        column = {name: str(text) for name, text in item.get(COLUMN, {}).items()}
        header = column.pop(_HEADER, "")
        attributes = {}
        for name, text in column.items():
            kind, _, value = text.partition("\n")
            part = "BinaryValue" if kind.startswith("Binary") else "StringValue"
            attributes[name] = {"DataType": kind, part: value}
        return cls.all_of(attributes, header)

    @property
    def column(self) -> dict[str, str]:
        """What a table's item keeps of it: for each name the type, a line's end, and the value.

        So little is written around them, because ten messages with ten of them must fit a state.
        """
        header = {_HEADER: self.trace_header} if self.trace_header else {}
        return {
            name: f"{one['DataType']}\n{one.get('BinaryValue', one.get('StringValue'))}"
            for name, one in self.attributes.items()
        } | header

    @property
    def size(self) -> int:
        """How many bytes of the message's size it takes, as SQS counts; the header takes none."""
        return sum(
            len(name.encode()) + len(one["DataType"].encode()) + len(_bytes(one))
            for name, one in self.attributes.items()
        )

    def arguments(self, body: str = "", reason: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return it as arguments of SendMessage.

        Args:
            body: what it is sent beside.
            reason: why a dead letter is dead, {type, message}; said only where SQS has room for
                it, for the ledger, or the run that meets a foreign message, has the reason too.
        """
        attributes = {name: _argument(one) for name, one in self.attributes.items()}
        if reason is not None and self._leaves_room(body):
            attributes |= {
                REASON_TYPE: {"DataType": "String", "StringValue": reason["type"]},
                REASON_MESSAGE: {"DataType": "String", "StringValue": reason["message"]},
            }
        system = {"AWSTraceHeader": {"DataType": "String", "StringValue": self.trace_header}}
        return {
            "MessageAttributes": attributes,
            **({"MessageSystemAttributes": system} if self.trace_header else {}),
        }

    def _leaves_room(self, body: str) -> bool:
        if len(self.attributes) + len(_OURS) > MOST_ATTRIBUTES:
            return False
        try:
            # Whoever writes to the queue directly need not leave room.
            check_size(body, settings().max_message_bytes - self.size)
        except MessageTooLarge:
            return False
        return True


NOTHING = Carried()


def _bytes(attribute: Mapping[str, str]) -> bytes:
    if "BinaryValue" in attribute:
        return base64.b64decode(attribute["BinaryValue"])
    return attribute["StringValue"].encode("utf-8", "surrogatepass")


def _argument(attribute: Mapping[str, str]) -> dict[str, Any]:
    # boto3 writes the base64 itself.
    binary = {"BinaryValue": _bytes(attribute)} if "BinaryValue" in attribute else {}
    return dict(attribute) | binary
