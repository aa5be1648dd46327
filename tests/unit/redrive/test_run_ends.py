"""Runs as they are cancelled, held to account, and shown: the `Runs` table and what hangs on it."""

import json
from datetime import UTC, datetime

import pytest

from lambdas import note_run_ends, recover_executions
from lambdas.run_record import RunRecord
from lambdas.show_run import RunReport
from tests.support.cloud import ENVIRONMENT
from tests.support.invocations import CONTEXT
from tests.support.messages import a_message, an_operator
from tests.support.rows import indexed
from workflows.ledger import lookup, transitions
from workflows.queues.queue import default
from workflows.redrive import in_flight, outcome, ownership, progress, run_ends, runs
from workflows.redrive.outcome import Outcome
from workflows.redrive.runs import RunEnded, RunNotFound
from workflows.runtime import aws, clock

QUEUE = "dead-letter.fifo"
MACHINE = ENVIRONMENT["REDRIVE_STATE_MACHINE_ARN"]
DLQ = ENVIRONMENT["DEAD_LETTER_QUEUE_URL"]


@pytest.fixture(autouse=True)
def sfn(tables, queues, machines):
    return machines


@pytest.fixture
def begin(sfn):
    """Give a function that takes the lock for a run and starts its execution."""

    def start(run_id="run-1"):
        ownership.acquire(run_id, default(), "api", an_operator(), {})
        sfn.start_execution(stateMachineArn=MACHINE, name=run_id, input="{}")

    return start


def stop(sfn, run_id="run-1"):
    sfn.stop_execution(executionArn=MACHINE.replace("stateMachine", "execution") + f":{run_id}")


def change(run_id="run-1", **columns):
    found = aws.dynamodb().get_item(TableName="Runs", Key={"run_id": run_id})["Item"]
    aws.dynamodb().put_item(TableName="Runs", Item=found | columns)


def lock():
    found = aws.dynamodb().get_item(TableName="Runs", Key={"run_id": f"LOCK#{QUEUE}"})
    return found.get("Item")


def test_cancelled_run_is_cancelling_until_it_notices_and_asking_again_changes_nothing(begin):
    begin()

    assert runs.cancel("run-1", an_operator())["status"] == "CANCELLING"
    assert runs.cancel("run-1", an_operator())["status"] == "CANCELLING"
    assert lock()["holder"] == "run-1"


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "HALTED", "CANCELLED", "ABORTED"])
def test_ended_run_cannot_be_cancelled(begin, status):
    begin()
    change(status=status)

    with pytest.raises(RunEnded, match=status):
        runs.cancel("run-1", an_operator())


def test_run_that_was_stopped_meanwhile_cannot_be_cancelled(begin, sfn):
    begin()
    stop(sfn)

    with pytest.raises(RunEnded, match="ABORTED"):
        runs.cancel("run-1", an_operator())


def test_unknown_run_cannot_be_cancelled():
    with pytest.raises(RunNotFound):
        runs.cancel("run-1", an_operator())


def redriven(number, status, run_id="run-1"):
    message = a_message(message_id=f"m-{number}")
    transitions.accept(message)
    row = lookup.get(message.message_id) | {"status": status, "redriven_by": run_id}
    aws.dynamodb().put_item(TableName="Messages", Item=indexed(row))


def test_outcome_counts_what_became_of_a_run_s_messages():
    statuses = [
        "PROCESSED", "PROCESSED", "RETRYING", "DEAD", "QUARANTINED", "DISCARDED",
        "REDRIVEN", "QUEUED", "PROCESSING", "PARKED",
    ]  # fmt: skip
    for number, status in enumerate(statuses):
        redriven(number, status)
    redriven(99, "PROCESSED", "run-2")

    assert outcome.count("run-1", 12) == Outcome(
        processed=2, retrying=1, died_again=3, pending=4, moved_on=2
    )
    assert outcome.count("none", 0) == Outcome()


def hold(run_id, number, *group_ids):
    """Put messages on the dead-letter queue, receive them, and note them as a lane does."""
    for group in group_ids:
        aws.sqs().send_message(
            QueueUrl=DLQ,
            MessageBody=group,
            MessageGroupId=group,
            MessageDeduplicationId=f"{run_id}-{group}",
        )
    handles = [message["ReceiptHandle"] for message in receive()]
    assert len(handles) == len(group_ids)
    in_flight.note(run_id, default(), 0, number, handles)
    return handles


