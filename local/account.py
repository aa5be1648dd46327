"""Freeze an account of the running local stack, or unfreeze it, to see messages fail and recover.

`make freeze ACCOUNT=acct-8` and `make unfreeze ACCOUNT=acct-8` do this. The service has no API for
it: accounts stand for whatever a message acts on, and are somebody else's.
"""

import sys
from typing import Any

import boto3

from local import running

STATUSES = {"freeze": "FROZEN", "unfreeze": "ACTIVE"}


def main(arguments: list[str]) -> int:
    """Give the account its status, `freeze ID` or `unfreeze ID`; return the exit code."""
    if len(arguments) != 2 or arguments[0] not in STATUSES or not arguments[1]:
        print("Name the account, for example: make freeze ACCOUNT=acct-8", file=sys.stderr)
        return 2
    deed, account = arguments
    try:
        table = running.connect()["tables"]["accounts"]
    except running.NotRunning as error:
        print(error, file=sys.stderr)
        return 1
    set_status(boto3.client("dynamodb"), table, account, STATUSES[deed])
    print(f"{account} is {STATUSES[deed]}.")
    return 0


def set_status(dynamodb: Any, table: str, account: str, status: str) -> None:
    """Write `FROZEN` or `ACTIVE` into an account, which need not be there yet."""
    dynamodb.update_item(
        TableName=table,
        Key={"account_id": {"S": account}},
        UpdateExpression="SET #status = :status",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": {"S": status}},
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
