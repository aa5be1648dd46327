"""The schedule, requests that nobody checked before, and one audit record for each run."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from tests.support.redrive_expressions import evaluate_all
from tests.support.redrive_runs import (
    COUNTERS,
    LOCK,
    audited,
)
from tests.support.stack_fixtures import (
    put,
    row,
)

pytestmark = [pytest.mark.xdist_group("redrive"), pytest.mark.usefixtures("empty_queues")]


@pytest.mark.parametrize("state", ["FinishRun", "FailRun"])
def test_end_that_is_tried_again_is_recorded_once(stack, state):
    """The call of a try whose answer was lost, made again: the machine's own transaction."""
    run_id = f"run-{uuid.uuid4()}"
    put(stack, "Runs", {"run_id": run_id, "status": "RUNNING"})
    put(stack, "Runs", {"run_id": LOCK, "holder": run_id})

    for _ in range(2):
        stack.client("dynamodb").transact_write_items(**ending(stack, state, run_id))

        assert row(stack, "Runs", run_id)["finished_at"]
        assert row(stack, "Runs", LOCK) == {}
        assert len(audited(stack, run_id)) == 1


def test_record_that_somebody_closed_keeps_its_word_when_the_run_fails(stack):
    run_id = f"run-{uuid.uuid4()}"
    closed = {"run_id": run_id, "status": "SUCCEEDED", "finished_at": "2026-11-24T11:00:00.000Z"}
    put(stack, "Runs", closed)

    with pytest.raises(ClientError, match="TransactionCanceledException"):
        stack.client("dynamodb").transact_write_items(**ending(stack, "FailRun", run_id))

    assert row(stack, "Runs", run_id) == closed
    assert audited(stack, run_id) == []


def ending(stack, state, run_id):
    machine = stack.client("stepfunctions").describe_state_machine(
        stateMachineArn=stack.outputs["RedriveStateMachineArn"]
    )
    found = json.loads(machine["definition"])["States"][state]["Arguments"]
    return evaluate_all(
        found,
        run={"id": run_id, "part": 0, "requested_by": "o", "trigger": "api", "trace_id": "t"},
        counts=dict.fromkeys(COUNTERS, 0),
        status="SUCCEEDED",
        reason="",
        in_flight=0,
        missing=0,
        failure="Some.Exception",
        request={},
        states={
            "context": {
                "State": {"EnteredTime": "2026-11-24T12:00:00.000Z"},
                "Execution": {"Id": "arn"},
            }
        },
    )