def receive():
    answer = aws.sqs().receive_message(QueueUrl=DLQ, MaxNumberOfMessages=10, VisibilityTimeout=600)
    return answer.get("Messages", [])


def test_what_a_run_holds_is_released_once():
    hold("run-1", 0, "a", "b")
    hold("run-1", 1, "c")
    assert receive() == []

    assert in_flight.give_back("run-1", 0, 3) == 3  # the third record was never written
    assert sorted(message["Body"] for message in receive()) == ["a", "b", "c"]
    assert in_flight.give_back("run-1", 0, 3) == 0


def test_records_that_a_stopped_leg_has_made_since_are_released_too():
    hold("run-1", 0, "a")
    hold("run-1", 1, "b")
    hold("run-1", 2, "c")

    assert in_flight.give_back("run-1", 0, 1) == 3


def test_record_that_is_gone_by_a_try_before_hides_none_of_the_others():
    hold("run-1", 0, "a")
    hold("run-1", 2, "b")

    assert in_flight.give_back("run-1", 0, 3) == 2


def test_what_another_lane_or_run_holds_stays():
    handles = hold("run-1", 0, "a")
    in_flight.note("run-1", default(), 1, 0, handles)
    in_flight.note("run-10", default(), 0, 1, handles)

    assert in_flight.give_back("run-1", 0, 1) == 1
    assert receive()
    assert in_flight.give_back("run-1", 1, 1) == 1


def test_note_that_is_made_again_is_one_record_which_the_index_finds_and_time_forgets(later):
    handles = hold("run-1", 0, "a")
    in_flight.note("run-1", default(), 0, 0, handles)

    (record,) = aws.dynamodb().scan(TableName="Runs")["Items"]
    assert record == {
        "run_id": "HELD#run-1#0.0", "held_by": "run-1", "receipt_handles": handles,
        "queue_url": default().dead_letter_url,
        "dead_letter_queue": f"HELD#{QUEUE}", "started_at": record["started_at"],
        "expires_at": clock.epoch() + 14 * 86_400,
    }  # fmt: skip


@pytest.mark.parametrize(("left", "others"), [(0, 2), (1, 1), (2, 0), (5, 0)])
def test_what_others_have_in_flight_is_all_but_the_run_s_own(left, others):
    hold("other", 0, "a", "b")

    assert in_flight.elsewhere(left, default()) == others


def test_message_that_is_gone_meanwhile_keeps_nothing_from_being_released():
    handles = hold("run-1", 0, "a", "b")
    aws.sqs().delete_message(QueueUrl=DLQ, ReceiptHandle=handles[0])

    in_flight.give_back("run-1", 0, 1)

    assert [message["Body"] for message in receive()] == ["b"]


def test_message_that_sqs_fails_to_show_by_its_own_fault_is_left_to_the_sweep(monkeypatch):
    hold("run-1", 0, "a", "b")
    change, why = aws.sqs().change_message_visibility_batch, {"Code": "InternalError"}

    def fail_with_the_first(QueueUrl, Entries):  # noqa: N803 - boto3's
        change(QueueUrl=QueueUrl, Entries=Entries[1:])
        return {"Successful": [], "Failed": [why | {"Id": "0", "SenderFault": False}]}

    with monkeypatch.context() as patch:
        patch.setattr(aws.sqs(), "change_message_visibility_batch", fail_with_the_first)
        assert in_flight.give_back("run-1", 0, 1) == 2
    assert [message["Body"] for message in receive()] == ["b"]

    assert in_flight.recover() == ["run-1"]
    assert "a" in [message["Body"] for message in receive()]
    assert in_flight.recover() == []


def test_recovery_releases_what_ended_runs_hold_and_nothing_else(begin, sfn):
    begin("run-1")
    stop(sfn, "run-1")
    begin("run-2")
    hold("run-1", 0, "a")
    hold("run-2", 0, "b")
    hold("gone", 0, "c")

    assert sorted(in_flight.recover()) == ["gone", "run-1"]
    assert sorted(message["Body"] for message in receive()) == ["a", "c"]
    assert runs.get("run-1")["status"] == "ABORTED"
    assert in_flight.recover() == []


