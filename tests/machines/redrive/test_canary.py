"""The canary's clock. Its halts and steps are played by `tests/machines/scenarios/options.py`."""

from tests.support.redrive_expressions import evaluate, states


def test_watch_whose_time_is_over_between_two_rules_does_not_halt_a_healthy_run():
    """Each rule reads the clock for itself; a rule that comes later may find it a moment on."""
    counts = {"counts": {"redriven": 2}, "watch_from": 0, "millis": 1_000}
    outcome = {"active": True, "lease_lost": False, "died_again": 0, "processed": 0}
    canary = {"messages": 2, "watch_seconds": 1, "max_failures": 2}
    given = counts | {"outcome": outcome, "request": {"canary": canary}}
    too_few = {"request": {"canary": canary | {"max_failures": 1}}}
    healthy, *others = (rule["Condition"] for rule in states()["CanaryHealthy"]["Choices"])

    assert not evaluate(healthy, **given | {"millis": 999})
    assert not any(evaluate(rule, **given) for rule in others)
    assert any(evaluate(rule, **given | too_few) for rule in others)
