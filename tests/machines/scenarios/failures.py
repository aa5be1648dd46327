"""What breaks in a run: partial answers, stale receipts, and services that fail for good."""

from typing import Any

from tests.machines.scenarios import given
from tests.machines.scenarios.paths import (
    BEGUN,
    FAILED,
    GIVEN_BACK,
    JUDGED,
    LEG,
    LEG_FAILED,
    LEG_OVER,
    START,
    WAVE,
)
from tests.machines.scenarios.registry import add, scenario
from tests.support import stack_fixtures
from tests.support.redrive_runs import LOCK, all_visible, quarantine_of
from tests.support.verdicts import answer, judged
from tests.support.world import World
from workflows.redrive.leg_executions import leg_name

BROKEN = "Some.ServiceException"


def refused(*indexes: int) -> list[dict[str, Any]]:
    """Return what a batch call says of entries that it refused."""
    return [
        {"Id": str(n), "Code": "InternalError", "SenderFault": False, "Message": "made up"}
        for n in indexes
    ]


def guarded(*errors: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what GuardLoop's statements for messages answer: {} for done, or an error."""
    messages = [{"Error": error} if error else {} for error in errors]
    return given.returns({"Responses": [*messages, {}, {}, {}]})


def stale(world: World, count: int) -> list[dict[str, Any]]:
    """Make dead letters and return what SQS gave a run so long ago that it may not delete them."""
    letters: list[dict[str, Any]] = []
    for _ in range(count):
        message = world.message()
        given.record(world, message, "DEAD")
        letter = stack_fixtures.put_on_dlq(
            world.stack, message.body(), message.group_id, f"{message.message_id}.r0"
        )
        letters.append(
            {
                "MessageId": letter,
                "ReceiptHandle": f"stale-{len(letters)}",
                "Body": message.body(),
                "Attributes": {"MessageGroupId": message.group_id},
            }
        )
    return given.returns({"Messages": letters})


@scenario()
def work_queue_refuses_some(world: World) -> None:
    """What the work queue refuses stays, with its group behind it; what it took is deleted."""
    group = world.name("group")
    large, later = world.message(group_id=group, currency="EUR"), world.message(group_id=group)
    other = world.message()
    given.record(world, large, "DEAD")
    padded = large.body().ljust(2_000)
    world.put_on_dlq(padded, group)
    world.dead_letter(later)
    world.dead_letter(other)
    with given.largest_message(world, "Work", 1_999):
        run = world.run({"request": {"max_messages": 3}})
    assert run.output == run.output | {"redriven": 1, "failed": 1, "left": 1}
    assert [m["Body"] for m in world.queued("DeadLetter")] == [padded, later.body()]
    assert [m["Body"] for m in world.queued("Work")] == [other.body()]
    assert all_visible(world.stack)
    # Too high, never too low.
    assert [world.row(message)["redrives"] for message in (large, later, other)] == [1, 0, 1]


@scenario(mocked=True)
def send_fails_in_part(world: World) -> None:
    """Of a batch of which one was refused, only what was sent is deleted."""
    for _ in range(2):
        world.dead_letter(world.message())
    answer = {"Successful": [{"Id": "1", "MessageId": "m", "MD5OfMessageBody": "5"}]}
    run = world.run(
        {"request": {"max_messages": 2}},
        mocks={"RedriveMessages": given.returns(answer | {"Failed": refused(0)})},
    )
    assert (run.output["redriven"], run.output["failed"]) == (1, 1)
    assert [m["Body"] for m in world.queued("DeadLetter")] == [world.messages[0].body()]


@scenario(mocked=True)
def send_fails_whole(world: World) -> None:
    """When nothing was sent nothing is deleted, and the next run sends it under another id."""
    world.dead_letter(world.message())
    mocks = {"RedriveMessages": given.returns({"Failed": refused(0)})}
    run = world.run({"request": {"max_messages": 1}}, mocks=mocks)
    assert run.output["failed"] == 1
    assert world.queued("Work") == []
    assert all_visible(world.stack)
    found = world.row(world.messages[0])
    assert (found["status"], found["trouble"], found["redrives"]) == ("DEAD", "DEAD", 1)
    assert "redriven_by" not in found  # or the run's outcome would count it as dead again
    assert [event["event"] for event in found["journey"]] == ["redriven", "let_go"]
    world.run({"request": {"max_messages": 1}})
    (copy,) = world.queued("Work")
    assert copy["MessageDeduplicationId"].endswith(".r2")


@scenario(mocked=True)
def delete_fails_in_part(world: World) -> None:
    """What was sent and not deleted is found processed by the next run: one effect."""
    for _ in range(2):
        world.dead_letter(world.message())
    answer = {"Successful": [{"Id": "1"}], "Failed": refused(0)}
    world.run({"request": {"max_messages": 2}}, mocks={"DeleteDeadLetters": given.returns(answer)})
    assert len(world.queued("DeadLetter")) == 2  # a mock deletes nothing
    world.consume()
    assert [len(world.effects(m.group_id)) for m in world.messages] == [1, 1]


@scenario(mocked=True)
def receipts_that_ran_out(world: World) -> None:
    """Messages whose receipts ran out are sent, stay, and are found processed later: one effect."""
    mocks = {"ReceiveDeadLetters": stale(world, 2)}
    world.run({"request": {"max_messages": 2}}, mocks=mocks)
    assert len(world.queued("DeadLetter")) == 2
    world.consume()
    run = world.run({"request": {"max_messages": 2}})
    assert run.output["already_processed"] == 2
    assert world.queued("DeadLetter") == []
    assert [len(world.effects(m.group_id)) for m in world.messages] == [1, 1]


@scenario(mocked=True)
def guard_gives_no_answer(world: World) -> None:
    """A message whose guard, or lease, could not be asked just now stays; the other goes."""
    for _ in range(4):
        world.dead_letter(world.message())
    # The last is the lease, which may be prolonged the next time.
    busy = ("ThrottlingError", "TransactionConflict", "InternalServerError", "TransactionConflict")
    run = world.run(
        {"request": {"max_messages": 4}},
        mocks={"GuardLoop": guarded({}, *({"Code": code} for code in busy))},
    )
    assert run.output == run.output | {"redriven": 1, "failed": 3}
    assert [m["Body"] for m in world.queued("Work")] == [world.messages[0].body()]
    assert all_visible(world.stack)


def _guard_cannot_work(world: World, code: str) -> None:
    for _ in range(2):
        world.dead_letter(world.message())
    run = world.run(
        {"request": {"max_messages": 2}}, mocks={"GuardLoop": guarded({}, {"Code": code})}
    )
    assert run.states == [*START, *JUDGED, "GuardLoop", "AnyToRedrive", *GIVEN_BACK]
    assert run.error == f"DynamoDb.{code}"
    assert world.queued("Work") == []
    assert len(world.queued("DeadLetter")) == 2
    assert all_visible(world.stack)


for _code in ("AccessDenied", "ResourceNotFound", "ValidationError"):
    add(
        f"guard_cannot_work_for_{_code}",
        "A guard statement that can never work ends the run before anything is sent.",
        lambda world, code=_code: _guard_cannot_work(world, code),  # type: ignore[misc]
        mocked=True,
    )


@scenario(mocked=True)
def verdict_that_time_overtook(world: World) -> None:
    """A message that changed between verdict and guard is refused by its condition, and stays."""
    changes = (
        {"redrives": 1},
        {"status": "PROCESSED"},
        {"status": "DISCARDED"},
        {"status": "QUARANTINED"},
        {"payload_hash": "another message's"},
        {"redrives": 3},
    )
    for columns in changes:
        world.dead_letter(world.message(), **columns)
    stored, counted, healthy = (world.message() for _ in range(3))
    world.dead_letter(stored, status="PROCESSED")
    raced = list(world.messages[:7])
    before = [world.row(message) for message in raced]
    mark = f"{world.next_run}#0.1"  # of its own lost try
    world.dead_letter(counted, status="REDRIVEN", redrives=1, redrive_mark=mark)
    world.dead_letter(healthy)
    own: dict[int, dict[str, Any]] = {5: {"redrives": 3}, 6: {"verdict": "quarantine"}}
    verdicts = [judged(m, index=n) | own.get(n, {}) for n, m in enumerate(world.messages)]
    run = world.run(
        {"request": {"max_messages": 9}},
        mocks={"ValidateMessages": answer(world.stack, world.next_run, *verdicts)},  # type: ignore[arg-type]
    )
    assert run.output == run.output | {"redriven": 2, "failed": 7}
    assert [world.row(message) for message in raced] == before
    assert [m["Body"] for m in world.queued("Work")] == [counted.body(), healthy.body()]
    assert (world.row(counted)["redrives"], world.row(healthy)["redrives"]) == (1, 1)
    assert len(world.queued("DeadLetter")) == 7
    assert all_visible(world.stack)


@scenario(mocked=True)
def quarantined_and_not_deleted(world: World) -> None:
    """What was stored and not deleted is not stored twice."""
    spent = world.message()
    world.dead_letter(spent, redrives=3)
    foreign = world.put_on_dlq("not ours", world.name("nobody"))
    received = [
        {
            "MessageId": letter["MessageId"],
            "ReceiptHandle": f"stale-{letter['MessageId']}",
            "Body": letter["Body"],
            "Attributes": {"MessageGroupId": letter["MessageGroupId"]},
        }
        for letter in world.queued("DeadLetter")
    ]
    mocks = {"ReceiveDeadLetters": given.returns({"Messages": received})}
    assert world.run({"request": {"max_messages": 2}}, mocks=mocks).output["quarantined"] == 2
    assert quarantine_of(world.stack, f"sqs:{foreign}") == ("InvalidEnvelope", "not ours")
    keys = (spent.message_id, f"sqs:{foreign}")
    stored = [stack_fixtures.row(world.stack, "Messages", key) for key in keys]
    assert world.run({"request": {"max_messages": 2}}).output["already_processed"] == 2
    assert [stack_fixtures.row(world.stack, "Messages", key) for key in keys] == stored
    assert world.queued("DeadLetter") == []


# What a state that fails for good leaves: how the run ends, whether the message was counted and
# whether it was sent and deleted.
_ENDS = {
    "BeginRun": (["FailRun", "RunFailed"], False, False),
    "RunLane": (FAILED[1:], False, False),
    "ReceiveDeadLetters": (GIVEN_BACK, False, False),
    "ReceiveLargeDeadLetters": (GIVEN_BACK, False, False),
    "ValidateMessages": (GIVEN_BACK, False, False),
    "GuardLoop": (GIVEN_BACK, False, False),
    "RedriveMessages": (GIVEN_BACK, True, False),
    "DeleteDeadLetters": (GIVEN_BACK, True, False),
    "HoldDeadLetters": (GIVEN_BACK, True, False),
    "DecideNext": (["FailRun", "RunFailed"], True, True),
    "FinishRun": (["FailRun", "RunFailed"], True, True),
}


def _fails_for_good(world: World, state: str) -> None:
    if state == "ReceiveLargeDeadLetters":
        with given.one_a_turn(world):
            _fails(world, state)
    else:
        _fails(world, state)


def _fails(world: World, state: str) -> None:
    world.dead_letter(world.message())
    mocks = {state: given.throws(BROKEN)}
    if state == "HoldDeadLetters":
        mocks |= {"RedriveMessages": given.returns({"Failed": refused(0)})}
    run = world.run({"request": {"max_messages": 1}}, mocks=mocks)
    failed, is_counted, is_deleted = _ENDS[state]
    of_run = {"RunLane": "RunLanes"}.get(state, state)  # an item's states are not in the path
    assert run.states[-1 - len(failed) :] == [of_run, *failed]
    assert (run.status, run.error) == ("FAILED", BROKEN)
    assert len(world.queued("DeadLetter")) == (not is_deleted)
    assert all_visible(world.stack)
    is_sent = is_deleted or state == "DeleteDeadLetters"
    assert len(world.queued("Work")) == world.run_row(run.name).get("redriven", 0) == is_sent
    assert world.row(world.messages[0])["redrives"] == is_counted
    # Where EventBridge tells of the end, the sweep lets go at once of what was not sent.
    world.recover()


for _state in _ENDS:
    add(
        f"{_state}_fails_for_good",
        "The run fails loudly, gives the lock back, and has deleted nothing that was not sent.",
        lambda world, state=_state: _fails_for_good(world, state),  # type: ignore[misc]
        mocked=True,
    )


@scenario(mocked=True)
def leg_that_does_not_begin(world: World) -> None:
    """A run whose next leg cannot be started fails, and gives back what the others left out."""
    short = world.variant("redrive", "$number('300')", "$number('2')", "short")
    request = {"filter": {"payload": {"currency": "EUR"}}, "max_messages": 2}
    mocks = {"RunLane": [{}, *given.throws(BROKEN)]}
    with given.one_a_turn(world) as size:
        for currency in ("CHF", "EUR", "EUR"):
            world.dead_letter(world.message(currency=currency), size)
        run = world.run({"request": request}, machine=short, mocks=mocks)
    assert run.states[-7:] == [*LEG_OVER[1:], "RunLanes", *FAILED[1:]]
    assert run.error == BROKEN
    record = world.run_row(run.name)
    assert (record["redriven"], record["left"]) == (len(world.queued("Work")), 1) == (1, 1)
    assert len(world.queued("DeadLetter")) == 2
    assert all_visible(world.stack)


@scenario(mocked=True)
def watch_that_fails_for_good(world: World) -> None:
    """A run that cannot watch its canary fails, and sends nothing more."""
    for _ in range(2):
        world.dead_letter(world.message())
    request = {"canary": {"messages": 1, "watch_seconds": 60}}
    run = world.run({"request": request}, mocks={"DecideNext": [{}, *given.throws(BROKEN)]})
    watched = [*START, *JUDGED, *WAVE, *LEG_OVER, "WaitForOutcomes", "DecideNext"]
    assert run.states == [*watched, "FailRun", "RunFailed"]
    assert run.error == BROKEN
    assert world.run_row(run.name)["redriven"] == 1
    assert len(world.queued("DeadLetter")) == 1
    world.recover()


@scenario(mocked=True)
def leg_that_cannot_be_settled(world: World) -> None:
    """A leg that cannot tell the ledger what it sent and did not leaves that to its run."""
    mocks = {
        "RedriveMessages": [*given.returns({"Failed": refused(0)}), {}],
        "SettleLeg": given.throws(BROKEN),
    }
    with given.one_a_turn(world) as size:
        for _ in range(2):
            world.dead_letter(world.message(), size)
        run = world.run({"request": {"max_messages": 2}}, mocks=mocks)
    over = ["SettleLeg", "LegOver", *LEG_OVER[1:]]
    assert run.states[-len(over) - 1 :] == [*over, "FinishRun"]
    assert (run.output["redriven"], run.output["failed"]) == (1, 1)
    assert [world.row(message).get("trouble") for message in world.messages] == [
        "DEAD", "REDRIVING",
    ]  # fmt: skip
    assert len(world.queued("Work")) == len(world.queued("DeadLetter")) == 1


@scenario(mocked=True)
def let_go_that_fails_for_good(world: World) -> None:
    """A run that cannot let go of what was not sent fails; the sweep lets go of it."""
    world.dead_letter(world.message())
    mocks = {
        "RedriveMessages": given.returns({"Failed": refused(0)}),
        "SettleLeg": given.throws(BROKEN),
        "DecideNext": given.throws(BROKEN),
    }
    run = world.run({"request": {"max_messages": 1}}, mocks=mocks)
    assert run.states[-4:] == ["LegOver", "DecideNext", "FailRun", "RunFailed"]
    assert (run.error, world.run_row(run.name)["failed"]) == (BROKEN, 1)
    assert len(world.queued("DeadLetter")) == 1
    world.recover()
    assert world.row(world.messages[0])["trouble"] == "DEAD"


@scenario(mocked=True)
def lease_that_was_lost_at_the_end(world: World) -> None:
    """A run whose lock is another's when it finishes fails, with true counters in its record."""
    world.dead_letter(world.message())
    mocks = {"FinishRun": given.throws("LeaseLost")}
    run = world.run({"request": {"max_messages": 1}}, mocks=mocks)
    assert run.states[-3:] == ["FinishRun", "FailRun", "RunFailed"]
    assert run.error == "LeaseLost"
    assert world.run_row(run.name)["redriven"] == 1
    world.recover()


@scenario(mocked=True)
def failure_and_lease_that_was_lost(world: World) -> None:
    """A run that fails while its lock is another's records its failure, and leaves the lock."""
    given.lock(world, "another", execution_arn="")  # about to start
    given.run_row(world, world.next_run, status="RUNNING")
    lock = stack_fixtures.row(world.stack, "Runs", LOCK)
    mocks = given.begins(given.begun(world)) | {"ReceiveDeadLetters": given.throws(BROKEN)}
    run = world.run(mocks=mocks)
    assert run.states == [*START, "ReceiveDeadLetters", *GIVEN_BACK]
    assert run.error == "LeaseLost"
    assert stack_fixtures.row(world.stack, "Runs", LOCK) == lock
    world.recover()


@scenario(mocked=True)
def failure_that_cannot_be_recorded(world: World) -> None:
    """A run whose failure cannot be recorded fails with its first error; the sweep frees it."""
    mocks = {"ReceiveDeadLetters": given.throws("Sqs.First"), "FailRun": given.throws(BROKEN)}
    run = world.run({"request": {"max_messages": 1}}, mocks=mocks)
    assert run.states == [*START, "ReceiveDeadLetters", *GIVEN_BACK]
    assert run.error == "Sqs.First"
    # Where EventBridge tells of the end, the sweep did the same already.
    world.recover()


@scenario(mocked=True)
def failure_that_cannot_be_accounted_for(world: World) -> None:
    """A run that has no record, and whose failure cannot be told, fails with its first error."""
    mocks = {"BeginRun": given.throws(BROKEN), "FailRun": given.throws("DynamoDb.No")}
    run = world.run({"request": {"max_messages": 1}}, mocks=mocks)
    assert run.states == ["BeginRun", "FailRun", "RunFailed"]
    assert run.error == BROKEN


@scenario()
def work_queue_that_is_gone(world: World) -> None:
    """A run whose work queue does not exist fails before anything is deleted."""
    url = str(world.stack.outputs["WorkQueueUrl"])
    lane = world.machines["redrive_lane"]
    gone = f"'{url[:-5]}-gone.fifo'"
    broken_lane = world.variant("redrive_lane", "$run.queue.source_url", gone, "broken lane")
    broken = world.variant("redrive", lane, world.machines[broken_lane], "broken")
    world.dead_letter(world.message())
    run = world.run({"request": {"max_messages": 1}}, machine=broken)
    leg = world.follow(leg_name(run.name, 0, 1), machine=broken_lane)
    assert leg.states == [*LEG[1:], *JUDGED, *WAVE[:3], *LEG_FAILED[:2]]
    assert run.states == [*BEGUN, "RunLanes", *FAILED[1:]]
    (letter,) = world.queued("DeadLetter")
    assert letter["IsVisible"]


@scenario(mocked=True)
def empty_poll_that_cannot_be_looked_into(world: World) -> None:
    """A run that cannot ask what is in flight does not say that the queue is empty."""
    run = world.run(mocks={"ValidateMessages": given.throws(BROKEN)})
    assert run.states == [*START, *JUDGED, *GIVEN_BACK]
    assert run.error == BROKEN


@scenario(mocked=True)
def GiveBackDeadLetters_fails_for_good(world: World) -> None:  # noqa: N802 - named after its state
    """A run that cannot give back what it received fails with its first error."""
    world.dead_letter(world.message())
    mocks = {
        "ValidateMessages": given.throws("Lambda.First"),
        "GiveBackDeadLetters": given.throws(BROKEN),
    }
    run = world.run(mocks=mocks)
    assert run.states == [*START, *JUDGED, *GIVEN_BACK]
    assert run.error == "Lambda.First"
    world.recover()