def test_what_is_held_is_no_run():
    hold("run-1", 0, "a")

    assert runs.page(10, None, default()) == ([], None)
    with pytest.raises(RunNotFound):
        runs.get("HELD#run-1#0.0")


def progress_of(begin, **columns):
    begin()
    change(**columns)
    return progress.of(runs.get("run-1"))


def test_progress_tells_rate_rest_and_end(begin, later):
    hold("other", 0, "a", "b")
    later(10)
    started = {
        "started_at": clock.text(datetime.fromtimestamp(clock.epoch() - 110, UTC))
    }  # by the clock of `later`

    found = progress_of(begin, redriven=50, received=50, left=1, **started)

    assert found is not None
    assert 0.4 <= found.rate_per_second <= 0.6
    assert found.remaining == 1
    assert found.eta_seconds == round(1 / found.rate_per_second)


def test_progress_of_a_run_with_a_limit_ends_there(begin):
    hold("other", 0, "a", "b", "c")

    found = progress_of(begin, request=json.dumps({"max_messages": 5}), received=4)

    assert found is not None
    assert (found.remaining, found.eta_seconds) == (1, None)


@pytest.mark.parametrize("status", ["SUCCEEDED", "HALTED", "CANCELLED"])
def test_ended_run_makes_no_progress(begin, status):
    assert progress_of(begin, status=status) is None


@pytest.mark.parametrize("request_", ["null", "[1]", '"text"', "text", "1", ""])
def test_run_that_the_console_started_with_nonsense_can_be_shown(begin, request_):
    begin()
    change(request=request_)
    row = runs.get("run-1")

    assert RunRecord.model_validate(row).request == {}
    report = row | {"lanes": [], "outcome": Outcome(), "progress": progress.of(row)}
    assert RunReport.model_validate(report).progress is not None


def test_run_whose_limit_is_no_number_makes_progress_all_the_same(begin):
    assert progress_of(begin, request='{"max_messages": "many"}') is not None


def test_lanes_of_a_run_are_told_with_what_each_did(begin):
    begin()
    change(
        lane_1={"redriven": 2, "left": 1}, lane_0={"redriven": 4, "failed": 3}, round=2, working=[1]
    )
    first, second = progress.lanes(runs.get("run-1"))

    assert (first.lane, first.received, first.redriven, first.failed) == (0, 7, 4, 3)
    assert (second.lane, second.received, second.redriven, second.left) == (1, 2, 2, 1)
    assert first.execution_arn is None
    assert str(second.execution_arn).endswith(":execution:redrive_lane:run-1-l1-2")


# --- Told once ----------------------------------------------------------------------------

COUNTS = {
    "received": 9, "redriven": 4, "quarantined": 3, "already_processed": 0, "discarded": 0,
    "failed": 2, "left": 1,
}  # fmt: skip
TIMES = {"started_at": "2026-11-30T12:00:00.000Z", "finished_at": "2026-11-30T12:00:07.250Z"}


def told(text):
    """Return the lines that tell of a run's end, and the sum of each metric."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    sums: dict[str, float] = {}
    for line in lines:
        for metric in line.get("_aws", {}).get("CloudWatchMetrics", [{}])[0].get("Metrics", []):
            sums[metric["Name"]] = sums.get(metric["Name"], 0) + sum(line[metric["Name"]])
    return [line for line in lines if line.get("action") == "end_run"], sums


def status_changed(output):
    """Return EventBridge's event of an execution that succeeded."""
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": "123456789012",
        "time": "2026-11-30T12:00:08Z",
        "region": "us-east-1",
        "resources": [f"{MACHINE}:run-1"],
        "detail": {
            "executionArn": f"{MACHINE}:run-1",
            "stateMachineArn": MACHINE,
            "name": "run-1",
            "status": "SUCCEEDED",
            "startDate": 1796040000000,
            "stopDate": 1796040007250,
            "input": "{}",
            "output": json.dumps(output),
            "inputDetails": {"included": True},
            "outputDetails": {"included": True},
            "error": None,
            "cause": None,
        },
    }


