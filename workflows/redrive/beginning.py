"""How a redrive run begins: it looks at the queue, takes the lock, and reads what is asked for."""

from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError
from pydantic import TypeAdapter, ValidationError

from workflows.messages.ids import DEFAULT_QUEUE, QueueName
from workflows.queues import permissions, registry
from workflows.queues.queue import Queue, default, unknown
from workflows.redrive import course, destination, ownership, requests, runs, shares, state_bytes
from workflows.redrive.run import Run, new
from workflows.runtime.aws import sqs

_DEPTHS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


def begin(run_id: str, execution_arn: str, given: Any, at: str, waves: int) -> Run:
    """Begin a run.

    Before the lock it touches nothing. The input is read after that, so that the record says what
    was wrong, and before anything is received: what is not understood would mean everything. May be
    repeated.

    Args:
        run_id: the execution's name.
        execution_arn: its ARN.
        given: its whole input, as it was started.
        at: when the machine asked first.
        waves: how many a leg has room for.
    """
    run = new(run_id, execution_arn, given)
    run.waves = waves
    row = ownership.known(run)
    queue = runs.queue_of(row) if row else destination.of_input(run.request, _queue(run.request))
    run.queue = queue.bare
    found, missing = _attributes(queue)
    # These numbers are approximate: a person's run asks the queue itself, and so does one that has
    # the lock, because the answer of a try before this one was lost.
    is_empty = found != {} and sum(int(found[name]) for name in _DEPTHS) == 0
    if run.trigger == "schedule" and is_empty and row is None:
        return _skip(run, "The dead-letter queue is empty.", at)
    if not ownership.claim(run, queue):
        return _skip(run, "Another run is active on this dead-letter queue.", at)
    if missing:
        run.failure, run.reason = "QueueMissing", missing
        return run
    try:
        asked = requests.read(given, queue)
    except requests.InvalidInput as error:
        run.failure, run.reason = "InvalidInput", str(error)
        return run
    run.depth = sum(int(found[name]) for name in _DEPTHS)
    run.request, run.planned = asked.request.options(), asked.planned or 0
    run.step = run.request["canary"]["messages"] if "canary" in run.request else 0
    size = state_bytes.batch_size(
        int(found["MaximumMessageSize"]), run.request, is_default=queue.is_default
    )
    run.lanes = shares.lanes(run.request, int(found["ApproximateNumberOfMessages"]), size)
    return course.begin_round(run)


def _queue(request: Any) -> Queue:
    """Return the queue that an input names, whatever it holds: the run's record is that queue's.

    Of one that does not exist, so that the run can be recorded; `requests.read` refuses it.
    """
    asked = request.get("queue", DEFAULT_QUEUE) if isinstance(request, dict) else None
    try:
        name: str = TypeAdapter(QueueName).validate_python(asked, strict=True)
    except ValidationError:
        return default()
    try:
        return registry.get(name)
    except registry.UnknownQueue:
        return unknown(name)


def _attributes(queue: Queue) -> tuple[Any, str]:
    """Return what SQS says of the dead-letter queue; or {}, and which queue is gone.

    Of a registered queue the source may be gone as well: each message that a run cannot send has
    one redrive less.
    """
    if not queue.dead_letter_url:
        return {}, ""
    try:
        if not queue.is_default:
            with suppress(ClientError):  # that it is gone is all that matters here
                _read(queue.source_url, ["QueueArn"])
        return _read(queue.dead_letter_url, ["MaximumMessageSize", *_DEPTHS]), ""
    except permissions.QueueMissing as error:
        return {}, str(error)


def _read(url: str, names: list[Any]) -> Any:
    with permissions.missing_is_told(url):
        return sqs().get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]


def _skip(run: Run, reason: str, at: str) -> Run:
    """Leave a run undone, quietly but accounted for."""
    run.next, run.status, run.reason = "skip", "SKIPPED", reason
    ownership.account_for_skipped(run, at)
    return run
