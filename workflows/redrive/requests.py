"""Redrive runs as a person or the schedule asks for them: the request, starting and cancelling.

`statemachines/redrive.asl.json` does the work, `judge.py` judges each dead letter, `runs.py`
keeps the record and `ownership.py` lets one run have the queue. Here is what a run may do, and who
may set it off.
"""

import json
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from workflows.ledger import audit
from workflows.messages.filters import Filter
from workflows.messages.ids import DEFAULT_QUEUE, QueueName
from workflows.queues import registry
from workflows.queues.queue import Queue
from workflows.redrive import destination, ownership, plan
from workflows.redrive.plan import Plan
from workflows.runtime.asked import Asked, describe
from workflows.runtime.aws import stepfunctions
from workflows.runtime.refusals import Conflict, Refusal
from workflows.runtime.settings import settings


class PlanChanged(Conflict):
    """What the run would do is not what its plan said."""

    code = "plan_changed"


class InvalidInput(Exception):
    """The input of the run is not understood, so it did nothing."""


class Canary(Asked):
    """Try a few first: redrive `messages`, watch how each ends, then double the step.

    The run is halted when more than `max_failures` of all that it redrove died again, or have not
    ended `watch_seconds` after the last of their step was sent.
    """

    messages: int = Field(ge=1, le=1_000)
    watch_seconds: int = Field(ge=1, le=14_400)
    max_failures: int = Field(default=0, ge=0, le=100_000)


class RedriveRequest(Asked):
    """What a run may do; with no field set it redrives all there is, as fast as it can.

    `queue` is the name under which a pair of queues was registered, whose own usual request stands
    for what is not set; unset, it is the built-in pair. `max_per_second` bounds the messages sent
    to the work queue in any second; below 1 it spaces them. So many `lanes` work side by side;
    unset, one for each 200 messages, at most as many as the deployment allows. All limits hold for
    all lanes together. A run that is to `look` sends nothing: it notes in the ledger what lies on
    the dead-letter queue, so that lists and plans have it. `destination` is the name of another
    registered queue, whose source queue gets the messages. `plan_hash` is what a `dry_run` of the
    same request answered: the run does not start if it would do something else by now.
    """

    queue: QueueName = DEFAULT_QUEUE
    filter: Filter = Filter()
    max_messages: int | None = Field(default=None, ge=1, le=1_000_000)
    max_per_second: float | None = Field(default=None, ge=0.1, le=3_000, allow_inf_nan=False)
    lanes: int | None = Field(default=None, ge=1, le=40)
    canary: Canary | None = None
    look: bool = False
    destination: QueueName | None = None
    dry_run: bool = False
    plan_hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None

    def options(self) -> dict[str, Any]:
        """Return what the machine needs to know, as JSON: only the fields that were set."""
        found = self.model_dump(
            mode="json", exclude_defaults=True, exclude={"dry_run", "plan_hash"}
        )
        if self.max_per_second is not None and self.max_per_second.is_integer():
            found["max_per_second"] = int(self.max_per_second)  # as people, and JSON, write it
        return found


def _of_a_run(request: RedriveRequest) -> RedriveRequest:
    if request.dry_run or request.plan_hash is not None:
        raise ValueError(
            "only POST /messages/dlq/reprocess makes plans (dry_run) and holds a run to one"
            " (plan_hash)"
        )
    return request


# What a run is asked for without a plan: by the schedule, a console, the settings of a queue.
RunRequest = Annotated[RedriveRequest, AfterValidator(_of_a_run)]


class RunInput(Asked):
    """What the machine is started with: by the API, the schedule or a console.

    `planned` is how many messages the plan holds that was presented. Of who asks, what is no text
    of 1 to 254 characters is `console`; that decides nothing.
    """

    request: RunRequest = RedriveRequest()
    trigger: Any = None
    requested_by: Any = None
    trace_id: Any = None
    planned: int | None = Field(default=None, ge=0, repr=False)
    # Which AWS's own pages tell a machine to add that starts another one.
    started_by: Any = Field(
        default=None, alias="AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID", repr=False
    )


