"""The redrive schedule, fired by the emulator's own scheduler."""

import json
from datetime import UTC, datetime

import pytest

from local.client import Client
from local.deadline import wait_until
from local.stack import Stack
from tests.support.stack_fixtures import (
    WAIT_SCALE,
    dead_letter,
    put_on_dlq,
    queued,
    run_machine,
    transaction,
)

pytestmark = [pytest.mark.xdist_group("schedule"), pytest.mark.timeout(240)]
# What is not ours goes to quarantine, and the transaction stays.
REQUEST = {"filter": {"type": "foreign"}, "max_messages": 1}


def test_schedule_starts_a_run():
    """Enabled once there is something to do, and for now: any rate would take a minute."""
    request = {"RedriveScheduleRequest": json.dumps(REQUEST)}
    with Stack(parameters=request | {"RedriveScheduleState": "DISABLED"}) as stack:
        left = left_and_foreign(stack)
        schedules, schedule = stack.client("scheduler"), named(stack, "edrive")
        assert schedule["State"] == "DISABLED"
        kept = ("Name", "FlexibleTimeWindow", "Target")
        schedules.update_schedule(
            ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
            State="ENABLED",
            **{name: schedule[name] for name in kept},
        )

        assert_scheduled_run(stack, left, seconds=60)


@pytest.mark.soak
def test_schedule_of_a_deployment_starts_a_run_each_minute():
    every_minute = {
        "RedriveScheduleState": "ENABLED",
        "RedriveScheduleExpression": "rate(1 minute)",
        "RedriveScheduleRequest": json.dumps(REQUEST),
    }
    with Stack(parameters=every_minute) as stack:
        assert_scheduled_run(stack, left_and_foreign(stack), seconds=150)


def left_and_foreign(stack):
    """Put on the queue what the request leaves, a message that is returned, and what it takes."""
    left = transaction()
    dead_letter(stack, left)
    put_on_dlq(stack, "not an envelope", "foreign")
    return left


def assert_scheduled_run(stack, left, seconds):
    operator = Client(stack.api_url).signed_in(**stack.users["operator"])

    def ended():
        runs = operator.runs().expect(200)["runs"]
        return [run for run in runs if run["status"] != "RUNNING"]

    # The oldest: a busy machine may be late enough for the next minute's.
    run = wait_until(ended, seconds, "a scheduled run has ended", interval=0.5)[-1]

    assert (run["trigger"], run["requested_by"]) == ("schedule", "schedule")
    assert (run["status"], run["received"], run["quarantined"]) == ("SUCCEEDED", 1, 1)
    assert (run["request"], run["left"]) == (REQUEST, 1)
    assert [letter["Body"] for letter in queued(stack, "DeadLetter")] == [left.body()]


@pytest.fixture(scope="module")
def misconfigured():
    """Give a stack whose schedule makes a request that is none."""
    request = {"RedriveScheduleRequest": '{"max_messages": 0}'}
    with Stack(parameters=request, wait_scale=WAIT_SCALE) as stack:
        yield stack


@pytest.mark.parametrize("request_", [None, {"filter": {"jmespath": "a =="}}])
def test_invalid_request_of_the_schedule_fails_loudly_and_touches_nothing(misconfigured, request_):
    """With the input that the scheduler would give, or another; its minute is not waited for."""
    given = scheduled_input(misconfigured)
    assert given["request"] == {"max_messages": 0}
    given["request"] = request_ or given["request"]
    message = transaction()
    dead_letter(misconfigured, message)

    run = run_machine(misconfigured, "redrive", given)

    assert (run.status, run.states[-2:]) == ("FAILED", ["FailRun", "RunFailed"])
    assert "InvalidInput" in str(run.error)
    operator = Client(misconfigured.api_url).signed_in(**misconfigured.users["operator"])
    shown = operator.run(run.name).expect(200)
    assert (shown["status"], shown["trigger"]) == ("FAILED", "schedule")
    assert shown["request"] == given["request"]
    assert (shown["received"], "InvalidInput" in shown["failure"]) == (0, True)
    assert len(queued(misconfigured, "DeadLetter", message.group_id)) == 1
    (record,) = operator.audit(limit=1).expect(200)["records"]
    assert (record["action"], record["actor"]) == ("end_run", "schedule")
    assert (record["run_id"], record["result"]) == (run.name, "FAILED")


def scheduled_input(stack):
    """Return what the deployed schedule starts the machine with."""
    return json.loads(named(stack, "edrive")["Target"]["Input"])


def named(stack, part):
    """Return the schedule whose name has this part."""
    schedules = stack.client("scheduler")
    (name,) = (
        schedule["Name"]
        for schedule in schedules.list_schedules()["Schedules"]
        if part in schedule["Name"]
    )
    return schedules.get_schedule(Name=name)


@pytest.mark.parametrize("without", ["no field", "Input"])
def test_schedule_of_the_sweep_sweeps(misconfigured, without):
    """As deployed, and as somebody may have changed it."""
    target = named(misconfigured, "Sweep")["Target"]
    done = '"action":"recover_executions","status":"success"'
    before = misconfigured.lambda_log().count(done)

    misconfigured.client("scheduler").create_schedule(
        Name=f"once-without-{without.replace(' ', '-')}",
        ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={name: value for name, value in target.items() if name != without},
    )

    wait_until(lambda: misconfigured.lambda_log().count(done) > before, 60, "the sweep is done")
