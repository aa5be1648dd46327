"""The whole story with IAM enforced: what each function's role in the template must suffice for."""

import json
import re
import shutil

import pytest

from local.client import Client
from local.deadline import wait_until
from local.stack import ROOT, Stack
from tests.flows import credit, dead_message, finished, settled
from tests.redrive_runs import is_visible_again
from tests.stack_fixtures import dead_letter, ended, put, put_on_dlq, record, row, transaction

pytestmark = [pytest.mark.xdist_group("iam"), pytest.mark.timeout(180)]


def actions_logged(stack):
    """Return what the functions say they did; all log to one group."""
    lines = [line for line in stack.lambda_log().splitlines() if line.startswith("{")]
    return {line["action"] for line in map(json.loads, lines) if "action" in line}


def actions_of_the_functions():
    sources = "".join(path.read_text() for path in (ROOT / "lambdas").glob("*.py"))
    return set(re.findall(r'telemetry\.action\(\s*"(\w+)"', sources))


def test_every_function_may_do_what_it_must():
    with Stack(enforce_iam=True, wait_scale=0.01) as stack:
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
        assert errors_in(stack.lambda_log()) == {"AccountFrozen"}
        assert "AccessDenied" not in stack.lambda_log() + stack.log()
        assert actions_logged(stack) >= actions_of_the_functions()


def stopped_run_is_set_right(stack, operator):
    """Stop a run from outside; its record, its lock and the next run need further permissions."""
    stopped = operator.reprocess().expect(202)
    stack.client("stepfunctions").stop_execution(executionArn=stopped["execution_arn"])
    ended(stack, stopped["execution_arn"])

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
    retried, discarded = ({"filter": {"message_ids": [m.message_id]}} for m in letters)
    many = [
        operator.call("PATCH", "/messages", retried | {"merge": {"amount": "2.00"}}),
        operator.call("POST", "/messages/retry", retried),
        operator.call("POST", "/messages/discard", discarded | {"reason": "a test"}),
    ]
    statuses = [answer.expect(200)["results"][0].get("status") for answer in many]
    assert statuses == ["DEAD", "REDRIVEN", "DISCARDED"]
    settled(producer, letters[0].message_id, "PROCESSED")


def run_is_planned_watched_and_cancelled(stack, producer, operator):
    """Redrive by a plan with a canary, leaving one out; then cancel a run that finds nothing."""
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

    endless = operator.reprocess(filter={"message_ids": [wanted.message_id]}).expect(202)
    assert operator.cancel(endless["run_id"]).expect(202)["status"] == "CANCELLING"
    assert finished(operator, endless["run_id"])["redriven"] == 0
    assert is_visible_again(stack, left)


def invoke(stack, function):
    client = stack.client("lambda")
    names = [found["FunctionName"] for found in client.list_functions()["Functions"]]
    (name,) = [name for name in names if function in name]
    return json.loads(client.invoke(FunctionName=name, Payload=b"{}")["Payload"].read())


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
    (tmp_path / "template.yaml").write_text(template)

    with Stack(enforce_iam=True, root=tmp_path) as stack:
        producer = Client(stack.api_url).signed_in(**stack.users["producer"])
        answers = [producer.send(credit()), producer.message("no-such-message")]

        assert [answer.status for answer in answers] == [500, 500]
        assert producer.status().status == 200
        for answer in answers:
            assert answer.json["error"]["code"] == "internal_error"
            assert "AccessDenied" not in answer.text
