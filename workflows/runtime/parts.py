"""Parts: what is done even if something beside it fails, and how the failure is told in the end."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


class Parts:
    """Parts of one job that do not need each other: the failure of one stops none of the others."""

    def __init__(self) -> None:
        self._failures: list[Exception] = []

    def do(
        self, act: Callable[_Given, _Answer], *args: _Given.args, **kwargs: _Given.kwargs
    ) -> _Answer | None:
        """Do one part and return its answer; None if it failed."""
        try:
            return act(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - `end` raises it
            self._failures.append(error)
            return None

    def end(self) -> None:
        """Tell, when all parts were done, that some of them failed.

        Raises:
            Exception: the first failure.
        """
        if self._failures:
            raise self._failures[0]
