"""The differences between the two engines that are left, each with its cause.

What an engine does otherwise than AWS is mended where that is possible: in
`tests/engines/moto_engine`, or in `local/ministack_quirks.py`. `DIFFERENCES` is the rest.
"""

from dataclasses import dataclass
from typing import Any

Field = tuple[str, str]  # the name of a scenario, and the field of its snapshot
Values = tuple[Any, Any]  # moto's and MiniStack's


@dataclass(frozen=True)
class Difference:
    """One cause and all the fields of snapshots in which it shows, with each engine's value.

    `aws` names the engine that AWS's documentation sides with, `link` where it does.
    """

    cause: str
    aws: str
    link: str
    where: dict[Field, Values]


_STEP_FUNCTIONS = "https://docs.aws.amazon.com/step-functions/latest"
_BROKEN = "Some.ServiceException"  # what a scenario throws, with this cause
_MADE_UP = "made up by a test"
_RUNS = {
    **{
        f"guard_cannot_work_for_{code}": f"DynamoDb.{code}"
        for code in ("AccessDenied", "ResourceNotFound", "ValidationError")
    },
    "input_that_is_not_understood": "InvalidInput",
    "failure_that_cannot_be_recorded": "Sqs.First",
    "failure_and_lease_that_was_lost": "LeaseLost",
    "GiveBackDeadLetters_fails_for_good": "Lambda.First",
    "failure_that_cannot_be_accounted_for": _BROKEN,
    "lane_that_was_stopped": "LaneStopped",
    "lease_that_was_lost": "LeaseLost",
    "lease_that_was_lost_at_the_end": "LeaseLost",
    "lease_that_was_lost_while_watched": "LeaseLost",
    "empty_poll_that_cannot_be_looked_into": _BROKEN,
    "let_go_that_fails_for_good": _BROKEN,
    "watch_that_fails_for_good": _BROKEN,
    "too_large_although_it_was_measured": "DataLimitExceeded",
    **{
        f"{state}_fails_for_good": _BROKEN
        for state in (
            "BeginRun",
            "RunLane",
            "ReceiveDeadLetters",
            "ReceiveLargeDeadLetters",
            "ValidateMessages",
            "GuardLoop",
            "RedriveMessages",
            "DeleteDeadLetters",
            "HoldDeadLetters",
            "DecideNext",
            "FinishRun",
        )
    },
}
_DID_NOT_BEGIN = "Lane 0 did not begin."
_REASONS = {
    "input_that_is_not_understood": (
        "The input is not understood. Request: is not known; did you mean request?."
    ),
    "failure_and_lease_that_was_lost": "Some.ServiceException.",
    "lane_that_was_stopped": "Lane 0 was ended from outside: ABORTED.",
    "RunLane_fails_for_good": _DID_NOT_BEGIN,
    "leg_that_does_not_begin": _DID_NOT_BEGIN,
}
_RUNS_OF_VARIANTS = {
    ("leg_that_does_not_begin", "short"): _BROKEN,
    ("work_queue_that_is_gone", "broken"): "Sqs.QueueDoesNotExist",
}
_RETRIES = (
    "InspectMessage",
    "GuardLoop",
    "NextParked",
    "ReleaseFence",
    "PromoteParked",
    "DropParked",
    "InspectFence",
    "DeadLetter",
    "MarkDead",
)


def _as_output(scenario: str, machine: str, error: str, cause: str) -> dict[Field, Values]:
    """Return what MiniStack has as the output of a scenario's failed execution, and moto not."""
    output = {"Error": error, "Cause": cause}
    return {(scenario, f"/executions/{machine}/0/output"): (None, output)}


def _of_run(scenario: str, machine: str, error: str) -> dict[Field, Values]:
    cause = (
        f"{_REASONS.get(scenario, 'The run stopped.')} What it did not send is still on the"
        " dead-letter queue; start another run when the cause is gone."
    )
    return _as_output(scenario, machine, error, cause)


def _outputs() -> dict[Field, Values]:
    found: dict[Field, Values] = {}
    for scenario, error in _RUNS.items():
        found |= _of_run(scenario, "redrive", error)
    for (scenario, machine), error in _RUNS_OF_VARIANTS.items():
        found |= _of_run(scenario, machine, error)
    for state in _RETRIES:
        found |= _as_output(f"{state}_of_a_retry_fails_for_good", "retry", _BROKEN, _MADE_UP)
    found |= _as_output("StartSuccessor_of_a_retry_fails_for_good", "short", _BROKEN, _MADE_UP)
    return found | _as_output(
        "fence_that_counts_too_many",
        "retry",
        "FenceInconsistent",
        "The fence counts more parked messages than there are."
        " Compare its items with GET /groups/{group_id}.",
    )


DIFFERENCES = (
    Difference(
        cause="MiniStack gives a failed execution an output, its error and cause.",
        aws="moto",
        link=f"{_STEP_FUNCTIONS}/apireference/API_DescribeExecution.html",
        where=_outputs(),
    ),
    Difference(
        cause="MiniStack names an error of an `aws-sdk:sqs` task without its `Exception`.",
        aws="moto",
        link=f"{_STEP_FUNCTIONS}/dg/supported-services-awssdk.html",
        where={
            ("work_queue_that_is_gone", field): (
                "Sqs.QueueDoesNotExistException",
                "Sqs.QueueDoesNotExist",
            )
            for field in (
                "/executions/broken/0/error",
                "/executions/broken lane/0/output/failure",
                "/tables/Runs/0/failure",
            )
        },
    ),
)


def expected(scenario: str) -> dict[str, Values]:
    """Return the fields in which a scenario's snapshots differ, with the value of each engine."""
    return {
        field: values
        for difference in DIFFERENCES
        for (name, field), values in difference.where.items()
        if name == scenario
    }


def compare(one: Any, other: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two snapshots differ, with both values.

    A field is named by the keys and indexes that lead to it. Lists of different lengths differ as
    a whole.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in one.keys() | other.keys():
            found |= compare(one.get(key), other.get(key), f"{path}/{key}")
        return found
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        found = {}
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            found |= compare(a, b, f"{path}/{index}")
        return found
    return {} if one == other and type(one) is type(other) else {path: (one, other)}
