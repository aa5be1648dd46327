"""What there is of a world's messages: rows, copies, parked items and effects, read at one go."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Protocol

from boto3.dynamodb.types import TypeDeserializer

from tests.support.stack_fixtures import Deferring, queued
from workflows.messages.envelope import Message


class Known(Protocol):
    """A world as far as it is looked at: a stack, and all that was given to it.

    `messages` are in the order in which those of a group must have their effects; `versions` are
    the same ones with other payloads that they had or may have; `strangers` are the (group, body)
    of what is no message of ours; `executions` those that a test started itself.
    """

    stack: Any
    messages: list[Message]
    versions: list[Message]
    strangers: list[tuple[str, str]]
    executions: list[Any]


@dataclass
class Findings:
    """All that there is of a world's messages, by message id or group."""

    messages: dict[str, Message]
    versions: list[Message]
    strangers: list[tuple[str, str]]
    rows: dict[str, dict[str, Any]]
    runs: list[dict[str, Any]]
    accounts: dict[str, dict[str, Any]]
    work: list[dict[str, Any]]
    dead: list[dict[str, Any]]
    stack: Any
    tried_again: set[str]
    fences: dict[str, dict[str, Any]] = field(default_factory=dict)
    parked: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, world: Known) -> "Findings":
        messages = {m.message_id: m for m in world.messages}
        groups = {m.group_id for m in world.messages} | {group for group, _ in world.strangers}
        found = cls(
            messages=messages,
            versions=world.versions,
            strangers=list(world.strangers),
            rows={
                row["message_id"]: row
                for row in _whole(_scan(world, "Messages"))
                if row["message_id"] in messages or row["group_id"] in groups
            },
            runs=[row for row in _scan(world, "Runs") if _is_run_of(world, row)],
            accounts={row["account_id"]: row for row in _scan(world, "Accounts")},
            work=[m for m in queued(world.stack, "Work") if m["MessageGroupId"] in groups],
            stack=world.stack,
            tried_again=set(getattr(world.stack, "tried_again", ())),
            dead=[m for m in queued(world.stack, "DeadLetter") if m["MessageGroupId"] in groups],
        )
        for item in _scan(world, "Groups"):
            if item["group_id"] not in groups:
                continue
            if item["item"] == "FENCE":
                found.fences[item["group_id"]] = item
            else:
                found.parked[item["group_id"]].append(item)
        return found

    def row(self, message: Message) -> dict[str, Any]:
        return self.rows.get(message.message_id, {})

    def status(self, message: Message) -> str:
        return str(self.row(message).get("status", ""))

    def copies(self, message: Message, queue: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [copy for copy in queue if message_id_in(copy["Body"]) == message.message_id]

    def waiting(self, message: Message) -> list[dict[str, Any]]:
        items = self.parked[message.group_id]
        return [item for item in items if item["message_id"] == message.message_id]

    def groups(self) -> dict[str, list[Message]]:
        groups = defaultdict(list)
        for message in self.messages.values():
            groups[message.group_id].append(message)
        return groups

    def is_driven(self, group: str) -> bool:
        """Tell whether the execution that a group's fence names runs."""
        arn = self.fences.get(group, {}).get("execution_arn")
        client = self.stack.client("stepfunctions")
        try:
            return bool(client.describe_execution(executionArn=arn)["status"] == "RUNNING")
        except client.exceptions.ClientError:
            return False

    def effects(self, message: Message) -> int | None:
        """Return how often a message had its effect, as its type shows it; None if it does not."""
        if message.type == "entry":
            effects = self.accounts.get(message.group_id, {}).get("effects", [])
            return Counter(map(int, effects))[message.payload["number"]]
        if message.type == "transaction":
            return int(f"APPLIED#{message.message_id}" in self.accounts)
        return None


def _is_run_of(world: Known, row: dict[str, Any]) -> bool:
    # A local stack is shared, and other tests' runs are none of this world's.
    started = {execution.name for execution in world.executions}
    return "trigger" in row and (isinstance(world.stack, Deferring) or row["run_id"] in started)


def _whole(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with their bodies, wherever those lie (`workflows/ledger/large.py`)."""
    parts = {row["message_id"]: row["part"] for row in rows if "part" in row}
    found = []
    for row in rows:
        if isinstance(told := row.get("body"), dict):
            beginning = f"#{row['message_id']}#{told['of']}#"
            text = "".join(parts[f"{beginning}{n}"] for n in range(int(told["parts"])))
            body, carried = json.loads(text)
            row |= {"body": body, "carried": carried}
        if "part" not in row:
            found.append(row)
    return found


def _scan(world: Known, table: str) -> list[dict[str, Any]]:
    pages = (
        world.stack.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=world.stack.outputs[f"{table}TableName"], ConsistentRead=True)
    )
    read = TypeDeserializer().deserialize
    items = [item for page in pages for item in page["Items"]]
    return [{name: read(value) for name, value in item.items()} for item in items]


def message_id_in(body: str) -> str | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    named = found.get("message_id") if isinstance(found, dict) else None
    return named if isinstance(named, str) else None
