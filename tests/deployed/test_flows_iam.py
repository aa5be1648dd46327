"""The whole story with IAM enforced: what each function's role in the template must suffice for."""

import json
import re
import shutil

import pytest

from local.client import Client
from local.deadline import wait_until
from local.emulator import REGION
from local.stack import ROOT, Stack
from tests.deployed import permissions
from tests.deployed.flows import credit, dead_message, finished, settled
from tests.deployed.team_functions import create
from tests.support import objects
from tests.support.redrive_runs import COUNTERS, LOCK, QUEUE, consume, is_visible_again
from tests.support.stack_fixtures import (
    dead_letter,
    ended,
    history,
    leg_arn,
    put,
    put_on_dlq,
    record,
    row,
    run_machine,
    transaction,
)
from workflows.groups.fences import FENCED
from workflows.redrive.lane import Asked, Lane
from workflows.redrive.legs import Told
from workflows.runtime import shards

pytestmark = [pytest.mark.xdist_group("iam"), pytest.mark.timeout(180)]


def actions_logged(stack):
    """Return what the functions say they did; all log to one group."""
    lines = [line for line in stack.lambda_log().splitlines() if line.startswith("{")]
    return {line["action"] for line in map(json.loads, lines) if "action" in line}


def actions_of_the_functions():
    sources = "".join(path.read_text() for path in (ROOT / "lambdas").glob("*.py"))
    machine = (ROOT / "statemachines" / "redrive.asl.json").read_text()
    steps = {f"{step}_run" for step in re.findall(r'"do": "(\w+)"', machine)}
    return steps | set(re.findall(r'telemetry\.action\(\s*"(\w+)"', sources))


def test_every_function_may_do_what_it_must():
    named = {
        "RedriveQueueArns": f"arn:aws:sqs:{REGION}:*:team-*",
        "EffectFunctionArns": f"arn:aws:lambda:{REGION}:*:function:team-*",
        "RedrivePayloadBucketArns": f"arn:aws:s3:::{objects.BUCKET},arn:aws:s3:::nobody-s",
    }
    with Stack(enforce_iam=True, wait_scale=0.01, parameters=named) as stack:
        anybody = Client(stack.api_url)
        producer = anybody.signed_in(**stack.users["producer"])
        operator = anybody.signed_in(**stack.users["operator"])
        settled(producer, producer.send(credit()).expect(202)["message_id"], "PROCESSED")
        poor = producer.send(credit(kind="debit")).expect(202)["message_id"]
        settled(producer, poor, "DEAD")
        account_id, record = dead_message(stack, producer)
        put(stack, "Accounts", {"account_id": account_id, "status": "ACTIVE"})
        foreign = put_on_dlq(stack, "not an envelope", "foreign")
        assert producer.status().expect(200)["messages"]["dead"] == 2
        assert len(producer.dead_letters().expect(200)["messages"]) == 2
        assert len(producer.failure_groups().expect(200)["groups"]) == 2

        run_id = operator.reprocess(max_messages=3).expect(202)["run_id"]
        run = finished(operator, run_id)
        settled(producer, record["message_id"], "PROCESSED")
        wait_until(
            lambda: producer.message(poor).expect(200)["redrives"] == 1, 30, "the debit came back"
        )

        assert (run["status"], run["redriven"], run["quarantined"]) == ("SUCCEEDED", 2, 1)
        assert row(stack, "Messages", f"sqs:{foreign}")["status"] == "QUARANTINED"
        assert operator.quarantine().expect(200)["messages"][0]["body"] == "not an envelope"
        assert [r["run_id"] for r in operator.runs().expect(200)["runs"]] == [run_id]
        assert anybody.call("GET", "/docs").status == 200
        assert anybody.call("GET", "/openapi.json").status == 200
        stopped_run_is_set_right(stack, operator)
        held_group_goes_on(stack, producer, operator)
        dead_messages_are_mended(stack, producer, operator)
        run_is_planned_watched_and_cancelled(stack, producer, operator)
        message_comes_again(stack, producer)
        whatever_was_abandoned_is_found(stack, operator)
        runs_fail_and_find_nothing(stack, operator)
        queue_is_registered_and_removed(stack, producer, operator)
        type_is_registered_and_removed(stack, producer, operator)
        # And of those runs, and the two that ended without a word.
        assert errors_in(stack.lambda_log()) == {
            "AccountFrozen",
            "OutOfAttempts",  # the last of them
            "ABORTED",
            "FAILED",
            "PermissionMissing",  # of a queue that no parameter names
            "permission_missing",
            "QueueInUse",  # by a run
            "queue_in_use",
            "EffectFailed",
            "TypeInUse",
            "type_in_use",
        }
        assert "AccessDenied" not in stack.lambda_log() + stack.log()
        assert actions_logged(stack) >= actions_of_the_functions()
        assert permissions_unused(stack) == set(UNUSED)


