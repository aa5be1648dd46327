"""Effects that are Lambda functions of a user's, in whatever language: how one is asked for.

A function is invoked and waited for. What it returns is not looked at: that it returns is success.
It may still be at work when it is not waited for any longer, and is then invoked again: so its
effect has to be idempotent by the message's id, also for two at the same time.
"""

import json
import re
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from botocore.exceptions import ReadTimeoutError

from workflows.messages.canonical import as_floats, inexact
from workflows.messages.envelope import InvalidMessage, InvalidPayload, Message
from workflows.messages.ids import as_group
from workflows.messages.reasons import Cause
from workflows.runtime.aws import EFFECT_SECONDS, functions

# The error by which a function says that no further try can help, beside those of its type.
INVALID = "InvalidMessage"
# After these no effect of a batch begins: the last one, and what is written of it, still ends
# before the consumer's Timeout and within the claim's lease.
BEGIN_SECONDS = 12.0
_NAME_LENGTH = 64
# By these the retry machine goes: a function's error that is called so goes by the name of ours.
_OF_THE_MACHINE = re.compile(r"Superseded|OutOfAttempts|(States|Lambda)\..*")


class EffectFailed(Cause):
    """The function of the message's type failed."""


class EffectRefused(InvalidMessage):
    """The function of the message's type says that no further try can help."""


class EffectTimedOut(Exception):
    """The function of the message's type did not return in time; it may still be at work."""


class NoTimeLeft(Exception):
    """The effects before it took all the time of its batch: it was not tried."""


@dataclass(frozen=True)
class Try:
    """One try of a message: the how manieth over all redrives; `begin_by` by `time.monotonic`."""

    attempt: int = 1
    redrives: int = 0
    begin_by: float = field(default_factory=lambda: time.monotonic() + BEGIN_SECONDS)


@dataclass(frozen=True)
class EffectFunction:
    """A message type whose effect is a function.

    `function` is its ARN, `schema` what a payload must fit, `group` a JMESPath expression that
    tells the message group of a payload ("" for none), `invalid_errors` the names of those errors
    that no further try can help.
    """

    name: str
    function: str
    schema: dict[str, Any] | None = None
    group: str = ""
    max_age_seconds: int | None = None
    invalid_errors: tuple[str, ...] = ()

    def check(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return a payload that is one of this type.

        Raises:
            InvalidPayload: naming the field, never its value.
        """
        lossy = next(inexact(payload), None)
        if lossy is not None:
            raise InvalidPayload(
                "{field}: has more digits than a JSON number keeps; write it as a text", field=lossy
            )
        if self.schema is not None:
            from workflows.messages import schemas  # a library of 15 MB

            problem = schemas.problem(self.schema, payload, "payload")
            if problem:
                raise InvalidPayload(problem)
        return payload

    def group_id(self, payload: dict[str, Any]) -> str | None:
        """Return the message group for a payload whose sender named none; None: its own."""
        if not self.group:
            return None
        from workflows.messages import expressions

        found = expressions.value(self.group, payload)
        if isinstance(found, float) and found.is_integer():
            found = int(found)  # 7 and 7.0 are one number
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            return None
        return as_group(str(found)) if found != "" else None

    def have_effect(self, message: Message, tried: Try) -> None:
        """Invoke the function for a message whose payload was checked.

        Raises:
            EffectRefused: no further try can help.
            EffectFailed: the function raised anything else.
            EffectTimedOut: it is not waited for any longer.
            NoTimeLeft: it was not invoked.
            botocore.exceptions.ClientError: Lambda did not invoke it: throttled, gone, not allowed.
        """
        if time.monotonic() > tried.begin_by:
            raise NoTimeLeft
        try:
            answer = functions().invoke(
                FunctionName=self.function, Payload=_event(message, tried).encode()
            )
            result = answer["Payload"].read()
        except ReadTimeoutError:
            raise EffectTimedOut(
                f"The function did not return within {EFFECT_SECONDS} seconds."
            ) from None
        if "FunctionError" in answer:
            raise self._error(result)

    def _error(self, result: bytes) -> Cause:
        try:
            told = json.loads(result)
        except ValueError:
            told = None
        told = told if isinstance(told, dict) else {}
        name = re.sub(r"[^A-Za-z0-9_.]", "_", str(told.get("errorType") or ""))[:_NAME_LENGTH]
        is_final = name in (INVALID, *self.invalid_errors)
        error = (EffectRefused if is_final else EffectFailed)(str(told.get("errorMessage") or ""))
        error.kind = "" if _OF_THE_MACHINE.fullmatch(name) else name
        return error

    def as_dict(self) -> dict[str, Any]:
        """Return what a table keeps of it: the fields that say something."""
        found = {name: value for name, value in asdict(self).items() if value}
        return found | (
            {"invalid_errors": list(self.invalid_errors)} if self.invalid_errors else {}
        )

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Self:
        """Read what a table keeps; what a later version added is passed over."""
        known = {one.name for one in fields(cls)}
        found = {name: value for name, value in kept.items() if name in known}
        return cls(**found | {"invalid_errors": tuple(found.get("invalid_errors", ()))})


def _event(message: Message, tried: Try) -> str:
    return json.dumps(
        {
            "message_id": message.message_id,
            "type": message.type,
            "group_id": message.group_id,
            "payload": as_floats(message.payload),
            "attempt": tried.attempt,
            "redrives": tried.redrives,
            "trace_id": message.trace_id,
        },
        allow_nan=False,
    )
