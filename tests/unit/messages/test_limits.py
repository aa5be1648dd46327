"""Limits: a message that is taken still fits when it has a reason."""

import pytest

from workflows.messages.limits import ATTRIBUTE_RESERVE_BYTES, MessageTooLarge, check_size
from workflows.messages.reasons import reason_of


@pytest.mark.parametrize("letter", ["x", "ä", "\U0001f600"])
def test_size_counts_bytes_to_the_last_one(letter):
    body = letter * 3
    exact = len(body.encode()) + ATTRIBUTE_RESERVE_BYTES

    check_size(body, exact)
    with pytest.raises(MessageTooLarge) as raised:
        check_size(body, exact - 1)
    assert (raised.value.size, raised.value.limit) == (len(body.encode()), len(body.encode()) - 1)


def test_reserve_holds_the_longest_reason():
    attributes = reason_of(type("E" * 64, (Exception,), {})("m" * 1_000))
    names_and_types = len("ReasonType" + "ReasonMessage" + "String" * 2)

    assert names_and_types + sum(map(len, attributes.values())) <= ATTRIBUTE_RESERVE_BYTES
