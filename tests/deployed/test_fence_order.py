"""Order through failure: whatever fails, comes twice or is redriven, each group keeps its order."""

import random

import pytest

from local.deadline import wait_until
from tests.support.scratch_project import deployed, mutate, scratch_project
from tests.support.stack_fixtures import queued

SEED = 20261124
NUMBERS = range(1, 21)
FROZEN = "frozen-for-now"
# Of 600 entries about so many fail that often, or until the account is unfrozen.
FAILING = {1: 24, 2: 12, 3: 9}
FROZEN_ENTRIES = 9
DUPLICATES = 30


def plan(groups, seed):
    """Return what is sent, as (group, number, payload) in the order of arrival, and the copies."""
    choose = random.Random(seed)  # noqa: S311 - a plan, no secret
    entries = [(group, number) for group in groups for number in NUMBERS]
    share = len(entries) / 600
    payloads: dict[tuple[str, int], dict[str, object]] = {entry: {} for entry in entries}
    for fails, count in FAILING.items():
        for entry in choose.sample(entries, max(1, round(count * share))):
            payloads[entry] = {"fails": fails}
    for entry in choose.sample(entries, max(1, round(FROZEN_ENTRIES * share))):
        payloads[entry] = {"frozen_by": FROZEN}
    turns = [group for group in groups for _ in NUMBERS]
    choose.shuffle(turns)
    following = {group: iter(NUMBERS) for group in groups}
    arrival = [(group, next(following[group])) for group in turns]
    copies = choose.sample(arrival, max(1, round(DUPLICATES * share)))
    return [(*entry, payloads[entry]) for entry in arrival], set(copies)


def send_all(entries, groups):
    """Send the whole plan, its copies included."""
    entries.freeze(FROZEN)
    arrival, copies = plan(groups, SEED)
    for group, number, payload in arrival:
        entries.send(group, number, **payload).expect(202)
        if (group, number) in copies:
            entries.send(group, number, **payload).expect(200)  # the producer asks again
            entries.deliver_again(group, number)


def all_effects(entries, groups):
    return {group: entries.effects(group) for group in groups}


@pytest.fixture
def project(tmp_path):
    return scratch_project(tmp_path / "project")


# So many sends and five waits: on a busy machine the usual limit ends it while all goes well. Each
# wait has a deadline of its own and says what it waited for.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [5, pytest.param(30, marks=pytest.mark.soak)])
def test_effects_of_each_group_come_in_the_order_sent_and_once(project, count):
    groups = [f"group-{number:02}" for number in range(count)]
    with deployed(project) as entries:
        send_all(entries, groups)
        entries.comes_to_rest(120)
        assert entries.fences(), f"seed {SEED}: no group is held"
        entries.redrive()  # in vain
        entries.comes_to_rest()
        entries.unfreeze(FROZEN)
        run = entries.redrive()
        entries.comes_to_rest()

        assert all_effects(entries, groups) == {group: list(NUMBERS) for group in groups}, (
            f"seed {SEED}"
        )
        assert run["redriven"] > 0
        assert entries.api.status().json["groups"] == {"fenced": 0, "parked": 0}
        assert queued(entries.stack, "DeadLetter") == []


@pytest.mark.soak
def test_without_the_fence_the_order_is_lost(project):
    """The same scenario can fail: with no fence ever seen, later entries overtake failing ones."""
    mutate(
        project,
        "workflows/groups/fences.py",
        "    while keys and wanted:",
        "    while False:",
    )
    groups = [f"group-{number:02}" for number in range(5)]
    with deployed(project) as entries:
        send_all(entries, groups)

        def overtaken():
            effects = all_effects(entries, groups)
            return [group for group in groups if effects[group] != sorted(effects[group])]

        assert wait_until(overtaken, 60, f"seed {SEED}: the check can fail")
