"""The demo: it succeeds, it fails when a claim does not hold, and it leaves nothing behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from local import demo
from local.client import UnexpectedAnswer
from local.deadline import wait_until
from local.demo_scene import Scene
from local.history import History, read
from local.journal import Entry
from local.narration import WIDTH, Claims, records
from local.stack import ROOT, Stack
from tests.support.ports import is_free

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


def start(tmp_path):
    return subprocess.Popen(
        [sys.executable, "-m", "local.demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def test_demo_succeeds_and_every_claim_holds(tmp_path):
    with start(tmp_path) as process:
        output, errors = process.communicate()

    assert process.returncode == 0, output + errors
    assert errors == ""
    claims = re.findall(r"^(ok|FAILED)  ", output, re.MULTILINE)
    assert len(claims) > 20
    assert set(claims) == {"ok"}
    assert "0.70 at full batches" in output
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= WIDTH
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_leaves_nothing_behind(how, tmp_path):
    with start(tmp_path) as process:
        output = process.stdout
        assert output
        told = wait_until(
            lambda: re.search(r"127\.0\.0\.1:(\d+)", output.readline()), 60, "it runs"
        )
        process.send_signal(how)
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 130
    assert errors == "\nStopped; nothing is left.\n"
    wait_until(lambda: is_free(int(told[1])), 60, "its port is free")
    assert list(tmp_path.iterdir()) == []


def test_wrong_effect_breaks_the_claims_about_it(tmp_path, capsys):
    """A scratch copy of the project that applies every transaction with a cent too much."""
    for folder in ("workflows", "lambdas", "statemachines", "local"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / file, tmp_path)
    transaction = tmp_path / "workflows" / "messages" / "transaction.py"
    right = 'change = payload.amount if payload.kind == "credit"'
    assert right in transaction.read_text()
    wrong = right.replace("payload.amount", 'payload.amount + Decimal("0.01")')
    transaction.write_text(transaction.read_text().replace(right, wrong))

    with Stack(root=tmp_path) as stack:
        scene = Scene(stack, time.monotonic())
        entry = scene.send(Entry("salary-alice", "alice", "credit", Decimal("2815.40")))
        scene.journal.wait_for([entry], "PROCESSED")
        demo.check(scene)

    scene.claims.show()
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    assert scene.claims.failed == len(failed) == 2  # and nothing is in quarantine
    assert failed[0].startswith("FAILED  1 balances add up to the cent: 2,815.40 EUR")


class NoStack(Stack):
    """A stack that is never started."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize(("failed", "status"), [(0, 0), (1, 1), (28, 1)])
def test_exit_status_tells_whether_all_claims_held(failed, status, monkeypatch):
    monkeypatch.setattr(demo, "Stack", NoStack)
    monkeypatch.setattr(demo, "play", lambda *_: failed)
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    assert demo.main([]) == status


def test_story_that_stops_halfway_has_failed(monkeypatch, capsys):
    def stop(*_):
        raise UnexpectedAnswer("202 expected, but the API said 500")

    stack = NoStack()
    stack.outputs = {"RedriveStateMachineArn": "arn"}
    scene = type("Scene", (), {"claims": Claims(), "chapter": lambda *_: None})()
    monkeypatch.setattr(demo, "Scene", lambda *_: scene)
    monkeypatch.setattr(demo, "Story", stop)

    assert demo.play(stack, time.monotonic()) == 1
    assert "FAILED  the story could be told to its end: 202 expected" in capsys.readouterr().out


def entered(name):
    return {
        "type": "TaskStateEntered",
        "timestamp": datetime.fromisoformat("2026-11-24T12:00:00Z"),
        "stateEnteredEventDetails": {"name": name},
    }


def test_retry_of_a_task_counts_as_a_transition():
    history = History()
    scheduled = {"type": "TaskScheduled"}
    received = {
        "type": "TaskSucceeded",
        "taskSucceededEventDetails": {"output": '{"Messages": [{}, {}]}'},
    }
    for event in (
        entered("StartLeg"),
        scheduled,
        entered("ReceiveDeadLetters"),
        scheduled,
        {"type": "TaskFailed", "taskFailedEventDetails": {"error": "Sqs.Throttled"}},
        scheduled,
        received,
        entered("ValidateMessages"),
        entered("SettleLeg"),
        entered("DecideNext"),
    ):
        history.add(event)

    assert history.transitions == 6
    assert [(turn.messages, turn.transitions) for turn in history.turns] == [(2, 3)]
    assert history.steps[1] == "ReceiveDeadLetters (Sqs.Throttled)"


def test_tasks_side_by_side_are_no_retries():
    history = History()
    lane, scheduled = entered("RunLane"), {"type": "TaskScheduled"}
    for event in (lane, lane, scheduled, scheduled, scheduled):
        history.add(event)

    assert history.transitions == 3  # two lanes, of which one is tried again


def sent(count, second):
    return {
        "type": "TaskSucceeded",
        "timestamp": datetime.fromisoformat("2026-11-24T12:00:00Z") + timedelta(seconds=second),
        "taskSucceededEventDetails": {"output": json.dumps({"Successful": [{}] * count})},
    }


def test_history_tells_legs_and_the_fullest_second():
    history = History()
    leg, redrive = entered("StartLeg"), entered("RedriveMessages")
    for event in (
        leg, redrive, sent(1, 0), leg, redrive, sent(2, 1), leg,
        leg, redrive, sent(2, 1.9), redrive, sent(1, 2),
    ):  # fmt: skip
        history.add(event)

    assert history.legs == [1, 2, 0, 3]
    assert history.most_sent_in_a_second() == 4


class Histories:
    """Step Functions, which has these histories, an event a page."""

    def __init__(self, **histories):
        self.histories = histories

    def get_paginator(self, _):
        return self

    def paginate(self, executionArn, PaginationConfig):  # noqa: N803 - boto3's names
        return [{"events": [event]} for event in self.histories[executionArn]]


def succeeded(resource, **output):
    details = {"resource": resource, "output": json.dumps(output)}
    return {"type": "TaskSucceeded", "taskSucceededEventDetails": details}


def test_history_of_a_run_has_the_executions_that_it_waited_for():
    run = [
        entered("RunLane"),
        succeeded("startExecution.sync:2", ExecutionArn="lane"),
        entered("StartSuccessor"),
        succeeded("arn:aws:states:::states:startExecution", ExecutionArn="other"),
        entered("FinishRun"),
    ]
    lane = [entered("StartLeg"), entered("SettleLeg")]

    history = read(Histories(run=run, lane=lane, other=[entered("Other")]), "run")

    assert history.states == ["RunLane", "StartLeg", "SettleLeg", "StartSuccessor", "FinishRun"]


def test_records_are_told_with_times_of_day_and_without_what_is_missing(capsys):
    times = ["2026-11-24T12:00:00.123Z", "2026-11-24T12:00:00.123456Z"]

    records(["at", "run_id"], [{"at": times[0], "run_id": "20261124-0123abcd"}, {"at": times[1]}])

    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["12:00:00.123", "0123abcd"],
        ["12:00:00.123", "-"],
    ]
