"""Each class of error in a state machine is caught by the linter that is there for it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.statics.asl_linters import Problem, lint

# Correct, and made of what some linter wrongly reports when it is asked without care: an empty
# string, a whole-number BackoffRate, JSONata in TimeoutSeconds and Seconds, a line break in an
# expression, an ARN that SAM puts in.
MACHINE = {
    "QueryLanguage": "JSONata",
    "StartAt": "ReceiveDeadLetters",
    "States": {
        "ReceiveDeadLetters": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sqs:receiveMessage",
            "TimeoutSeconds": "{% $number('${PollSeconds}') + 10 %}",
            "Arguments": {"QueueUrl": "${DeadLetterQueueUrl}", "ReceiveRequestAttemptId": ""},
            "Assign": {
                "letters": "{% $exists($states.result.Messages)\n ? $states.result.Messages : [] %}"
            },
            "Output": "{% [$map($letters, function($m, $i) { {'Id': $string($i)} })] %}",
            "Retry": [
                {
                    "ErrorEquals": ["Sqs.SqsException"],
                    "MaxAttempts": 3,
                    "BackoffRate": 2,
                    "JitterStrategy": "FULL",
                },
                {"ErrorEquals": ["States.ALL"], "MaxAttempts": 1},
            ],
            "Catch": [
                {
                    "ErrorEquals": ["States.ALL"],
                    "Assign": {"failure": "{% $states.errorOutput %}"},
                    "Next": "FailRun",
                }
            ],
            "Next": "AnyDeadLetters",
        },
        "AnyDeadLetters": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $count($letters) > 0 %}", "Next": "WaitBackoff"}],
            "Default": "FinishRun",
        },
        "WaitBackoff": {
            "Type": "Wait",
            "Seconds": "{% $random() * 10 %}",
            "Next": "ProcessMessage",
        },
        "ProcessMessage": {
            "Type": "Task",
            "Resource": "${ProcessMessageFunctionArn}",
            "TimeoutSeconds": 30,
            "Next": "ReceiveDeadLetters",
        },
        "FinishRun": {"Type": "Pass", "Output": {"letters": "{% $letters %}"}, "End": True},
        "FailRun": {"Type": "Fail", "Error": "RunFailed", "Cause": "{% $failure.Cause %}"},
    },
}

States = dict[str, dict[str, Any]]


def unknown_next(states: States) -> None:
    states["WaitBackoff"]["Next"] = "ProcessMesage"


def unknown_next_in_catch(states: States) -> None:
    states["ReceiveDeadLetters"]["Catch"][0]["Next"] = "FailRuns"


def unreachable_state(states: States) -> None:
    states["Forgotten"] = {"Type": "Pass", "Next": "FinishRun"}


def no_way_on(states: States) -> None:
    del states["WaitBackoff"]["Next"]


def missing_field(states: States) -> None:
    del states["ProcessMessage"]["Resource"]


def misspelt_field(states: States) -> None:
    states["ProcessMessage"]["Argments"] = states["ReceiveDeadLetters"]["Arguments"]


def field_of_jsonpath(states: States) -> None:
    states["ProcessMessage"]["ResultPath"] = "$.result"


def catch_all_before_the_others(states: States) -> None:
    states["ReceiveDeadLetters"]["Retry"].reverse()


def string_for_a_number(states: States) -> None:
    states["ReceiveDeadLetters"]["Retry"][0]["MaxAttempts"] = "${MaxAttempts}"


def resource_that_is_no_arn(states: States) -> None:
    states["ProcessMessage"]["Resource"] = "lambda:invoke"


def syntax_error_in_a_condition(states: States) -> None:
    states["AnyDeadLetters"]["Choices"][0]["Condition"] = "{% $count($letters > 0 %}"


def syntax_error_deep_in_arguments(states: States) -> None:
    states["ReceiveDeadLetters"]["Arguments"]["Deep"] = [{"er": ["{% 1 + %}"]}]


def operator_newer_than_aws(states: States) -> None:
    states["FinishRun"]["Output"]["letters"] = "{% $letters ?? [] %}"


def expression_left_open(states: States) -> None:
    states["FinishRun"]["Output"]["letters"] = "{% $letters }"


def space_after_the_expression(states: States) -> None:
    states["FinishRun"]["Output"]["letters"] = "{% $letters %} "


def misspelt_variable(states: States) -> None:
    states["FinishRun"]["Output"]["letters"] = "{% $leters %}"


def misspelt_function(states: States) -> None:
    states["FinishRun"]["Output"]["letters"] = "{% $cuont($letters) %}"


def function_that_aws_leaves_out(states: States) -> None:
    states["FinishRun"]["Output"]["letters"] = "{% $eval('1') %}"


STATELINT, SCHEMA, REACHABILITY = "statelint", "asl-validator", "amazon-states-language-service"

BROKEN: list[tuple[Callable[[States], None], str, str]] = [
    (unknown_next, REACHABILITY, "ProcessMesage"),
    (unknown_next_in_catch, REACHABILITY, "FailRuns"),
    (unreachable_state, REACHABILITY, "Forgotten"),
    (no_way_on, STATELINT, "WaitBackoff"),
    (missing_field, SCHEMA, "ProcessMessage"),
    (misspelt_field, STATELINT, "Argments"),
    (field_of_jsonpath, STATELINT, "ResultPath"),
    (catch_all_before_the_others, "catch-all", "ReceiveDeadLetters/Retry"),
    (string_for_a_number, STATELINT, "MaxAttempts"),
    (resource_that_is_no_arn, SCHEMA, "ProcessMessage/Resource"),
    (syntax_error_in_a_condition, "jsonata", "AnyDeadLetters/Choices/0/Condition"),
    (syntax_error_in_a_condition, "jsonata-python", "AnyDeadLetters/Choices/0/Condition"),
    (syntax_error_deep_in_arguments, "jsonata", "ReceiveDeadLetters/Arguments/Deep/0/er/0"),
    (operator_newer_than_aws, "jsonata", "FinishRun/Output/letters"),
    (expression_left_open, "jsonata", "must start with {% and end with %}"),
    (space_after_the_expression, "jsonata", "must start with {% and end with %}"),
    (misspelt_variable, "jsonata", "nothing defines $leters"),
    (misspelt_function, "jsonata", "nothing defines $cuont"),
    (function_that_aws_leaves_out, "jsonata", "nothing defines $eval"),
]


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Problem]]:
    """Every problem by sample; all samples in one call, because each starts Node.js."""
    folder = tmp_path_factory.mktemp("asl")
    machine = json.dumps(MACHINE, indent=2)
    samples = {"correct": machine, "not_json": machine[:-1]}
    samples["duplicate_key"] = machine.replace(
        '"StartAt":', '"StartAt": "FinishRun",\n  "StartAt":'
    )
    for breaks, _, _ in BROKEN:
        broken = json.loads(machine)
        breaks(broken["States"])
        samples[breaks.__name__] = json.dumps(broken, indent=2)
    for name, text in samples.items():
        (folder / f"{name}.asl.json").write_text(text)
    found: dict[str, list[Problem]] = {name: [] for name in samples}
    for problem in lint(sorted(folder.iterdir())):
        found[Path(problem.file).name.removesuffix(".asl.json")].append(problem)
    return found


def test_correct_machine_has_no_problem(problems: dict[str, list[Problem]]) -> None:
    assert problems["correct"] == []


@pytest.mark.parametrize(
    ("sample", "linter", "text"),
    [(breaks.__name__, linter, text) for breaks, linter, text in BROKEN]
    + [("not_json", "json", "delimiter"), ("duplicate_key", REACHABILITY, "Duplicate object key")],
)
def test_error_is_caught(
    problems: dict[str, list[Problem]], sample: str, linter: str, text: str
) -> None:
    assert any(
        problem.linter == linter and text in problem.problem for problem in problems[sample]
    ), problems[sample]


def test_no_machine_is_no_problem() -> None:
    assert lint([]) == []