def stopped_run_is_set_right(stack, operator):
    """Stop a run from outside; its record, its lock and the next run need further permissions."""
    dead_letter(stack, transaction())
    consume(stack, False)  # or the message would end, and with it the run
    canary = {"messages": 1, "watch_seconds": 600}
    stopped = operator.reprocess(canary=canary).expect(202)
    arn = stopped["execution_arn"]
    wait_until(lambda: "WaitForOutcomes" in history(stack, arn), 60, "the run watches")
    stack.client("stepfunctions").stop_execution(executionArn=arn)
    ended(stack, arn)
    consume(stack, True)

    assert operator.run(stopped["run_id"]).expect(200)["status"] == "ABORTED"
    following = operator.reprocess(max_messages=1).expect(202)
    assert finished(operator, following["run_id"])["status"] == "SUCCEEDED"


def held_group_goes_on(stack, producer, operator):
    """Fence a group, look at it, and discard the message it waits for."""
    account_id, record = dead_message(stack, producer)
    later = producer.send(credit(account_id)).expect(202)["message_id"]
    settled(producer, later, "PARKED")
    assert account_id in {g["group_id"] for g in operator.call("GET", "/groups").json["groups"]}
    assert operator.call("GET", f"/groups/{account_id}").json["parked_message_ids"] == [later]
    put(stack, "Accounts", {"account_id": account_id, "status": "ACTIVE"})

    path = f"/messages/{record['message_id']}/discard"
    assert operator.call("POST", path, {"reason": "a test"}).status == 200
    found = operator.call("GET", f"/audit?message_id={record['message_id']}").json["records"]
    assert [entry["result"] for entry in found] == ["DISCARDED"]
    assert operator.call("GET", "/audit?actor=nobody").json["records"] == []
    assert len(operator.call("GET", "/audit").json["records"]) > 2
    settled(producer, later, "PROCESSED")


def dead_messages_are_mended(stack, producer, operator):
    """Edit, retry and discard, one and many; and let the sweep finish a retry that had stopped."""
    account_id, dead = dead_message(stack, producer)
    put(stack, "Accounts", {"account_id": account_id, "status": "ACTIVE"})
    path = f"/messages/{dead['message_id']}"
    operator.call("PATCH", path, {"payload": credit(account_id, amount="1.00")}).expect(200)
    operator.call("POST", f"{path}/retry").expect(202)
    settled(producer, dead["message_id"], "PROCESSED")

    unsent = transaction()
    record(stack, unsent, "REDRIVEN", redrives=1, trouble="SENDING", body=unsent.body(),
           updated_at="2026-01-01T00:00:00.000Z")  # fmt: skip
    assert unsent.message_id in invoke(stack, "RecoverExecutions")["resent"]
    settled(producer, unsent.message_id, "PROCESSED")

    letters = [transaction(), transaction()]
    for letter in letters:
        record(stack, letter, "DEAD")
    retried, discarded = ({"filter": {"group_id": m.group_id}} for m in letters)
    many = [
        operator.call("PATCH", "/messages", retried | {"merge": {"amount": "2.00"}}),
        operator.call("POST", "/messages/retry", retried),
        operator.call("POST", "/messages/discard", discarded | {"reason": "a test"}),
    ]
    statuses = [answer.expect(200)["results"][0].get("status") for answer in many]
    assert statuses == ["DEAD", "REDRIVEN", "DISCARDED"]
    settled(producer, letters[0].message_id, "PROCESSED")


