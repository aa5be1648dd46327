"""A queue: a source queue with its dead-letter queue, and what a redrive has to know of them."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from workflows.messages.ids import DEFAULT_QUEUE
from workflows.runtime.settings import settings


@dataclass(frozen=True)
class Queue:
    """A pair of queues under one name; the built-in one is called `default`.

    `fifo` says of which kind both are. Of a registered one `identity`, `type`, `group` and `error`
    are expressions that tell what a message is, "" for none; `schema` is what its body must fit,
    `max_redrives` and `max_age_seconds` its limits, None for the deployment's and for none.
    `redrive_request` is what a run does that asks for nothing else. With `acknowledge_receives` its
    dead-letter queue has a redrive policy of its own, for which every look counts. For so many
    `retention_seconds` that queue keeps a message, as it was registered; None for the built-in one.
    What `mask` names nobody sees but operators. A body may be packed in what `unwrap` names. Of a
    run that sends elsewhere, `destination` is the queue whose source queue stands in the place of
    its own.
    """

    name: str
    source_url: str
    dead_letter_url: str
    source_arn: str = ""
    dead_letter_arn: str = ""
    fifo: bool = True
    identity: str = ""
    type: str = ""
    group: str = ""
    error: str = ""
    schema: dict[str, Any] | None = None
    max_redrives: int | None = None
    max_age_seconds: int | None = None
    redrive_request: dict[str, Any] | None = None
    acknowledge_receives: bool = False
    retention_seconds: int | None = None
    mask: tuple[str, ...] = ()
    unwrap: tuple[str, ...] = ()
    destination: str = ""

    @property
    def is_default(self) -> bool:
        """Whether it is the built-in pair, of whose messages the ledger knows from the start."""
        return self.name == DEFAULT_QUEUE

    @property
    def key(self) -> str:
        """Under what the `Runs` table has its lock and its runs."""
        return self.dead_letter_queue_name if self.is_default else self.dead_letter_arn

    @property
    def source_queue_name(self) -> str:
        """The source queue's name, of its URL."""
        return self.source_url.rpartition("/")[2]

    @property
    def dead_letter_queue_name(self) -> str:
        """The dead-letter queue's name, of its URL."""
        return self.dead_letter_url.rpartition("/")[2]

    def sending_to(self, other: "Queue") -> Self:
        """Return the queue as a run has it that sends its dead letters to another's consumers."""
        return replace(
            self, source_url=other.source_url, source_arn=other.source_arn, destination=other.name
        )

    @property
    def bare(self) -> Self:
        """The pair without what is said of its messages, small enough for a state."""
        return type(self)(
            name=self.name,
            source_url=self.source_url,
            dead_letter_url=self.dead_letter_url,
            source_arn=self.source_arn,
            dead_letter_arn=self.dead_letter_arn,
            fifo=self.fifo,
            destination=self.destination,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what a table keeps of it: the fields that say something."""
        usual = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != usual[name]}

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Self:
        """Read what a table keeps; what a later version added is passed over."""
        known = {field.name for field in fields(cls)}
        found = {name: value for name, value in kept.items() if name in known}
        lists = {name: tuple(found.get(name, ())) for name in ("mask", "unwrap")}
        return cls(**found | lists)


def unknown(name: str) -> Queue:
    """Return what stands for a queue that nobody registered, in the record of a run that fails."""
    return Queue(name, "", "", dead_letter_arn=f"unknown:{name}")


def default() -> Queue:
    """Return the built-in pair."""
    return Queue(
        name=DEFAULT_QUEUE,
        source_url=settings().work_queue_url,
        dead_letter_url=settings().dead_letter_queue_url,
    )
