"""`make stepfunctions-local`: what AWS's Step Functions Local does, with our machines."""

import json
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from local.deadline import wait_until
from local.machines import ACCOUNT, MACHINES, MOCK_CONFIG, Machine
from local.stepfunctions_local import greeting
from tests.support.endpoint import VARIABLE, Endpoint, machines
from tests.support.ports import is_free

pytestmark = pytest.mark.xdist_group("stepfunctions-local")  # one server for all

MACHINE = f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine"
OUTPUTS = ("RetryStateMachineArn", "RedriveStateMachineArn", "RedriveLaneStateMachineArn")
HELLO = '{"StartAt": "Hello", "States": {"Hello": {"Type": "Pass", "End": true}}}'


def serve(folder, **environment):
    """Start the server; what it writes goes to files in the folder."""
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "local.stepfunctions_local"],
            env=os.environ | environment,
            stdout=out,
            stderr=err,
        )


def said(folder):
    return (folder / "out").read_text(), (folder / "err").read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Give the folder of what a running server said; end it as Ctrl-C does, and look after it."""
    folder = tmp_path_factory.mktemp("server")
    process = serve(folder, PORT="0")
    try:
        wait_until(lambda: "Ctrl-C" in said(folder)[0] or process.poll(), 60, "it is ready")
        yield folder
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert said(folder)[1] == "\nStopped.\n"
        wait_until(lambda: is_free(int(url(folder).rpartition(":")[2])), 60, "its port is free")
    finally:
        process.kill()


def url(folder):
    found = re.search(r"^Step Functions +(http://127\.0\.0\.1:\d+) ", said(folder)[0], re.MULTILINE)
    assert found, said(folder)
    return found[1]


@pytest.fixture
def stepfunctions(server):
    return Endpoint(url(server)).client("stepfunctions")


def run(stepfunctions, machine_arn, given=None):
    arn = stepfunctions.start_execution(stateMachineArn=machine_arn, input=json.dumps(given or {}))[
        "executionArn"
    ]

    def end():
        found = stepfunctions.describe_execution(executionArn=arn)
        return found if found["status"] != "RUNNING" else None

    return wait_until(end, 30, "the execution ends")


def test_machines_and_an_example_are_told(server):
    words, _ = said(server)

    for name in MACHINES:
        assert re.search(rf"^  {MACHINE}:{name}   \d+ test cases$", words, re.MULTILINE)
    assert f"--state-machine-arn '{MACHINE}:redrive#DeadLetterIsRedriven'" in words


def test_test_case_runs_with_its_mocked_results(stepfunctions):
    # A real run that nobody scheduled asks the queue itself.
    ended = run(stepfunctions, f"{MACHINE}:redrive#ScheduledRunOfAnEmptyQueueIsSkipped", {})

    assert json.loads(ended["output"])["status"] == "SKIPPED"
    assert ended["executionArn"].startswith(
        f"arn:aws:states:us-east-1:{ACCOUNT}:execution:redrive:"
    )


def test_misspelled_test_case_starts_nothing(stepfunctions):
    """It ran against the services, as if nobody had asked for a test case."""
    wrong = f"{MACHINE}:redrive#CanaryIsWatchet"

    with pytest.raises(stepfunctions.exceptions.InvalidName) as refused:
        stepfunctions.start_execution(stateMachineArn=wrong, input="{}")

    assert "no test case CanaryIsWatchet; is CanaryIsWatched meant?" in str(refused.value)
    with pytest.raises(stepfunctions.exceptions.InvalidName, match="no test case Nonsense"):
        stepfunctions.start_execution(stateMachineArn=f"{MACHINE}:retry#Nonsense", input="{}")


def test_execution_without_a_test_case_meets_the_services(stepfunctions):
    ended = run(stepfunctions, f"{MACHINE}:redrive", {"request": {"max_messages": 3}})

    assert ended["status"] == "SUCCEEDED"
    assert json.loads(ended["output"])["redriven"] == 0


def test_path_tests_take_the_machines_that_are_there(stepfunctions):
    with machines(stepfunctions) as found:
        assert found.keys() == MACHINES.keys()
        assert not any(machine.new for machine in found.values())

    given = {"group_id": "g-1", "message_id": "m-1"}
    ended = run(stepfunctions, f"{MACHINE}:retry#SettledMessageLetsItsGroupGo", given)
    assert ended["status"] == "SUCCEEDED"  # not deleted


def test_path_tests_refuse_another_machine_of_that_name(stepfunctions, monkeypatch):
    monkeypatch.setitem(MACHINES, "redrive", Machine("redrive", {"WavesPerLeg": "5"}))

    with pytest.raises(ValueError, match="does not have"), machines(stepfunctions):
        pass


def test_machine_of_a_tutorial_can_be_made_and_run(stepfunctions):
    arn = stepfunctions.create_state_machine(
        name="HelloWorld", definition=HELLO, roleArn="arn:aws:iam::012345678901:role/DummyRole"
    )["stateMachineArn"]

    assert arn == f"{MACHINE}:HelloWorld"
    assert json.loads(run(stepfunctions, arn, {"a": 1})["output"]) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "cannot be read"), ("{", "cannot be read"), ("{}", "lacks StateMachines")],
)
def test_wrong_mock_configuration_is_told(tmp_path, text, says):
    config = tmp_path / "mocks.json"
    if text:
        config.write_text(text)

    process = serve(tmp_path, PORT="0", SFN_MOCK_CONFIG=str(config))

    assert process.wait(20) == 1
    words, error = said(tmp_path)
    assert words == ""
    assert error.startswith(f"The mock configuration file {config} ")
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"GuardLoop": "', '"GuardLop": "', "there is no state GuardLop; is GuardLoop meant?"),
        (': "AttemptIsCounted"', ': "AttemptCounted"', "no response AttemptCounted; is "),
        ('"Throw": ', '"Thrown": ', "'Thrown' is neither Return nor Throw."),
        ('"1": {', '"one": {', "'one' is no invocation"),
    ],
)
def test_misspelled_name_in_the_mock_configuration_is_told(tmp_path, old, new, says):
    text = MOCK_CONFIG.read_text()
    assert old in text
    config = tmp_path / "mocks.json"
    config.write_text(text.replace(old, new, 1))

    process = serve(tmp_path, PORT="0", SFN_MOCK_CONFIG=str(config))

    assert process.wait(20) == 1
    words, error = said(tmp_path)
    assert words == ""
    assert says in error
    assert "Traceback" not in error


def test_machine_of_the_file_that_is_not_made_here_is_told(tmp_path, monkeypatch):
    config = tmp_path / "mocks.json"
    config.write_text('{"StateMachines": {"Redrve": {"TestCases": {}}}, "MockedResponses": {}}')
    monkeypatch.setenv("SFN_MOCK_CONFIG", str(config))
    made: Any = SimpleNamespace(endpoint_url="http://x", outputs=dict.fromkeys(OUTPUTS, "arn"))

    words = greeting(made, dict.fromkeys(MACHINES, "arn"))

    assert "In the file, and not made here\n  Redrve\n" in words


def test_other_mock_configuration_is_served(tmp_path):
    config = tmp_path / "mocks.json"
    config.write_text('{"StateMachines": {}, "MockedResponses": {}}')
    process = serve(tmp_path, PORT="0", SFN_MOCK_CONFIG=str(config))
    try:
        wait_until(lambda: "Ctrl-C" in said(tmp_path)[0] or process.poll(), 60, "it is ready")
        words, _ = said(tmp_path)
        assert f"Mock config     {config} " in words
        assert f"{MACHINE}:redrive   0 test cases" in words
        assert "Try it" not in words
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.soak  # six minutes: its waits are real
@pytest.mark.timeout(1_200)
def test_path_tests_pass_on_the_endpoint_that_the_variable_names(server):
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/machines/paths/test_paths.py"],
        env=os.environ | {VARIABLE: url(server)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout
