"""Where `local.seed` finds `add_user`."""

import os

import boto3


def add_user(email: str, password: str, roles: list[str]) -> None:
    """Put a user into the table."""
    boto3.client("dynamodb").put_item(
        TableName=os.environ["USERS_TABLE"],
        Item={"email": {"S": email}, "password": {"S": password}, "roles": {"SS": roles}},
    )
