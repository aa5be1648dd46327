"""What is checked of a queue before it is registered, and what a refusal names."""

import json
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from tests.support.cloud import ACCOUNT, ENVIRONMENT, OTHER, REGION, client, forget
from workflows.messages.ids import DEFAULT_QUEUE
from workflows.queues import addresses, checks, permissions, registry
from workflows.queues.queue import Queue
from workflows.runtime import aws

pytestmark = pytest.mark.usefixtures("tables", "queues")

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-77"


def make(name: str, **attributes: str) -> None:
    if name.endswith(".fifo"):
        attributes["FifoQueue"] = "true"
    client("sqs").create_queue(QueueName=name, Attributes=attributes)


def pair(source="team-a", dead="team-a-dead", name="a", **fields):
    one, other = addresses.read(source), addresses.read(dead)
    return Queue(
        name, one.url, other.url, source_arn=one.arn, dead_letter_arn=other.arn, fifo=one.fifo,
        **fields,
    )  # fmt: skip


@pytest.fixture
def made(queues):
    for name in ("team-a", "team-a-dead", "team-f.fifo", "team-f-dead.fifo"):
        make(name)


def refused(queue, error=checks.UnfitQueue):
    with pytest.raises(error) as found:
        checks.check(queue)
    return str(found.value)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("queue", [("team-a", "team-a-dead"), ("team-f.fifo", "team-f-dead.fifo")])
def test_two_queues_of_one_kind_are_a_queue(queue):
    checks.check(pair(*queue))


@pytest.mark.usefixtures("made")
def test_checking_changes_nothing_on_the_queues(calls):
    dead, source = pair().dead_letter_url, pair().source_url
    aws.sqs().send_message(QueueUrl=dead, MessageBody="dead")
    sent = len(calls.ends)

    checks.check(pair())

    assert "before SendMessage" not in calls.ends[sent:]
    (message,) = aws.sqs().receive_message(
        QueueUrl=dead, AttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"  # this one
    assert "Messages" not in aws.sqs().receive_message(QueueUrl=source)


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 64])
def test_name_has_letters_digits_and_two_signs(name):
    assert checks.name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a.b", "a/b", "ü", "a\n", "٣", "a:b"])
def test_other_names_are_refused(name):
    with pytest.raises(checks.UnfitQueue, match="1 to 64 letters"):
        checks.name(name)


def test_name_of_the_built_in_pair_is_refused():
    with pytest.raises(checks.BuiltInQueue, match=r"^$") as found:
        checks.name(DEFAULT_QUEUE)
    assert "the template's" in found.value.sentence


def test_queue_is_not_its_own_dead_letter_queue():
    assert "its own dead-letter queue" in refused(pair("team-a", "team-a"))


@pytest.mark.parametrize("queue", [("team-f.fifo", "team-a-dead"), ("team-a", "team-f-dead.fifo")])
def test_fifo_goes_with_fifo(queue):
    assert "Both queues must be FIFO" in refused(pair(*queue))


@pytest.mark.parametrize(
    "queue", [("work.fifo", "team-f.fifo"), ("team-f.fifo", "dead-letter.fifo")]
)
def test_built_in_queues_are_the_default_s(queue):
    assert "belong to the queue default" in refused(pair(*queue))


@pytest.mark.usefixtures("made")
def test_dead_letter_queue_of_another_queue_is_refused_by_that_one_s_name():
    registry.register(pair(), "o")

    again = pair("team-b", "team-a-dead", "b")
    assert "the queue a." in refused(again, registry.DeadLetterQueueTaken)
    # Nor may what goes round be nobody's dead letter: the queues the other way about.
    assert "the source queue of a." in refused(pair("team-a-dead", "team-a", "b"))
    checks.check(pair())  # it may be registered anew


