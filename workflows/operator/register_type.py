"""Registering message types whose effects are Lambda functions, checked and recorded."""

from itertools import islice
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from workflows.groups import fences
from workflows.ledger import audit, lookup, trouble
from workflows.ledger.audit import Actor
from workflows.ledger.status import Status
from workflows.messages import expressions, registered_types, schemas
from workflows.messages.effect_functions import EffectFunction
from workflows.messages.filters import Filter
from workflows.messages.message_types import TYPES, built_in
from workflows.operator import effect_permissions
from workflows.runtime.asked import Asked
from workflows.runtime.refusals import Conflict, Invalid

Function = Annotated[
    str, Field(min_length=1, max_length=256), AfterValidator(effect_permissions.arn)
]
Schema = Annotated[dict[str, Any] | bool, AfterValidator(schemas.check)]
Expression = Annotated[
    str, Field(min_length=1, max_length=512), AfterValidator(expressions.check_expression)
]
ErrorName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$", max_length=64)]

_TEN_YEARS = 315_360_000
_READ_AT_ONCE = 100


class BuiltInType(Conflict):
    """The type is built in, and what it does stands in the code."""

    code = "built_in_type"


class UnfitType(Invalid):
    """No type can be called so."""

    code = "unfit_type"


class TypeInUse(Conflict):
    """Messages of the type are in trouble."""

    code = "type_in_use"


class TypeRequest(Asked):
    """All that is said of a type: what is left out is unset, whatever it was before."""

    function: Function = Field(examples=["ship-order"])
    # `schema` is a method of pydantic's.
    payload_schema: Schema | None = Field(
        default=None, alias="schema", examples=[{"type": "object", "required": ["order_id"]}]
    )
    group: Expression | None = Field(default=None, examples=["order_id"])
    max_age_seconds: int | None = Field(default=None, ge=1, le=_TEN_YEARS)
    invalid_errors: list[ErrorName] = Field(
        default_factory=list, max_length=20, examples=[["OrderCancelled"]]
    )

    def kind(self, name: str) -> EffectFunction:
        """Return the type that is asked for under a name."""
        return EffectFunction(
            name=name,
            function=self.function,
            schema=self.payload_schema if isinstance(self.payload_schema, dict) else None,
            group=self.group or "",
            max_age_seconds=self.max_age_seconds,
            invalid_errors=tuple(self.invalid_errors),
        )


class TypeSettings(BaseModel):
    """A message type: what `PUT /types/{type}` takes; of a built-in one `function` is null."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    type: str = Field(examples=["order"])
    function: str | None
    payload_schema: dict[str, Any] | None = Field(alias="schema")
    group: str | None
    max_age_seconds: int | None
    invalid_errors: list[str]

    @classmethod
    def of(cls, kind: EffectFunction) -> Self:
        """Return what is told of a registered type."""
        return cls(
            type=kind.name,
            function=kind.function,
            payload_schema=kind.schema,
            group=kind.group or None,
            max_age_seconds=kind.max_age_seconds,
            invalid_errors=list(kind.invalid_errors),
        )

    @classmethod
    def built_in(cls, name: str) -> Self:
        """Return what is told of a built-in type."""
        return cls(
            type=name,
            function=None,
            payload_schema=TYPES[name].Payload.model_json_schema(),
            group=None,
            max_age_seconds=TYPES[name].MAX_AGE_SECONDS,
            invalid_errors=[],
        )


def every() -> list[TypeSettings]:
    """Return all types, the built-in ones first."""
    registered = (one for one in registered_types.every() if not built_in(one.name))
    ours = filter(built_in, sorted(TYPES))
    return [*map(TypeSettings.built_in, ours), *map(TypeSettings.of, registered)]


def show(name: str) -> TypeSettings:
    """Return a type.

    Raises:
        workflows.messages.registered_types.TypeNotFound: there is none.
    """
    if built_in(name):
        return TypeSettings.built_in(name)
    return TypeSettings.of(registered_types.get(name))


def register(name: str, request: TypeRequest, actor: Actor) -> tuple[EffectFunction, bool]:
    """Register a type, or change it wholly; return it, and whether it is new.

    Raises:
        UnfitType: no type can have the name.
        BuiltInType: a built-in type has the name.
        workflows.queues.permissions.PermissionMissing: the stack may not invoke the function.
        workflows.operator.effect_permissions.FunctionMissing: there is none.
        workflows.messages.registered_types.TypeChanged: somebody else was faster.
    """
    if built_in(name):
        raise BuiltInType
    if not registered_types.is_name(name):
        raise UnfitType(
            "type: must have 1 to 64 letters, digits or ._:@=+-, and begin with a letter or digit"
        )
    kind = request.kind(name)
    effect_permissions.check(kind.function)

    def record(before: EffectFunction | None) -> list[dict[str, Any]]:
        result = "REGISTERED" if before is None else "CHANGED"
        if before == kind:
            result = "UNCHANGED"
        return [audit.entry(actor, "register_type", result=result, input=asked(name, request))]

    return kind, registered_types.register(kind, record)


def remove(name: str, force: bool, actor: Actor) -> EffectFunction:
    """Forget a type and return what it was.

    Raises:
        BuiltInType: it is built in.
        workflows.messages.registered_types.TypeNotFound: there is none.
        TypeInUse: messages of it are in trouble, and it is not forced.
        workflows.messages.registered_types.TypeChanged: somebody else was faster.
    """
    if built_in(name):
        raise BuiltInType
    registered_types.get(name)
    if not force and (what := _in_trouble(name)):
        raise TypeInUse(
            f"There are {what} messages of the type; without it they cannot be processed. Redrive"
            " or discard them, or use force."
        )

    def record(_before: EffectFunction | None) -> list[dict[str, Any]]:
        about = {"type": name, "force": force}
        return [audit.entry(actor, "remove_type", result="REMOVED", input=about)]

    return registered_types.remove(name, record)


def asked(name: str, request: TypeRequest) -> dict[str, Any]:
    """Return what the audit keeps of a registration: all of it, and of the schema the hash."""
    found = request.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if "schema" in found:
        found["schema_hash"] = schemas.hashed(found.pop("schema"))
    return {"type": name} | found


def _in_trouble(name: str) -> str:
    """Return in which trouble a message of a type is, by the ledger; "" for none."""
    for kind in trouble.LISTED:
        if next(trouble.every(kind, Filter(type=name)), None) is not None:
            return kind.lower()
    # What is being retried is in no list: each holds the fence of its group.
    holders = iter([fence.holder for fence in fences.every()])
    while some := [*islice(holders, _READ_AT_ONCE)]:
        rows = lookup.get_many(some).values()
        if any(row["type"] == name and row["status"] == Status.RETRYING for row in rows):
            return "retrying"
    return ""
