"""Every path of every machine, through the shipped ASL, and that none is left out."""

import json

import pytest

from local.machines import MACHINES, MOCK_CONFIG
from tests.machines.paths.coverage import rows
from tests.machines.paths.run import CASES, covered, run_all
from tests.support.endpoint import endpoint, mocked_errors
from tests.support.history import states_of
from tests.support.tables import hold

pytestmark = [
    pytest.mark.xdist_group("paths"),  # all cases run once, for all tests
    pytest.mark.timeout(600),  # an endpoint that does not shorten waits
]


@pytest.fixture(scope="session")
def outcomes():
    with endpoint() as engine:
        yield run_all(engine)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case, outcomes):
    outcome = outcomes[str(case)]

    assert (outcome.status, outcome.error) == (case.status, case.error)
    assert outcome.path() == case.path
    assert case.output.items() <= outcome.output.get("told", outcome.output).items()
    thrown: dict[str, list[str]] = {}
    for step in outcome.steps:
        thrown.setdefault(step.state, []).extend(step.errors)
    for state, errors in mocked_errors(case.machine, case.name).items():
        assert thrown.get(state) == errors, state  # so every retry was made, and no other


@pytest.mark.parametrize(
    ("case", "heard"),
    [
        ("redrive-DeadLetterIsRedriven", {"lane": {"number": 0, "failure": ""}}),
        ("redrive-express-DeadLetterIsRedriven", {"lane": {"number": 0, "failure": ""}}),
        ("redrive-RunWhoseLaneWasStoppedFails", {"error": "Some.ServiceException"}),
        ("redrive-express-RunWhoseLaneFailedFails", {"error": "LaneStopped"}),
        ("redrive-express-LegThatGaveNoAnswerIsNotRunAgain", {"error": "Some.ServiceException"}),
        ("redrive-express-LegThatWasTooSlowIsNotRunAgain", {"error": "States.Timeout"}),
    ],
)
def test_run_hears_of_a_leg_of_either_kind_alike(case, heard, outcomes):
    (lanes,) = (step for step in outcomes[case].steps if step.state == "RunLanes")

    assert lanes.assigned == {"legs": [heard]}


def test_every_case_of_the_file_has_a_path():
    config = json.loads(MOCK_CONFIG.read_text(encoding="utf-8"))
    written = {
        f"{machine}-{case}"
        for machine, cases in config["StateMachines"].items()
        for case in cases["TestCases"]
    }

    assert {str(case) for case in CASES} == written
    assert {
        name
        for cases in config["StateMachines"].values()
        for mocks in cases["TestCases"].values()
        for name in mocks.values()
    } == config["MockedResponses"].keys()


def test_every_task_of_a_path_is_mocked_and_no_other():
    config = json.loads(MOCK_CONFIG.read_text(encoding="utf-8"))
    for case in CASES:
        states = states_of(MACHINES[case.machine].text())
        tasks = {state for state in case.path if states[state]["Type"] == "Task"}
        mocked = config["StateMachines"][case.machine]["TestCases"][case.name]

        assert mocked.keys() == tasks, case


@pytest.mark.tables
def test_every_state_rule_catch_and_retry_is_taken(outcomes):
    possible, done = covered(outcomes)
    table = rows(possible, done)
    hold("coverage", tuple(table[0]), (tuple(row.values()) for row in table))

    missing = [
        f"{machine}: {branch}"
        for machine in possible
        for branch in sorted(possible[machine] - done[machine])
    ]
    assert not missing, "\n".join(["No case takes", *missing, *map(str, table)])


def test_long_backlog_is_handed_over_before_the_history_is_full(outcomes):
    (outcome,) = (outcome for case, outcome in outcomes.items() if "LongBacklog" in case)

    # AWS notes a state's entry and exit, and when each try was scheduled, started and ended.
    events = sum(2 + 3 * step.tries for step in outcome.steps)
    assert 6_500 < events < 25_000
