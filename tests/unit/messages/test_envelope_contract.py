"""`docs/envelope.schema.json` says of an envelope what its parser does, neither more nor less.

But of one field: the parser takes times that are written otherwise, as it always did, and nobody
should rely on that.
"""

import json
from typing import Any

import jsonschema_rs as rs
from hypothesis import example, given
from hypothesis import strategies as st

from local.stack import ROOT
from tests.support.messages import a_message
from workflows.messages.envelope import InvalidEnvelope, Message, parse
from workflows.messages.ids import RESERVED_IDS

SCHEMA = json.loads((ROOT / "docs" / "envelope.schema.json").read_text(encoding="utf-8"))
VALIDATOR = rs.Draft202012Validator(SCHEMA)
USUAL = json.loads(a_message().body())

IDS = [
    "a", "7", "-x", "a b", "a\n", "ä", "٣", "", "a" * 64, "a" * 65, "a" * 120, "a" * 121, "a" * 128,
    "a" * 129, "sqs:m", "SQS:m", "m.r1", "m.r", "m.r1x", "m.r٣", *RESERVED_IDS, "Status",
    "a._:@=+-",
]  # fmt: skip
TIMES = [
    "2026-11-24T12:00:00Z", "2026-11-24T12:00:00", "2026-11-24T12:00:00.123456+05:30", "2026-11-24",
    "2024-02-29T00:00:00Z", "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2000-02-29T00:00:00Z",
    "2026-04-31T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T12:00:60Z", "2026-13-01T00:00:00Z",
    "2026-11-24T12:00:00+24:00", "2026-11-24 12:00:00Z", "2026-11-24T12:00:00Z\n", "1764000000",
    1_764_000_000, 1e300, "1900-02-29T00:00:00Z", "2999-12-31T23:59:59-23:59",
    "٢026-11-24T12:00:00Z",
]  # fmt: skip
SENDERS = ["p", "", "s" * 254, "s" * 255, "ä" * 254, "😀" * 254, "😀" * 255, "\n", " "]
NO_TEXTS: list[Any] = [None, 1, True, [], {}, ["a"]]
_NEAR = {
    "payload": st.sampled_from([{}, {"a": [1, None]}, *NO_TEXTS, "x"]),
    "first_sent_at": st.sampled_from([*TIMES, *NO_TEXTS]),
    "submitted_by": st.sampled_from([*SENDERS, *NO_TEXTS]) | st.text(max_size=3),
}


def values(name):
    """Return what the field may be: as the schema has it, and what nearly is so."""
    pattern = SCHEMA["properties"][name].get("pattern")
    near = _NEAR.get(name, st.sampled_from([*IDS, *NO_TEXTS]))
    return near | st.from_regex(pattern) if pattern else near


FIELDS = st.sampled_from(sorted(Message.model_fields))
CHANGES = FIELDS.flatmap(lambda name: st.tuples(st.just(name), values(name)))


def is_taken(fields):
    try:
        parse(json.dumps(fields), fields.get("group_id"))
    except InvalidEnvelope:
        return False
    return True


@given(st.lists(CHANGES, min_size=1, max_size=2), st.sets(FIELDS, max_size=1), st.booleans())
@example([], set(), False)
@example([], set(), True)
def test_schema_and_parser_take_the_same(changes, absent, one_more):
    fields = USUAL | dict(changes) | ({"priority": 1} if one_more else {})
    fields = {name: value for name, value in fields.items() if name not in absent}

    assert is_taken(fields) or not VALIDATOR.is_valid(fields)
    if "first_sent_at" in fields and is_taken(fields):
        assert VALIDATOR.is_valid(fields | {"first_sent_at": USUAL["first_sent_at"]})


@given(st.sampled_from(TIMES) | st.from_regex(SCHEMA["properties"]["first_sent_at"]["pattern"]))
def test_time_that_the_schema_takes_is_one(moment):
    fields = USUAL | {"first_sent_at": moment}

    assert is_taken(fields) or not VALIDATOR.is_valid(fields)


def test_each_edge_of_a_field_is_where_the_schema_has_it():
    """The table without chance: each of these values alone."""
    table: dict[str, list[Any]] = dict.fromkeys(("message_id", "type", "group_id", "trace_id"), IDS)
    table |= {"first_sent_at": TIMES, "submitted_by": SENDERS, "payload": [{}, {"a": [1]}, "x"]}
    for name, found in table.items():
        for value in [*found, *NO_TEXTS]:
            fields = USUAL | {name: value}
            same = is_taken(fields) == VALIDATOR.is_valid(fields)
            assert same or (name == "first_sent_at" and is_taken(fields)), (name, value)


def test_what_the_service_writes_fits_the_schema_and_so_do_its_examples():
    VALIDATOR.validate(USUAL)
    rs.meta.validate(SCHEMA)
    for moment in SCHEMA["properties"]["first_sent_at"]["examples"]:
        assert is_taken(USUAL | {"first_sent_at": moment})
    assert SCHEMA["required"] == list(Message.model_fields)