@pytest.mark.parametrize("status", ["SUCCEEDED", "HALTED", "CANCELLED"])
def test_end_of_a_run_is_logged_with_its_counts_and_counted_once(begin, output, status):
    begin()
    change(status=status, **COUNTS, **TIMES)
    event = status_changed({"run_id": "run-1", "status": status})

    for _ in range(2):
        note_run_ends.handler(event, CONTEXT)
        recover_executions.handler({}, CONTEXT)

    (line,), sums = told(output())
    assert (line["trace_id"], line["status"]) == (an_operator().trace_id, "success")
    about = {"run_id": "run-1", "queue_name": QUEUE, "run_status": status, "duration": 7.25}
    assert line["details"] == about | COUNTS
    assert sums == {"MessagesReprocessed": 4, "MessagesQuarantined": 3, "Errors": 2}


def test_what_a_failed_run_had_redriven_is_counted(begin, output):
    begin()
    change(status="FAILED", failure="Sqs.SqsException", **COUNTS, **TIMES)

    for _ in range(2):
        recover_executions.handler({}, CONTEXT)

    (line,), sums = told(output())
    assert (line["status"], line["details"]["error"]) == ("error", "FAILED")
    assert line["details"]["failure"] == "Sqs.SqsException"
    assert sums == {"MessagesReprocessed": 4, "MessagesQuarantined": 3, "Errors": 3}


def test_what_a_stopped_run_had_redriven_is_counted(begin, sfn, output):
    begin()
    change(**COUNTS)
    stop(sfn)

    for _ in range(2):
        recover_executions.handler({}, CONTEXT)

    (line,), sums = told(output())
    assert (line["status"], line["details"]["run_status"]) == ("error", "ABORTED")
    assert (sums["MessagesReprocessed"], sums["Errors"]) == (4, 3)


def test_end_of_a_stopped_run_waits_for_each_lane_that_works_still(begin, sfn, output):
    begin()
    lane_machine = ENVIRONMENT["REDRIVE_LANE_STATE_MACHINE_ARN"]
    arns = [
        sfn.start_execution(stateMachineArn=lane_machine, name=f"run-1-l{n}-3", input="{}")
        for n in range(2)
    ]
    change(**COUNTS, round=3, working=[0, 1])
    stop(sfn)

    for leg in arns:
        recover_executions.handler({}, CONTEXT)
        assert told(output()) == ([], {})
        sfn.stop_execution(executionArn=leg["executionArn"])  # with a batch in hand, maybe
    recover_executions.handler({}, CONTEXT)
    (line,), _ = told(output())
    assert line["details"]["run_status"] == "ABORTED"


def test_end_is_told_of_a_record_that_lacks_a_counter(begin, output):
    begin()
    change(status="FAILED", **COUNTS, **TIMES)
    aws.dynamodb().update_item(
        TableName="Runs", Key={"run_id": "run-1"}, UpdateExpression="REMOVE quarantined, failed"
    )

    recover_executions.handler({}, CONTEXT)

    (line,), sums = told(output())
    assert (line["details"]["redriven"], line["details"]["quarantined"]) == (4, 0)
    assert sums == {"MessagesReprocessed": 4, "MessagesQuarantined": 0, "Errors": 1}


def test_run_that_works_has_no_end(begin, output):
    begin()

    run_ends.note("run-1")
    recover_executions.handler({}, CONTEXT)

    assert told(output()) == ([], {})


@pytest.mark.parametrize("status", ["SKIPPED"])
def test_execution_that_ends_no_run_tells_of_none(begin, output, status):
    begin()

    note_run_ends.handler(status_changed({"run_id": "run-1", "status": status}), CONTEXT)
    note_run_ends.handler(status_changed({"run_id": "run-2", "status": status}), CONTEXT)

    assert told(output()) == ([], {})


@pytest.mark.parametrize("output_text", [None, "", "{}", "[]", '"text"'])
def test_event_that_names_no_run_is_left_to_the_sweep(begin, output, output_text):
    begin()
    change(status="SUCCEEDED", **COUNTS, **TIMES)
    event = status_changed({})
    event["detail"]["output"] = output_text

    note_run_ends.handler(event, CONTEXT)
    assert told(output()) == ([], {})
    recover_executions.handler({}, CONTEXT)
    assert len(told(output())[0]) == 1
