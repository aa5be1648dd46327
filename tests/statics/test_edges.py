"""What stands between the stack and whatever else there is, by kind of thing."""

import json

import pytest

from tests.security.scanned_template import transformed as with_parameters
from tests.statics import transformed
from tests.support.template import template

KEY = "arn:aws:kms:us-east-1:111122223333:key/1"
# Where each kind of resource has a key of one's own.
KEYS = {
    "AWS::DynamoDB::Table": ("SSESpecification", "KMSMasterKeyId"),
    "AWS::Lambda::Function": ("KmsKeyArn",),
    "AWS::Logs::LogGroup": ("KmsKeyId",),
    "AWS::SQS::Queue": ("KmsMasterKeyId",),
    "AWS::SecretsManager::Secret": ("KmsKeyId",),
}
# Of these the transform knows no such property: docs/security.md has a command.
WITHOUT_KEY = {"AWS::StepFunctions::StateMachine"}
# They look at everything that there is, or at much of it.
LOOKING = {
    "ListAuditFunction", "ListDeadLettersFunction", "ListGroupsFunction", "ListQuarantineFunction",
    "ListRunsFunction", "ShowQueuesFunction", "ShowStatusFunction",
}  # fmt: skip


def queue_policies():
    """Return the statements of the policy of each queue that has one, by its logical id."""
    return {
        queue["Ref"]: policy["PolicyDocument"]["Statement"]
        for policy in transformed.of_type("AWS::SQS::QueuePolicy").values()
        for queue in policy["Queues"]
    }


@pytest.mark.parametrize("queue", sorted(transformed.of_type("AWS::SQS::Queue")))
def test_queue_takes_no_call_without_tls(queue):
    denied = [one for one in queue_policies()[queue] if one["Effect"] == "Deny"]

    assert denied == [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": {"Fn::GetAtt": [queue, "Arn"]},
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]


def test_whom_a_queue_lets_in_is_of_this_account():
    for name, statements in queue_policies().items():
        for one in statements:
            if one["Effect"] == "Allow":
                condition = one["Condition"]
                assert condition["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
                assert "${AWS::StackName}" in json.dumps(condition["ArnLike"]), name


def test_only_the_work_queue_may_dead_letter_into_ours():
    queues = transformed.of_type("AWS::SQS::Queue")
    allowed = queues["DeadLetterQueue"]["RedriveAllowPolicy"]

    assert allowed["redrivePermission"] == "byQueue"
    (arn,) = allowed["sourceQueueArns"]
    assert arn["Fn::Join"][1][-1] == queues["WorkQueue"]["QueueName"]


def test_no_event_and_no_schedule_ends_nowhere():
    """Whoever cannot be reached, or fails at what nobody waits for, leaves it in a queue."""
    kept = {"Arn": {"Fn::GetAtt": ["UndeliveredQueue", "Arn"]}}
    targets = [
        *(one["Target"] for one in transformed.of_type("AWS::Scheduler::Schedule").values()),
        *(t for rule in transformed.of_type("AWS::Events::Rule").values() for t in rule["Targets"]),
    ]
    functions = {
        target["Arn"]["Fn::GetAtt"][0] for target in targets if "Fn::GetAtt" in target["Arn"]
    }

    assert len(targets) >= 4
    assert [one["DeadLetterConfig"] for one in targets] == [kept] * len(targets)
    failed = transformed.of_type("AWS::Lambda::EventInvokeConfig").values()
    assert {one["FunctionName"]["Ref"] for one in failed} == functions
    for one in failed:
        (place,) = one["DestinationConfig"]["OnFailure"].values()
        assert place == kept["Arn"]
    alarms = transformed.of_type("AWS::CloudWatch::Alarm").values()
    assert any("UndeliveredQueue" in json.dumps(alarm["Dimensions"]) for alarm in alarms)


def test_no_table_can_be_deleted_by_one_call():
    for name, table in transformed.of_type("AWS::DynamoDB::Table").items():
        assert table["DeletionProtectionEnabled"] is True, name


def test_what_looks_at_everything_leaves_room_for_what_must_go_on():
    bounded = {
        name
        for name, one in transformed.of_type("AWS::Lambda::Function").items()
        if "ReservedConcurrentExecutions" in one
    }

    assert bounded == LOOKING
    parameter = template()["Parameters"]["ListConcurrency"]
    # AWS leaves 100 for all other functions of an account, which has 1,000 unless it is new.
    assert len(LOOKING) * parameter["Default"] <= 1_000 - 100
    without = with_parameters({"ListConcurrency": "0"})["Resources"].values()
    assert not [one for one in without if "ReservedConcurrentExecutions" in one["Properties"]]


def test_api_is_behind_a_web_acl_where_there_is_one():
    acl = "arn:aws:wafv2:us-east-1:111122223333:regional/webacl/ours/1"
    resources = with_parameters({"WebAclArn": acl})["Resources"]

    assert "WebAcl" not in with_parameters({})["Resources"]
    found = resources["WebAcl"]["Properties"]
    assert found["WebACLArn"] == acl
    assert "${Api}" in found["ResourceArn"]["Fn::Sub"] or "Api" in json.dumps(found["ResourceArn"])


@pytest.mark.parametrize("kind", KEYS)
def test_key_of_one_s_own_is_used_wherever_something_is_kept(kind):
    for key in ("", KEY):
        resources = with_parameters({"KmsKeyArn": key})["Resources"]
        for name, resource in resources.items():
            if resource["Type"] != kind:
                continue
            found = resource["Properties"]
            for part in KEYS[kind]:
                found = found.get(part, {})
            assert found == (key or {}), name


def test_of_what_keeps_something_none_is_forgotten():
    kept = {one["Type"] for one in transformed.resources().values()}
    keeping = {kind for kind in kept if kind.split("::")[1] in (
        "DynamoDB", "Logs", "SQS", "SecretsManager", "StepFunctions",
    )}  # fmt: skip

    assert keeping - {"AWS::SQS::QueuePolicy"} <= KEYS.keys() | WITHOUT_KEY


def test_queue_has_the_key_of_sqs_or_one_s_own():
    for key in ("", KEY):
        resources = with_parameters({"KmsKeyArn": key})["Resources"].values()
        for queue in (one["Properties"] for one in resources if one["Type"] == "AWS::SQS::Queue"):
            assert queue["SqsManagedSseEnabled"] is (not key)
