"""Ids that are made of what a person or AWS chose are legal wherever they go."""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import example, given
from hypothesis import strategies as st

from local import legal_ids
from local.stack import ROOT
from tests.engines.moto_engine.as_aws import compiled
from tests.engines.moto_engine.stack import MotoStack
from tests.support.history import states_of
from tests.support.stack_fixtures import dead_letter, run_machine, transaction

NAME = "rückführung"
# What AWS allows a person to call an execution.
NAMES = st.text(min_size=1, max_size=80).filter(legal_ids.is_execution_name)
# Where a machine gives one; that of the redrive are made in `workflows/redrive`, whose tests try
# them with every name.
PLACES = {
    "retry": {"StartSuccessor": ("Name",)},
    "redrive": {"RunLane": ("Name",)},
    "redrive_lane": {"ReceiveDeadLetters": ("ReceiveRequestAttemptId",)},
}


def expression(machine, state, argument):
    text = (ROOT / "statemachines" / f"{machine}.asl.json").read_text()
    return json.loads(text)["States"][state]["Arguments"][argument]


def evaluated(machine, state, argument, name, **variables):
    bindings = variables | {"states": {"context": {"Execution": {"Name": name}}}}
    return compiled(expression(machine, state, argument)).evaluate(None, bindings)


@given(name=NAMES, number=st.integers(0, 9_998))
@example(name="ü" * 80, number=9_998)
def test_successor_of_any_execution_has_a_name_that_may_be(name, number):
    found = evaluated("retry", "StartSuccessor", "Name", name, successor=number)

    assert legal_ids.is_execution_name(found)
    assert found.endswith(f"-s{number + 1}")


def test_every_id_that_a_machine_makes_is_known_here():
    """A new one is to be tried with every name, too, or to be none that a person chose."""
    safe = {("retry", "DeadLetter"): "$uuid()"}
    made_here = {
        ("redrive", "RunLane", "Name"): "$states.input.name",
        ("redrive_lane", "ReceiveDeadLetters", "ReceiveRequestAttemptId"): "$lane.attempt_id",
    }
    for machine in PLACES:
        text = (ROOT / "statemachines" / f"{machine}.asl.json").read_text()
        for name, state in states_of(text).items():
            given_ = json.dumps(state.get("Arguments", {}))
            if "DeduplicationId" in given_:
                assert safe.pop((machine, name)) in given_
            found = re.findall(r'"(Name|ReceiveRequestAttemptId)": "\{% (.*?) %\}', given_)
            found += re.findall(r'\\"(Name|ReceiveRequestAttemptId)\\": ([$.\w]+)', given_)
            found = [(place, made) for place, made in found if not made.endswith("Execution.Name")]
            assert tuple(place for place, _ in found) == PLACES[machine].get(name, ())
            for place, text_ in found:
                assert made_here.pop((machine, name, place), text_) == text_
    assert (safe, made_here) == ({}, {})


@pytest.fixture
def moto() -> Any:
    with MotoStack() as stack:
        yield stack


def test_run_whose_name_has_letters_that_sqs_does_not_take_redrives(moto):
    dead_letter(moto, transaction())

    run = run_machine(moto, "redrive", {}, name=NAME)

    assert (run.status, run.output["redriven"]) == ("SUCCEEDED", 1)
    assert run.output["run_id"] == NAME


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ReceiveRequestAttemptId", "rückführung-0"),
        ("ReceiveRequestAttemptId", "a b"),
        ("ReceiveRequestAttemptId", "a" * 129),
        ("MessageGroupId", "ü"),
        ("MessageDeduplicationId", "ü"),
    ],
)
def test_engine_refuses_ids_that_sqs_does_not_take(field, value):
    with MotoStack() as moto:
        sqs, url = moto.client("sqs"), moto.outputs["WorkQueueUrl"]
        message = {"MessageBody": "b", "MessageGroupId": "g", "MessageDeduplicationId": "d"}
        refused = pytest.raises(ClientError, match="InvalidParameterValue")
        if field == "ReceiveRequestAttemptId":
            with refused:
                sqs.receive_message(QueueUrl=url, ReceiveRequestAttemptId=value)
            return
        with refused:
            sqs.send_message(QueueUrl=url, **message | {field: value})
        with refused:
            entry = {"Id": "0"} | message | {field: value}
            sqs.send_message_batch(QueueUrl=url, Entries=[entry])


@pytest.mark.parametrize("name", ["a b", "a/b", "a:b", "a%b", "a" * 81, "a\u0085b"])
def test_engine_refuses_names_that_no_execution_may_have(name):
    with MotoStack() as moto, pytest.raises(ClientError, match="InvalidName"):
        moto.client("stepfunctions").start_execution(
            stateMachineArn=moto.outputs["RedriveStateMachineArn"], name=name, input="{}"
        )


# --- Spellings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", ["BOOL", "Bool"])
@pytest.mark.parametrize("final", [True, False])
def test_boolean_of_a_row_is_read_however_it_is_spelled(spelled, final):
    """The optimized getItem may write `Bool`, the SDK's writes `BOOL`; that is not verified."""
    text = (ROOT / "statemachines" / "retry.asl.json").read_text().replace("${MaxAttempts}", "5")
    choices = json.loads(text)["States"]["ValidateMessage"]["Choices"]
    condition = next(c["Condition"] for c in choices if c["Next"] == "DeadLetter")
    row = {"attempts": {"N": "1"}, "reason": {"M": {"final": {spelled: final}}}}

    assert compiled(condition).evaluate(None, {"row": row}) is final


@pytest.mark.parametrize("machine", PLACES)
def test_no_expression_reads_a_boolean_in_one_spelling(machine):
    text = (ROOT / "statemachines" / f"{machine}.asl.json").read_text()
    for found in re.findall(r"[$\w.]+\.(?:BOOL|Bool)\b", text):
        stem = found.rpartition(".")[0]
        assert f"{stem}.BOOL, {stem}.Bool" in text, found


def test_receive_asks_for_attributes_by_the_name_that_step_functions_knows():
    text = (ROOT / "statemachines" / "redrive_lane.asl.json").read_text()
    arguments = json.loads(text)["States"]["ReceiveDeadLetters"]["Arguments"]
    (asked,) = re.findall(r'"AttributeNames": (\[[^]]*\])', arguments)

    assert "MessageGroupId" in json.loads(asked)
    assert "MessageSystemAttributeNames" not in arguments
