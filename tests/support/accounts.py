"""The accounts of the built-in type, in process."""

from typing import Any

from workflows.runtime import aws


def freeze(status: str = "FROZEN", account_id: str = "acc-1") -> None:
    """Set an account's status, on which its transactions depend."""
    aws.dynamodb().put_item(TableName="Accounts", Item={"account_id": account_id, "status": status})


def balance(account_id: str = "acc-1") -> Any:
    """Return an account's balance, 0 if there is no account."""
    found = aws.dynamodb().get_item(TableName="Accounts", Key={"account_id": account_id})
    return found.get("Item", {}).get("balance", 0)
