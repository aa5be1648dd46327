"""What the scenarios take of both machines, read from the histories that moto writes.

`tests/machines/paths` takes everything there is, with every service mocked; here it is asked what
of it both engines are compared on: all of it.
"""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from local.machines import MACHINES
from tests.machines.paths.coverage import Branch, Execution, branches, taken
from tests.support import stack_fixtures
from tests.support.endpoint import PLACEHOLDERS
from tests.support.history import steps_of

Taken = set[tuple[str, Branch]]  # the file of a machine, and what was taken of it


@cache
def possible() -> frozenset[tuple[str, Branch]]:
    """Return all that the shipped machines have."""
    # The one way that is Express lanes' own, `machines/redrive/test_express.py` takes.
    standard = (one for name, one in MACHINES.items() if name != "redrive-express")
    texts = {one.file: one.definition(PLACEHOLDERS) for one in standard}
    return frozenset((name, branch) for name, text in texts.items() for branch in branches(text))


def taken_on(stack: Any) -> Taken:
    """Return what all executions of a stack of its own have taken, also those of variants.

    Raises:
        HistoryContradictsMachine: one went on as its definition does not say.
    """
    client = stack.client("stepfunctions")
    found: Taken = set()
    for machine in client.list_state_machines()["stateMachines"]:
        arn = machine["stateMachineArn"]
        definition = client.describe_state_machine(stateMachineArn=arn)["definition"]
        for execution in client.list_executions(stateMachineArn=arn)["executions"]:
            steps = steps_of(_scheduled(stack_fixtures.events(stack, execution["executionArn"])))
            all_of_it = taken(definition, Execution(execution["executionArn"], arn, steps))
            found |= {(_file(definition), branch) for branch in all_of_it}
    return found


def _file(definition: str) -> str:
    """Return the file that a definition, maybe of a variant, was made of."""
    start = json.loads(definition)["StartAt"]
    (name,) = {m.file for m in MACHINES.values() if json.loads(m.text())["StartAt"] == start}
    return name


def _scheduled(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Add the TaskScheduled that moto does not note of a task that is mocked to fail."""
    scheduled = False
    for event in events:
        if event["type"] == "TaskFailed" and not scheduled:
            before = {"previousEventId": event["previousEventId"]}
            yield {"type": "TaskScheduled", "id": -event["id"]} | before
        scheduled = event["type"] in ("TaskScheduled", "TaskStarted", "TaskSubmitted")
        yield event
