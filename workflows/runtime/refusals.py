"""Refusals: errors that tell the one who asks why it is not done, in words and by a `code`.

The kind of an error is its base class, and its code stands beside its sentence, so that whoever
answers needs to know neither the error nor where it comes from:

    class RunActive(Conflict):
        \"\"\"Another run holds the dead-letter queue.\"\"\"

        code = "run_active"

`lambdas/api.py` gives each kind its HTTP status. An error that is no refusal is a failure of ours.
"""

from typing import ClassVar


class Refusal(Exception):
    """What was asked for is not done, for a reason that its asker can understand."""

    # For programs; stays as it is when the sentence gets a better word.
    code: ClassVar[str]

    @property
    def sentence(self) -> str:
        """Return what the error says, in words: its own, or those of its class."""
        return str(self) or str(type(self).__doc__)


class Invalid(Refusal):
    """What is asked for cannot be done, whoever asks and whenever."""


class TooLarge(Refusal):
    """What is sent is larger than what takes it."""


class NotFound(Refusal):
    """What it is about is not there."""


class Conflict(Refusal):
    """What it is about is not as it would have to be; later, or asked otherwise, it may be."""


class NotSignedIn(Refusal):
    """Nobody is known to ask."""


class NotAllowed(Refusal):
    """Who asks is known, and may not."""


class TooMany(Refusal):
    """It was asked too often; `retry_after` is in seconds."""

    retry_after: int
