"""A world whose executions and functions are stopped where a test says, and resumed as people do.

The messages that a run meets are made once, by the consumer and the retry machine themselves, and
put on the stack again for each stop: so a test can afford to stop a run before every state.
"""

import copy
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from tests.engines.moto_engine.stack import MotoStack
from tests.support import canonical
from tests.support.cloud import ACCOUNT, REGION
from tests.support.stack_fixtures import start_machine
from tests.support.world import World
from workflows.messages.envelope import Message

# The window in which SQS takes a known deduplication id for a copy, the visibility timeout of a
# run, and the run's lease are over by then.
LATER = 1_000


class CrashingWorld(World):
    """A world on moto. `healthy` are the messages that a run has to move, whatever befell it."""

    fifo = True
    is_built_in = True
    # What of it stands for what was made, to be put on a stack again.
    made: tuple[str, ...] = ("messages", "strangers", "foreign_ids", "token", "healthy")

    def __init__(self, stack: MotoStack) -> None:
        with mock.patch.object(canonical, "keys", return_value={}):
            super().__init__(stack)  # there is nothing before it, and asking takes long
        self.healthy: list[Message] = []

    def snapshot(self) -> dict[str, Any]:
        """Return rows and queues as they are: enough to see that nothing changes any more."""
        rows = {name: [item.to_json() for item in table.all_items()] for name, table in _tables()}
        return rows | {name: self.queued(name) for name in ("Work", "DeadLetter")}

    def begin(self, machine: str = "redrive", **payload: Any) -> str:
        """Run a machine to where it ends or is stopped, without reading its history; its ARN."""
        name = self.name(uuid.uuid4().hex[:8])
        arn = start_machine(self.stack, machine, payload, name=name)
        self.stack.run_executions()
        return arn

    def stop_before(
        self,
        machine: str,
        number: int,
        *,
        ended: bool | str = False,
        instead: Callable[[str], bool] | None = None,
    ) -> list[str]:
        """Stop the execution of a machine before its state `number`, counted over executions.

        Args:
            machine: which; `redrive` with its lanes.
            number: of the state.
            ended: how it ends; False by StopExecution, `TIMED_OUT` by its own timeout.
            instead: is told the execution in its place, and answers whether that goes on.

        Returns:
            the states that were to be entered, the last being the one that was not; it grows. With
            `instead`, what its execution enters after it as well.
        """
        states: list[str] = []
        machines = ("redrive", "redrive_lane") if machine == "redrive" else (machine,)

        def before(arn: str, state: str) -> bool | str:
            if arn.split(":")[-2] not in machines:
                return True
            if len(states) <= number or (instead and arn in stopped):
                states.append(state)
            if len(states) != number + 1 or stopped:
                return True
            stopped.append(arn)
            if instead:
                return instead(arn)
            self.excuse()
            return ended

        stopped: list[str] = []
        self.stack.before_state = before
        return states

    @contextmanager
    def without_table(self, name: str) -> Iterator[None]:
        """Let a table be gone for a while; then it is back as it was."""
        tables = dynamodb_backends[ACCOUNT][REGION].tables
        table = tables[name]
        self.stack.client("dynamodb").delete_table(TableName=name)
        yield
        tables[name] = table

    def without_queue(self, name: str) -> Callable[[], None]:
        """Let the queue `Work` or `DeadLetter` be gone; return what puts it back as it was."""
        url = self.url(name)
        queues = sqs_backends[ACCOUNT][REGION].queues
        queue = queues[url.rpartition("/")[2]]
        self.stack.client("sqs").delete_queue(QueueUrl=url)
        return lambda: queues.update({queue.name: queue})

    def url(self, queue: str) -> str:
        """Return the URL of the queue `Work` or `DeadLetter`."""
        return str(self.stack.outputs[f"{queue}QueueUrl"])

    def poll(self) -> None:
        """Let the consumer empty the work queue, and no retry run."""
        while self.stack.poll() is not None:
            pass

    def excuse(self) -> None:
        """Take note that somebody was stopped here: no excuse for the built-in pair."""

    def unheard(self, *, is_given_up: bool) -> None:
        """Take note that nobody heard what a call had done, and the same of it."""

    def go_on(self) -> None:
        """Stop nothing any more."""
        self.stack.before_state = lambda arn, state: True


@dataclass(frozen=True)
class Given:
    """Messages and what there is of them, to be put on a stack as often as a test likes.

    `at` is when they were made: put on a stack, they are no older, as moto reckons the twelve hours
    for which a message can be in flight from when it was sent.
    """

    kind: Callable[[MotoStack], CrashingWorld]
    at: float
    world: dict[str, Any]
    tables: dict[str, Any]
    letters: dict[str, list[Any]]

    @classmethod
    def by(cls, make: Callable[[CrashingWorld], None]) -> "Given":
        """Let a function make messages on a stack of their own, in a world of its `kind`."""
        kind = getattr(make, "kind", CrashingWorld)
        with MotoStack() as stack:
            world = kind(stack)
            make(world)
            made = {name: getattr(world, name) for name in world.made}
            tables = {name: copy.deepcopy(table.items) for name, table in _tables()}
            letters = {name: copy.deepcopy(queue._messages) for name, queue in _queues()}
            return cls(kind, time.time(), made, tables, letters)

    def on(self, stack: MotoStack) -> CrashingWorld:
        """Put it on a stack, in the place of all that is there."""
        world = self.kind(stack)
        for name, table in _tables():
            table.items = copy.deepcopy(self.tables[name])
        for name, queue in _queues():
            queue._messages[:] = copy.deepcopy(self.letters[name])
            for letter in queue._messages:
                letter.sent_timestamp += int(1_000 * (time.time() - self.at))
            queue.pending_messages.clear()
            vars(queue).pop("deduplication_ids", None)
        for machine in stepfunctions_parser_backends[ACCOUNT][REGION].state_machines:
            machine.executions.clear()
        vars(world).update({name: copy.copy(value) for name, value in self.world.items()})
        return world


def _tables() -> list[tuple[str, Any]]:
    return list(dynamodb_backends[ACCOUNT][REGION].tables.items())


def _queues() -> list[tuple[str, Any]]:
    return list(sqs_backends[ACCOUNT][REGION].queues.items())
