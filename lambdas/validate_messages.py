"""`ValidateMessages` of the redrive lane's state machine.

It gives a verdict for each dead letter of a batch, the statements by which `GuardLoop` acts on it,
and what the lane may do after that.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows.redrive import batch, runs, turns
from workflows.redrive.columns import Turn
from workflows.redrive.lane import Lane
from workflows.redrive.requests import RedriveRequest
from workflows.runtime import telemetry


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a batch of at most ten dead letters; return what `batch.ask` does.

    `event` has the run's `run_id`, `trace_id`, `request` and `queue`, the `execution_arn` of the
    leg, its `lane`, the `messages`, none for an empty poll, and of the batch before the ids that
    were `done` and `sent_at`.

    Raises:
        pydantic.ValidationError: the lane was started with a request that the API would refuse.
    """
    with telemetry.action("validate_dlq", event["trace_id"]) as details:
        request = RedriveRequest.model_validate(event["request"])
        run_id, messages = event["run_id"], event["messages"]
        lane = Lane.model_validate(event["lane"])
        turns.tally(lane, event["done"], event["sent_at"])
        queue = runs.registration(run_id, event["queue"])
        turn = Turn(run_id, queue, event["execution_arn"])
        if lane.moved:  # what came was dealt with, and counted
            lane.moved = False
            return batch.guarded(turn, lane, [], [])
        asked, told = batch.ask(turn, lane, request, messages)
        details.update(told)
        return asked