def read(given: Any, queue: Queue) -> RunInput:
    """Return a machine's whole input, for a run of a queue.

    Raises:
        InvalidInput: naming each field that is not understood, and the nearest known one.
    """
    try:
        asked = RunInput.model_validate(given)
    except ValidationError as error:
        text = _plain(describe(error, RunInput, root="input"))
        raise InvalidInput(f"The input is not understood. {text}.") from None
    if asked.request.queue != queue.name or not queue.dead_letter_url:
        raise InvalidInput(f"request.queue: there is no queue {asked.request.queue}.")
    wanted = of_queue(asked.request, queue)
    if wanted.destination != (queue.destination or None):  # else it was found fit, and noted
        try:
            destined(wanted, queue)
        except Refusal as error:
            raise InvalidInput(f"The input cannot be done. {_plain(error.sentence)}") from None
        raise InvalidInput("request.destination: the queue has changed; start another run.")
    return asked.model_copy(update={"request": wanted})


def of_queue(request: RedriveRequest, queue: Queue) -> RedriveRequest:
    """Return a request with what the queue's registration says for what it leaves unsaid."""
    if not queue.redrive_request:
        return request
    said = {name: getattr(request, name) for name in request.model_fields_set}
    usual = RedriveRequest.model_validate(queue.redrive_request)
    return usual.model_copy(update=said)


def destined(request: RedriveRequest, queue: Queue) -> Queue:
    """Return a queue as the run has it that is asked for: with its destination.

    Raises:
        workflows.queues.registry.UnknownQueue: nobody registered the destination.
        workflows.redrive.destination.UnfitDestination: saying why the run cannot send there.
    """
    has_canary = request.canary is not None
    return destination.check(request.destination, queue, has_canary=has_canary)


def _plain(text: str) -> str:
    # The machine takes it out of JSON, in which nothing of it may be written otherwise.
    return "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "'" for c in text)


def dry_run(request: RedriveRequest) -> Plan:
    """Return what a run would do now, and do nothing.

    Raises:
        workflows.queues.registry.UnknownQueue: nobody registered the queue, or the destination.
        workflows.redrive.destination.UnfitDestination: saying why the run cannot send there.
    """
    queue = registry.get(request.queue)
    wanted = of_queue(request, queue)
    queue = destined(wanted, queue)
    found = plan.draw(
        wanted.options(), wanted.filter, wanted.max_messages, wanted.max_per_second, queue
    )
    return found.model_copy(update={"destination": wanted.destination})


def start(request: RedriveRequest, actor: audit.Actor) -> dict[str, Any]:
    """Start a run for a person and return its row.

    Raises:
        workflows.queues.registry.UnknownQueue: nobody registered the queue, or the destination.
        workflows.redrive.destination.UnfitDestination: saying why the run cannot send there.
        PlanChanged: the run would not do what the plan said that was presented.
        workflows.redrive.ownership.RunActive: another run holds the dead-letter queue.
    """
    queue = registry.get(request.queue)
    wanted = of_queue(request, queue)
    queue = destined(wanted, queue)
    planned = _planned(request)
    # Sortable by time, and the name of the execution.
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    options = wanted.options()
    row = ownership.acquire(run_id, queue, "api", actor, options)
    try:
        stepfunctions().start_execution(
            stateMachineArn=settings().redrive_state_machine_arn,
            name=run_id,
            input=json.dumps(
                {
                    "request": options,
                    "trigger": "api",
                    "requested_by": actor.email,
                    "trace_id": actor.trace_id,
                }
                | planned
            ),
        )
    except Exception:
        ownership.abandon(row, "The execution could not be started.")
        raise
    return row


def _planned(request: RedriveRequest) -> dict[str, int]:
    """Return what the machine needs to know of the plan that was presented: how many it holds."""
    if request.plan_hash is None:
        return {}
    found = dry_run(request)
    if found.plan_hash != request.plan_hash:
        raise PlanChanged("A run would not do any more what the plan says; ask for a new plan.")
    return {"planned": plan.size(found)}
