"""A lane of a run: how a leg of it begins, and the names of its legs and of what it asks for."""

from hypothesis import example, given
from hypothesis import strategies as st

from local import legal_ids
from workflows.redrive import lane as lanes
from workflows.redrive import leg_executions, turns
from workflows.redrive.counters import COUNTED
from workflows.redrive.lane import Lane

RUN = "run-1"
# What AWS allows a person to call an execution.
NAMES = st.text(min_size=1, max_size=80).filter(legal_ids.is_execution_name)


def begin(lane, leg=1, **shares):
    usual = {"may_receive": None, "may_redrive": None, "waves": 300}
    lanes.begin_leg(lane, RUN, leg, **usual | shares)
    return lane


def ask(lane, name=RUN):
    """Ask for nothing, as after an empty poll."""
    turns.ask(lane, [], name)


def test_received_is_all_but_what_was_left():
    assert Lane(counts=dict.fromkeys(COUNTED, 1)).received == len(COUNTED) - 1


def test_leg_begins_with_its_shares_and_knows_nothing_of_the_one_before():
    lane = Lane(size=10, empty_polls=2, gap=7, failure="X", reason="why", in_hand=True)
    begin(lane, may_receive=4, may_redrive=7, waves=9)

    assert (lane.may_receive, lane.may_redrive, lane.waves_left, lane.poll) == (4, 7, 9, 4)
    fresh = Lane().model_dump(include={"empty_polls", "gap", "failure", "reason", "in_hand"})
    assert fresh.items() <= lane.model_dump().items()
    assert lane.over_because == ""


@given(name=NAMES, number=st.integers(0, 99), leg=st.integers(1, 99_999))
@example(name="ü" * 80, number=99, leg=99_999)
def test_leg_of_any_run_has_a_name_that_may_be(name, number, leg):
    found = leg_executions.leg_name(name, number, leg)

    assert legal_ids.is_execution_name(found)
    assert found.endswith(f"-l{number}-{leg}")
    assert len(name) > 56 or found.startswith(f"{name}-l")


def test_legs_of_two_runs_lanes_and_turns_differ():
    names = {
        leg_executions.leg_name(name, number, leg)
        for name in ("n" * 79 + "a", "n" * 79 + "b", "n" * 56, "n" * 55)
        for number in (0, 1)
        for leg in (1, 2)
    }

    assert len(names) == 16


@given(name=NAMES, polls=st.integers(0, 999_999))
@example(name="ü" * 80, polls=999_999)
def test_attempt_of_any_run_is_one_that_sqs_takes(name, polls):
    lane = Lane(polls=polls, number=99, size=10)
    ask(lane, name)

    assert legal_ids.illegal_sqs_id({"ReceiveRequestAttemptId": lane.attempt_id}) is None


def test_attempts_of_two_polls_runs_and_lanes_differ():
    """A leg's first poll too: what a lost one received is not to be handed out again."""
    lane, attempts = Lane(size=10), []
    for step in (begin, ask, ask, begin, ask):
        step(lane)
        attempts.append(lane.attempt_id)
    for name, number in (("rückführung", 0), ("röckführung", 0), (RUN, 1)):
        other = Lane(size=10, number=number)
        ask(other, name)
        attempts.append(other.attempt_id)

    assert len(set(attempts)) == len(attempts) == 8


def test_legs_are_named_by_their_round_and_count_on():
    lane = begin(Lane(size=10))
    ask(lane)
    begin(lane, leg=4)

    assert (lane.leg, lane.name, lane.turns, lane.polls) == (4, "run-1-l0-4", 1, 3)
    assert lane.asked == []
