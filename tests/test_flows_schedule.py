"""The redrive schedule, fired by the emulator's own scheduler; its smallest rate is a minute."""

import json

import pytest

from local.client import Client
from local.deadline import wait_until
from local.stack import Stack
from tests.stack_fixtures import dead_letter, put_on_dlq, queued, run_machine, transaction

# Alone in its group: another worker has the rest of the tests meanwhile.
pytestmark = [pytest.mark.xdist_group("schedule"), pytest.mark.timeout(240)]
# What is not ours goes to quarantine, and the transaction stays.
REQUEST = {"filter": {"type": "foreign"}, "max_messages": 1}


def test_schedule_starts_a_run():
    every_minute = {
        "RedriveScheduleState": "ENABLED",
        "RedriveScheduleExpression": "rate(1 minute)",
        "RedriveScheduleRequest": json.dumps(REQUEST),
    }
    with Stack(parameters=every_minute) as stack:
        left = transaction()
        dead_letter(stack, left)
        put_on_dlq(stack, "not an envelope", "foreign")
        operator = Client(stack.api_url).signed_in(**stack.users["operator"])

        def ended():
            runs = operator.runs().expect(200)["runs"]
            return [run for run in runs if run["status"] != "RUNNING"]

        # The oldest: a busy machine may be late enough for the next minute's.
        run = wait_until(ended, 150, "a scheduled run has ended", interval=1)[-1]

        assert (run["trigger"], run["requested_by"]) == ("schedule", "schedule")
        assert (run["status"], run["received"], run["quarantined"]) == ("SUCCEEDED", 1, 1)
        assert (run["request"], run["left"]) == (REQUEST, 1)
        assert [letter["Body"] for letter in queued(stack, "DeadLetter")] == [left.body()]


@pytest.mark.parametrize("request_", ['{"max_messages": 0}', '{"filter": {"jmespath": "a =="}}'])
def test_invalid_request_of_the_schedule_fails_loudly_and_touches_nothing(request_):
    """With the input that the scheduler would give, without waiting for its minute."""
    with Stack(parameters={"RedriveScheduleRequest": request_}) as stack:
        message = transaction()
        dead_letter(stack, message)

        run = run_machine(stack, "redrive", scheduled_input(stack))

        assert (run.status, run.states[-2:]) == ("FAILED", ["FailRun", "RunFailed"])
        assert "ValidationError" in str(run.error)
        operator = Client(stack.api_url).signed_in(**stack.users["operator"])
        shown = operator.run(run.name).expect(200)
        assert (shown["status"], shown["trigger"]) == ("FAILED", "schedule")
        assert shown["request"] == json.loads(request_)
        assert (shown["received"], "ValidationError" in shown["failure"]) == (0, True)
        assert len(queued(stack, "DeadLetter")) == 1
        (record,) = operator.audit(limit=1).expect(200)["records"]
        assert (record["action"], record["actor"]) == ("end_run", "schedule")
        assert record["result"] == "FAILED"


def scheduled_input(stack):
    """Return what the deployed schedule starts the machine with."""
    schedules = stack.client("scheduler")
    (found,) = (
        schedule["Name"]
        for schedule in schedules.list_schedules()["Schedules"]
        if "edrive" in schedule["Name"]
    )
    return json.loads(schedules.get_schedule(Name=found)["Target"]["Input"])
