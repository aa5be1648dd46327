"""Step Functions' quirks in MiniStack: each is shown made up for, and as MiniStack comes."""

import json
from itertools import count

import pytest
from jsonata.jexception import JException
from jsonata.jsonata import Jsonata
from jsonata.timebox import Timebox

from local import ministack_executions
from local.deadline import wait_until
from local.emulator import Emulator
from tests.engines.conftest import BareEmulator
from tests.support.endpoint import Endpoint
from tests.support.history import steps_of

BROKEN = {"Throw": {"Error": "Broken", "Cause": "made up"}}
MOCKS = {
    "StateMachines": {
        "machine": {
            "TestCases": {
                "SecondTryWorks": {"Ask": "FailsOnce"},
                "NoThirdAnswer": {"Ask": "FailsTwice"},
                "ServiceAfterAnError": {"Ask": "FailsOnceAndIsReal"},
                "Answered": {"Ask": "Works"},
                "WrongState": {"Aks": "Works"},
                "WrongResponse": {"Ask": "Work"},
            }
        }
    },
    "MockedResponses": {
        "FailsOnce": {"0": BROKEN, "1": {"Return": {"answer": 7}}},
        "FailsTwice": {"0-1": BROKEN},
        "FailsOnceAndIsReal": {"0": BROKEN, "1": {}},
        "Works": {"0": {"Return": {"answer": 7}}},
    },
}
ASK = {
    "Type": "Task",
    "Resource": "arn:aws:states:::aws-sdk:sqs:listQueues",
    "Arguments": {"QueueNamePrefix": "none"},
    "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 3}],
    "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
    "End": True,
}


def serve(kind, folder):
    config = folder / "mocks.json"
    config.write_text(json.dumps(MOCKS))
    emulator = kind(wait_scale=0, settings={"SFN_MOCK_CONFIG": str(config)})
    emulator.start()
    return emulator


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    emulator = serve(Emulator, tmp_path_factory.mktemp("ours"))
    yield Endpoint(emulator.url).client("stepfunctions")
    emulator.stop()


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    emulator = serve(BareEmulator, tmp_path_factory.mktemp("bare"))
    yield Endpoint(emulator.url).client("stepfunctions")
    emulator.stop()


def run(stepfunctions, states, case=None):
    """Run a machine of these states from the first one; return how it ended, and its events."""
    machine = stepfunctions.create_state_machine(
        name="machine",
        definition=json.dumps(
            {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
        ),
        roleArn="arn:aws:iam::123456789012:role/machine",
    )["stateMachineArn"]
    try:
        arn = stepfunctions.start_execution(
            stateMachineArn=f"{machine}#{case}" if case else machine, input="{}"
        )["executionArn"]

        def end():
            found = stepfunctions.describe_execution(executionArn=arn)
            return found if found["status"] != "RUNNING" else None

        ended = wait_until(end, 60, "the execution ends")
        return ended, stepfunctions.get_execution_history(executionArn=arn)["events"]
    finally:
        stepfunctions.delete_state_machine(stateMachineArn=machine)


def ask(stepfunctions, case, **changes):
    return run(stepfunctions, {"Ask": ASK | changes, "Caught": {"Type": "Succeed"}}, case)


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("SecondTryWork", "no test case SecondTryWork; is SecondTryWorks meant?"),
        ("WrongState", "there is no state Aks; is Ask meant?"),
        ("WrongResponse", "no response Work; is Works meant?"),
    ],
)
def test_test_case_that_mocks_nothing_is_refused(ours, bare, case, says):
    with pytest.raises(ours.exceptions.InvalidName) as refused:
        ask(ours, case)

    assert says in str(refused.value)
    assert ask(bare, case)[0]["status"] == "SUCCEEDED", "no longer needed"


def test_mocked_response_is_for_one_try(ours, bare):
    ended, events = ask(ours, "SecondTryWorks")

    assert json.loads(ended["output"]) == {"answer": 7}
    assert [event["type"] for event in events if event["type"].startswith("Task")] == [
        "TaskStateEntered",
        "TaskScheduled",
        "TaskFailed",
        "TaskScheduled",
        "TaskSucceeded",
        "TaskStateExited",
    ]
    assert ask(bare, "SecondTryWorks")[1][-2]["type"] == "SucceedStateExited", "no longer needed"


def test_try_without_a_mocked_response_ends_the_execution(ours, bare):
    ended, _ = ask(ours, "NoThirdAnswer")

    assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")
    assert ended["cause"] == "NoThirdAnswer: no mocked response for invocation 2 of Ask"
    assert ask(bare, "NoThirdAnswer")[0]["status"] == "SUCCEEDED", "no longer needed"


