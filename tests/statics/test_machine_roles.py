"""Each machine's role allows the very actions of its states: no emulator checks it."""

import json
import os
import re
from collections.abc import Iterator
from typing import Any, get_args
from unittest import mock

import pytest

from tests.support.cloud import ENVIRONMENT, forget
from tests.support.history import states_of
from tests.support.messages import a_message
from tests.support.pairs import BUILT_IN
from tests.support.template import TEMPLATE, chosen, template
from tests.support.verdicts import judged
from workflows.redrive import statements
from workflows.redrive.columns import Turn
from workflows.redrive.lane import Guarded, Lane
from workflows.redrive.verdict import DeadLetter, Kind

Permission = tuple[str, str]

# States that call an action under another name than IAM's.
_IAM = {
    "sqs:sendMessageBatch": "sqs:SendMessage",
    "sqs:deleteMessageBatch": "sqs:DeleteMessage",
    "sqs:changeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "lambda:invoke": "lambda:InvokeFunction",
    "sfn:startSyncExecution": "states:StartSyncExecution",
}
_PARTIQL = {
    "UPDATE": "dynamodb:PartiQLUpdate",
    "INSERT INTO": "dynamodb:PartiQLInsert",
    "DELETE FROM": "dynamodb:PartiQLDelete",
}
_TRANSACTION = {
    "Update": "dynamodb:UpdateItem",
    "Put": "dynamodb:PutItem",
    "Delete": "dynamodb:DeleteItem",
    "ConditionCheck": "dynamodb:ConditionCheckItem",
}
# What Step Functions needs to log an execution, which names no resources:
# https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
_LOGGING = {
    (f"logs:{action}", "*")
    for action in (
        "CreateLogDelivery",
        "GetLogDelivery",
        "UpdateLogDelivery",
        "DeleteLogDelivery",
        "ListLogDeliveries",
        "PutResourcePolicy",
        "DescribeResourcePolicies",
        "DescribeLogGroups",
    )
}
# Where a task names what it acts on; a metric is nothing that a policy can name.
_OF_A_RUN = {
    "$run.queue.dead_letter_url": "DeadLetterQueue",
    "$run.queue.source_url": "WorkQueue",
}
_NAMES = ("TableName", "QueueUrl", "FunctionName", "StateMachineArn")
# What waiting for an execution needs besides starting it: Step Functions hears of its end by a rule
# of its own, which it makes, and stops it with the one that waits:
# https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
_ARN = "arn:${AWS::Partition}:%s:${AWS::Region}:${AWS::AccountId}:"
_RULE = _ARN % "events" + "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
_WAITING = {
    **dict.fromkeys(("events:PutTargets", "events:PutRule", "events:DescribeRule"), _RULE),
    **dict.fromkeys(
        ("states:DescribeExecution", "states:StopExecution"),
        _ARN % "states" + "execution:{name}:*",
    ),
}
_POLICY_TEMPLATES = {
    # https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-policy-template-list.html
    "SQSSendMessagePolicy": ("sqs:SendMessage", "QueueName"),
    "LambdaInvokePolicy": ("lambda:InvokeFunction", "FunctionName"),
}


def _used(task: dict[str, Any], machine: str) -> set[Permission]:
    """Return what a task needs: an action and the logical id of what it acts on."""
    resource, _, waits = task["Resource"].partition(".sync")
    service, action = resource.removeprefix("arn:aws:states:::").split(":")[-2:]
    arguments = json.dumps(task["Arguments"])  # nested as it is, or an expression for it
    if action == "transactWriteItems":
        found = re.findall(r'(\w+)\\*": \{\\*"TableName\\*": \\*"\$\{(\w+)\}', arguments)
        return {(_TRANSACTION[word], name) for word, name in found}
    if action == "batchExecuteStatement":
        if "$turn.statement" in arguments:
            arguments = " ".join(_statements_of_a_turn())
        found = re.findall(r'(UPDATE|INSERT INTO|DELETE FROM) \\*"\$\{(\w+)\}', arguments)
        return {(_PARTIQL[word], name) for word, name in found}
    acted_on = next((name for url, name in _OF_A_RUN.items() if url in arguments), None) or next(
        (task["Arguments"][name] for name in _NAMES if name in task["Arguments"]), "*"
    )
    if "$states.context.StateMachine.Id" in acted_on:
        acted_on = machine
    name = f"{service}:{action}"
    usual = f"{service}:{action[0].upper()}{action[1:]}"
    found_in = acted_on.removeprefix("${").removesuffix("}")
    used = {(_IAM.get(name, usual), found_in)}
    return used | {(also, f"{where}@{found_in}") for also, where in _WAITING.items() if waits}


