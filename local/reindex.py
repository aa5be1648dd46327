"""`python -m local.reindex STACK`: writes the sharded keys of indexes into items of before them.

For a stack that ran a version whose indexes had one key for all: without it its dead letters and
fences are in no list. May be repeated; an item that changed meanwhile has its key by then.
"""

import sys
from collections.abc import Iterator
from typing import Any

import boto3

from workflows.groups.fences import FENCE, FENCED
from workflows.ledger import listing
from workflows.ledger.status import UNLISTED
from workflows.runtime import shards


def reindex(dynamodb: Any, messages_table: str, groups_table: str) -> int:
    """Give each item the keys that its writers give it now; return how many lacked one.

    Args:
        dynamodb: boto3's resource.
        messages_table: the name of the table.
        groups_table: likewise.
    """
    changed = 0
    for table, keys, wanted in (
        (dynamodb.Table(messages_table), ("message_id",), _of_message),
        (dynamodb.Table(groups_table), ("group_id", "item"), _of_group),
    ):
        for item in _items(table):
            sets = {name: key for name, key in wanted(item).items() if item.get(name) != key}
            changed += bool(sets)
            for name, key in sets.items():
                _set(table, {one: item[one] for one in keys}, name, item.get(name), key)
    return changed


def _of_message(row: dict[str, Any]) -> dict[str, str]:
    found, message_id = {}, row["message_id"]
    if row.get("trouble", UNLISTED[0]) not in UNLISTED:
        found["listed"] = listing.key(row["trouble"], message_id)
    run_id = row.get("redriven_by")
    if run_id:
        found["redriven_by"] = shards.key(shards.common(run_id) or run_id, message_id)
    return found


def _of_group(item: dict[str, Any]) -> dict[str, str]:
    return {"fenced": shards.key(FENCED, item["group_id"])} if item["item"] == FENCE else {}


def _items(table: Any) -> Iterator[dict[str, Any]]:
    for page in table.meta.client.get_paginator("scan").paginate(
        TableName=table.name, ConsistentRead=True
    ):
        yield from page["Items"]


def _set(table: Any, key: dict[str, str], name: str, seen: str | None, value: str) -> None:
    values = {":value": value} | ({":seen": seen} if seen else {})
    try:
        table.update_item(
            Key=key,
            UpdateExpression="SET #name = :value",
            ConditionExpression="#name = :seen" if seen else "attribute_not_exists(#name)",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues=values,
        )
    except table.meta.client.exceptions.ConditionalCheckFailedException:
        return


def _main(stack: str) -> None:
    found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    names = outputs["MessagesTableName"], outputs["GroupsTableName"]
    print(f"{reindex(boto3.resource('dynamodb'), *names)} items have new keys.")


if __name__ == "__main__":
    _main(sys.argv[1])