@pytest.mark.parametrize("missing", ["team-a", "team-a-dead"])
def test_queue_that_is_not_there_is_named(made, missing):
    aws.sqs().delete_queue(QueueUrl=addresses.read(missing).url)

    told = refused(pair(), permissions.QueueMissing)

    assert addresses.read(missing).arn in told
    assert "sqs:GetQueueAttributes" in told  # SQS does not tell one from the other


@pytest.mark.usefixtures("made")
def test_dead_letter_queue_with_a_redrive_policy_is_taken_only_knowingly():
    policy = {"deadLetterTargetArn": pair().source_arn, "maxReceiveCount": 5}
    aws.sqs().set_queue_attributes(
        QueueUrl=pair().dead_letter_url, Attributes={"RedrivePolicy": json.dumps(policy)}
    )

    assert "acknowledge_receives" in refused(pair())
    checks.check(pair(acknowledge_receives=True))


# --- Permissions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "dead", "named"),
    [
        ("orders", "team-a-dead", f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders"),
        ("team-a", "orders", f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders"),
        (f"arn:aws:sqs:{REGION}:{'3' * 12}:team-a", "team-a-dead", "3" * 12),
    ],
)
def test_queue_that_the_parameter_does_not_name_is_refused_without_a_call(
    made, calls, source, dead, named
):
    told = refused(pair(source, dead), permissions.PermissionMissing)

    assert "RedriveQueueArns" in told
    assert named in told
    for action in (permissions.READ, *permissions.SENDING, *permissions.TAKING):
        assert action in told
    assert not any(named in str(end) for end in calls.ends)


def test_names_of_a_parameter_may_have_spaces_between_them(made, monkeypatch):
    """The template forbids them; whoever sets the variable by hand may not know."""
    given = f"arn:aws:sqs:{REGION}:{ACCOUNT}:x, {ENVIRONMENT['REDRIVE_QUEUE_ARNS']}"
    monkeypatch.setenv("REDRIVE_QUEUE_ARNS", given.replace(",", " , "))
    forget()

    checks.check(pair())


def test_without_the_parameter_no_queue_may_be_registered(made, monkeypatch):
    monkeypatch.setenv("REDRIVE_QUEUE_ARNS", "")
    forget()

    assert "RedriveQueueArns" in refused(pair(), permissions.PermissionMissing)


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("arn:aws:sqs:us-east-1:1:team-*", True),
        ("arn:aws:sqs:us-east-1:*:team-a", True),
        ("arn:aws:sqs:us-east-1:1:team-?", True),
        ("*", True),
        ("arn:aws:sqs:us-east-1:1:team", False),
        ("arn:aws:sqs:us-east-1:1:team-??", False),
        ("arn:aws:sqs:us-east-1:*", False),
        ("arn:aws:sqs:*:2:team-a", False),
        ("arn:aws:sqs:us-east-1:1:team.a", False),
        ("arn:aws:sqs:us-east-1:1:[t]eam-a", False),
    ],
)
def test_pattern_names_what_a_policy_with_it_would(pattern, matches):
    assert permissions._matches("arn:aws:sqs:us-east-1:1:team-a", pattern) is matches


CALLS = {
    "SendMessageBatch": ("source", "sqs:SendMessage"),
    "ReceiveMessage": ("dead_letter", "sqs:ReceiveMessage"),
    "DeleteMessageBatch": ("dead_letter", "sqs:DeleteMessage"),
    "ChangeMessageVisibilityBatch": ("dead_letter", "sqs:ChangeMessageVisibility"),
    "GetQueueAttributes": ("source", "sqs:GetQueueAttributes"),
}


def denied(call, code="AccessDenied"):
    """Let SQS refuse one call, as it does for a policy of the queue."""

    def refuse(model, **_):
        if model.name == call:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, call)

    aws.sqs().meta.events.register("before-call", refuse)


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException"])
@pytest.mark.parametrize("call", CALLS)
def test_permission_that_sqs_refuses_is_named_with_its_queue(call, code):
    which, action = CALLS[call]
    denied(call, code)

    told = refused(pair(), permissions.PermissionMissing)

    assert told == f"The stack lacks {action} on {getattr(pair(), f'{which}_arn')}."


