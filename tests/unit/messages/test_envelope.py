"""The envelope: its very bytes survive, and no body is too strange to be judged."""

import json
import re
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.messages import a_message, a_transaction
from workflows.messages import envelope
from workflows.messages.envelope import InvalidEnvelope, InvalidPayload, Message, parse
from workflows.messages.ids import RESERVED_IDS, check_message_id
from workflows.messages.reasons import reason_of

GROUP = "acc-1"
BODY = a_message().body()
HOSTILE = [
    "\x00", "\x1f\x7f", "\u2028\u2029", "\U0001f600", "\ud800", '"; $s := "x', "'\"\\",
    "{% $states.input %}", "${MessagesTable}", "\u202eabc", "</script>",
]  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=[]))  # lone surrogates too
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT | st.sampled_from(HOSTILE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)  # fmt: skip
PAYLOADS = st.dictionaries(TEXT | st.sampled_from(HOSTILE), VALUES, max_size=4)


def with_payload(text):
    """Return an envelope whose payload is spelled just so."""
    return BODY.replace(json.dumps(a_transaction(), separators=(",", ":")), text)


def nested(levels):
    return with_payload('{"a":' + "[" * levels + "]" * levels + "}")


def with_fields(**changes):
    fields = json.loads(BODY) | changes
    return json.dumps({name: value for name, value in fields.items() if value != "absent"})


@given(PAYLOADS)
def test_every_payload_comes_back_and_gives_the_same_bytes(payload):
    body = a_message(payload=payload).body()

    read = parse(body, GROUP)

    assert read.payload == payload
    assert read.body() == body
    assert body.isascii()
    assert re.fullmatch("[0-9a-f]{64}", read.payload_hash)


def verdict(body):
    try:
        return parse(body, GROUP)
    except InvalidEnvelope as error:
        return reason_of(error)


@given(TEXT)
@example("")
@example("\ufeff" + BODY)
def test_any_text_is_a_message_or_an_invalid_envelope(text):
    assert verdict(text)


@given(st.dictionaries(st.sampled_from(list(Message.model_fields)) | TEXT, VALUES))
def test_any_object_is_a_message_or_an_invalid_envelope(fields):
    assert verdict(json.dumps(fields))


NO_ENVELOPES = {
    "empty": "", "blank": " \n", "malformed": "{", "cut": BODY[:-1], "trailing": BODY + "x",
    "two": BODY + BODY, "single quotes": BODY.replace('"', "'"), "array": "[]",
    "array of one": f"[{BODY}]", "number": "1", "null": "null", "true": "true", "string": '"x"',
    "string of JSON": json.dumps(BODY), "duplicate key": BODY[:-1] + ',"trace_id":"other"}',
    "duplicate key inside": with_payload('{"a":1,"a":2}'),
    "duplicate key, escaped": with_payload('{"a":1,"\\u0061":2}'),
    "NaN": with_payload('{"a":NaN}'), "Infinity": with_payload('{"a":Infinity}'),
    "-Infinity": with_payload('{"a":[-Infinity]}'), "overflow": with_payload('{"a":1e999}'),
    "deep": nested(10_000), "deep and unclosed": "[" * 10_000,
    "deep objects": with_payload('{"a":' * 10_000 + "1" + "}" * 10_000),
    "5,000 digits": with_payload('{"a":' + "1" * 5_000 + "}"),
    "raw control character": with_payload('{"a":"\x00"}'), "extra field": with_fields(priority=1),
    "extra field with a lone surrogate": BODY[:-1] + ',"\\ud800":1}',
    "byte order mark": "\ufeff" + BODY,
}  # fmt: skip


@pytest.mark.usefixtures("recursion_limit")
@pytest.mark.parametrize("body", NO_ENVELOPES.values(), ids=NO_ENVELOPES)
def test_what_is_no_envelope_is_told_so(body):
    with pytest.raises(InvalidEnvelope) as raised:
        parse(body, GROUP)
    assert 0 < len(reason_of(raised.value)["message"]) <= 256


