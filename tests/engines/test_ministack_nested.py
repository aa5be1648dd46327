"""Nested executions in MiniStack: shown made up for, and as MiniStack comes."""

import json
import uuid

import pytest

from local.deadline import wait_until
from local.emulator import Emulator
from tests.engines.conftest import BareEmulator
from tests.support.endpoint import Endpoint

ROLE = "arn:aws:iam::123456789012:role/machine"
MOCKS = {
    "StateMachines": {
        "parent": {"TestCases": {"Mocked": {}, "ParentAlone": {}}},
        "asks": {"TestCases": {"Mocked": {"Ask": "TwoAnswers"}}},
    },
    "MockedResponses": {
        "TwoAnswers": {"0": {"Return": {"answer": 1}}, "1": {"Return": {"answer": 2}}},
    },
}
CHILDREN = {
    "asks": {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sqs:listQueues",
        "Arguments": {"QueueNamePrefix": "none"},
        "End": True,
    },
    "fails": {"Type": "Fail", "Error": "Broken", "Cause": "made up"},
}


def serve(kind, folder):
    config = folder / "mocks.json"
    config.write_text(json.dumps(MOCKS))
    emulator = kind(wait_scale=0, settings={"SFN_MOCK_CONFIG": str(config)})
    emulator.start()
    stepfunctions = Endpoint(emulator.url).client("stepfunctions")
    for name, state in CHILDREN.items():
        make(stepfunctions, name, {"Ask": state})
    return emulator, stepfunctions


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    emulator, stepfunctions = serve(Emulator, tmp_path_factory.mktemp("ours"))
    yield stepfunctions
    emulator.stop()


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    emulator, stepfunctions = serve(BareEmulator, tmp_path_factory.mktemp("bare"))
    yield stepfunctions
    emulator.stop()


def make(stepfunctions, name, states):
    definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
    return stepfunctions.create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=ROLE
    )["stateMachineArn"]


def nested(stepfunctions, child, names, case="", task=None):
    """Let one execution run a child under each name; return what each run of it came to.

    That is the child's output, or the error that the parent catches; `task` has what is other of
    the parent's states.
    """
    states = {
        f"Run{n}": _task(child, name, f"Run{n + 1}", task or {}) for n, name in enumerate(names)
    }
    last = f"Run{len(names)}"
    arn = make(stepfunctions, "parent", {**states, last: {"Type": "Pass", "End": True}})
    try:
        execution = stepfunctions.start_execution(
            stateMachineArn=f"{arn}#{case}" if case else arn, input="[]"
        )["executionArn"]

        def end():
            found = stepfunctions.describe_execution(executionArn=execution)
            return found if found["status"] != "RUNNING" else None

        return json.loads(wait_until(end, 60, "the execution ends")["output"])
    finally:
        stepfunctions.delete_state_machine(stateMachineArn=arn)


EXPRESS = {
    "Resource": "arn:aws:states:::aws-sdk:sfn:startSyncExecution",
    "Input": "{}",
    "Output": "{% [$append($states.input, [$parse($states.result.Output)])] %}",
}


def _task(child, name, after, other):
    return {
        "Type": "Task",
        "Resource": other.get("Resource", "arn:aws:states:::states:startExecution.sync:2"),
        "Arguments": {
            "StateMachineArn": f"arn:aws:states:us-east-1:123456789012:stateMachine:{child}",
            "Name": name,
            "Input": other.get("Input", {}),
        },
        "Output": other.get("Output", "{% [$append($states.input, [$states.result.Output])] %}"),
        "Catch": [
            {
                "ErrorEquals": ["States.ALL"],
                "Output": "{% [$append($states.input, [$states.errorOutput])] %}",
                "Next": after,
            }
        ],
        "Next": after,
    }


def new_names(count):
    return [str(uuid.uuid4()) for _ in range(count)]


def test_nested_executions_have_their_parents_test_case_and_count_together(ours, bare):
    twice, without = new_names(2), new_names(1)

    assert nested(ours, "asks", twice, "Mocked") == [{"answer": 1}, {"answer": 2}]
    assert nested(ours, "asks", without, "ParentAlone") == [{"QueueUrls": []}]
    assert "answer" not in str(nested(bare, "asks", twice, "Mocked")), "no longer needed"


def test_name_of_a_nested_execution_is_taken_once(ours, bare):
    twice = new_names(1) * 2

    first, second = nested(ours, "asks", twice)

    assert first == {"QueueUrls": []}
    assert second["Error"] == "StepFunctions.ExecutionAlreadyExistsException"
    assert "Error" not in nested(bare, "asks", twice)[1], "no longer needed: _refuse_used_name"


def test_express_executions_have_their_parents_test_case_too_and_may_share_a_name(ours, bare):
    twice = new_names(1) * 2

    assert nested(ours, "asks", twice, "Mocked", EXPRESS) == [{"answer": 1}, {"answer": 2}]
    assert "answer" not in str(nested(bare, "asks", twice, "Mocked", EXPRESS)), "no longer needed"


def test_nested_execution_that_fails_is_a_task_that_failed(ours, bare):
    (end,) = nested(ours, "fails", new_names(1))

    assert end["Error"] == "States.TaskFailed"
    assert json.loads(end["Cause"]) == {"Error": "Broken", "Cause": "made up"}
    (end,) = nested(bare, "fails", new_names(1))
    assert end["Error"] == "Broken", "no longer needed: _named"
