"""The state of a world in names that are the same on every engine and in every run.

Replaced is only what cannot be the same twice; each pattern below says what and why. Everything
else, bodies, counters, reasons, order on a queue, stands as it is: two snapshots are equal only if
the engines agree.
"""

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer

from tests.support import stack_fixtures
from tests.support.aws_stack import AwsStack
from workflows.messages.envelope import Message, foreign_hash
from workflows.messages.ids import stem
from workflows.messages.message_types import meaning_hash

if TYPE_CHECKING:
    from tests.support.world import World

MACHINES = ("retry", "redrive", "redrive_lane")
TABLES = {
    "Messages": ("message_id",),
    "Groups": ("group_id", "item"),
    "Runs": ("run_id",),
    "Audit": ("day", "entry"),
    "Accounts": ("account_id",),
}
# When something happened: two engines do not do it at the same moment.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
# Likewise as whole seconds, in the columns that hold such. The value 4102444800 is a fixture's.
_EPOCHS = {"lease_until", "acquired_at", "owned_at", "expires_at"}
# SQS numbers the messages of a queue; parked ones are ordered by it, and so is the snapshot.
_SEQUENCE = re.compile(r"PARKED#\d{40}")
# SQS makes an id for each copy, and a receipt handle at each receive.
_MADE_BY_SQS = {"sqs_message_id": "<SQS's id>", "receipt_handles": "<handle>"}
# Marks a run whose end was told, by the event that tells of it: that comes when it comes.
_NOTED = "noted_at"
_ROUNDS_OF_WAITING = (
    ("WaitForRate", "MoreToDo"),
    ("WaitForOutcomes", "DecideNext", "NextStep"),
)
# SQS makes an id for each copy, and the retry machine a deduplication id for each dead letter. The
# names that a world gives are no UUIDs.
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Two deeds of one moment are told apart by chance: the end of an audit record's key.
_CHANCE = re.compile(r"#[0-9a-f]{16}$")
# A hash of an id that has a world's name in it.
_SHARD = re.compile(r"#[0-9a-f]$")
_SHARDED = {"listed", "redriven_by", "fenced"}
# A day, the audit's partition: a test at midnight sees two.
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def remove(stack: Any, before: dict[str, set[Any]]) -> None:
    """Delete all rows that were not there before: a stack that many tests use stays small."""
    for name, key in TABLES.items():
        table = stack.outputs[f"{name}TableName"]
        for found in _keys(stack, name) - before[name]:
            item = {part: {"S": value} for part, value in zip(key, found, strict=True)}
            stack.client("dynamodb").delete_item(TableName=table, Key=item)


def keys(stack: Any) -> dict[str, set[Any]]:
    """Return the keys of all rows and the ARNs of all executions: what is none of a new world's."""
    found: dict[str, set[Any]] = {name: _keys(stack, name) for name in TABLES}
    return found | {name: set(_executions(stack, arn)) for name, arn in machines(stack).items()}


def machines(stack: Any) -> dict[str, str]:
    """Return the ARNs of the machines as deployed."""
    return {name: stack_fixtures.machine_arn(stack, name) for name in MACHINES}


def snapshot(world: "World", before: dict[str, set[Any]]) -> dict[str, Any]:
    """Return queues, tables and executions, without what was there `before` the world began."""
    stack = world.stack
    names = _Names(world)

    def canonical(found: Iterable[dict[str, Any]], *key: str) -> list[dict[str, Any]]:
        # Sorted by the new names: the old ones, hashes and UUIDs, have another order each time.
        replaced = [dict(names.replace(one)) for one in found]
        return sorted(replaced, key=lambda one: [str(one[part]) for part in key])

    return {
        # SQS orders messages inside a group only, so the groups are sorted.
        "queues": {
            name: canonical(_letters(world, name), "group") for name in ("Work", "DeadLetter")
        },
        "tables": {
            name: canonical(
                (
                    row
                    for row in _rows(stack, name)
                    if tuple(row[part] for part in key) not in before[name]
                    # The sweep may close a run that another test has left.
                    and (str(row.get("run_id")),) not in before["Runs"]
                    and not str(row.get("run_id")).startswith("SWEEP#")
                ),
                *key,
            )
            for name, key in TABLES.items()
        },
        "executions": {
            name: canonical(
                (
                    _execution(world, arn)
                    for arn in _executions(stack, machine)
                    if arn not in before.get(name, ())
                ),
                "name",
            )
            for name, machine in world.machines.items()
        },
    }


def _letters(world: "World", queue: str) -> list[dict[str, Any]]:
    return [
        {
            "body": letter["Body"],
            "group": letter["MessageGroupId"],
            "deduplication_id": letter["MessageDeduplicationId"],
            "attributes": {
                attribute: value.get("StringValue", value.get("BinaryValue"))
                for attribute, value in letter.get("MessageAttributes", {}).items()
            },
            "trace_header": letter.get("Attributes", {}).get("AWSTraceHeader"),
            "visible": bool(letter["IsVisible"]),
            # On AWS each look is a receive, and no two are alike.
            "received": None if isinstance(world.stack, AwsStack) else letter["ReceiveCount"],
        }
        for letter in world.queued(queue)
    ]


def _keys(stack: Any, table: str) -> set[tuple[str, ...]]:
    names = {f"#{number}": part for number, part in enumerate(TABLES[table])}
    pages = stack.client("dynamodb").get_paginator("scan")
    return {
        tuple(item[part]["S"] for part in TABLES[table])
        for page in pages.paginate(
            TableName=stack.outputs[f"{table}TableName"],
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
            ConsistentRead=True,
        )
        for item in page["Items"]
    }