@pytest.mark.parametrize("levels", [200, 254, 255, 256, 300, 600, 900, 980, 1_000, 5_000])
@pytest.mark.parametrize("limit", [1_000, 10_000])
def test_deep_payload_is_either_invalid_or_usable_to_the_end(recursion_limit, limit, levels):
    sys.setrecursionlimit(limit)
    try:
        read = parse(nested(levels), GROUP)
    except InvalidEnvelope:
        return
    assert read.body() == nested(levels)
    assert len(read.payload_hash) == 64
    assert read.first_sent_at_text


WRONG: dict[str, list[object]] = {
    "message_id": ["absent", None, 1, "", "-x", "a b", "a/b", "a#b", "ä", "\ud800", "a" * 121],
    "type": ["absent", None, [], "", "a b", "t" * 65],
    "group_id": ["absent", None, {}, "", "#", "g" * 121],
    "payload": ["absent", None, [], "x", 1],
    "first_sent_at": [
        "absent", None, "", "yesterday", [], 1e300, "2026-13-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
    ],
    "trace_id": ["absent", None, 1, "", "a b", "t" * 129],
    "submitted_by": ["absent", None, 1, "", "\ud800", "s" * 255],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field in WRONG for value in WRONG[field]]
)
def test_wrong_field_is_named(field, value):
    with pytest.raises(InvalidEnvelope, match=field):
        parse(with_fields(**{field: value}), GROUP)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00.000Z"),
        ("2026-11-24T12:00:00.123456Z", "2026-11-24T12:00:00.123Z"),
        ("2026-11-24T14:00:00+02:00", "2026-11-24T12:00:00.000Z"),
        ("2026-11-24T12:00:00", "2026-11-24T12:00:00.000Z"),
    ],
)
def test_first_sent_time_is_kept_as_all_times_are_so_that_they_sort_as_texts(sent, text):
    message = parse(with_fields(first_sent_at=sent), GROUP)

    assert message.first_sent_at_text == text
    assert parse(message.body(), GROUP).first_sent_at_text == text


@pytest.mark.parametrize("group_id", [None, "", "acc-2", GROUP + " "])
def test_envelope_of_another_group_is_invalid(group_id):
    with pytest.raises(InvalidEnvelope, match="group_id"):
        parse(BODY, group_id)


@given(st.text("canaryCANARY ", min_size=12))
def test_no_reason_quotes_a_value(canary):
    secret = f"{canary}|"
    for body in (with_fields(trace_id=secret), with_fields(payload=secret), f"{BODY} {secret}"):
        with pytest.raises(InvalidEnvelope) as raised:
            parse(body, GROUP)
        assert secret not in str(raised.value)


@pytest.mark.parametrize(
    "message_id", ["m.r1", "m.r0", "m.r123456", "sqs:m", "sqs:", *sorted(RESERVED_IDS)]
)
def test_reserved_id_is_no_senders(message_id):
    with pytest.raises(ValueError, match="must"):
        check_message_id(message_id)
    with pytest.raises(InvalidEnvelope, match="must"):
        parse(with_fields(message_id=message_id), GROUP)


@pytest.mark.parametrize(
    "message_id",
    ["m.r", "m.r1x", "r1", "m.R1", "m-r1", "SQS:m", "sqs", "Status", "dlq-1", "a" * 120, "7"],
)
def test_id_that_only_looks_reserved_is_fine(message_id):
    assert check_message_id(message_id) == message_id
    assert parse(with_fields(message_id=message_id), GROUP).message_id == message_id


def test_payload_hash_tells_what_is_sent_not_when_or_by_whom():
    usual = a_message()
    same = a_message(
        trace_id="t", submitted_by="o@example.com", first_sent_at="2027-01-01T00:00:00Z"
    )
    turned = a_message(payload=dict(reversed(a_transaction().items())))

    assert usual.payload_hash == same.payload_hash == turned.payload_hash
    for change in ({"type": "t"}, {"group_id": "g"}, {"payload": a_transaction(amount="10.01")}):
        assert a_message(**change).payload_hash != usual.payload_hash


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_number_that_json_cannot_write_is_never_written(number):
    with pytest.raises(InvalidPayload):
        a_message(payload={"a": number}).body()


@given(TEXT)
def test_every_body_has_a_foreign_hash(body):
    assert re.fullmatch("[0-9a-f]{64}", envelope.foreign_hash(body))
