"""`LATENCY_MS`: what it adds to which state, and what it does not take."""

import importlib

import pytest

from local import env_file, ministack_latency, run
from local.emulator import Emulator
from local.stack import Stack

KINDS = ["_execute_task", "_execute_choice", "_execute_pass", "_execute_wait"]


@pytest.fixture
def stepfunctions(monkeypatch):
    """Give MiniStack's own module, whose states do nothing but tell their kind."""
    module = importlib.import_module("ministack.services.stepfunctions")
    for kind in KINDS:
        monkeypatch.setattr(module, kind, lambda *given, kind=kind: (kind, given))
    return module


def test_each_task_and_choice_waits_before_it_is_executed(stepfunctions):
    waited: list[float] = []
    ministack_latency.patch(stepfunctions, "40", waited.append)

    for kind in KINDS:
        assert getattr(stepfunctions, kind)("state", "input") == (kind, ("state", "input"))

    assert waited == [0.04, pytest.approx(0.016)]  # a Task, a Choice, and nothing else


@pytest.mark.parametrize("setting", ["", "0", "0.0"])
def test_states_are_as_they_come_where_nothing_is_set(stepfunctions, setting):
    before = stepfunctions._execute_task

    ministack_latency.patch(stepfunctions, setting)

    assert stepfunctions._execute_task is before


@pytest.mark.parametrize("text", ["fast", "-1", "nan", "inf", "40ms", "4 0"])
def test_what_is_no_number_of_milliseconds_is_refused(text, monkeypatch):
    monkeypatch.setattr(env_file, "load", lambda: None)
    monkeypatch.setenv("LATENCY_MS", text)

    with pytest.raises(ValueError, match=f"LATENCY_MS must be .* from 0, not '{text}'"):
        run._stack()


def test_emulator_is_told_of_it(monkeypatch):
    monkeypatch.setattr(env_file, "load", lambda: None)
    monkeypatch.setenv("LATENCY_MS", "12.5")

    assert _setting(run._stack()) == "12.5"
    assert _setting(Stack()) is None


def _setting(stack):
    emulator: Emulator = stack.emulator
    return emulator._environment().get(ministack_latency.VARIABLE)
