"""Sessions: whether the user of a token still is who the token says, by the row as it is now.

A row's `session_version` is another one whenever password or roles are set, and a token carries the
one that it was issued for. So whoever is removed, demoted or given another password is signed out
everywhere, as soon as API Gateway asks the authorizer again.
"""

from typing import cast

from workflows.access.roles import ROLES, Role
from workflows.access.tokens import Claims, InvalidToken
from workflows.runtime import aws
from workflows.runtime.settings import settings


class SessionEnded(InvalidToken):
    """The user was removed, or got another password or other roles, since the token was issued."""


def roles_of(claims: Claims) -> list[Role]:
    """Return the roles of a token's user as they are now.

    Raises:
        SessionEnded: the token is of before the last change.
    """
    found = aws.typed_dynamodb().get_item(
        TableName=settings().users_table,
        Key={"email": {"S": claims.email}},
        ConsistentRead=True,
        ProjectionExpression="#roles, session_version",
        ExpressionAttributeNames={"#roles": "roles"},
    )
    row = found.get("Item", {})
    if row.get("session_version", {}).get("S") != claims.session_version:
        raise SessionEnded
    roles = [role.get("S") for role in row.get("roles", {}).get("L", [])]
    return cast("list[Role]", [role for role in roles if role in ROLES])
