"""What depends on parameters: a group that goes on, and the names of the queues."""

import pytest

from local.deadline import wait_until
from tests.support.scratch_project import deployed, scratch_project
from tests.support.stack_fixtures import queued

pytestmark = pytest.mark.xdist_group("fence parameters")

# The original's names.
QUEUES = {"WorkQueueName": "main_queue.fifo", "DeadLetterQueueName": "dlq_queue.fifo"}


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    project = scratch_project(tmp_path_factory.mktemp("parameters") / "project")
    with deployed(project, parameters=QUEUES) as entries:
        yield entries


def test_queues_may_have_whole_names_of_ones_own(entries):
    outputs = entries.stack.outputs

    assert outputs["WorkQueueUrl"].endswith("/main_queue.fifo")
    assert outputs["DeadLetterQueueUrl"].endswith("/dlq_queue.fifo")
    shown = entries.api.status().expect(200)
    assert shown["work_queue"]["visible"] >= 0


def test_group_goes_on_without_its_dead_message_when_the_parameter_says_so(entries):
    entries.freeze("account")
    for number, payload in enumerate(
        [{"frozen_by": "account"}, {}, {"rejected_by": "account"}, {}]
    ):
        entries.send("flip", number, **payload).expect(202)
    entries.reaches("flip", 0, "DEAD")
    entries.reaches("flip", 3, "PARKED")
    # A sweep leaves a fence alone whose execution has yet to end.
    assert entries.executions("flip") == {"r0-g1": "SUCCEEDED"}

    entries.set_on_dead_letter("continue")
    entries.invoke("RecoverExecutions", {})  # as the schedule does
    entries.are_processed("flip", 2)
    assert entries.effects("flip") == [1, 3]
    assert entries.status("flip", 2) == "DEAD"
    entries.send("flip", 4, rejected_by="account").expect(202)
    entries.send("flip", 5).expect(202)
    entries.are_processed("flip", 3)
    assert entries.effects("flip") == [1, 3, 5]
    wait_until(lambda: len(queued(entries.stack, "DeadLetter", "flip")) == 3, 20, "all are there")

    entries.unfreeze("account")
    entries.redrive(max_messages=3)
    entries.are_processed("flip", 6)
    assert entries.effects("flip") == [1, 3, 5, 0, 2, 4]
