"""A run whose lanes work side by side, over HTTP as an operator watches it."""

from collections import defaultdict

import pytest

from local.deadline import wait_until
from tests.deployed.flows import finished
from tests.deployed.run_flows import counted
from tests.support.stack_fixtures import dead_letter, queued, transaction

pytestmark = [
    pytest.mark.xdist_group("flows of runs"),
    pytest.mark.usefixtures("no_dead_letters", "consumer_off"),
]
GROUPS, EACH = 40, 10


@pytest.mark.parametrize("lanes", [pytest.param(1, marks=pytest.mark.soak), 8])
def test_lanes_redrive_each_message_once_in_order_and_are_seen_at_work(stack, operator, lanes):
    groups = [transaction().group_id for _ in range(GROUPS)]
    messages = [transaction(account_id=group) for _ in range(EACH) for group in groups]
    for message in messages:
        dead_letter(stack, message)

    run_id = operator.reprocess(lanes=lanes).expect(202)["run_id"]
    seen = []

    def all_at_work():
        run = operator.run(run_id).expect(200)
        seen.append(run)
        at_work = [lane for lane in run["lanes"] if lane["redriven"]]
        return len(at_work) > lanes // 2 or run["status"] != "RUNNING"

    wait_until(all_at_work, 60, "most lanes have redriven something")
    run = finished(operator, run_id)

    assert counted(run) == {"received": len(messages), "redriven": len(messages)}
    seen.append(operator.run(run_id).expect(200))
    for moment in seen:
        assert sum(lane["redriven"] for lane in moment["lanes"]) == moment["redriven"]
    assert [lane["lane"] for lane in seen[-1]["lanes"]] == list(range(lanes))
    sent = defaultdict(list)
    for copy in queued(stack, "Work"):
        sent[copy["MessageGroupId"]].append(copy["Body"])
    expected = defaultdict(list)
    for message in messages:
        expected[message.group_id].append(message.body())
    assert sent == expected
    assert queued(stack, "DeadLetter") == []
