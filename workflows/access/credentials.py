"""What a login may hold, in the one form in which it is stored and compared.

Whatever a keyboard makes of an accent is one text: both are composed (Unicode NFC).
"""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

# RFC 5321 4.5.3.1.3: a path has 256 octets, and the angle brackets are two of them.
_MAX_EMAIL_BYTES = 254
_MAX_PASSWORD_BYTES = 1_024
# Of characters as they are typed: composing makes of three one, at most.
_LONGEST_TYPED = 4 * _MAX_PASSWORD_BYTES
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")


def clean_email(email: str) -> str:
    """Return the e-mail as the table's key: in NFC, lower-cased, without spaces around it.

    Lower-cased and not case-folded, which makes `straße` and `strasse` one user.
    """
    if len(email) > _LONGEST_TYPED:  # before a long one costs anything
        raise ValueError(f"is longer than {_MAX_EMAIL_BYTES} bytes")
    key = _composed(_composed(email.strip()).lower())
    if len(key.encode(errors="replace")) > _MAX_EMAIL_BYTES:  # before a long one costs a search
        raise ValueError(f"is longer than {_MAX_EMAIL_BYTES} bytes")
    # isprintable: a lone surrogate or a control character would only fail later, in DynamoDB.
    if not (_EMAIL.fullmatch(key) and key.isprintable()):
        raise ValueError("is not an e-mail address")
    return key


def check_password(password: str) -> str:
    """Return a password as it is hashed, if it can be; short ones are only wrong, not invalid.

    Whatever a keyboard makes of an accent or of a wide space is one password, as in RFC 8265's
    OpaqueString: in NFC, with plain spaces.
    """
    too_long = len(password) > _LONGEST_TYPED  # before a long one costs anything
    found = "" if too_long else _composed(password)
    found = "".join(" " if unicodedata.category(c) == "Zs" else c for c in found)
    try:
        size = len(found.encode())
    except UnicodeEncodeError:
        raise ValueError("is not Unicode text") from None
    if not 1 <= size <= _MAX_PASSWORD_BYTES:
        raise ValueError(f"has not between 1 and {_MAX_PASSWORD_BYTES} bytes")
    return found


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


# What a login request may hold; anything else is refused before it costs a hash.
EmailAddress = Annotated[
    str,
    AfterValidator(clean_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": _MAX_EMAIL_BYTES}),
]
Password = Annotated[
    str,
    AfterValidator(check_password),
    WithJsonSchema({"type": "string", "format": "password", "minLength": 1, "writeOnly": True}),
]