def run_is_planned_watched_and_cancelled(stack, producer, operator):
    """Redrive by a plan with a canary, leaving one out; then cancel a run that watches."""
    left, wanted = transaction(), transaction()
    for message in (left, wanted):
        dead_letter(stack, message)
    request = {
        "filter": {"message_ids": [wanted.message_id], "jmespath": "amount > `1`"},
        "canary": {"messages": 1, "watch_seconds": 60},
        "max_messages": 1,
    }
    planned = operator.reprocess(dry_run=True, **request).expect(200)
    assert planned["counts"]["redrive"] == 1
    started = operator.reprocess(plan_hash=planned["plan_hash"], **request).expect(202)
    run = finished(operator, started["run_id"])
    assert (run["status"], run["redriven"]) == ("SUCCEEDED", 1)
    assert run["left"] >= 1
    assert run["outcome"]["processed"] == 1
    settled(producer, wanted.message_id, "PROCESSED")
    assert is_visible_again(stack, left)

    watched = transaction()
    dead_letter(stack, watched)
    consume(stack, False)  # or the message would end, and with it the run
    request |= {"filter": {"message_ids": [watched.message_id]}, "max_messages": 2}
    endless = operator.reprocess(**request).expect(202)
    assert operator.cancel(endless["run_id"]).expect(202)["status"] == "CANCELLING"
    assert finished(operator, endless["run_id"])["status"] == "CANCELLED"
    assert is_visible_again(stack, left)


def message_comes_again(stack, producer):
    """Send a message again, and let the consumer meet it when SQS has delivered it before."""
    consume(stack, False)
    payload = credit()
    message_id = producer.send(payload).expect(202)["message_id"]
    producer.send(payload, message_id=message_id).expect(200)
    work = stack.outputs["WorkQueueUrl"]
    stack.client("sqs").receive_message(QueueUrl=work, VisibilityTimeout=0)
    consume(stack, True)
    settled(producer, message_id, "PROCESSED")


def what_sqs_refused_is_let_go_of(stack, message, run_id):
    """Settle a leg of whose batch SQS took nothing: the emulator's refuses none."""
    asked = Asked(verdict="redrive", id=message.message_id, redrives=0)
    told = Told(
        lane=Lane(asked=[asked], turns=1), done=[], sent_at=0, failure="", cut_short=False,
        in_hand=False,
    )  # fmt: skip
    step = {"do": "settle", "run_id": run_id, "trace_id": "t", "leg": told.model_dump()}
    assert invoke(stack, "ConductRun", step)["lane"]["unsent"] == []
    assert row(stack, "Messages", message.message_id)["status"] == "DEAD"


