"""The service that `test_random_model.py` drives: the real handlers and machines on moto.

Requests come in as API Gateway's events and go out as status and body. A worker, or whoever
handles a request, may die at a call to AWS; something may happen between two states of a machine.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from unittest import mock

from boto3.dynamodb.types import TypeDeserializer
from moto.dynamodb.models import dynamodb_backends

from lambdas import (
    cancel_run,
    discard_messages,
    edit_messages,
    reprocess_dead_letters,
    retry_messages,
    send_message,
)
from tests.engines.moto_engine.stack import MotoStack
from tests.proofs.random_model import model
from tests.support import entry
from tests.support.aws_calls import Calls, WorkerDied
from tests.support.cloud import ACCOUNT, REGION
from tests.support.findings import message_id_in
from tests.support.invocations import CONTEXT, api_event
from tests.support.stack_fixtures import Execution, queued
from workflows.messages import message_types
from workflows.messages.envelope import Message
from workflows.messages.ids import FOREIGN_PREFIX
from workflows.runtime.settings import settings

Deed = Callable[[], bool | None]
_MESSAGE = "/messages/{message_id}"
_RUNS = "/messages/dlq/reprocess"
_ROUNDS = 12
_STATES = 500  # far more than the messages of a story need


class Service:
    """One stack for story after story; also a world, as `tests/support/invariants.py` wants one."""

    def __init__(self) -> None:
        self.stack = MotoStack(substitutions={"MaxAttempts": str(model.MAX_ATTEMPTS)})
        self.messages: list[Message] = []
        self.versions: list[Message] = []  # as they were before an edit
        self.strangers: list[tuple[str, str]] = []
        self.executions: list[Execution] = []
        self.answered: Counter[str] = Counter()  # by function and status, over all stories
        self._patches = [
            mock.patch.dict(message_types.TYPES, entry=entry),
            mock.patch.dict("os.environ", MAX_REDRIVES=str(model.MAX_REDRIVES)),
        ]

    def __enter__(self) -> Self:
        self.stack.__enter__()
        for patch in self._patches:
            patch.__enter__()
        settings.cache_clear()
        self.calls = Calls()
        self.forget()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for patch in self._patches:
            patch.__exit__(kind, error, traceback)
        self.stack.__exit__(kind, error, traceback)

    def forget(self) -> None:
        """Begin anew, with nothing anywhere."""
        self.stack.empty()
        self.stack.before_state = self._before_state
        self.messages, self.versions = [], []
        self.strangers = []
        self._copies = 0
        self._states_left, self._again = -1, False
        self._deed: Deed = lambda: None
        self._error: BaseException | None = None
        self._entered: list[str] = []

    # Requests

    def send(self, message_id: str, group: str, payload: dict[str, Any]) -> tuple[int, Any]:
        body = {"type": "entry", "message_id": message_id, "group_id": group, "payload": payload}
        return self._answer(send_message, api_event("POST", "/messages/send", body))

    def retry(self, message_id: str, *, reset: bool) -> tuple[int, Any]:
        return self._about(retry_messages, "POST", "/retry", message_id, {"reset_redrives": reset})

    def edit(self, message_id: str, payload: dict[str, Any]) -> tuple[int, Any]:
        return self._about(edit_messages, "PATCH", "", message_id, {"payload": payload})

    def discard(self, message_id: str) -> tuple[int, Any]:
        return self._about(
            discard_messages, "POST", "/discard", message_id, {"reason": "Given up."}
        )

    def redrive(self, request: dict[str, Any]) -> tuple[int, Any]:
        event = api_event("POST", _RUNS, request, roles=("operator",), email="o@example.com")
        return self._answer(reprocess_dead_letters, event)

    def cancel(self, run_id: str) -> tuple[int, Any]:
        event = api_event(
            "DELETE",
            f"{_RUNS}/{run_id}",
            roles=("operator",),
            email="o@example.com",
            path_parameters={"run_id": run_id},
            resource=f"{_RUNS}/{{run_id}}",
        )
        return self._answer(cancel_run, event)

    def _about(
        self, module: Any, method: str, verb: str, message_id: str, body: dict[str, Any]
    ) -> tuple[int, Any]:
        event = api_event(
            method,
            f"/messages/{message_id}{verb}",
            body,
            roles=("operator",),
            email="o@example.com",
            path_parameters={"message_id": message_id},
            resource=f"{_MESSAGE}{verb}",
        )
        return self._answer(module, event)

    def _answer(self, module: Any, event: dict[str, Any]) -> tuple[int, Any]:
        answer = module.handler(event, CONTEXT)
        function = module.__name__.rpartition(".")[2]
        self.answered[f"{function} {answer['statusCode']}"] += 1
        return answer["statusCode"], json.loads(answer["body"])

    # What else happens

    def freeze(self, group: str, status: str) -> None:
        self.stack.client("dynamodb").update_item(
            TableName="Accounts",
            Key={"account_id": {"S": group}},
            UpdateExpression="SET #status = :status",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": {"S": status}},
        )

    def copy(self, group: str, body: str) -> None:
        """Put a copy of a message on the work queue, as a producer without our API would."""
        self._copies += 1
        self.stack.client("sqs").send_message(
            QueueUrl=self.stack.outputs["WorkQueueUrl"],
            MessageBody=body,
            MessageGroupId=group,
            MessageDeduplicationId=f"copy-{self._copies}",
        )

    def put_stranger(self, queue: str, group: str) -> None:
        """Put what is no message on the queue `Work` or `DeadLetter`."""
        body = f"no message, number {len(self.strangers)}"
        self.strangers.append((group, body))
        self.stack.client("sqs").send_message(
            QueueUrl=self.stack.outputs[f"{queue}QueueUrl"],
            MessageBody=body,
            MessageGroupId=group,
            MessageDeduplicationId=body.replace(" ", "-"),
        )

    def redrive_natively(self) -> None:
        """Move what is visible on the dead-letter queue back, under new ids, as SQS does."""
        sqs, url = self.stack.client("sqs"), self.stack.outputs["DeadLetterQueueUrl"]
        while found := sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]
        ).get("Messages"):
            for letter in found:
                self.copy(letter["Attributes"]["MessageGroupId"], letter["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=letter["ReceiptHandle"])

    @contextmanager
    def dying(self, at: int) -> Iterator[None]:
        """Let what is done in between die before or after a call to AWS, the `at`-th end of one."""
        self.calls.ends.clear()
        self.calls.error_at = at
        try:
            yield
        except WorkerDied:
            pass
        finally:
            self.calls.error_at = None

    def work(self, at: int = -1, deed: Deed = lambda: None, *, again: bool = False) -> bool:
        """Run what was started; before its `at`-th state do a deed, which may answer False: stop.

        Args:
            at: -1 for never.
            deed: what else happens then.
            again: do it before every later state, too.

        Returns:
            whether the deed was done.
        """
        self._states_left, self._deed, self._entered = at, deed, []
        self._again = again and at >= 0
        self.stack.run_executions()
        done, self._states_left, self._again = self._states_left < 0 <= at, -1, False
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return done

    def _before_state(self, _arn: str, state: str) -> bool:
        self._entered.append(state)
        if len(self._entered) == _STATES:
            self._error = AssertionError(f"it goes round and round: {self._entered[-12:]}")
        if self._error is not None:
            return False
        self._states_left -= 1
        if self._states_left >= 0 or (self._states_left < -1 and not self._again):
            return True
        try:
            return self._deed() is not False
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            self._error = error
            return False

    def settle(self) -> None:
        """Let everything happen that happens by itself, until nothing does."""
        before = None
        for _ in range(_ROUNDS):
            self.stack.elapse(200)
            self.stack.recover()
            while self.stack.poll() is not None:
                self.work()
            self.work()
            now = (self.rows(), self.effects(), len(self.queue("Work")))
            if before == now:
                return
            before = now
        raise AssertionError("the service does not come to rest")

    # What there is

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the rows of what a producer sent; the strangers' are the checker's."""
        return {
            row["message_id"]: row
            for row in self.items("Messages")
            if not row["message_id"].startswith(FOREIGN_PREFIX)
        }

    def effects(self) -> dict[str, list[int]]:
        return {
            item["account_id"]: [int(number) for number in item.get("effects", [])]
            for item in self.items("Accounts")
        }

    def queue(self, name: str) -> list[dict[str, Any]]:
        """Return what lies on the queue `Work` or `DeadLetter`, with the `id` in each body."""
        stack: Any = self.stack
        return [letter | {"id": message_id_in(letter["Body"])} for letter in queued(stack, name)]

    def items(self, table: str) -> list[dict[str, Any]]:
        """Return what a table has, read from moto's own memory: a scan takes longer."""
        read = TypeDeserializer().deserialize
        return [
            {name: read(value) for name, value in item.to_json()["Attributes"].items()}
            for item in dynamodb_backends[ACCOUNT][REGION].tables[table].all_items()
        ]
