"""The redrive schedule, fired by the emulator's own scheduler; its smallest rate is a minute."""

import pytest

from local.client import Client
from local.deadline import wait_until
from local.stack import Stack
from tests.stack_fixtures import put_on_dlq, queued

# Alone in its group: another worker has the rest of the tests meanwhile.
pytestmark = [pytest.mark.xdist_group("schedule"), pytest.mark.timeout(240)]


def test_schedule_starts_a_run():
    every_minute = {
        "RedriveScheduleState": "ENABLED",
        "RedriveScheduleExpression": "rate(1 minute)",
    }
    with Stack(parameters=every_minute) as stack:
        put_on_dlq(stack, "not an envelope", "foreign")
        operator = Client(stack.api_url).signed_in(**stack.users["operator"])

        def ended():
            runs = operator.runs().expect(200)["runs"]
            return [run for run in runs if run["status"] != "RUNNING"]

        # The oldest: a busy machine may be late enough for the next minute's.
        run = wait_until(ended, 150, "a scheduled run has ended", interval=1)[-1]

        assert (run["trigger"], run["requested_by"]) == ("schedule", "schedule")
        assert (run["status"], run["received"], run["quarantined"]) == ("SUCCEEDED", 1, 1)
        assert queued(stack, "DeadLetter") == []