def _rows(stack: Any, table: str) -> list[dict[str, Any]]:
    pages = stack.client("dynamodb").get_paginator("scan")
    return [
        {
            name: _plain(TypeDeserializer().deserialize(value))
            for name, value in item.items()
            if name != _NOTED
        }
        for page in pages.paginate(
            TableName=stack.outputs[f"{table}TableName"], ConsistentRead=True
        )
        for item in page["Items"]
    ]


def _executions(stack: Any, machine_arn: str) -> list[str]:
    pages = stack.client("stepfunctions").get_paginator("list_executions")
    return [
        execution["executionArn"]
        for page in pages.paginate(stateMachineArn=machine_arn)
        for execution in page["executions"]
    ]


def _execution(world: "World", arn: str) -> dict[str, Any]:
    execution = world.stack.client("stepfunctions").describe_execution(executionArn=arn)
    known = (one.states for one in world.executions if one.arn == arn)
    states = next(known, None) or stack_fixtures.history(world.stack, arn)
    return {
        "name": execution["name"],
        "status": execution["status"],
        "output": _output(execution),
        "error": execution.get("error"),
        "cause": execution.get("cause"),
        "path": _without_looks(once(states)),
    }


def _output(execution: dict[str, Any]) -> Any:
    output = json.loads(execution.get("output") or "null")
    if output and "told" in output:  # of a leg that is not settled
        told = output["told"]
        return {"counts": told["lane"]["counts"], "failure": told["failure"]}
    if output and "lane" in output:  # the rest are times, handles and numbers of its own
        return {name: output["lane"][name] for name in ("counts", "failure")}
    return output


def once(path: list[str]) -> list[str]:
    """Return a path in which each round of waiting in vain stands once.

    How often a machine looks before a second is over, or a message has ended, depends on the
    speed of what it waits for.
    """
    for round_ in _ROUNDS_OF_WAITING:
        found: list[str] = []
        for state in path:
            found.append(state)
            if found[-2 * len(round_) :] == [*round_, *round_]:
                del found[-len(round_) :]
        path = found
    return path


def _without_looks(path: list[str]) -> list[str]:
    """Return a path without the rounds in which it waited for a consumer, if it had to at all."""
    look = _ROUNDS_OF_WAITING[1]
    found: list[str] = []
    for state in path:
        found.append(state)
        if tuple(found[-len(look) :]) == look:
            del found[-len(look) :]
    return found


class _Names:
    """Stable names for what this world made."""

    def __init__(self, world: "World") -> None:
        self._names: list[tuple[str, str]] = []
        for number, message in enumerate(world.messages, 1):
            self._names += _names_of(message, f"m{number}")
        for number, version in enumerate(world.versions, 1):
            self._names += _names_of(version, f"version {number}")
        for number, (_, body) in enumerate(world.strangers, 1):
            # A foreign message's hash is its body's, which may name this world.
            self._names.append((foreign_hash(body), f"<hash of s{number}>"))
        for number, message_id in enumerate(world.foreign_ids, 1):
            self._names.append((message_id, f"<SQS's id of s{number}>"))
        # The longest first: one machine's ARN is the beginning of another's.
        for machine, arn in sorted(world.machines.items(), key=lambda one: -len(one[1])):
            # Account, region and the machine's name are the deployment's.
            execution = arn.replace(":stateMachine:", ":execution:")
            self._names += [(execution, f"<execution of {machine}>"), (arn, f"<{machine}>")]
        name = world.stack.outputs["DeadLetterQueueUrl"].rpartition("/")[2]
        self._names += [(name, "<dead-letter queue>"), (world.token, "w")]

    def replace(self, value: Any, column: str = "") -> Any:
        """Return a value with all that cannot be the same twice replaced."""
        if isinstance(value, dict):
            return {self._text(name): self.replace(child, name) for name, child in value.items()}
        if isinstance(value, list):
            return [self.replace(child, column) for child in value]
        if isinstance(value, str):
            if column == "entry":
                value = _CHANCE.sub("#<chance>", value)
            if column in _SHARDED:
                value = _SHARD.sub("#<shard>", value)
            return _MADE_BY_SQS.get(column) or self._text(value)
        if column in _EPOCHS and isinstance(value, int) and value:
            return "<time>"
        return value

    def _text(self, text: str) -> str:
        for found, name in self._names:
            text = text.replace(found, name)
        text = _TIME.sub("<time>", text)
        text = _UUID.sub("<SQS's id>", text)
        text = _SEQUENCE.sub("PARKED#<number>", text)
        return _DAY.sub("<day>", text) if _DAY.fullmatch(text) else text


def _names_of(message: Message, name: str) -> list[tuple[str, str]]:
    """Return the names of a message's parts, the longest first.

    A body that is not the very body of a message stays, and shows in the comparison.
    """
    return [
        (message.body(), f"<body of {name}>"),
        (message.payload_hash, f"<hash of {name}>"),
        (meaning_hash(message), f"<meaning of {name}>"),
        (stem(message.message_id), f"<stem of {name}>"),
    ]


def _plain(value: Any) -> Any:
    """Return a number of DynamoDB as JSON has it, sets as sorted lists, bytes as text."""
    if isinstance(value, dict):
        return {name: _plain(child) for name, child in value.items()}
    if isinstance(value, set | list):
        return [_plain(child) for child in (sorted(value) if isinstance(value, set) else value)]
    if hasattr(value, "as_integer_ratio"):
        return int(value) if value == int(value) else float(value)
    return value
