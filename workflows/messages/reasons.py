"""Reasons: why a message failed, as a row of the ledger keeps it, and which failures are alike."""

import hashlib
import re

_REASON_LENGTH = 256
_TEMPLATE_LENGTH = 64  # of ten dead letters they fit a state beside ten bodies
_FIELD = re.compile(r"\{[^{}]*\}")
# A word with a digit in it; sought from its beginning, or a long one were tried at each letter.
_VALUE = re.compile(r"(?<!\S)[^\s\d]*\d\S*")
# JSON escapes these two; ten reasons full of them would not fit a state beside ten bodies.
_UNESCAPED = str.maketrans({'"': "'", "\\": "/"})


class Cause(Exception):
    """An error that keeps apart what happened and whom it met.

    `AccountFrozen("Account {account_id} is frozen.", account_id="acct-7")` reads as a sentence, and
    is one cause of failure with all others of its template, whatever the account is called.
    """

    def __init__(self, template: str = "", /, **fields: object) -> None:
        """Take a sentence with fields in braces, and their values; without any it is the text."""
        super().__init__(template.format(**fields) if fields else template)
        self.template = template if fields else ""
        # The name of an error that somebody else raised, in the place of this class's.
        self.kind = ""


def reason_of(error: BaseException) -> dict[str, str]:
    """Return an error as the ledger keeps it: {type, message}, and its template if it has fields.

    SQS allows no control characters in attributes and we no more than 256 characters.
    """
    text = _printable(str(error)) or _printable(type(error).__doc__ or "") or "no message"
    kind = error.kind if isinstance(error, Cause) else ""
    found = reason(kind or type(error).__name__, text)
    if isinstance(error, Cause) and error.template:
        found["template"] = _printable(error.template)[:_TEMPLATE_LENGTH]
    return found


def reason(kind: str, text: str) -> dict[str, str]:
    """Return a reason that somebody else gives, as the ledger keeps it."""
    return {"type": _printable(kind), "message": _printable(text)[:_REASON_LENGTH]}


def _printable(text: str) -> str:
    found = " ".join(text.split())
    found = "".join(c if c.isascii() and c.isprintable() else "?" for c in found)
    return found.translate(_UNESCAPED)


def fingerprint(message_type: str, reason: dict[str, str]) -> str:
    """Group failures alike: error class, message without whom it met, message type.

    By its template; of a message that has none, whatever has a digit is taken for a value.
    """
    text = _FIELD.sub("0", reason["template"]) if "template" in reason else reason["message"]
    normalized = _VALUE.sub("#", text.lower())
    alike = "|".join((message_type, reason["type"], normalized))
    return hashlib.sha256(alike.encode()).hexdigest()[:16]
