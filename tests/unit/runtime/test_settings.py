"""Settings: what they are read from, and what stops the start."""

import dataclasses

import pytest

from tests.support.cloud import ENVIRONMENT
from workflows.runtime.settings import InvalidSettings, Settings


def test_each_setting_is_the_variable_of_its_name():
    found = Settings.of(ENVIRONMENT | {"OTHER": "x"})

    assert (found.messages_table, found.max_attempts) == ("Messages", 5)
    assert found.work_queue_name == ENVIRONMENT["WORK_QUEUE_URL"].rpartition("/")[2]
    assert found.dead_letter_queue_name.endswith(".fifo")


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.of(ENVIRONMENT).max_attempts = 9  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MESSAGES_TABLE", ""),
        ("ON_DEAD_LETTER", "drop"),
        ("ON_DEAD_LETTER", "holding"),
        ("MAX_ATTEMPTS", ""),
        ("MAX_ATTEMPTS", "0"),
        ("MAX_ATTEMPTS", "26"),
        ("MAX_ATTEMPTS", "-1"),
        ("MAX_ATTEMPTS", "2.5"),
        ("MAX_ATTEMPTS", "five"),
        ("MAX_ATTEMPTS", "٥"),
    ],
)
def test_absurd_setting_stops_the_start_by_its_name(name, text):
    with pytest.raises(InvalidSettings, match=f"^{name} is not (a|hold)") as stopped:
        Settings.of(ENVIRONMENT | {name: text})

    assert not text or text not in str(stopped.value).replace(name, "").split()


def test_every_setting_that_is_missing_is_named():
    with pytest.raises(InvalidSettings) as stopped:
        Settings.of({})

    assert all(one.name.upper() in str(stopped.value) for one in dataclasses.fields(Settings))
