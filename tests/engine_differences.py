"""The differences between the two engines that are left, each with its cause.

What an engine does otherwise than AWS is mended where that is possible: in `tests/moto_engine`, or
in `local/ministack_quirks.py`. `DIFFERENCES` is the rest.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Difference:
    """One cause and all the fields of snapshots in which it shows.

    `aws` names the engine that AWS's documentation sides with, `link` where it does.
    """

    cause: str
    aws: str
    link: str
    where: frozenset[tuple[str, str]]


_STEP_FUNCTIONS = "https://docs.aws.amazon.com/step-functions/latest"
_FAILED_RUNS = (
    "guard_cannot_work",
    "InspectQueue_fails_for_good",
    "AcquireRun_fails_for_good",
    "ReceiveDeadLetters_fails_for_good",
    "ValidateMessages_fails_for_good",
    "GuardLoop_fails_for_good",
    "RedriveMessages_fails_for_good",
    "DeleteDeadLetters_fails_for_good",
    "HoldDeadLetters_fails_for_good",
    "FinishRun_fails_for_good",
    "failure_that_cannot_be_recorded",
    "lease_that_was_lost",
)

DIFFERENCES = (
    Difference(
        cause="MiniStack gives a failed execution an output, its error and cause.",
        aws="moto",
        link=f"{_STEP_FUNCTIONS}/apireference/API_DescribeExecution.html",
        where=frozenset(
            {
                *((name, "/executions/redrive/0/output") for name in _FAILED_RUNS),
                ("work_queue_that_is_gone", "/executions/broken/0/output"),
                ("fence_that_counts_too_many", "/executions/retry/0/output"),
            }
        ),
    ),
    Difference(
        cause="MiniStack names an error of an `aws-sdk:sqs` task without its `Exception`.",
        aws="moto",
        link=f"{_STEP_FUNCTIONS}/dg/supported-services-awssdk.html",
        where=frozenset(
            {
                ("work_queue_that_is_gone", "/executions/broken/0/error"),
                ("work_queue_that_is_gone", "/tables/Runs/0/failure"),
            }
        ),
    ),
    Difference(
        cause="In the tests' process jsonata-python has raised Python's recursion limit, so that"
        " JSON of 5,500 levels is read before it is refused; a Lambda has the usual limit.",
        aws="MiniStack",
        link="https://docs.python.org/3/library/sys.html#sys.setrecursionlimit",
        where=frozenset(
            {
                ("bodies_not_json", "/tables/Messages/7/reason/message"),
                ("bodies_not_json", "/tables/Messages/7/fingerprint"),
            }
        ),
    ),
)


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
