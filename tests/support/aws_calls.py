"""The calls to AWS that `workflows` makes, watched, and a death at any of them."""

from typing import Any

from workflows.runtime import aws


class WorkerDied(BaseException):
    """Out of memory or time: no `except Exception` sees it."""


class Calls:
    """Every call to AWS that `workflows` makes; at one of its two ends an error can be raised.

    `ends` holds `before X` and `after X`; set `error_at` to an index of it, and to what `error` is.
    """

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.error_at: int | str | None = None
        self.error: BaseException = WorkerDied()
        for client in (aws.dynamodb(), aws.sqs(), aws.stepfunctions()):
            for end in ("before", "after"):
                client.meta.events.register(f"{end}-call", getattr(self, f"_{end}"))

    def _before(self, model: Any, **_: Any) -> None:
        self._end(f"before {model.name}")

    def _after(self, model: Any, **_: Any) -> None:
        self._end(f"after {model.name}")

    def _end(self, name: str) -> None:
        self.ends.append(name)
        if self.error_at in (name, len(self.ends) - 1):
            self.error_at = None
            raise self.error
