"""How long the retry machine waits before an attempt, by the expression that ships."""

import json
import math

import jsonata
import pytest

from local.stack import ROOT


def backoff(attempts, base, cap, luck):
    """Evaluate the shipped expression of WaitBackoff, with what $random() gives."""
    machine = json.loads((ROOT / "statemachines" / "retry.asl.json").read_text())
    expression = machine["States"]["WaitBackoff"]["Seconds"].removeprefix("{%").removesuffix("%}")
    expression = expression.replace("${BackoffBaseSeconds}", str(base))
    expression = expression.replace("${BackoffCapSeconds}", str(cap))
    parsed = jsonata.Jsonata(expression.replace("$random()", "$luck"))
    return parsed.evaluate(None, {"attempts": attempts, "luck": luck})


@pytest.mark.parametrize(("base", "cap"), [(2, 300), (2, 8), (1, 1), (30, 10), (3600, 86_400)])
def test_wait_is_a_whole_number_up_to_the_doubling_capped_limit(base, cap):
    for attempts in range(2, 13):
        limit = min(cap, base * 2 ** (attempts - 2))
        lucks = (0, 0.25, 0.5, math.nextafter(1, 0))
        waits = [backoff(attempts, base, cap, luck) for luck in lucks]

        assert all(wait == int(wait) for wait in waits)
        assert waits == sorted(waits)
        assert (waits[0], waits[-1]) == (0, limit)
