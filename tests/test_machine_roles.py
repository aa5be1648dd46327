"""Each machine's role allows the very actions of its states: no emulator checks it."""

import re
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from local.stack import ROOT

# States that call an action under another name than IAM's, or several actions at once.
_IAM = {
    "sqs:sendMessageBatch": {"sqs:SendMessage"},
    "sqs:deleteMessageBatch": {"sqs:DeleteMessage"},
    "sqs:changeMessageVisibilityBatch": {"sqs:ChangeMessageVisibility"},
    "cloudwatch:putMetricData": {"cloudwatch:PutMetricData"},
    "lambda:invoke": {"lambda:InvokeFunction"},
    "states:startExecution": {"states:StartExecution"},
}
_PARTIQL = {
    "UPDATE": "dynamodb:PartiQLUpdate",
    "INSERT": "dynamodb:PartiQLInsert",
    "DELETE": "dynamodb:PartiQLDelete",
}
_TRANSACTION = {
    "Update": "dynamodb:UpdateItem",
    "Put": "dynamodb:PutItem",
    "Delete": "dynamodb:DeleteItem",
    "ConditionCheck": "dynamodb:ConditionCheckItem",
}
_POLICY_TEMPLATES = {
    # https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-policy-template-list.html
    "SQSSendMessagePolicy": {"sqs:SendMessage"},
    "LambdaInvokePolicy": {"lambda:InvokeFunction"},
}
_LOG_DELIVERY = re.compile(r"^logs:")


def _used(task: dict[str, Any]) -> set[str]:
    service, action = task["Resource"].removeprefix("arn:aws:states:::").split(":")[-2:]
    if action == "transactWriteItems":
        items = task["Arguments"]["TransactItems"]
        return {_TRANSACTION[next(iter(item))] for item in items}
    if action == "batchExecuteStatement":
        words = re.findall(r"(UPDATE|INSERT INTO|DELETE FROM) \\*\"", str(task["Arguments"]))
        return {_PARTIQL[word.split()[0]] for word in words}
    return _IAM.get(f"{service}:{action}", {f"{service}:{action[0].upper()}{action[1:]}"})


def _allowed(machine: dict[str, Any]) -> set[str]:
    actions: set[str] = set()
    for policy in machine["Properties"]["Policies"]:
        for name, value in policy.items():
            if name == "Statement":
                for statement in value:
                    given = statement["Action"]
                    actions |= {given} if isinstance(given, str) else set(given)
            else:
                actions |= _POLICY_TEMPLATES[name]
    return {action for action in actions if not _LOG_DELIVERY.match(action)}


@pytest.mark.parametrize("machine", ["RetryStateMachine", "RedriveStateMachine"])
def test_role_allows_what_the_states_call_and_nothing_more(machine: str) -> None:
    resource = yaml_parse((ROOT / "template.yaml").read_text())["Resources"][machine]
    definition = yaml_parse((ROOT / resource["Properties"]["DefinitionUri"]).read_text())
    tasks = [state for state in definition["States"].values() if state["Type"] == "Task"]
    used = set().union(*(_used(task) for task in tasks))
    assert used == _allowed(resource)
