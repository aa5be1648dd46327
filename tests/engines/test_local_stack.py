"""The local stack itself: what it tells, how it starts, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from local import run, stepfunctions_local
from local.deadline import DeadlineMissed, wait_until
from local.deployment import DeploymentFailed, parameter_overrides
from local.emulator import Emulator, PortTaken
from local.foreground import port_or
from local.stack import ROOT, Stack
from local.state_file import StateFile
from tests.engines import small_project
from tests.support.ports import is_free
from tests.support.template import template, template_tables


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return small_project.copy_to(tmp_path_factory.mktemp("stack") / "project")


@pytest.fixture(scope="module")
def small(project, tmp_path_factory):
    with Stack(root=project, state_file=tmp_path_factory.mktemp("state") / "stack.json") as running:
        yield running


def http_get(running, path):
    try:
        with urlopen(running.api_url + path) as answer:  # noqa: S310 - our own stack
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())


def group_is_gone(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return not any(
        f" {group} " in line and " Z " not in line
        for line in subprocess.check_output(["ps", "-eo", "pgid,stat"], text=True).splitlines()  # noqa: S607
    )


# What it tells


def test_state_file_says_how_to_use_the_stack(small):
    description = StateFile(small._state_file.path).read()

    assert description
    assert description == small.describe()
    assert set(description) == {
        "api_url",
        "endpoint_url",
        "region",
        "users",
        "queues",
        "state_machines",
        "tables",
    }
    assert description["endpoint_url"] == f"http://127.0.0.1:{small.emulator.port}"
    assert description["api_url"] == description["endpoint_url"] + "/v1"
    assert set(description["users"]) == {"operator", "producer"}
    for user in description["users"].values():
        assert set(user) == {"email", "password"}
    assert set(description["queues"]) == {"work", "dead_letter"}
    assert set(description["state_machines"]) == {"retry", "redrive", "redrive_lane"}
    assert set(description["tables"]) == {
        name.removesuffix("Table").lower() for name in template_tables()
    }


def test_every_table_of_the_template_is_an_output():
    assert {f"{name}Name" for name in template_tables()} == {
        name for name in template()["Outputs"] if name.endswith("TableName")
    }


def test_state_file_is_for_its_owner_only(small):
    assert small._state_file.path.stat().st_mode & 0o077 == 0


def test_users_are_in_the_table_with_their_roles(small):
    rows = small.client("dynamodb").scan(TableName=small.outputs["UsersTableName"])["Items"]

    assert {row["email"]["S"]: set(row["roles"]["SS"]) for row in rows} == {
        small.users["operator"]["email"]: {"operator"},
        small.users["producer"]["email"]: {"producer"},
    }


def test_parameters_of_the_local_section_reach_the_template(small):
    assert small.process_environment()["GREETING"] == "a b"


def test_output_of_a_failed_lambda_can_be_read(small):
    http_get(small, "/fail")

    assert "AccountFrozen: first line" in small.lambda_log()


def test_unmet_condition_is_named():
    with pytest.raises(DeadlineMissed, match=r"Not within 0 s: pigs fly \(last seen: False\)\."):
        wait_until(lambda: False, 0, "pigs fly")


# How it starts


def test_taken_port_is_told_in_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "local.run"],
            cwd=ROOT,
            env={**os.environ, "PORT": str(port)},
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == f"Port {port} on 127.0.0.1 is already in use.\n"
    assert done.stdout == ""


def test_port_of_another_stack_is_taken(small, project):
    with pytest.raises(PortTaken), Stack(small.emulator.port, root=project):
        pass

    assert small.emulator.is_running()


def test_port_is_taken_before_the_emulator_answers(monkeypatch):
    """Two that start together must not share a port: one would be deployed into the other."""
    emulator = Emulator()

    def meanwhile(*arguments):
        with pytest.raises(PortTaken):
            Emulator(emulator.port).start()
        return wait_until(*arguments)

    monkeypatch.setattr("local.emulator.wait_until", meanwhile)
    try:
        emulator.start()
        assert emulator.is_running()
    finally:
        emulator.stop()


def test_port_must_be_a_number(monkeypatch):
    monkeypatch.delenv("PORT", raising=False)
    assert port_or(4566) == 4566
    monkeypatch.setenv("PORT", "8083")
    assert port_or(4566) == 8083
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(ValueError, match="not 'http'"):
        port_or(4566)


def test_default_ports_are_those_of_the_documents():
    assert run.DEFAULT_PORT == 4566
    assert stepfunctions_local.DEFAULT_PORT == 8083  # AWS's Step Functions Local has it


def test_reason_of_a_failed_deployment_is_told(tmp_path):
    broken = small_project.copy_to(tmp_path / "broken")
    template = broken / "template.yaml"
    template.write_text(
        template.read_text().replace("statemachines/quirks.asl.json", "s3://nowhere/none.json")
    )

    with (
        pytest.raises(DeploymentFailed, match=r"^Machine \(AWS::StepFunctions"),
        Stack(root=broken),
    ):
        pass


def test_bad_parameter_override_is_told(tmp_path):
    (tmp_path / "samconfig.toml").write_text(
        '[local.deploy.parameters]\nparameter_overrides = ["A=1", "B"]\n'
    )

    with pytest.raises(ValueError, match="'B' in parameter_overrides is no Name=value"):
        parameter_overrides(tmp_path / "samconfig.toml")


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's table of sockets")
def test_listens_on_loopback_only(small):
    http_get(small, "/fail")  # with a Lambda worker alive
    inodes = {
        str(link.readlink()).removeprefix("socket:[").removesuffix("]")
        for process in Path("/proc").glob("[0-9]*")
        if process.name.isdigit() and _group(process) == small.emulator.pid
        for link in (process / "fd").iterdir()
        if str(link.readlink()).startswith("socket:")
    }
    listening = [
        fields[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for fields in map(str.split, Path(table).read_text().splitlines()[1:])
        if fields[3] == "0A" and fields[9] in inodes
    ]

    assert listening == [f"0100007F:{small.emulator.port:04X}"]


def _group(process):
    try:
        return os.getpgid(int(process.name))
    except ProcessLookupError:
        return None


# How it ends


def test_nothing_is_left_after_a_failure(project, tmp_path):
    state_file = tmp_path / ".local" / "stack.json"
    with (  # noqa: PT012 - what happens before the failure matters
        pytest.raises(ZeroDivisionError),
        Stack(root=project, state_file=state_file) as running,
    ):
        http_get(running, "/fail")
        group, directory = running.emulator.pid, running.emulator.directory
        assert state_file.exists()
        raise ZeroDivisionError

    wait_until(lambda: group_is_gone(group), 60, "every process is gone")
    assert is_free(running.emulator.port)
    assert not directory.exists()
    assert not state_file.parent.exists()


PARENT = """
import sys
from pathlib import Path

