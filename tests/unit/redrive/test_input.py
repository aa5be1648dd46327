"""The input of a run, as a person writes it into the console: understood, or refused whole."""

import json

import pytest

from local.stack import ROOT
from tests.support.pairs import BUILT_IN
from workflows.redrive.requests import InvalidInput, read

NOT_UNDERSTOOD = [
    ({"dry_run": True}, "dry_run: is not known; did you mean request.dry_run?"),
    (
        {"filter": {"message_ids": ["none"]}, "max_messages": 1},
        "filter: is not known; did you mean request.filter?; max_messages: is not known;"
        " did you mean request.max_messages?",
    ),
    ({"Request": {"max_messages": 1}}, "Request: is not known; did you mean request?"),
    ({'a "b" \\ ü\n': 1}, "a 'b' ' "),
    ({"Comment": "Insert your JSON here"}, "Comment: is not known"),
    (
        {"request": {"max_persecond": 5}},
        "request.max_persecond: is not known; did you mean max_per_second?",
    ),
    (
        {"request": {"filter": {"group": "acct-7"}}},
        "request.filter.group: is not known; did you mean group_id?",
    ),
    (
        {"request": {"max_per_second": "5"}},
        "request.max_per_second: Input should be a valid number",
    ),
    ({"request": {"max_messages": "1"}}, "request.max_messages: Input should be a valid integer"),
    ({"request": {"max_messages": True}}, "request.max_messages: Input should be a valid integer"),
    ({"request": {"canary": {"messages": "five", "watch_seconds": 9}}}, "request.canary.messages"),
    ({"request": {"canary": 5}}, "request.canary: Input should be"),
    ({"request": {"canary": {}}}, "request.canary.messages: Field required"),
    ({"request": {"max_messages": -1}}, "request.max_messages: Input should be"),
    ({"request": {"max_per_second": 0}}, "request.max_per_second: Input should be"),
    ({"request": {"filter": {"jmespath": "[["}}}, "request.filter.jmespath: "),
    (
        {"request": {"filter": {"newer_than": 20261202}}},
        "request.filter.newer_than: must be a date",
    ),
    ({"request": {"dry_run": True}}, "request: only POST /messages/dlq/reprocess makes plans"),
    ({"request": {"plan_hash": "0" * 64}}, "request: only POST /messages/dlq/reprocess"),
    ({"continued": {"run_id": "x"}}, "continued: is not known"),
    ({"request": []}, "request: Input should be"),
    ({"request": "everything"}, "request: Input should be"),
    ({"request": None}, "request: Input should be"),
    ([{}], "input: Input should be"),
    ("everything", "input: Input should be"),
    (5, "input: Input should be"),
]


@pytest.mark.parametrize(("given", "told"), NOT_UNDERSTOOD, ids=str)
def test_input_that_is_not_understood_is_told(given, told):
    with pytest.raises(InvalidInput) as refused:
        read(given, BUILT_IN)

    assert str(refused.value).startswith("The input is not understood. ")
    assert told in str(refused.value)


UNDERSTOOD = [
    ({}, {}),
    ({"request": {}}, {}),
    ({"request": {"max_messages": None, "dry_run": False}}, {}),
    ({"request": {"max_messages": None, "canary": None}}, {}),
    ({"request": {"filter": {}}}, {}),
    ({"request": {"filter": {"older_than": "2h"}}}, {"filter": {"older_than": "PT2H"}}),
    ({"request": {"max_per_second": 5}}, {"max_per_second": 5.0}),
    ({"trigger": "schedule", "requested_by": "schedule", "trace_id": "t-1"}, {}),
    ({"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn:aws:states:…"}, {}),
]


@pytest.mark.parametrize(("given", "request_"), UNDERSTOOD, ids=str)
def test_input_that_is_understood_gives_what_was_set(given, request_):
    assert read(given, BUILT_IN).request.options() == request_


def test_reason_stays_short_and_holds_no_value():
    given = {f"{number}" * 9_999: "secret" for number in range(99)} | {"request": {"x": "secret"}}

    with pytest.raises(InvalidInput) as caught:
        read(given, BUILT_IN)

    assert len(str(caught.value)) < 4_096
    assert str(caught.value).endswith("; and 80 more.")
    assert "secret" not in str(caught.value)


def test_inputs_that_the_page_for_operators_shows_are_understood():
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    section = page.partition("\n## From the Step Functions console\n")[2].partition("\n## ")[0]
    shown = section.partition("```json\n")[2].partition("```")[0].splitlines()

    assert len(shown) == 3
    for line in shown:
        assert read(json.loads(line), BUILT_IN).request.options()
