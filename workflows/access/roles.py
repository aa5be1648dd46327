"""Roles: what a user may do, and which role may do what another may."""

from collections.abc import Iterable
from typing import Literal, get_args

Role = Literal["producer", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
# What each role may do besides its own.
_INCLUDED: dict[Role, tuple[Role, ...]] = {"producer": (), "operator": ("producer",)}


def with_included(roles: Iterable[Role]) -> list[Role]:
    """Return the roles and those that they include: an operator may do what a producer may."""
    own = set(roles)
    return sorted(own.union(*(_INCLUDED[role] for role in own)))