def whatever_was_abandoned_is_found(stack, operator):
    """Leave runs, what one holds, the lock and a fence without an owner; look, and sweep."""
    gone = stack.outputs["RedriveStateMachineArn"].replace("stateMachine", "execution") + ":gone"
    run = {
        "status": "RUNNING", "trigger": "api", "requested_by": "o", "owned_at": 1, "request": "{}",
        "dead_letter_queue": QUEUE, "execution_arn": gone, "started_at": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    counters = dict.fromkeys(COUNTERS, 0)
    put(stack, "Runs", run | counters | {"run_id": "found-in-the-list"})
    listed = {r["run_id"]: r["status"] for r in operator.runs().expect(200)["runs"]}
    assert listed["found-in-the-list"] == "FAILED"

    put(stack, "Runs", run | counters | {"run_id": "swept"})
    put(stack, "Runs", {"run_id": LOCK, "holder": "swept", "lease_until": 1, "execution_arn": gone})
    held = {"held_by": "swept", "receipt_handles": ["stale"], "started_at": run["started_at"]}
    put(stack, "Runs", held | {"run_id": "HELD#swept#0.0", "dead_letter_queue": f"HELD#{QUEUE}"})
    message = transaction()
    record(stack, message, "RETRYING")
    retry = stack.outputs["RetryStateMachineArn"].replace("stateMachine", "execution")
    fence = {
        "group_id": message.group_id, "item": "FENCE", "generation": 1,
        "fenced": shards.key(FENCED, message.group_id),
        "holder": message.message_id, "parked": 0, "drained": 0, "since": run["started_at"],
        "owned_at": 1, "execution_arn": f"{retry}:gone",
    }  # fmt: skip
    put(stack, "Groups", fence)
    refused, unsure = transaction(), transaction()
    for guarded in (refused, unsure):
        record(
            stack, guarded, "REDRIVEN", trouble="REDRIVING", redrives=1, redrive_mark="swept#0.1",
            redriven_by=shards.key("swept", guarded.message_id),
        )  # fmt: skip
    what_sqs_refused_is_let_go_of(stack, refused, "swept")
    swept = invoke(stack, "RecoverExecutions")
    assert swept["let_go"] == [unsure.message_id]
    assert (swept["run_ids"], swept["released"]) == (["swept"], ["swept"])
    assert message.group_id in swept["groups"]
    event = {"detail": {"input": json.dumps({"group_id": message.group_id})}}
    assert invoke(stack, "RecoverExecutions", event)["run_ids"] == []


def runs_fail_and_find_nothing(stack, operator):
    """Start a run with what is none, stop another's lane, and let one look at an empty queue."""
    assert run_machine(stack, "redrive", {"Request": {}}).error == "InvalidInput"

    for _ in range(2):
        dead_letter(stack, transaction())
    paced = operator.reprocess(max_per_second=0.1).expect(202)
    arn = paced["execution_arn"]
    wait_until(lambda: "WaitForRate" in history(stack, arn), 60, "the lane waits")
    stack.client("stepfunctions").stop_execution(executionArn=leg_arn(stack, arn))
    assert finished(operator, paced["run_id"])["failure"] == "LaneStopped"

    following = operator.reprocess().expect(202)
    assert finished(operator, following["run_id"])["status"] == "SUCCEEDED"


def queue_is_registered_and_removed(stack, producer, operator):
    """Register queues that the parameter names; of any other one nobody even asks."""
    for name in ("team-a", "team-a-dead", "others"):
        stack.client("sqs").create_queue(QueueName=name)
    pair = {"source_queue": "team-a", "dead_letter_queue": "team-a-dead"}

    operator.call("PUT", "/queues/a", pair).expect(201)
    assert producer.call("GET", "/queues/a").expect(200)["dead_letters"]["name"] == "team-a-dead"
    assert len(producer.call("GET", "/queues").expect(200)["queues"]) == 2
    assert producer.call("GET", "/queues/default").expect(200)["problem"] is None
    refused = operator.call("PUT", "/queues/b", pair | {"dead_letter_queue": "others"})
    assert refused.expect(422)["error"]["code"] == "permission_missing"
    registered_queue_is_redriven(stack, producer, operator)
    letter_that_fits_no_state_is_moved(stack, operator)
    bodies_in_s3_are_looked_into(stack, operator, pair)
    operator.call("DELETE", "/queues/a").expect(200)


def registered_queue_is_redriven(stack, producer, operator):
    """Look at what is on the queue, mend it and redrive it; what is active cannot be removed."""
    sqs = stack.client("sqs")
    dead = sqs.get_queue_url(QueueName="team-a-dead")["QueueUrl"]
    for body in ('{"sent": "by hand"}', "discarded"):
        sqs.send_message(QueueUrl=dead, MessageBody=body)
    assert operator.reprocess(queue="a", dry_run=True).expect(200)["unnoted"] == 2
    finished(operator, operator.reprocess(queue="a", look=True).expect(202)["run_id"])
    first, second = producer.dead_letters(queue="a").expect(200)["messages"]
    assert producer.call("GET", "/messages/status?queue=a").expect(200)["messages"]["dead"] == 2
    assert producer.message(first["message_id"]).expect(200)["status"] == "DEAD"
    wanted = {"payload": {"sent": "by hand"}}
    edited = operator.call(
        "PATCH", "/messages", {"filter": wanted, "queue": "a", "merge": {"b": 1}}
    )
    assert [one["status"] for one in edited.expect(200)["results"]] == ["DEAD"]
    operator.call("POST", f"/messages/{first['message_id']}/retry", {}).expect(202)
    for action, more in (("retry", {"limit": 1}), ("discard", {"reason": "It is a test."})):
        asked = {"filter": {"message_ids": [second["message_id"]]}, "queue": "a"} | more
        operator.call("POST", f"/messages/{action}", asked).expect(200)
    canary = {"messages": 1, "watch_seconds": 600}
    sqs.send_message(QueueUrl=dead, MessageBody="watched")
    run_id = operator.reprocess(queue="a", canary=canary).expect(202)["run_id"]
    wait_until(lambda: operator.run(run_id).expect(200)["redriven"], 60, "the run watches")
    assert operator.call("DELETE", "/queues/a").status == 409
    operator.cancel(run_id).expect(202)
    finished(operator, run_id)
    run_machine(
        stack, "redrive", {"request": {"queue": "a", "max_messages": 1}}
    )  # as a console starts it
    assert len(operator.runs(queue="a").expect(200)["runs"]) == 3
    assert operator.quarantine(queue="a").expect(200)["messages"] == []


def type_is_registered_and_removed(stack, producer, operator):
    """Let the consumer, then the retry machine, have an effect that is a function; redrive one."""
    source = (
        "def handler(event, context):\n"
        "    if event['attempt'] < event['payload']['tries']: raise ValueError"
    )
    for name in ("team-effect", "others"):
        create(stack, name, "python3.13", "effect.py", source)
    refused = operator.call("PUT", "/types/t", {"function": "others"}).expect(422)
    assert refused["error"]["code"] == "permission_missing"
    operator.call("PUT", "/types/t", {"function": "team-effect"}).expect(201)
    assert producer.call("GET", "/types/t").expect(200)["function"].endswith(":team-effect")
    assert [one["type"] for one in producer.call("GET", "/types").expect(200)["types"]][-1] == "t"
    sent = producer.send({"tries": 2}, type_="t").expect(202)["message_id"]
    assert settled(producer, sent, "PROCESSED")["attempts"] == 2
    dead = producer.send({"tries": 6}, type_="t").expect(202)["message_id"]
    settled(producer, dead, "DEAD")
    assert operator.call("DELETE", "/types/t").status == 409
    finished(operator, operator.reprocess(filter={"type": "t"}).expect(202)["run_id"])
    settled(producer, dead, "PROCESSED")
    operator.call("DELETE", "/types/t").expect(200)


def letter_that_fits_no_state_is_moved(stack, operator):
    """Look at one that fits no row either, which is stored in parts; then redrive it."""
    sqs = stack.client("sqs")
    dead = sqs.get_queue_url(QueueName="team-a-dead")["QueueUrl"]
    sqs.send_message(QueueUrl=dead, MessageBody="x" * 330_000)
    looked = finished(operator, operator.reprocess(queue="a", look=True).expect(202)["run_id"])
    (noted,) = operator.dead_letters(queue="a").expect(200)["messages"]
    operator.message(noted["message_id"]).expect(200)
    moved = finished(operator, operator.reprocess(queue="a").expect(202)["run_id"])
    assert (looked["left"], moved["redriven"]) == (1, 1)
    assert moved["status"] == "SUCCEEDED"

    for queue in ("Work", "DeadLetter"):
        sqs.set_queue_attributes(
            QueueUrl=stack.outputs[f"{queue}QueueUrl"],
            Attributes={"MaximumMessageSize": "1048576"},
        )
    ours = [transaction(), transaction()]
    for message in ours:
        dead_letter(stack, message, 300_000)
    of_no_type = transaction()
    body = of_no_type.body().replace('"transaction"', '"nobody-s"').ljust(300_000)
    put_on_dlq(stack, body, of_no_type.group_id)
    finished(operator, operator.reprocess().expect(202)["run_id"])
    for message in ours:
        settled(operator, message.message_id, "PROCESSED")


def bodies_in_s3_are_looked_into(stack, operator, pair):
    """Let each function look that does: by a filter, for a plan, in a run."""
    operator.call("PUT", "/queues/a", pair | {"identity": "body.id", "unwrap": ["s3"]}).expect(200)
    s3, sqs = stack.client("s3"), stack.client("sqs")
    s3.create_bucket(Bucket=objects.BUCKET)
    dead = sqs.get_queue_url(QueueName="team-a-dead")["QueueUrl"]
    for number in range(4):
        content = json.dumps({"id": f"p-{number}"}).encode()
        s3.put_object(Bucket=objects.BUCKET, Key=f"k-{number}", Body=content)
        # One that fits no state, and is a pointer though.
        body = objects.pointer(f"k-{number}").ljust(330_000 if number == 3 else 0)
        sqs.send_message(QueueUrl=dead, MessageBody=body)
    looked = finished(operator, operator.reprocess(queue="a", look=True).expect(202)["run_id"])
    assert looked["left"] == 4
    acts: tuple[tuple[str, str, dict[str, object]], ...] = (
        ("POST", "/messages/discard", {"reason": "It is a test."}),
        ("POST", "/messages/retry", {}),
        ("PATCH", "/messages", {"merge": {"b": 1}}),
    )
    for number, (method, path, more) in enumerate(acts):
        wanted = {"queue": "a", "filter": {"payload": {"id": f"p-{number}"}}}
        done = operator.call(method, path, wanted | more).expect(200)["results"]
        assert [result["message_id"] for result in done] == [f"sqs:a:p-{number}"]
    s3.delete_object(Bucket=objects.BUCKET, Key="k-2")
    assert operator.reprocess(queue="a", dry_run=True).expect(200)["payloads_missing"] == 1
    run = finished(operator, operator.reprocess(queue="a").expect(202)["run_id"])
    assert (run["status"], run["redriven"], run["quarantined"]) == ("SUCCEEDED", 1, 1)
    for status in ("QUARANTINED", "DEAD"):  # the copy of it, and what the look had noted
        rest = {"filter": {}, "queue": "a", "status": status, "reason": "It is a test."}
        (done,) = operator.call("POST", "/messages/discard", rest).expect(200)["results"]
        assert done["status"] == "DISCARDED"


# Granted and not asked for above, each with its reason.
LOOKING = (
    "DiscardMessages", "RetryMessages", "EditMessages", "ReprocessDeadLetters",
    "ValidateMessages", "ReceiveLargeDeadLetters",
)  # fmt: skip
_POLLER = "AWS's poller needs it, in the function's name; the local one asks nobody."
UNUSED = {
    ("ConsumeMessages", "sqs:DeleteMessage", "work.fifo"): _POLLER,
    ("ConsumeMessages", "sqs:GetQueueAttributes", "work.fifo"): _POLLER,
    ("ConsumeMessages", "sqs:ReceiveMessage", "work.fifo"): _POLLER,
    **{
        ("RecoverExecutions", action, "team"): "The sweep does for a registered queue what it does"
        " above for the built-in one."
        for action in ("sqs:SendMessage", "sqs:ChangeMessageVisibility")
    },
    **{
        (function, "sqs:SendMessage", "UndeliveredQueue"): "Lambda keeps there, by the function's"
        " role, what it failed at three times."
        for function in ("RecoverExecutions", "NoteRunEnds")
    },
    **{
        (
            name,
            "s3:ListBucket",
            "team",
        ): "Nothing is listed: without it S3 says of an object that"
        " is not there that nobody may see it. The local one says the same in any case."
        for name in LOOKING
    },
    **{
        (name, action, "nobody"): "A second bucket, for the policy that two make."
        for name in LOOKING
        for action in ("s3:ListBucket", "s3:GetObject")
    },
    ("ConductRun", "dynamodb:PutItem", "RunsTable"): "To note a message that is too large for a"
    " state, which nothing is here; tests/machines/scenarios/limits.py has that.",
    ("ReprocessDeadLetters", "dynamodb:DeleteItem", "RunsTable"): "To give the lock back when"
    " StartExecution fails, which it does not here; tests/unit/redrive/test_runs.py has that.",
}


def permissions_unused(stack):
    """Return (function, action, what on) without the parts of names that a stack makes up."""
    return {
        (
            function.split("-")[1].removesuffix("Function"),
            action,
            resource.rpartition(":")[2].removeprefix("table/").removeprefix("local-").split("-")[0],
        )
        for function, left in permissions.unused(stack).items()
        for action, resource in left
    }


def invoke(stack, function, event=None):
    client = stack.client("lambda")
    names = [found["FunctionName"] for found in client.list_functions()["Functions"]]
    (name,) = [name for name in names if function in name]
    payload = json.dumps(event or {}).encode()
    return json.loads(client.invoke(FunctionName=name, Payload=payload)["Payload"].read())


def errors_in(log):
    """Return the classes of all errors that functions logged."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return {line["details"]["error"] for line in lines if line.get("status") == "error"}


def with_other_policy(template, function, old, new):
    """Return the template with something else in the policies of one function."""
    before, after = template.split(f"  {function}:", 1)
    policies, events = after.split("      Events:", 1)
    assert policies.count(old) == 1
    return f"{before}  {function}:{policies.replace(old, new)}      Events:{events}"


def assert_missing_permissions_are_named(stack):
    """Asked for by calls that can do nothing, of which the emulator looks at the permission."""
    operator = Client(stack.api_url).signed_in(**stack.users["operator"])
    for name in ("team-a", "team-a-dead"):
        stack.client("sqs").create_queue(QueueName=name)
    pair = {"source_queue": "team-a", "dead_letter_queue": "team-a-dead"}

    error = operator.call("PUT", "/queues/a", pair).expect(422)["error"]

    assert error["code"] == "permission_missing"
    lacking = "The stack lacks sqs:ReceiveMessage, sqs:DeleteMessage on arn:aws:sqs:"
    assert error["message"].startswith(lacking)
    assert error["message"].endswith(":team-a-dead.")


def test_enforcement_is_real(tmp_path):
    for folder in ("workflows", "lambdas", "statemachines", "local"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "samconfig.toml", tmp_path)
    template = (ROOT / "template.yaml").read_text()
    send = "        - SQSSendMessagePolicy: {QueueName: !GetAtt WorkQueue.QueueName}\n"
    template = with_other_policy(template, "SendMessageFunction", send, "")
    template = with_other_policy(
        template, "ShowMessageFunction", "dynamodb:GetItem", "dynamodb:DescribeTable"
    )
    template = with_other_policy(
        template, "RegisterQueuesFunction", "sqs:ReceiveMessage, sqs:DeleteMessage, ", ""
    )
    (tmp_path / "template.yaml").write_text(template)

    with Stack(enforce_iam=True, root=tmp_path) as stack:
        assert_missing_permissions_are_named(stack)
        producer = Client(stack.api_url).signed_in(**stack.users["producer"])
        answers = [producer.send(credit()), producer.message("no-such-message")]

        assert [answer.status for answer in answers] == [500, 500]
        assert producer.status().status == 200
        for answer in answers:
            assert answer.json["error"]["code"] == "internal_error"
            assert "AccessDenied" not in answer.text
