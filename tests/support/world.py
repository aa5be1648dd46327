"""A stack and every message that a test gave it: the same words for every engine.

A scenario that says only what `World` offers runs on moto in this process (`MotoStack`), on the
local stack, and on one deployed on AWS (`aws_stack.py`). The consumer works only when asked,
so what lies on the queues between two steps can be told.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any
from unittest import mock

from boto3.dynamodb.types import TypeDeserializer

from tests.support import canonical, engines, stack_fixtures
from tests.support.stack_fixtures import Execution, start_machine
from workflows import send
from workflows.messages.carried import NOTHING, Carried
from workflows.messages.envelope import Message
from workflows.messages.ids import stem
from workflows.runtime import clock

# More than the template's visibility timeout (180), its leases, and the sweep's grace; less than
# the five minutes for which SQS remembers deduplication ids, so that time alone forgives nothing.
_LEASES_SECONDS = 200
_COUNTS = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
# After so many rounds in which something still happened, a system is not coming to rest.
_ROUNDS = 20

Redriver = Callable[["World", dict[str, Any]], Any]


class World:
    """A stack, and every message that a test gave it: what tests of the whole act on.

    `messages` are all valid messages, in the order given; inside a group this is the order in
    which their effects are due. `versions` are the same ones with another payload,
    `strangers` (group, body) of all else that was put on a queue. `executions` are those that the
    test started itself, in their order.

    Args:
        stack: a local stack, a `MotoStack` or one on AWS. Its queues are this test's alone.
        redriver: called with the world and the request in place of the redrive machine.
    """

    def __init__(self, stack: Any, *, redriver: Redriver | None = None) -> None:
        self.stack = stack
        self.messages: list[Message] = []
        self.versions: list[Message] = []
        self.strangers: list[tuple[str, str]] = []
        self.executions: list[Execution] = []
        self.machines = canonical.machines(stack)  # ARNs, by what a test calls them
        # Of one length on every engine: no limit is met on one of them only.
        self.token = f"w{uuid.uuid4().hex[:8]}"
        self.foreign_ids: list[str] = []  # SQS's MessageIds of the strangers
        self._copies = 0
        self._redriver = redriver
        self._started = 0  # executions; one may begin while another goes on
        self._before = canonical.keys(stack)

    # Giving messages

    def message(self, *, type: str = "transaction", **fields: Any) -> Message:  # noqa: A002
        """Make a message that no other test has, and remember it: a credit of 10.00 by default.

        Args:
            type: of the message.
            fields: of `Message`, or else of its payload. Without a `group_id` it is alone in the
                group of its account; without an `account_id`, its account is the group's.
        """
        number = len(self.messages) + 1
        own = {name: fields.pop(name) for name in Message.model_fields.keys() & fields.keys()}
        account = fields.get("account_id") or own.get("group_id") or self.name(f"a{number}")
        usual = {"kind": "credit", "amount": 10.0, "currency": "EUR"}
        payload = {"account_id": account} | (usual if type == "transaction" else {}) | fields
        message = {
            "message_id": self.name(f"m{number}"),
            "type": type,
            "group_id": account,
            "payload": payload,
            "first_sent_at": clock.now(),
            "trace_id": self.name(f"t{number}"),
            "submitted_by": "p@example.com",
        }
        found = Message.model_validate(message | own)
        self.messages.append(found)
        return found

    def version(self, message: Message, **payload: Any) -> Message:
        """Return a message with another payload: an edited one, or another's under its id."""
        found = message.model_copy(update={"payload": message.payload | payload})
        self.versions.append(found)
        return found

    def name(self, text: str) -> str:
        """Return a name that no other test has: of an account, a group, or an id."""
        return f"{self.token}-{text}"

    def send(self, message: Message) -> None:
        """Send a message as `POST /messages/send` does, with its own first-sent time and trace."""
        request = send.SendRequest(
            type=message.type,
            payload=message.payload,
            group_id=message.group_id,
            message_id=message.message_id,
        )
        with engines.application(self.stack), _clock_stopped(message.first_sent_at):
            send.send(request, message.submitted_by, message.trace_id)

    def dead_letter(self, message: Message, size: int = 0, **columns: Any) -> None:
        """Make a message a dead letter, in the ledger and on the queue.

        Args:
            message: not on the dead-letter queue in this life (`redrives`) before.
            size: how many bytes its body has at least.
            columns: of its row in the ledger, to be other than those of a first death.
        """
        stack_fixtures.dead_letter(self.stack, message, size, **columns)

    def put_on_dlq(self, body: str, group: str, **attributes: str) -> str:
        """Put a body that is none of the messages on the dead-letter queue; SQS's MessageId."""
        return self.put_on("DeadLetter", body, group, **attributes)

    def put_on(self, queue: str, body: str, group: str, **attributes: str) -> str:
        """Put a body that is none of the messages on the queue `Work` or `DeadLetter`."""
        self.strangers.append((group, body))
        found = self._put(queue, body, group, f"s{len(self.strangers)}", attributes)
        self.foreign_ids.append(found)
        return found

    def put_copy(
        self, queue: str, message: Message, carried: Carried = NOTHING, **attributes: str
    ) -> None:
        """Put one more copy of a message on a queue, as SQS's own moves do."""
        self._copies += 1
        self._put(queue, message.body(), message.group_id, f"c{self._copies}", attributes, carried)

    def freeze(self, account_id: str, status: str = "FROZEN") -> None:
        """Let an account take no transactions, so that messages for it fail."""
        self.stack.client("dynamodb").update_item(
            TableName=self.stack.outputs["AccountsTableName"],
            Key={"account_id": {"S": account_id}},
            UpdateExpression="SET #status = :status",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": {"S": status}},
        )

    def unfreeze(self, account_id: str) -> None:
        """Let an account take transactions again."""
        self.freeze(account_id, "ACTIVE")

    # Letting things happen

    def consume(self) -> None:
        """Let the consumer work until the work queue is empty and no retry runs."""
        engines.consume(self.stack, self._is_consumed)

    def redrive(self, **request: Any) -> Any:
        """Let a whole run redrive the dead-letter queue, with the options of a request."""
        if self._redriver is not None:
            return self._redriver(self, request)
        return self.run({"request": request})

    @property
    def next_run(self) -> str:
        """The name of the execution that `run` starts next."""
        return self.name(f"run{self._started + 1}")

    def run(
        self,
        payload: dict[str, Any] | None = None,
        *,
        machine: str = "redrive",
        mocks: dict[str, list[dict[str, Any]]] | None = None,
        consuming: bool = False,
        meanwhile: tuple[str, engines.Act] | None = None,
    ) -> Execution:
        """Run a machine to its end.

        Args:
            payload: the input; None starts it as the console does, with an empty object.
            machine: one of `machines`.
            mocks: as in `stack_fixtures.start_machine`.
            consuming: let the consumer work meanwhile.
            meanwhile: a state, and what to do once when the execution is there.
        """
        arn = start_machine(
            self.stack, self.machines[machine], payload, name=self.next_run, mocks=mocks
        )
        self._started += 1
        execution: Execution = engines.end(
            self.stack, arn, consuming=consuming, meanwhile=meanwhile
        )
        self.executions.append(execution)
        return execution

    def follow(self, name: str, *, machine: str = "redrive") -> Execution:
        """Return an execution that another one started, once it ended, and remember it."""
        arn = self.machines[machine].replace(":stateMachine:", ":execution:")
        execution = stack_fixtures.ended(self.stack, f"{arn}:{name}")
        self.executions.append(execution)
        return execution

    def variant(self, machine: str, old: str, new: str, name: str) -> str:
        """Make a machine as deployed but for one text, until `close`, under a name of its own."""
        client = self.stack.client("stepfunctions")
        deployed = client.describe_state_machine(stateMachineArn=self.machines[machine])
        if old not in deployed["definition"]:
            raise ValueError(f"{old!r} does not stand in the machine {machine}")
        self.machines[name] = client.create_state_machine(
            name=f"{self.token}-{len(self.machines)}",
            definition=deployed["definition"].replace(old, new),
            roleArn=deployed["roleArn"],
        )["stateMachineArn"]
        return name

    def close(self) -> None:
        """Remove the machines that `variant` made, and all rows that the world wrote."""
        canonical.remove(self.stack, self._before)
        for name in self.machines.keys() - canonical.machines(self.stack).keys():
            arn = self.machines.pop(name)
            self.stack.client("stepfunctions").delete_state_machine(stateMachineArn=arn)

    def recover(self) -> None:
        """Let the sweep run once, as the schedule does."""
        engines.recover(self.stack)

    def settle(self) -> None:
        """Let happen what happens by itself: leases end, the sweep runs, the consumer works.

        Returns when a whole round changed nothing. On an engine whose clock cannot be moved,
        leases and visibility timeouts that still run stay as they are.

        Raises:
            AssertionError: it does not come to rest.
        """
        before = None
        for _ in range(_ROUNDS):
            engines.elapse(self.stack, _LEASES_SECONDS)
            self.recover()
            self.consume()
            now = self.snapshot()
            if now == before:
                return
            before = now
        raise AssertionError(f"{self.token} does not come to rest")

    def application(self) -> AbstractContextManager[None]:
        """Let the application's own code run in this process against the stack for a while."""
        return engines.application(self.stack)

    # Looking

    def row(self, message: Message) -> dict[str, Any]:
        """Return a message's row in the ledger; {} for none."""
        return stack_fixtures.row(self.stack, "Messages", message.message_id)

    def run_row(self, run_id: str) -> dict[str, Any]:
        """Return a run's record; {} for none."""
        return stack_fixtures.row(self.stack, "Runs", run_id)

    def fence(self, group: str) -> dict[str, Any]:
        """Return a group's fence; {} for none."""
        found = self.stack.client("dynamodb").get_item(
            TableName=self.stack.outputs["GroupsTableName"],
            Key={"group_id": {"S": group}, "item": {"S": "FENCE"}},
            ConsistentRead=True,
        )
        item = found.get("Item", {})
        return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}

    def effects(self, group: str) -> list[Any]:
        """Return what a group's messages did.

        The numbers of its entries in the order of their effects; of transactions, which do not
        show their order, the ids of those that were applied, in the order given.
        """
        entries = stack_fixtures.row(self.stack, "Accounts", group).get("effects")
        if entries is not None:
            return [int(number) for number in entries]
        return [
            message.message_id
            for message in self.messages
            if message.group_id == group
            and stack_fixtures.row(self.stack, "Accounts", f"APPLIED#{message.message_id}")
        ]

    def queued(self, queue: str) -> list[dict[str, Any]]:
        """Return what lies on the queue `Work` or `DeadLetter`, oldest first."""
        return stack_fixtures.queued(self.stack, queue)

    def snapshot(self) -> dict[str, Any]:
        """Return the state of all that the world made, in names that are the same each time.

        See `tests/support/canonical.py` for what is replaced and why.
        """
        return canonical.snapshot(self, self._before)

    def _put(
        self,
        queue: str,
        body: str,
        group: str,
        deduplication_id: str,
        attributes: dict[str, str],
        carried: Carried = NOTHING,
    ) -> str:
        beside = carried.arguments()
        beside["MessageAttributes"] |= {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        }
        answer = self.stack.client("sqs").send_message(
            QueueUrl=self.stack.outputs[f"{queue}QueueUrl"],
            MessageBody=body,
            MessageGroupId=group,
            MessageDeduplicationId=self.name(deduplication_id),
            **beside,
        )
        return str(answer["MessageId"])

    def _is_consumed(self) -> bool:
        # In this order: what leaves the queue has started its retry before.
        return self._is_empty("Work") and not self._retries_run()

    def _is_empty(self, queue: str) -> bool:
        """Tell whether nothing lies on a queue or is in flight, without receiving any of it."""
        found = self.stack.client("sqs").get_queue_attributes(
            QueueUrl=self.stack.outputs[f"{queue}QueueUrl"], AttributeNames=_COUNTS
        )
        return all(found["Attributes"][name] == "0" for name in _COUNTS)

    def _retries_run(self) -> bool:
        pages = self.stack.client("stepfunctions").get_paginator("list_executions")
        machine = self.stack.outputs["RetryStateMachineArn"]
        stems = tuple(stem(message.message_id) for message in self.messages)
        return any(
            execution["name"].startswith(stems)
            for page in pages.paginate(stateMachineArn=machine, statusFilter="RUNNING")
            for execution in page["executions"]
        )


@contextmanager
def _clock_stopped(moment: datetime) -> Iterator[None]:
    with mock.patch.object(clock, "now", return_value=clock.text(moment)):
        yield
