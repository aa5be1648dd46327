"""What an edit makes of a message's row."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Edit:
    """The body that a message gets, its hash, and those of the bodies that are superseded by it.

    `columns` are what the row gets besides, by their names.
    """

    body: str
    payload_hash: str
    superseded: list[str]
    columns: dict[str, Any] = field(default_factory=dict)