def _statements_of_a_turn() -> Iterator[str]:
    """Yield the statements that ValidateMessages hands to the guard, of every kind."""
    message = a_message()
    letter: DeadLetter = {"MessageId": "m", "ReceiptHandle": "h"}
    turn = Turn("run", BUILT_IN, "arn", "mark")
    kinds: list[dict[str, Any]] = [
        {"verdict": verdict, "known": known, "unnoted": True}
        for verdict in get_args(Kind)
        for known in (True, False)
    ]
    with mock.patch.dict(os.environ, ENVIRONMENT):
        forget()
        made = [statements.of(judged(message, **kind), letter, turn) for kind in kinds]
        made += [statements.renew_lease("run", BUILT_IN), statements.note_progress("run", [])]
        made += [statements.let_go(Guarded(id="m", redrives=1), "run")]
        made += [statements.note_unsettled("run", Lane())]
    forget()
    for statement in filter(None, made):
        yield re.sub(r'"(Messages|Runs)"', r'"${\1Table}"', statement["Statement"])


def _meant(used: set[Permission], substitutions: dict[str, Any]) -> set[Permission]:
    found = set()
    for action, name in used:
        where, at, named = name.partition("@")
        if at:  # an ARN of what bears a machine's name
            machine = template()["Resources"][_logical_id(substitutions[named])]
            found.add((action, where.replace("{name}", machine["Properties"]["Name"])))
        else:
            found.add((action, _logical_id(str(substitutions.get(name, name)))))
    return found


def _allowed(machine: dict[str, Any]) -> set[Permission]:
    found: set[Permission] = set()
    for policy in machine["Policies"]:
        for name, value in policy.items():
            if name != "Statement":
                action, parameter = _POLICY_TEMPLATES[name]
                found.add((action, _logical_id(value[parameter])))
                continue
            for statement in value:
                found |= {
                    (action, _logical_id(resource))
                    for action in _list(statement["Action"])
                    for resource in _list(statement["Resource"])
                }
    return found


def _logical_id(resource: str) -> str:
    """Return whose name, URL or ARN it is; of a machine, which is named by its ARN, its own id."""
    named = re.fullmatch(r"arn:.*:stateMachine:\$\{AWS::StackName\}-(\w+)", resource)
    return f"{named[1].capitalize()}StateMachine" if named else resource.partition(".")[0]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


MACHINES = ["RetryStateMachine", "RedriveStateMachine", "RedriveLaneStateMachine"]


@pytest.mark.parametrize("express", [False, True], ids=["standard", "express"])
@pytest.mark.parametrize("machine", MACHINES)
def test_role_allows_what_the_states_and_logging_need_where_they_need_it_and_no_more(
    machine, express
):
    conditions = {"ExpressLanes": express, "RedriveQueues": False, "RedriveQueueKeys": False}
    properties = chosen(template()["Resources"][machine]["Properties"], conditions)
    definition = (TEMPLATE.parent / properties["DefinitionUri"]).read_text()
    resource = properties["DefinitionSubstitutions"].get("RunLaneResource", "")
    definition = definition.replace("${RunLaneResource}", resource)
    tasks = [state for state in states_of(definition).values() if state["Type"] == "Task"]

    used = set().union(*(_used(task, machine) for task in tasks))

    needed = _meant(used, properties["DefinitionSubstitutions"]) | _LOGGING
    more = _allowed(properties) - needed
    assert needed <= _allowed(properties)
    # A run that does not wait for its lanes has the rights to wait all the same.
    assert {action for action, _ in more} <= (
        {*_WAITING} if express and machine == "RedriveStateMachine" else set()
    )


def test_every_machine_has_such_a_role():
    assert {
        name
        for name, resource in template()["Resources"].items()
        if resource["Type"] == "AWS::Serverless::StateMachine"
    } == {*MACHINES}
