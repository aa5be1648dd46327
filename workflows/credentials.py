"""What a login may hold, in the one form in which it is stored and compared."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

# RFC 5321 4.5.3.1.3: a path has 256 octets, and the angle brackets are two of them.
_MAX_EMAIL_BYTES = 254
_MAX_PASSWORD_BYTES = 1_024
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")


def clean_email(email: str) -> str:
    """Return the e-mail as the table's key: lower-cased, without spaces around it."""
    key = email.strip().lower()
    if len(key.encode(errors="replace")) > _MAX_EMAIL_BYTES:  # before a long one costs a search
        raise ValueError(f"is longer than {_MAX_EMAIL_BYTES} bytes")
    # isprintable: a lone surrogate or a control character would only fail later, in DynamoDB.
    if not (_EMAIL.fullmatch(key) and key.isprintable()):
        raise ValueError("is not an e-mail address")
    return key


def check_password(password: str) -> str:
    """Return a password that can be hashed at all; short ones are only wrong, not invalid."""
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        raise ValueError("is not Unicode text") from None
    if not 1 <= size <= _MAX_PASSWORD_BYTES:
        raise ValueError(f"has not between 1 and {_MAX_PASSWORD_BYTES} bytes")
    return password


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
