"""Isolation of producers: what each sends has ids and groups that no other can name.

Without it producers are one team: they may read each other's messages, and one that takes an id, or
whose message fails in a group, takes it from all. With it the ids and the groups of a producer
begin, in queues, tables and for operators, with what its address makes; it neither writes that nor
sees it.
"""

import hashlib
from collections.abc import Iterable

from workflows.runtime.settings import settings

# Of 96 bits: nobody finds another address with the same ones.
_LETTERS = 24
# So many characters of an id are left to the producer: of 120.
LENGTH = 120 - _LETTERS - 1


def scope(email: str, roles: Iterable[str]) -> str:
    """Return how ids and groups of a caller's messages begin; "" if they are as they were asked.

    Args:
        email: of the caller, lower-cased.
        roles: of the caller; an operator sees and may name everything.
    """
    if settings().isolate_producers != "true" or "operator" in roles:
        return ""
    return f"{hashlib.sha256(email.encode()).hexdigest()[:_LETTERS]}="
