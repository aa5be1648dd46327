"""What the tests of rules and handlers share."""

from typing import Any

import pytest

from tests.support.cloud import ENVIRONMENT, drain
from workflows.runtime import aws


@pytest.fixture
def dead_letters(tables, queues, machines):
    """Give a function that takes all there is from the dead-letter queue."""
    return lambda: drain(queues, ENVIRONMENT["DEAD_LETTER_QUEUE_URL"])


@pytest.fixture
def asked(cloud, monkeypatch):
    """Give what S3 is asked for."""
    found: list[Any] = []
    real = aws.s3().get_object

    def get_object(**asked):
        found.append(asked)
        return real(**asked)

    monkeypatch.setattr(aws.s3(), "get_object", get_object)
    return found
