"""What a stack's functions are allowed to do, and what they did, by the emulator's log."""

import json
from fnmatch import fnmatchcase
from typing import Any

from local.ministack_quirks import AUTHORIZED
from local.stack import Stack

Permission = tuple[str, str]


def used(stack: Stack) -> dict[str, set[Permission]]:
    """Return what each role was allowed to do so far: (action, ARN), by the role's name."""
    found: dict[str, set[Permission]] = {}
    for line in stack.log().splitlines():
        if line.startswith(f"{AUTHORIZED} "):
            principal, action, resource, decision = json.loads(line.removeprefix(AUTHORIZED))
            if decision == "Allow" and ":assumed-role/" in principal:
                role = principal.split(":assumed-role/")[1].split("/")[0]
                found.setdefault(role, set()).add((action, resource))
    return found


def granted(stack: Stack) -> dict[str, tuple[str, set[Permission]]]:
    """Return each function's role and its own permissions, as deployed: (action, pattern)."""
    iam = stack.client("iam")
    found = {}
    for function in stack.client("lambda").list_functions()["Functions"]:
        role = function["Role"].rpartition("/")[2]
        permissions: set[Permission] = set()
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for statement in _list(document["Statement"]):
                permissions |= {
                    (action, resource)
                    for action in _list(statement["Action"])
                    for resource in _list(statement["Resource"])
                }
        found[function["FunctionName"]] = (role, permissions)
    return found


def unused(stack: Stack) -> dict[str, set[Permission]]:
    """Return the permissions that no call so far has needed, by the function's name."""
    did = used(stack)
    return {
        function: left
        for function, (role, permissions) in granted(stack).items()
        if (
            left := {
                permission
                for permission in permissions
                if not any(_covers(permission, done) for done in did.get(role, set()))
            }
        )
    }


def _covers(permission: Permission, done: Permission) -> bool:
    return fnmatchcase(done[0], permission[0]) and fnmatchcase(done[1], permission[1])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
