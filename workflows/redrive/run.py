"""A redrive run, as its machine carries it from one step to the next. Its record is `runs.py`'s."""

from collections import Counter
from typing import Any, Literal

from pydantic import BaseModel, field_serializer

from workflows.queues.queue import Queue, default
from workflows.redrive.counters import COUNTED, received
from workflows.redrive.lane import Lane

Next = Literal["lanes", "outcomes", "queue", "finish", "fail", "skip"]


class Run(BaseModel):
    """A run between two of its steps: the machine does what `next` says, and hands on the rest.

    Of its `lanes` those whose numbers are `working` have a leg each in this `round`, which are
    counted from 1. Of its `queue` it carries no more than the pair. `wait` are the seconds of a
    wait. `status` is how it will have ended, `reason` and `failure` say why. `step` is after how
    many messages the canary is watched, 0 for none; `watched` of how many it is known that they
    ended well, `watch_from` (seconds since 1970) since when it watches now, or 0. `depth` is how
    many messages were on the queue when it began. In so many rounds it has been `looking` for what
    came back; `before_look` has what each lane had left and its empty polls before that. `looks`
    counts how often it waited for what others had in flight, which one lane looks for `alone`,
    `events` those of its history. `waves` is how many a leg has room for.
    """

    run_id: str
    execution_arn: str
    trace_id: str
    trigger: str
    requested_by: str
    request: Any
    queue: Queue
    planned: int = 0
    next: Next = "fail"
    wait: int = 0
    status: str = "SUCCEEDED"
    reason: str = ""
    failure: str = ""
    lanes: list[Lane] = []
    working: list[int] = []
    round: int = 0
    step: int = 0
    watched: int = 0
    watch_from: int = 0
    depth: int = 0
    looking: int = 0
    before_look: list[tuple[int, int]] = []
    looks: int = 0
    alone: bool = False
    in_flight: int = 0
    missing: int = 0
    events: int = 0
    waves: int = 0

    @field_serializer("queue")
    def _queue(self, queue: Queue) -> dict[str, Any]:
        return queue.as_dict()

    @property
    def counts(self) -> dict[str, int]:
        """What all lanes together have counted."""
        total = Counter[str]()
        for lane in self.lanes:
            total.update(lane.counts)
        return {name: total[name] for name in COUNTED}

    @property
    def received(self) -> int:
        """How many messages were dealt with, or refused."""
        return received(self.counts)

    @property
    def at_work(self) -> list[Lane]:
        """The lanes that have a leg in this round."""
        return [self.lanes[number] for number in self.working]


def new(run_id: str, execution_arn: str, given: Any) -> Run:
    """Return a run of which nothing is known but its input, which may be anything.

    Whoever may start executions may write any input, so none is believed that names a person or the
    API: `ownership.known` has what the record says.
    """
    said = given if isinstance(given, dict) else {}
    trigger = "schedule" if said.get("trigger") == "schedule" else "console"
    request = said.get("request")
    if isinstance(request, dict):
        request = {name: value for name, value in request.items() if value is not None}
    return Run(
        run_id=run_id,
        execution_arn=execution_arn,
        trace_id=_text(said.get("trace_id"), run_id),
        trigger=trigger,
        requested_by=trigger,
        request={} if request is None else request,
        queue=default(),
    )


def _text(value: Any, usual: str) -> str:
    return value if isinstance(value, str) and 0 < len(value) <= 254 else usual
