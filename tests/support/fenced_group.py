"""A group of messages in process: a worker that consumes them, the retry machine, the sweep.

Everything is the shipped code on moto's AWS, the machine included (`retry_in_process.py`); only
the effect is one that shows its order.
"""

import json

from moto.dynamodb.models import dynamodb_backends
from moto.stepfunctions.models import stepfunctions_backends

from tests.support import retry_in_process
from tests.support.accounts import freeze
from tests.support.cloud import ACCOUNT, ENVIRONMENT, REGION
from tests.support.interleaving import pause, watch
from tests.support.messages import a_message, a_transaction
from tests.support.retry_in_process import RetryInProcess
from workflows import recovery
from workflows.consume import Batch, Delivery, MessageBusy
from workflows.groups import fences
from workflows.groups.fence import START_GRACE_SECONDS, FenceTaken
from workflows.ledger import lookup
from workflows.messages import message_types
from workflows.messages.transaction import AccountFrozen
from workflows.runtime import aws

GROUP = "acc-1"
_MACHINE = ENVIRONMENT["RETRY_STATE_MACHINE_ARN"]


def message(number, group=GROUP, **payload):
    """Return message `number` of a group, a transaction of the account of that name."""
    return a_message(
        message_id=f"{group}-{number}",
        group_id=group,
        payload=a_transaction(account_id=group, **payload),
    )


def delivery(number, group=GROUP, receive_count=1, **payload):
    """Return a message as the work queue delivers it, its number for its sequence number."""
    body = message(number, group, **payload).body()
    return Delivery(body, group, f"sqs-{group}-{number}", str(number), receive_count)


def consume_all(*deliveries):
    """Consume a batch and return what became of each delivery."""
    batch = Batch(list(deliveries))
    return [batch.consume(one) for one in deliveries]


def fail(number=1):
    """Let a message fail, so that it holds its group's fence; the next try would succeed."""
    freeze()
    assert consume_all(delivery(number)) == ["RETRYING"]
    freeze("ACTIVE")


def row(number, group=GROUP):
    """Return a message's row in the ledger."""
    return lookup.get(f"{group}-{number}")


def change(number, group=GROUP, **columns):
    """Change a message's row in the ledger."""
    aws.dynamodb().put_item(TableName="Messages", Item=row(number, group) | columns)


def fence_of(group=GROUP):
    """Return a group's fence, or None."""
    return fences.find([group]).get(group)


def generations():
    """Return the redrives and generations of all executions that were started: `0-g1`."""
    found = aws.stepfunctions().list_executions(stateMachineArn=_MACHINE)["executions"]
    return sorted(execution["name"].rpartition("-r")[2] for execution in found)


def stop_executions():
    """Stop all executions that run, as the console does."""
    for arn in running():
        aws.stepfunctions().stop_execution(executionArn=arn)


def running():
    """Return the ARNs of the executions that run."""
    found = aws.stepfunctions().list_executions(stateMachineArn=_MACHINE, statusFilter="RUNNING")
    return [execution["executionArn"] for execution in found["executions"]]


class FencedGroup:
    """One group's messages, whose effects are seen in their order."""

    def __init__(self, later):
        self.later = later
        self._begin()

    def _begin(self):
        self.effects = []
        self.failing = set()
        self.unacknowledged = []
        self.ran = set()

    def process(self, message, _):
        """Have a message's effect: its number is seen once."""
        pause()  # the order of two effects is one of the things that are tried
        number = int(message.message_id.rpartition("-")[2])
        if number in self.failing:
            raise AccountFrozen
        if number not in self.effects:
            self.effects.append(number)

    def assert_settled(self, numbers, order):
        """Check that all have their effects in order once nothing more happens, and no fence."""
        self.come_to_rest()
        assert self.effects == list(numbers), f"{order} gave {self.effects}"
        for number in numbers:
            assert row(number)["status"] == "PROCESSED", order
        assert fence_of() is None, order
        assert not dynamodb_backends[ACCOUNT][REGION].tables["Groups"].all_items(), order

    def forget(self):
        """Begin anew, with empty tables and no executions."""
        for table in dynamodb_backends[ACCOUNT][REGION].tables.values():
            table.items.clear()
        for machine in stepfunctions_backends[ACCOUNT][REGION].state_machines:
            machine.executions.clear()
        self._begin()

    def deliver(self, *numbers, receive_count=1):
        """Consume a batch as the handler does: a failure sends back the rest of the group."""
        deliveries = [delivery(number, receive_count=receive_count) for number in numbers]
        try:
            batch = Batch(deliveries)
        except FenceTaken:
            self.unacknowledged += numbers
            return
        for done, one in enumerate(deliveries):
            try:
                batch.consume(one)
            except (MessageBusy, FenceTaken):
                self.unacknowledged += numbers[done:]
                return

    def fail(self, number, *behind):
        """Let a message fail and others be parked behind it; then it would succeed."""
        self.failing.add(number)
        self.deliver(number, *behind)
        self.failing.clear()

    def kill(self, number):
        """Let the holder die of its last attempt, as its execution ends."""
        aws.stepfunctions().stop_execution(executionArn=fence_of().execution_arn)
        change(number, status="DEAD")

    def execution(self):
        """Return the execution of the fence's present generation, before its first state."""
        found = fence_of()
        self.ran.add(found.execution_arn)
        return RetryInProcess(found.execution_arn, _given(found.execution_arn))

    def come_to_rest(self):
        """Deliver what was not acknowledged, run what was started, sweep, until nothing happens."""
        for _ in range(6):
            self.later(START_GRACE_SECONDS + 1)  # any lease is over as well
            again, self.unacknowledged = self.unacknowledged, []
            if again:
                self.deliver(*again, receive_count=2)
            started = [arn for arn in running() if arn not in self.ran]
            for arn in started:
                self.ran.add(arn)
                RetryInProcess(arn, _given(arn)).run()
            for arn in self.ran & set(running()):
                aws.stepfunctions().stop_execution(executionArn=arn)
            if not again and not started and not recovery.recover().groups:
                return
        raise AssertionError("the group does not come to rest")


def _given(arn):
    return json.loads(aws.stepfunctions().describe_execution(executionArn=arn)["input"])


def watched_group(later, monkeypatch):
    """Return the group, its effect in place of every type's, and the calls to AWS watched."""
    retry_in_process.client.cache_clear()
    clients = [retry_in_process.client(name) for name in ("dynamodb", "sqs", "stepfunctions")]
    watch(aws.dynamodb(), aws.sqs(), aws.stepfunctions(), *clients)
    group = FencedGroup(later)
    monkeypatch.setattr(message_types, "process", group.process)
    return group
