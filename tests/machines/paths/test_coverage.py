"""What the reader makes of a history, and that it believes none that the machine forbids."""

import json
from datetime import UTC, datetime

import pytest

from tests.machines.paths.coverage import (
    Branch,
    Execution,
    HistoryContradictsMachine,
    branches,
    rows,
    taken,
)
from tests.support.history import matching, steps_of

ASK = {
    "Type": "Task",
    "Retry": [
        {"ErrorEquals": ["Never"], "MaxAttempts": 0},
        {"ErrorEquals": ["States.ALL"], "MaxAttempts": 1},
    ],
    "Catch": [
        {"ErrorEquals": ["Never"], "Next": "Good"},
        {"ErrorEquals": ["States.ALL"], "Next": "Bad"},
    ],
    "Next": "Choose",
}
CHOOSE = {
    "Type": "Choice",
    "Choices": [
        {"Condition": "{% $n = 1 %}", "Next": "Good"},
        {"Condition": "{% $n = 2 and $millis() > 1000 %}", "Next": "Good"},
        {"Condition": "{% $states.context.Execution.Id = $states.input %}", "Next": "Good"},
        {"Condition": "{% $n = 4 %}", "Assign": {"n": 5}, "Next": "Good"},
        {"Condition": "{% $n = 6 %}", "Next": "Bad"},
    ],
    "Default": "Good",
}
MACHINE = {
    "StartAt": "Ask",
    "States": {"Ask": ASK, "Choose": CHOOSE, "Good": {"Type": "Succeed"}, "Bad": {"Type": "Fail"}},
}
ARN = "arn:aws:states:us-east-1:123456789012:execution:machine:name"


def passed(*states, assigned=None, tries=()):
    """Return the events of an execution that took these states, (name, input) or name each.

    Args:
        states: in order.
        assigned: variables by the state that assigned them.
        tries: of the state `Ask`, the error of each or None.
    """
    when = datetime(2026, 11, 24, tzinfo=UTC)
    events = []
    for entry in states:
        name, given = entry if isinstance(entry, tuple) else (entry, {})
        entered = {"name": name, "input": json.dumps(given)}
        events.append({"type": "StateEntered", "stateEnteredEventDetails": entered})
        for error in tries if name == "Ask" else ():
            events.append({"type": "TaskScheduled"})
            if error:
                events.append({"type": "TaskFailed", "taskFailedEventDetails": {"error": error}})
        variables = {key: json.dumps(v) for key, v in (assigned or {}).get(name, {}).items()}
        left = {"name": name, "assignedVariables": variables}
        events.append({"type": "StateExited", "stateExitedEventDetails": left})
    return [event | {"timestamp": when} for event in events]


def ways(events, kind):
    execution = Execution(ARN, "arn:aws:states:us-east-1:1:stateMachine:m", steps_of(events))
    found = taken(json.dumps(MACHINE), execution)
    return {(branch.state, branch.way) for branch in found if branch.kind == kind}


def test_all_ways_of_a_machine_are_counted():
    every = branches(json.dumps(MACHINE))

    assert rows({"machine": every}, {}) == [
        {
            "machine": "machine",
            "states": "0/4",
            "choice rules": "0/6",
            "catches": "0/2",
            "retries": "0/2",
        }
    ]
    assert rows({"machine": every}, {"machine": {Branch("states", "Ask")}})[0]["states"] == "1/4"


@pytest.mark.parametrize(
    ("n", "given", "assigned", "following", "rule"),
    [
        (1, {}, {}, "Good", "rule 1 -> Good"),
        (2, {}, {}, "Good", "rule 2 -> Good"),
        (3, ARN, {}, "Good", "rule 3 -> Good"),
        (4, {}, {"n": 5}, "Good", "rule 4 -> Good"),
        (6, {}, {}, "Bad", "rule 5 -> Bad"),
        (7, {}, {}, "Good", "default -> Good"),
    ],
)
def test_rule_is_told_by_where_it_leads_what_it_assigns_and_its_condition(
    n, given, assigned, following, rule
):
    events = passed(
        "Ask", ("Choose", given), following, assigned={"Ask": {"n": n}, "Choose": assigned}
    )

    assert ways(events, "choice rules") == {("Choose", rule)}


@pytest.mark.parametrize(
    ("tries", "following", "retries", "catches"),
    [
        ([None], "Choose", set(), set()),
        (["Some.Error", None], "Choose", {"States.ALL"}, set()),
        (["Some.Error", "Other"], "Bad", {"States.ALL"}, {"States.ALL -> Bad"}),
        (["Never"], "Good", {"Never"}, {"Never -> Good"}),
        (["Some.Error", "Never"], "Good", {"States.ALL", "Never"}, {"Never -> Good"}),
    ],
)
def test_errors_tell_the_entries_that_took_them(tries, following, retries, catches):
    events = passed("Ask", following, "Good", tries=tries)

    assert ways(events, "retries") == {("Ask", way) for way in retries}
    assert ways(events, "catches") == {("Ask", way) for way in catches}


def test_retry_that_did_not_retry_was_not_taken():
    assert ways(passed("Ask", "Bad", tries=["Some.Error"]), "retries") == set()


@pytest.mark.parametrize(
    "events",
    [
        passed("Ask", "Good", tries=["Some.Error", "Some.Error"]),
        passed("Ask", "Bad", tries=["Never"]),
        passed("Ask", "Choose", "Good", tries=["Never", None]),
        passed("Ask", "Choose", "Ask"),
        passed("Ask", "Choose", "Bad", assigned={"Choose": {"n": 1}}),
    ],
)
def test_history_that_the_machine_forbids_is_not_believed(events):
    with pytest.raises(HistoryContradictsMachine):
        ways(events, "states")


@pytest.mark.parametrize(
    ("names", "error", "takes"),
    [
        (["States.ALL"], "States.DataLimitExceeded", True),
        (["States.ALL"], "States.Runtime", False),
        (["States.ALL"], "States.Timeout", True),
        (["States.TaskFailed"], "Some.Error", True),
        (["States.TaskFailed"], "States.Timeout", False),
        (["States.DataLimitExceeded"], "States.DataLimitExceeded", True),
        (["Other"], "Some.Error", False),
    ],
)
def test_wildcards_take_what_aws_says(names, error, takes):
    assert matching([{"ErrorEquals": names}], error) == (0 if takes else None)
