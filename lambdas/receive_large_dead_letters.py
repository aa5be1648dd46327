"""`ReceiveLargeDeadLetters` of the redrive lane's state machine.

It receives where ten dead letters might not fit a state, and deals itself with one that fits none.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from workflows.redrive import moving, receiving, runs, turns
from workflows.redrive.columns import Turn
from workflows.redrive.lane import Lane
from workflows.redrive.requests import RedriveRequest
from workflows.redrive.verdict import DeadLetter
from workflows.runtime import telemetry


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Return {Messages, lane, sent_at}: what a lane received that fits a state, and the lane.

    `event` has what `validate_messages.handler` takes, but for the messages; for how many seconds
    to `wait` for one, and how often the machine has `tried` this call before. There are none, too,
    where one was dealt with that fits no state.

    Raises:
        pydantic.ValidationError: the lane was started with a request that the API would refuse.
    """
    with telemetry.action("receive_dlq", event["trace_id"]) as details:
        request = RedriveRequest.model_validate(event["request"])
        lane = Lane.model_validate(event["lane"])
        queue = runs.registration(event["run_id"], event["queue"])
        messages: list[DeadLetter] = []
        if moving.fence_off(event["run_id"], lane, event["tried"]):
            messages = receiving.receive(lane, queue, event["request"], event["wait"])
        if messages and not receiving.fits(messages[0], lane, queue, event["request"]):
            turns.tally(lane, event["done"], event["sent_at"])
            turn = Turn(event["run_id"], queue, event["execution_arn"])
            details.update(moving.move(turn, lane, request, messages[0], event["tried"]))
            messages = []
        sent_at = max(event["sent_at"], lane.sent_at)
        return {"Messages": messages, "lane": lane.model_dump(), "sent_at": sent_at}
