"""What is asked for is understood or refused: nothing is guessed, and nothing passed over.

Of an input that says more than is known, what it left unsaid would be done as well: a filter whose
name is misspelled would select everything.
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

_Found = TypeVar("_Found")

# Of a name that a client made up: enough to see what is wrong.
_NAME_LENGTH = 64
# Of what is wrong: nobody reads on, and an answer or a record has room for no more.
_PROBLEMS_TOLD = 20


class Asked(BaseModel):
    """What somebody asks for: no unknown field, and no text or truth value taken for a number."""

    # Errors are logged where nobody catches them, and the values may be a payload's.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def unknown(name: str, known: dict[str, str]) -> str:
    """Say that a name is not known, and which is nearest.

    Args:
        name: as it was given.
        known: the names that are, and where each belongs.
    """
    near = get_close_matches(name[:_NAME_LENGTH].lower(), known, 1)
    if near:
        return f"is not known; did you mean {known[near[0]]}?"
    return f"is not known; known are {', '.join(_beside(known))}" if known else "is not known"


def first(found: Sequence[_Found]) -> tuple[Sequence[_Found], int]:
    """Return those of all problems that are told, and how many more there are."""
    return found[:_PROBLEMS_TOLD], max(0, len(found) - _PROBLEMS_TOLD)


def sentence(told: list[dict[str, str]], more: int = 0) -> str:
    """Write what `problem` gives one after the other, and how many `more` there are."""
    parts = [f"{each['field']}: {each['problem']}" for each in told]
    return "; ".join([*parts, f"and {more} more"] if more else parts)


def describe(error: ValidationError, asked: Any, root: str = "body") -> str:
    """Say what is wrong with which field, without the value: it may be confidential."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    found, more = first(errors)
    return sentence([problem(dict(each), asked, root=root) for each in found], more)


def problem(
    error: dict[str, Any],
    asked: Any,
    place: Sequence[str | int] | None = None,
    root: str = "body",
) -> dict[str, str]:
    """Say what is wrong with which field: {field, problem}, never with a value.

    Args:
        error: one of pydantic's.
        asked: the type that was to be read, a model or a union with one.
        place: where in it, if the error's own place begins further up.
        root: what the whole is called.
    """
    place = error["loc"] if place is None else place
    text = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        text = unknown(str(place[-1]), names(asked, place[:-1]))
    return {"field": ".".join(map(_shown, error["loc"])) or root, "problem": text}


def names(asked: Any, place: Sequence[str | int] = ()) -> dict[str, str]:
    """Return the names that are known at a place of an input, and those below them.

    Args:
        asked: the type that was to be read, a model or a union with one.
        place: from field to field.

    Returns:
        each name with its dotted way from there; one that stands further up has precedence.
    """
    models = list(_models(asked))
    for part in place:
        fields = [model.model_fields[str(part)] for model in models if part in model.model_fields]
        models = [model for field in fields for model in _models(field.annotation)]
    found: dict[str, str] = {}
    ways = [("", model) for model in models]
    for way, model in ways:  # grows: breadth first
        for name, field in model.model_fields.items():
            if not field.repr:  # is not for people to set
                continue
            found.setdefault(field.alias or name, f"{way}{field.alias or name}")
            ways += [(f"{way}{name}.", nested) for nested in _models(field.annotation)]
    return found


def _beside(known: dict[str, str]) -> list[str]:
    return [name for name, way in known.items() if name == way]


def _models(asked: Any) -> Iterator[type[BaseModel]]:
    if isinstance(asked, type) and issubclass(asked, BaseModel):
        yield asked
    for part in get_args(asked):
        yield from _models(part)


def _shown(part: str | int) -> str:
    return str(part).encode("ascii", "backslashreplace").decode()[:_NAME_LENGTH]