@pytest.mark.usefixtures("made")
def test_all_permissions_that_a_queue_refuses_are_named_at_once():
    denied("ReceiveMessage")
    denied("DeleteMessageBatch", "AWS.SimpleQueueService.NonExistentQueue")  # hidden

    told = refused(pair(), permissions.PermissionMissing)

    assert told.startswith("The stack lacks sqs:ReceiveMessage, sqs:DeleteMessage on ")


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("call", CALLS)
def test_what_proves_nothing_is_no_refusal(call):
    """Throttling, say, is passed on for a read, and takes nothing for a missing permission."""
    denied(call, "RequestThrottled")

    if call == "GetQueueAttributes":
        with pytest.raises(ClientError):
            checks.check(pair())
    else:
        checks.check(pair())


@pytest.mark.usefixtures("made")
def test_what_is_asked_can_receive_nothing(monkeypatch):
    asked = []
    monkeypatch.setattr(aws.sqs(), "receive_message", lambda **given: asked.append(given))

    checks.check(pair())

    (given,) = asked
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
    assert given["MaxNumberOfMessages"] > 10
    assert given["VisibilityTimeout"] > 43_200
    assert given["WaitTimeSeconds"] > 20


def with_key(key):
    make("team-k", KmsMasterKeyId=key)
    make("team-k-dead")
    return pair("team-k", "team-k-dead")


@pytest.mark.parametrize("key", ["alias/aws/sqs", f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/sqs",
                                 "1234abcd-77", KEY, "alias/ours"])  # fmt: skip
def test_queue_with_a_key_that_the_stack_may_use_is_taken(key):
    checks.check(with_key(key))


@pytest.mark.parametrize(
    ("key", "whole"),
    [
        ("77", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/77"),
        (f"arn:aws:kms:{REGION}:{OTHER}:key/1234abcd-77", OTHER),
    ],
)
def test_key_that_the_parameter_does_not_name_is_named(key, whole):
    told = refused(with_key(key), permissions.PermissionMissing)

    assert whole in told
    assert "RedriveQueueKeyArns" in told
    assert "kms:Decrypt and kms:GenerateDataKey" in told


def test_alias_of_a_key_is_refused_where_no_key_is_named(monkeypatch):
    monkeypatch.setenv("REDRIVE_QUEUE_KEY_ARNS", "")
    forget()

    assert "alias/ours" in refused(with_key("alias/ours"), permissions.PermissionMissing)


def test_key_of_the_dead_letter_queue_counts_too():
    make("team-k-dead", KmsMasterKeyId="77")
    make("team-k")

    assert "key/77" in refused(pair("team-k", "team-k-dead"), permissions.PermissionMissing)


def test_plain_id_of_a_key_is_of_the_queue_s_account():
    arn = f"arn:aws:sqs:{REGION}:{OTHER}:orders"

    with pytest.raises(permissions.PermissionMissing, match=f":{OTHER}:key/1234abcd-77"):
        permissions.check_key(arn, {"KmsMasterKeyId": "1234abcd-77"})


def test_queues_of_another_account_are_asked_at_its_address():
    queue = pair(f"arn:aws:sqs:{REGION}:{OTHER}:orders", f"arn:aws:sqs:{REGION}:{OTHER}:dead")

    assert OTHER in refused(queue, permissions.QueueMissing)
    assert queue.source_url == ENVIRONMENT["WORK_QUEUE_URL"].replace(
        f"{ACCOUNT}/work.fifo", f"{OTHER}/orders"
    )


def test_replacing_settings_needs_no_other_queues(made):
    registry.register(pair(), "o")

    checks.check(replace(pair(), max_redrives=2))
