"""Registering queues: what a person says of a queue that is not ours, checked and recorded."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from workflows.ledger import audit
from workflows.ledger.audit import Actor
from workflows.messages import schemas
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.operator import in_use
from workflows.queues import addresses, checks, expressions, masks, registry, wrappings
from workflows.queues.queue import Queue
from workflows.redrive.requests import RedriveRequest, RunRequest
from workflows.runtime.asked import Asked

Address = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(addresses.check)]
Expression = Annotated[
    str, Field(min_length=1, max_length=expressions.LENGTH), AfterValidator(expressions.check)
]
Identity = Annotated[Expression, AfterValidator(expressions.check_identity)]
Wrapping = Literal["base64", "gzip", "sns", "eventbridge", "s3"]
Mask = Annotated[str, AfterValidator(masks.check)]
Schema = Annotated[dict[str, Any] | bool, AfterValidator(schemas.check)]

_TEN_YEARS = 315_360_000


class QueueRequest(Asked):
    """All that is said of a queue: what is left out is unset, whatever it was before.

    `identity`, `type`, `group` and `error` are JMESPath expressions over {body, attributes, group},
    `mask` paths into it.
    """

    source_queue: Address = Field(examples=["orders"])
    dead_letter_queue: Address = Field(examples=["orders-dead-letters"])
    identity: Identity | None = Field(default=None, examples=["body.order.id"])
    type: Expression | None = Field(default=None, examples=["attributes.event || 'order'"])
    group: Expression | None = Field(default=None, examples=["body.customer"])
    error: Expression | None = Field(default=None, examples=["attributes.ErrorType"])
    # `schema` is a method of pydantic's.
    body_schema: Schema | None = Field(
        default=None, alias="schema", examples=[{"type": "object", "required": ["order"]}]
    )
    max_redrives: int | None = Field(default=None, ge=1, le=25)
    max_age_seconds: int | None = Field(default=None, ge=1, le=_TEN_YEARS)
    redrive_request: RunRequest | None = None
    acknowledge_receives: bool = False
    unwrap: list[Wrapping] = Field(
        default=[], max_length=wrappings.MOST, examples=[["sns", "gzip"]]
    )
    mask: list[Mask] = Field(default=[], max_length=masks.MOST, examples=[["body.customer.email"]])

    @field_validator("redrive_request")
    @classmethod
    def _is_of_the_queue(cls, request: RedriveRequest | None) -> RedriveRequest | None:
        if request is not None and "queue" in request.model_fields_set:
            raise ValueError("must name no queue: it is of the one that is registered")
        return request

    @field_validator("mask")
    @classmethod
    def _hides_no_identity(cls, mask: list[str], info: ValidationInfo) -> list[str]:
        identity = info.data.get("identity")
        if identity and masks.hides(mask, identity):
            raise ValueError("must not hide what identity reads: that stands in ids and paths")
        return mask

    def queue(self, name: str) -> Queue:
        """Return the queue that is asked for under a name."""
        source = addresses.read(self.source_queue)
        dead_letters = addresses.read(self.dead_letter_queue)
        return Queue(
            name=name,
            source_url=source.url,
            dead_letter_url=dead_letters.url,
            source_arn=source.arn,
            dead_letter_arn=dead_letters.arn,
            fifo=source.fifo,
            identity=self.identity or "",
            type=self.type or "",
            group=self.group or "",
            error=self.error or "",
            schema=self.body_schema if isinstance(self.body_schema, dict) else None,
            max_redrives=self.max_redrives,
            max_age_seconds=self.max_age_seconds,
            redrive_request=self.redrive_request.options() if self.redrive_request else None,
            acknowledge_receives=self.acknowledge_receives,
            mask=tuple(self.mask),
            unwrap=tuple(self.unwrap),
        )


def register(
    name: str, request: QueueRequest, actor: Actor, *, force: bool = False
) -> tuple[Queue, bool, list[str]]:
    """Register a queue, or change it wholly; return it, whether it is new, and warnings.

    Args:
        name: the queue's.
        request: all that is said of it.
        actor: who says so.
        force: though its messages in trouble are known by another `identity`.

    Raises:
        workflows.queues.checks.BuiltInQueue: it is the built-in pair.
        workflows.queues.checks.UnfitQueue: the two queues do not fit, or the name does not.
        workflows.queues.permissions.QueueMissing: a queue is not there.
        workflows.queues.permissions.PermissionMissing: the stack may not do what a run needs.
        workflows.queues.registry.DeadLetterQueueTaken: it is another queue's.
        workflows.queues.registry.QueueInUse: its messages in trouble would not be known any more.
        workflows.queues.registry.QueueChanged: somebody else was faster.
    """
    queue = checks.check(request.queue(checks.name(name)))
    warnings = checks.warnings(queue)

    def record(by: Actor, before: Queue | None) -> list[dict[str, Any]]:
        result = "REGISTERED" if before is None else "CHANGED"
        if before == queue:
            result = "UNCHANGED"
        return [audit.entry(by, "register_queue", result=result, input=asked(name, request, force))]

    def trouble(before: Queue) -> str | None:
        return None if force else in_use.why_known(before, queue)

    is_new = registry.register(queue, actor, record, trouble) is None
    return queue, is_new, warnings


def remove(name: str, force: bool, actor: Actor) -> Queue:
    """Forget a queue and return what it was; its queues and their messages stay.

    Raises:
        workflows.queues.checks.BuiltInQueue: it is the built-in pair.
        workflows.queues.registry.UnknownQueue: there is none.
        workflows.queues.registry.QueueInUse: a run or messages in trouble need it.
        workflows.queues.registry.QueueChanged: somebody else was faster.
    """
    if name == DEFAULT_QUEUE:
        raise checks.BuiltInQueue

    def record(by: Actor, _before: Queue | None) -> list[dict[str, Any]]:
        about = {"queue": name, "force": force}
        return [audit.entry(by, "remove_queue", result="REMOVED", input=about)]

    return registry.remove(name, actor, force, record, in_use.why)


def asked(name: str, request: QueueRequest, force: bool = False) -> dict[str, Any]:
    """Return what the audit keeps of a registration: all of it, and of the schema the hash."""
    found = request.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if "schema" in found:
        found["schema_hash"] = schemas.hashed(found.pop("schema"))
    return {"queue": name} | ({"force": True} if force else {}) | found
