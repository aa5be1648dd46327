"""The price list."""

from datetime import date

import pytest

from workflows.redrive.prices import AS_OF, MILLION, PRICES, Item, bill


def test_each_item_has_a_price_and_the_list_a_date():
    assert PRICES.keys() == set(Item)
    assert date.fromisoformat(AS_OF)


def test_bill_has_the_dollars_of_what_was_used():
    found = bill({Item.TRANSITIONS: MILLION, Item.SQS: 3 * MILLION, Item.READS: 0})

    assert found == {Item.TRANSITIONS: 25.0, Item.SQS: pytest.approx(1.5), Item.READS: 0}
