"""Changes of users, each with its record in the audit: the one is never there without the other.

Administrators make them, who may write both tables; no route of the API does.
"""

import secrets
from collections.abc import Iterable
from typing import Any, NamedTuple

from workflows.access import users
from workflows.access.users import InvalidUser
from workflows.ledger import audit
from workflows.runtime.aws import dynamodb, transact
from workflows.runtime.settings import settings


class Tables(NamedTuple):
    """The names of the two tables."""

    users: str
    audit: str


def add_user(
    email: str,
    password: str,
    roles: Iterable[str],
    *,
    by: str = "console",
    tables: Tables | None = None,
) -> None:
    """Add a user, or give an existing one this password and these roles and lift its lock.

    Tokens that an existing one has end with it.

    Args:
        email: upper and lower case are the same.
        password: at least 12 characters and at most 1,024 bytes, and none that is guessed first.
        roles: one or more of `ROLES`.
        by: who does it, such as the ARN of an AWS identity.
        tables: by default those of the settings.

    Raises:
        InvalidUser: saying what is wrong; nothing was stored.
    """
    _store(users.row(email, password, roles), {}, by, tables or _own_tables())


def add_service(
    email: str, role: str, days: int, *, by: str = "console", tables: Tables | None = None
) -> str:
    """Add a service, or give an existing user's or service's place to one; return its secret.

    Args:
        email: its name, in the form of an address.
        role: the one that it has.
        days: after which it is over, a year and a day at most.
        by: as for `add_user`.
        tables: likewise.

    Raises:
        InvalidUser: saying what is wrong; nothing was stored.
    """
    row, secret = users.service_row(email, role, days)
    _store(row, {"kind": users.SERVICE, "valid_days": days}, by, tables or _own_tables())
    return secret


def remove_user(email: str, *, by: str = "console", tables: Tables | None = None) -> None:
    """Remove a user, whose tokens end with it.

    Raises:
        InvalidUser: no user has the e-mail.
    """
    key, tables = users.key_of(email), tables or _own_tables()
    delete = {
        "Delete": {
            "TableName": tables.users,
            "Key": {"email": key},
            "ConditionExpression": "attribute_exists(password_hash)",
        }
    }
    record = _record(by, "remove_user", "REMOVED", {"email": key}, tables)
    if transact([delete, record]) is not None:
        raise InvalidUser("No user has this e-mail.")


def _store(row: dict[str, Any], told: dict[str, Any], by: str, tables: Tables) -> None:
    before = _existing(row["email"], tables)
    about = {"email": row["email"], "roles": row["roles"]} | told
    if before:
        about["roles_before"] = before["roles"]
    action: audit.Action = "change_user" if before else "add_user"
    record = _record(by, action, "CHANGED" if before else "ADDED", about, tables)
    transact([{"Put": {"TableName": tables.users, "Item": row}}, record])


def _own_tables() -> Tables:
    return Tables(settings().users_table, settings().audit_table)


def _existing(email: str, tables: Tables) -> dict[str, Any]:
    found = dynamodb().get_item(TableName=tables.users, Key={"email": email}, ConsistentRead=True)
    item = dict(found.get("Item", {}))
    return item if "password_hash" in item else {}


def _record(
    by: str, action: audit.Action, result: str, about: dict[str, Any], tables: Tables
) -> dict[str, Any]:
    actor = audit.Actor(by, "administrator", "", secrets.token_hex(8))
    return audit.entry(actor, action, result=result, input=about, table=tables.audit)
