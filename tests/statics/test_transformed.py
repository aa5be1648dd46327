"""The transformed template: what SAM adds, and what two stacks of one account would share."""

import json
import re
from typing import Any

import pytest

from tests.statics import transformed

# Physical names, as CloudFormation calls them; a name that is left out is made up by it.
NAMES = {
    "AWS::ApiGateway::RestApi": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}
# They have no name that another stack could have too, or one inside something of this stack's.
NAMELESS = {
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::Stage",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Permission",
    "AWS::SQS::QueuePolicy",
    "AWS::WAFv2::WebACLAssociation",
}


_RULE = "StepFunctionsGetEventsForStepFunctionsExecutionRule"
_RULE_ACTIONS = {"events:PutTargets", "events:PutRule", "events:DescribeRule"}


def test_api_has_one_stage_and_every_method_of_it_is_throttled():
    """A deployment that names a stage makes a second one, without any of the stage's settings."""
    (stage,) = transformed.of_type("AWS::ApiGateway::Stage").values()
    assert stage["StageName"] == "v1"
    for name, deployment in transformed.of_type("AWS::ApiGateway::Deployment").items():
        assert "StageName" not in deployment, name

    (usual,) = (
        settings
        for settings in stage["MethodSettings"]
        if (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    )
    for settings in [usual, *stage["MethodSettings"]]:
        assert 0 < settings["ThrottlingRateLimit"] <= usual["ThrottlingRateLimit"]
        assert 0 < settings["ThrottlingBurstLimit"] <= usual["ThrottlingBurstLimit"]


@pytest.mark.parametrize("kind", sorted({r["Type"] for r in transformed.resources().values()}))
def test_no_two_stacks_of_an_account_want_one_name(kind):
    if kind in NAMELESS:
        return
    for logical_id, properties in transformed.of_type(kind).items():
        name = properties.get(NAMES[kind])
        if name is not None:
            assert "${AWS::StackName}" in json.dumps(name), logical_id


def test_who_may_invoke_a_function_is_named():
    """SAM lets every stage of an API invoke; the API is ours, and it has but one."""
    permissions = transformed.of_type("AWS::Lambda::Permission")
    for name, permission in permissions.items():
        source = json.dumps(permission["SourceArn"])
        ours = set(re.findall(r'"(?:Ref|Fn::GetAtt)": \[?"(\w+)"', source))
        assert ours & transformed.resources().keys(), name
        if permission["Principal"] == "apigateway.amazonaws.com":
            assert ours == {"Api"}, name
            assert re.search(r"\$\{__ApiId__\}/(authorizers/\*|\$\{__Stage__\}/[A-Z]+/\w)", source)


def chosen(value: Any, given: bool) -> Any:
    """Return a part as it is if parameters name more queues and functions, or do not."""
    if isinstance(value, list):
        parts = [chosen(part, given) for part in value]
        return [part for part in parts if part != {"Ref": "AWS::NoValue"}]
    if not isinstance(value, dict):
        return value
    if str(value.get("Fn::If", [""])[0]).startswith(
        ("RedriveQueue", "RedrivePayload", "EffectFunctions", "HasDemoType")
    ):
        return chosen(value["Fn::If"][1 if given else 2], given)
    return {name: chosen(part, given) for name, part in value.items()}


def resources_of(policy: dict[str, Any], given: bool) -> list[tuple[str, Any]]:
    found = []
    statements = chosen(policy["PolicyDocument"]["Statement"], given)
    for statement in statements if isinstance(statements, list) else [statements]:
        actions, named = statement["Action"], statement["Resource"]
        for action in actions if isinstance(actions, list) else [actions]:
            found += [(action, one) for one in (named if isinstance(named, list) else [named])]
    return found


# What a role may touch besides, and of which service it is: what a parameter names.
_GIVEN = {
    "RedriveQueueArns": "sqs:",
    "RedriveQueueKeyArns": "kms:",
    "RedrivePayloadBucketArns": "s3:",
    "EffectFunctionArns": "lambda:InvokeFunction",
}


@pytest.mark.parametrize("given", [False, True], ids=["alone", "more queues"])
@pytest.mark.parametrize("role", sorted(transformed.of_type("AWS::IAM::Role")))
def test_no_role_reaches_beyond_its_stack_and_what_it_was_given(role, given):
    """A resource is one of this stack's, or bears its name; some actions know no resources.

    Step Functions itself needs one rule, by which it hears of the ends of executions.
    """
    properties = transformed.of_type("AWS::IAM::Role")[role]
    for policy in chosen(properties.get("Policies", []), given):
        for action, resource in resources_of(policy, given):
            text = json.dumps(resource)
            references = set(re.findall(r'"(?:Ref|Fn::GetAtt)": \[?"(\w+)"', text))
            references |= set(re.findall(r"\$\{(\w+)(?:\.\w+)?\}", text))
            named = references & transformed.resources().keys() or "${AWS::StackName}" in text
            beyond = references & _GIVEN.keys()
            assert given or not beyond
            assert all(action.startswith(_GIVEN[name]) for name in beyond)
            named = named or bool(beyond)
            named = named or (action, references) == ("s3:PutObject", {"AuditBucketName"})
            # Step Functions makes one rule of that name for all machines of an account.
            named = named or (action in _RULE_ACTIONS and f"rule/{_RULE}" in text)
            assert named or (resource == "*" and action.startswith(("logs:", "cloudwatch:")))


def test_schedules_have_an_input_of_their_own():
    """Without one a target gets Scheduler's notification, which says nothing."""
    schedules = transformed.of_type("AWS::Scheduler::Schedule")
    assert len(schedules) == 2
    for name, schedule in schedules.items():
        assert "schedule" in json.dumps(schedule["Target"].get("Input")), name


def test_request_that_reaches_no_function_has_a_line_under_the_trace_id_of_its_answer():
    """Missing and wrong tokens, unknown paths and too many requests: API Gateway refuses them."""
    (stage,) = transformed.of_type("AWS::ApiGateway::Stage").values()
    condition, setting, otherwise = stage["AccessLogSetting"]["Fn::If"]
    assert (condition, otherwise) == ("LogAccess", {"Ref": "AWS::NoValue"})
    assert "${FunctionLogGroup}" in json.dumps(setting["DestinationArn"])
    line = json.loads(setting["Format"])
    assert line["trace_id"] == "$context.requestId"
    assert line["details"]["refused"] == "$context.error.responseType"

    (api,) = transformed.of_type("AWS::ApiGateway::RestApi").values()
    refusals = api["Body"]["x-amazon-apigateway-gateway-responses"]
    assert {"UNAUTHORIZED", "MISSING_AUTHENTICATION_TOKEN", "THROTTLED"} <= set(refusals)
    for name, refusal in refusals.items():
        text = refusal["responseTemplates"]["application/json"]
        assert '"trace_id":"$context.requestId"' in text, name
