"""A message that arrives at any point of the release: in order, once, never lost.

On the local stack, through the API: the retry machine waits before a state while the message is
sent and consumed. `tests/proofs/interleavings` tries the single calls in between.
"""

import pytest

from tests.deployed import gates
from tests.support.scratch_project import deployed, scratch_project
from tests.support.stack_fixtures import ended, queued

# Where the machine is stopped, in the order in which it comes by; one message arrives at each.
POINTS = {
    "inspect": ["ReleaseFence", "InspectMessage"],
    "validate": ["ReleaseFence", "ValidateMessage"],
    "guard": ["GuardLoop"],
    "wait": ["WaitBackoff"],
    "process": ["ProcessMessage"],
    "next": ["NextParked"],
    "any": ["AnyParked"],
    "release": ["ReleaseFence"],
    "refused": ["ReleaseFence", "InspectFence"],
    "ours": ["ReleaseFence", "StillOurs"],
    "promote": ["NextParked", "PromoteParked"],
    "promoted": ["NextParked", "PromoteParked", "ProcessMessage"],
    "again": ["ReleaseFence", "NextParked", "AnyParked", "PromoteParked"],
    "released": ["GroupReleased"],
    "all": [
        "GuardLoop",
        "WaitBackoff",
        "ProcessMessage",
        "NextParked",
        "AnyParked",
        "PromoteParked",
    ],
}
# At each of these a message arrives in "all", too; here it is the only one.
ALONE = {"guard", "wait", "process", "next", "any", "promote"}


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    project = scratch_project(tmp_path_factory.mktemp("release") / "project")
    gates.build_gates(project)
    with deployed(project) as entries:
        yield entries


@pytest.mark.parametrize(
    "group",
    [pytest.param(name, marks=pytest.mark.soak if name in ALONE else ()) for name in POINTS],
)
@pytest.mark.xdist_group("fence release")
def test_message_that_arrives_at_this_point_comes_next(entries, group):
    points = POINTS[group]
    gates.close(entries, group, points[0])
    entries.send(group, 1, fails=1).expect(202)
    execution = entries.execution(group)
    for number, point in enumerate(points, start=2):
        gates.close(entries, group, point)
        gates.arrives(entries, execution, point)
        entries.send(group, number).expect(202)
        entries.reaches(group, number, "PROCESSED" if point == "GroupReleased" else "PARKED")
    gates.open_all(entries, group)

    count = len(points) + 1
    entries.are_processed(group, count)
    assert entries.effects(group) == list(range(1, count + 1))
    assert {entries.status(group, number) for number in range(1, count + 1)} == {"PROCESSED"}
    assert ended(entries.stack, execution).states[-1] == "GroupReleased"
    assert entries.executions(group) == {"r0-g1": "SUCCEEDED"}
    assert queued(entries.stack, "DeadLetter", group) == []
