"""What the tests of rules and handlers share."""

import pytest

from tests.support.cloud import ENVIRONMENT, drain


@pytest.fixture
def dead_letters(tables, queues, machines):
    """Give a function that takes all there is from the dead-letter queue."""
    return lambda: drain(queues, ENVIRONMENT["DEAD_LETTER_QUEUE_URL"])
