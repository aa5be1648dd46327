"""The entries that a test sends to a deployed scratch project, and what became of them."""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local.client import Answer, Client
from local.deadline import DeadlineMissed, wait_until
from local.stack import Stack
from tests.support import stack_fixtures
from workflows.messages.envelope import Message

_SECONDS = 60.0
_SOON_SECONDS = "3"  # three deliveries of a crashing batch take as many of these


class Entries:
    """Sends entries to a deployed scratch project and tells what became of them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        user = stack.users["operator"]
        self._payloads: dict[tuple[str, int], dict[str, Any]] = {}
        self.api = Client(stack.api_url).signed_in(user["email"], user["password"])

    @contextmanager
    def brought_again_soon(self) -> Iterator[None]:
        """Let SQS bring again within seconds what a worker that died had received.

        Only for tests in which one dies: a healthy batch that is slow would be brought again, too,
        and at the third time be a dead letter.
        """
        sqs, url = self.stack.client("sqs"), self.stack.outputs["WorkQueueUrl"]
        names = ["VisibilityTimeout"]
        before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        soon = {"VisibilityTimeout": _SOON_SECONDS}
        sqs.set_queue_attributes(QueueUrl=url, Attributes=soon)
        try:
            yield
        finally:
            sqs.set_queue_attributes(QueueUrl=url, Attributes=before)

    def send(self, group: str, number: int, **payload: Any) -> Answer:
        """Send entry `number` of a group; its id is `<group>-<number>`."""
        self._payloads[group, number] = {"account_id": group, "number": number} | payload
        return self.api.send(
            self._payloads[group, number],
            message_id=f"{group}-{number}",
            type_="entry",
        )

    def deliver_again(self, group: str, number: int) -> None:
        """Put a copy of an entry that was sent on the work queue, as if SQS delivered it twice."""
        self.stack.client("sqs").send_message(
            QueueUrl=self.stack.outputs["WorkQueueUrl"],
            MessageBody=self.body(group, number),
            MessageGroupId=group,
            MessageDeduplicationId=str(uuid.uuid4()),
        )

    def body(self, group: str, number: int) -> str:
        """Return the body under which an entry was sent."""
        row = self.row(group, number)
        sent = {
            name: row[name]
            for name in ("message_id", "type", "group_id", "first_sent_at", "trace_id")
        }
        payload = self._payloads[group, number]
        return Message(**sent, payload=payload, submitted_by=row["submitted_by"]).body()

    def effects(self, group: str) -> list[int]:
        """Return the numbers of a group's entries in the order of their effects."""
        row = stack_fixtures.row(self.stack, "Accounts", group)
        return [int(number) for number in row.get("effects", [])]

    def row(self, group: str, number: int) -> dict[str, Any]:
        """Return an entry's row in the ledger; {} for none."""
        return stack_fixtures.row(self.stack, "Messages", f"{group}-{number}")

    def status(self, group: str, number: int) -> str:
        """Return an entry's status in the ledger, or "" before it has one."""
        return str(self.row(group, number).get("status", ""))

    def fence(self, group: str) -> dict[str, Any] | None:
        """Return what the API says of a fenced group; None if it has no fence."""
        answer = self.api.call("GET", f"/groups/{group}")
        return dict(answer.json) if answer.status == 200 else None

    def freeze(self, account_id: str, status: str = "FROZEN") -> None:
        """Set the status of an account."""
        stack_fixtures.put(self.stack, "Accounts", {"account_id": account_id, "status": status})

    def unfreeze(self, account_id: str) -> None:
        """Make an account active."""
        self.freeze(account_id, "ACTIVE")

    def reaches(self, group: str, number: int, status: str, seconds: float = _SECONDS) -> None:
        """Wait until an entry has a status."""
        wait_until(
            lambda: self.status(group, number) == status,
            seconds,
            f"{group}-{number} is {status}, not {self.status(group, number)}",
        )

    def is_held_up(self, group: str) -> None:
        """Wait until a group has a fence.

        Unlike the holder's RETRYING, which a few tries later is over, it stays to be seen.
        """
        wait_until(lambda: self.fence(group), _SECONDS, f"{group} is fenced")

    def are_processed(self, group: str, count: int, seconds: float = _SECONDS) -> None:
        """Wait until the last of `count` entries had its effect and the group has no fence."""
        wait_until(
            lambda: len(self.effects(group)) >= count and self.fence(group) is None,
            seconds,
            f"{group} has {count} effects and no fence, not {self.effects(group)}"
            f" and {self.fence(group)}",
        )

    def comes_to_rest(self, seconds: float = _SECONDS) -> None:
        """Wait until nothing goes on: the work queue is empty, every fence waits for a redrive."""
        try:
            wait_until(lambda: not self._going_on(), seconds, "nothing goes on", interval=0.2)
        except DeadlineMissed as missed:
            raise AssertionError(f"still going on: {self._going_on()}") from missed

    def _going_on(self) -> list[dict[str, Any]]:
        fences = [fence for fence in self.fences() if fence["reason"] != "DEAD"]
        return stack_fixtures.queued(self.stack, "Work") + fences

    def fences(self) -> list[dict[str, Any]]:
        """Return what the API says of all fenced groups, at most 100."""
        return list(self.api.call("GET", "/groups?fenced=true&limit=100").expect(200)["groups"])

    def redrive(self, max_messages: int | None = None) -> dict[str, Any]:
        """Redrive the dead-letter queue through the API and return the run when it ended.

        A run that need not find the queue empty saves two polls.
        """
        return self.finished(self.api.reprocess(max_messages).expect(202)["run_id"])

    def finished(self, run_id: str) -> dict[str, Any]:
        """Wait until a run has ended; return what the API says of it."""

        def found() -> dict[str, Any] | None:
            run: dict[str, Any] = self.api.run(run_id).expect(200)
            return None if run["status"] in ("RUNNING", "CANCELLING") else run

        return wait_until(found, _SECONDS, f"run {run_id} ends", interval=0.2)

    def execution(self, group: str) -> str:
        """Return the ARN of the execution that drives a group, once it runs.

        The fence names it a moment before it is started, and goes on naming the one before it for
        a moment after a redriven holder was processed.
        """

        def running() -> str | None:
            arn = str((self.fence(group) or {}).get("execution_arn"))
            return arn if self._statuses(group).get(arn) == "RUNNING" else None

        return wait_until(running, _SECONDS, f"{group} has an execution that runs")

    def executions(self, group: str) -> dict[str, str]:
        """Return how each execution of a group ended, by what its name ends with: `r0-g1`.

        Waits until all have ended: what an execution wrote last is seen a moment before its end.
        """

        def ended() -> dict[str, str] | None:
            found = self._statuses(group)
            return None if "RUNNING" in found.values() else found

        found = wait_until(ended, _SECONDS, f"the executions of {group} end")
        return {re.sub(r".*-(r\d+-g)", r"\1", arn): status for arn, status in found.items()}

    def _statuses(self, group: str) -> dict[str, str]:
        pages = self.stack.client("stepfunctions").get_paginator("list_executions")
        machine = self.stack.outputs["RetryStateMachineArn"]
        return {
            execution["executionArn"]: execution["status"]
            for page in pages.paginate(stateMachineArn=machine)
            for execution in page["executions"]
            if execution["name"].startswith(f"{group}-")
        }

    def stop(self, execution_arn: str) -> None:
        """Stop an execution, as the console does."""
        self.stack.client("stepfunctions").stop_execution(executionArn=execution_arn)

    def redrive_natively(self) -> None:
        """Move the dead letters back as SQS's own redrive does: the very bytes, a new id."""
        sqs = self.stack.client("sqs")
        dead_letters = self.stack.outputs["DeadLetterQueueUrl"]
        found = wait_until(
            lambda: sqs.receive_message(
                QueueUrl=dead_letters, MaxNumberOfMessages=10, AttributeNames=["All"]
            ).get("Messages"),
            _SECONDS,
            "there are dead letters",
        )
        for letter in found:
            sqs.send_message(
                QueueUrl=self.stack.outputs["WorkQueueUrl"],
                MessageBody=letter["Body"],
                MessageGroupId=letter["Attributes"]["MessageGroupId"],
                MessageDeduplicationId=str(uuid.uuid4()),
            )
            sqs.delete_message(QueueUrl=dead_letters, ReceiptHandle=letter["ReceiptHandle"])

    def empty_dead_letter_queue(self) -> None:
        """Delete what other tests may have left there."""
        url = self.stack.outputs["DeadLetterQueueUrl"]
        self.stack.client("sqs").purge_queue(QueueUrl=url)

    def consume(self, enabled: bool) -> None:
        """Turn the consumer on or off."""
        client = self.stack.client("lambda")
        (mapping,) = client.list_event_source_mappings()["EventSourceMappings"]
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Call a function by the beginning of its logical id, and return its answer."""
        client = self.stack.client("lambda")
        (name,) = (
            found["FunctionName"]
            for page in client.get_paginator("list_functions").paginate()
            for found in page["Functions"]
            if function in found["FunctionName"]
        )
        answer = client.invoke(FunctionName=name, Payload=json.dumps(event))
        assert "FunctionError" not in answer, answer["Payload"].read()
        return json.loads(answer["Payload"].read())

    def set_on_dead_letter(self, value: str) -> None:
        """Give functions and retry machine another value of `OnDeadLetter`, as a deployment does.

        MiniStack's own update of a stack breaks the functions' environments.
        """
        functions = self.stack.client("lambda")
        for page in functions.get_paginator("list_functions").paginate():
            for found in page["Functions"]:
                variables = found["Environment"]["Variables"] | {"ON_DEAD_LETTER": value}
                functions.update_function_configuration(
                    FunctionName=found["FunctionName"], Environment={"Variables": variables}
                )
        machines = self.stack.client("stepfunctions")
        arn = self.stack.outputs["RetryStateMachineArn"]
        definition = machines.describe_state_machine(stateMachineArn=arn)["definition"]
        changed = re.sub("'(hold|continue)' = ", f"'{value}' = ", definition)
        assert changed != definition
        machines.update_state_machine(stateMachineArn=arn, definition=changed)