def test_mocked_response_of_nothing_calls_the_service(ours):
    assert "answer" not in json.loads(ask(ours, "ServiceAfterAnError")[0]["output"])


def test_arguments_of_a_mocked_task_are_evaluated(ours, bare):
    wrong = {"Arguments": "{% $none.such %}", "Retry": []}

    assert json.loads(ask(ours, "Answered", **wrong)[0]["output"])["Error"] == (
        "States.QueryEvaluationError"
    )
    assert json.loads(ask(bare, "Answered", **wrong)[0]["output"]) == {"answer": 7}, "not needed"


def test_history_tells_what_was_assigned(ours, bare):
    states = {
        "Set": {"Type": "Pass", "Assign": {"n": 1, "words": ["a"]}, "Next": "Keep"},
        "Keep": {"Type": "Pass", "Next": "Choose"},
        "Choose": {
            "Type": "Choice",
            "Choices": [{"Condition": False, "Assign": {"n": 0}, "Next": "End"}],
            "Assign": {"n": "{% $n + 1 %}"},
            "Default": "Ask",
        },
        "Ask": ASK
        | {
            "Assign": {"n": 3},
            "Catch": [
                {
                    "ErrorEquals": ["States.ALL"],
                    "Assign": {"error": "{% $states.errorOutput.Error %}"},
                    "Next": "End",
                }
            ],
            "Arguments": "{% $none.such %}",
            "Retry": [],
        },
        "End": {"Type": "Succeed"},
    }

    def assigned(stepfunctions):
        return {
            event["stateExitedEventDetails"]["name"]: event["stateExitedEventDetails"].get(
                "assignedVariables"
            )
            for event in run(stepfunctions, states)[1]
            if event["type"].endswith("StateExited")
        }

    assert assigned(ours) == {
        "Set": {"n": "1", "words": '["a"]'},
        "Keep": None,
        "Choose": {"n": "2"},
        "Ask": {"error": '"States.QueryEvaluationError"'},
        "End": None,
    }
    assert not any(assigned(bare).values()), "no longer needed: _tell_assigned_variables"


def test_history_tells_of_the_items_of_a_map(ours, bare):
    two = {"Condition": "{% $states.input = 2 %}", "Next": "Twice"}
    choose = {"Type": "Choice", "Choices": [two], "Default": "End"}
    items = {
        "Choose": choose,
        "Twice": {"Type": "Pass", "Output": "{% $states.input * 2 %}", "End": True},
        "End": {"Type": "Succeed"},
    }
    each = {"Type": "Map", "Items": [1, 2], "MaxConcurrency": 2, "Next": "Last"}
    each["ItemProcessor"] = {"StartAt": "Choose", "States": items}
    states = {"Each": each, "Last": {"Type": "Pass", "End": True}}

    ended, events = run(ours, states)

    assert json.loads(ended["output"]) == [1, 4]
    entered = {
        event["id"]: event["stateEnteredEventDetails"]
        for event in events
        if event["type"].endswith("StateEntered")
    }
    assert sorted(one["name"] for one in entered.values()) == [
        "Choose", "Choose", "Each", "End", "Last", "Twice",
    ]  # fmt: skip
    (twice,) = (one for one in events if entered.get(one["id"], {}).get("name") == "Twice")
    steps = {step.state: step for step in steps_of(events)}
    assert (steps["Each"].following, steps["Twice"].given) == ("Last", 2)
    before = {event["id"]: event for event in events}[twice["previousEventId"]]
    assert before["stateExitedEventDetails"] == {"name": "Choose", "output": "2"}
    assert all("Choose" not in str(one) for one in run(bare, states)[1]), "no longer needed"


@pytest.fixture
def busy_machine(monkeypatch):
    """Let half a second pass between any two looks at the clock: other threads have the machine."""
    for name in ("__init__", "check_runaway", "current_milli_time"):
        monkeypatch.setattr(Timebox, name, vars(Timebox)[name])
    times = count(0, 500)
    monkeypatch.setattr(Timebox, "current_milli_time", lambda: next(times))


def evaluate(expression):
    return Jsonata.jsonata(expression, timeout=1_000).evaluate(None, {})


def test_expression_has_a_second_of_its_own_work(busy_machine):
    with pytest.raises(JException, match="Evaluation timeout"):
        evaluate("$sum([1..10])")  # or the quirk is no longer needed

    ministack_executions._time_expressions_by_their_own_work()

    assert evaluate("$sum([1..10])") == 55
    with pytest.raises(JException, match="Evaluation timeout"):
        evaluate("($on := function($n) { $on($n + 1) }; $on(0))")
