"""The state machines under their short names."""

import json

import pytest

from local.machines import MACHINES, Machine
from tests.support.endpoint import PLACEHOLDERS


@pytest.mark.parametrize("name", MACHINES)
def test_values_can_be_read_back_from_a_definition(name):
    machine = MACHINES[name]
    definition = machine.definition(PLACEHOLDERS)

    found = machine.values_in(definition)

    assert "${" not in definition
    assert found.items() <= (PLACEHOLDERS | machine.values).items()
    assert machine.definition(found) == definition


def test_substitution_that_is_not_given_is_named():
    with pytest.raises(KeyError, match="MessagesTable"):
        Machine("retry", {}).definition({})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"Next": "AnyParked"', '"Next": "ReleaseFence"'),
        ('"MaxAttempts": 10', '"MaxAttempts": 9'),
        ('"Limit": 1', '"Limit": 1, "ScanIndexForward": false'),
        ('["DEAD", "QUARANTINED"]', '["DEAD"]'),
        ("'continue' = ", "'continue' != "),
    ],
)
def test_definition_that_is_not_of_the_file_is_refused(old, new):
    machine = MACHINES["retry-continue"]
    definition = machine.definition(PLACEHOLDERS)
    old, new = (json.dumps(text)[1:-1] if "[" in text else text for text in (old, new))
    assert old in definition

    with pytest.raises(ValueError, match=r"not of retry\.asl\.json"):
        machine.values_in(definition.replace(old, new))
