"""A model-based test: stories that Hypothesis makes up, against an oracle that knows the end.

`story.py` is what may happen, `model.py` the oracle, `modelled_service.py` the
real handlers and machines. When a story ends badly, Hypothesis makes it as short as can be and
prints it, step by step.

Not in any story: `dry_run` and `plan_hash`, `OnDeadLetter=continue`, bulk actions, schedules, two
runs that work at the same moment, and answers that are lost without a death; other tests have
those.
"""

import os
import secrets
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test

from tests.proofs.random_model.modelled_service import Service
from tests.proofs.random_model.story import KINDS_OF_STEP, Story, steps

_STEPS = 40  # of a story
# What the service did at least once for each function of the API, so that no rule is idle.
_ANSWERS = (
    *("send_message 200", "send_message 202", "send_message 409"),
    *("retry_messages 202", "retry_messages 409"),
    *("edit_messages 200", "edit_messages 409"),
    *("discard_messages 200", "discard_messages 409"),
    *("reprocess_dead_letters 202", "reprocess_dead_letters 409"),
    *("cancel_run 202", "cancel_run 409"),
)


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as found:
        yield found


def _tell(service: Service, stories: int, seed: int) -> int:
    """Tell stories, the same for the same seed, and return of how many steps they were.

    Together they take every kind of step, and get every kind of answer.
    """

    def story() -> Story:
        return Story(service)

    steps.clear()
    run_state_machine_as_test(
        hypothesis.seed(seed)(story),  # type: ignore[arg-type]
        settings=hypothesis.settings(
            max_examples=stories,
            stateful_step_count=_STEPS,
            derandomize=False,  # the seed alone decides
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
            print_blob=True,
        ),
    )
    assert steps.keys() == KINDS_OF_STEP
    assert not [answer for answer in _ANSWERS if not service.answered[answer]]
    return steps.total()


@pytest.mark.timeout(900)  # one that fails is made as short as can be
@pytest.mark.parametrize("seed", [1, 2])  # in parallel; 1,000 steps in all
def test_every_story_ends_well(service: Service, seed: int) -> None:
    assert _tell(service, 15, seed) >= 500


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(8))  # in parallel; 20,000 steps in all
def test_every_one_of_many_stories_ends_well(service: Service, part: int) -> None:
    seed = int(os.environ.get("MODEL_SEED", secrets.randbelow(2**32)))
    print(f"MODEL_SEED={seed} tells part {part} again.")  # noqa: T201 - of a failure
    assert _tell(service, 90, seed + part) >= 2_500
