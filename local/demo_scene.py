"""Where the demo plays: a stack, the people in front of it, and what they do there."""

import json
from decimal import Decimal
from typing import Any

from local import account, history, narration
from local.client import Client
from local.deadline import wait_until
from local.history import History
from local.journal import COUNTERS, Entry, Journal, Run
from local.stack import Stack

_APPLIED = "APPLIED#"  # how the Accounts table keeps which messages had their effect


class Scene:
    """A stack, a producer and an operator, what they sent, and what is claimed of it."""

    def __init__(self, stack: Stack, began: float) -> None:
        self.stack = stack
        self.claims = narration.Claims()
        self.began = began
        settings = stack.process_environment()
        self.max_attempts = int(settings["MAX_ATTEMPTS"])
        self.max_redrives = int(settings["MAX_REDRIVES"])
        self.chapter("1. Sign in")
        narration.say("A producer may send and read. An operator may also redrive.")
        door = Client(stack.api_url, listener=narration.call)
        self.producer = door.signed_in(**stack.users["producer"])
        self.operator = door.signed_in(**stack.users["operator"])
        self.silent = Client(stack.api_url, self.operator.token)
        self.journal = Journal(self.silent)
        self.foreign_id = ""  # the ledger's key of the message that is not ours

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        narration.chapter(title, self.began)

    def send(self, entry: Entry, *, loudly: bool = True) -> Entry:
        """Let the producer send a transaction, and keep it in the journal."""
        producer = self.producer if loudly else Client(self.stack.api_url, self.producer.token)
        answer = producer.send(entry.payload, message_id=entry.message_id, group_id=entry.group_id)
        if answer.status != 202:
            self.claims.equal(f"{entry.message_id} is accepted", answer.status, 202)
        self.journal.entries.append(entry)
        return entry

    def edit(self, entry: Entry, amount: Decimal) -> None:
        """Let the operator give a dead transaction another amount."""
        entry.amount = amount
        self.operator.edit(entry.message_id, entry.payload).expect(200)

    def set_status(self, status: str, *accounts: str) -> None:
        """Freeze or unfreeze accounts, in the table: the service has no API for that."""
        for account_id in accounts:
            account.set_status(
                self.stack.client("dynamodb"),
                self.stack.outputs["AccountsTableName"],
                account_id,
                status,
            )

    def run(
        self, purpose: str, *, twice: bool = False, status: str = "SUCCEEDED", **options: Any
    ) -> Run:
        """Let the operator start a run, wait for its end and keep it in the journal.

        Args:
            purpose: in two or three words.
            twice: ask for another run while this one is active.
            status: in which it should end.
            options: of the request.
        """
        number = len(self.journal.runs) + 1
        run_id = self.operator.reprocess(**options).expect(202)["run_id"]
        if twice:
            busy = self.operator.reprocess()
            self.claims.equal("a second run at the same time is refused: 409", busy.status, 409)

        def ended() -> Any:
            found = self.silent.run(run_id).expect(200)
            return None if found["status"] == "RUNNING" else found

        record = wait_until(ended, 60, f"run {number} has ended", interval=0.2)
        self.operator.run(run_id)
        self.claims.equal(
            f"run {number} ended as {status}, and its counters add up",
            (record["status"], record["received"]),
            (status, sum(record[name] for name in COUNTERS[1:])),
        )
        run = Run(number, purpose, record, self.history(record["execution_arn"]))
        self.journal.runs.append(run)
        return run

    def history(self, execution_arn: str) -> History:
        """Return what an execution has done."""
        return history.read(self.stack.client("stepfunctions"), execution_arn)

    def look(self, entries: list[Entry]) -> list[Entry]:
        """Ask the API for these messages again and return them."""
        self.journal.look(entries)
        return entries

    def ledger_row(self, message_id: str) -> dict[str, Any]:
        """Return a row of the Messages table, in DynamoDB's own types; {} for none."""
        found: dict[str, Any] = self.stack.client("dynamodb").get_item(
            TableName=self.stack.outputs["MessagesTableName"],
            Key={"message_id": {"S": message_id}},
            ConsistentRead=True,
        )
        return dict(found.get("Item", {}))

    def traced(self, trace_id: str) -> set[str]:
        """Return the actions that the Lambdas logged under a trace id."""
        lines = (line for line in self.stack.lambda_log().splitlines() if f'"{trace_id}"' in line)
        return {entry["action"] for entry in map(json.loads, lines) if "action" in entry}

    def accounts(self) -> tuple[list[str], dict[str, Decimal]]:
        """Return the ids of all messages that had an effect, and the balance of each account."""
        applied, balances = [], {}
        pages = (
            self.stack.client("dynamodb")
            .get_paginator("scan")
            .paginate(TableName=self.stack.outputs["AccountsTableName"], ConsistentRead=True)
        )
        for item in (item for page in pages for item in page["Items"]):
            key = item["account_id"]["S"]
            if key.startswith(_APPLIED):
                applied.append(key.removeprefix(_APPLIED))
            else:
                balances[key] = Decimal(item.get("balance", {"N": "0"})["N"])
        return applied, balances