from local.stack import Stack

with Stack(root=Path(sys.argv[1]), with_users=False) as running:
    print(running.emulator.pid, running.emulator.directory, flush=True)
    sys.stdin.read()
"""


def test_nothing_is_left_when_the_parent_is_killed(project):
    parent = subprocess.Popen(  # noqa: S603 - the script above
        [sys.executable, "-c", PARENT, str(project)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout
        group, directory = parent.stdout.readline().split()
        parent.kill()

    wait_until(lambda: group_is_gone(int(group)), 60, "every process is gone")
    wait_until(lambda: not Path(directory).exists(), 60, "the directory is gone")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_run_ends_cleanly_on_a_signal(how, project):
    process = subprocess.Popen(
        [sys.executable, "-m", "local.run"],
        cwd=project,
        env={**os.environ, "PORT": "0", "PYTHONPATH": str(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        output = process.stdout
        assert output
        wait_until(lambda: "Ctrl-C" in output.readline(), 30, "it is ready")
        state_file = project / ".local" / "stack.json"
        port = urlsplit(json.loads(state_file.read_text())["endpoint_url"]).port
        assert port
        assert not is_free(port)
        process.send_signal(how)
        assert process.wait(timeout=60) == 0

    assert is_free(port)
    assert not state_file.exists()


def test_state_file_of_another_stack_is_left_alone(tmp_path):
    file = StateFile(tmp_path / "stack.json")
    file.write({"endpoint_url": "http://127.0.0.1:1"})

    file.remove("http://127.0.0.1:2")

    assert file.read() == {"endpoint_url": "http://127.0.0.1:1"}
    assert file.live_owner() is None
