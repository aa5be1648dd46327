"""Units by AWS's rules: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html."""

import pytest

from local.request_units import Index, Table, Units, of_read, of_write, size

DESCRIPTION = {
    "TableName": "T",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "ByState",
            "KeySchema": [
                {"AttributeName": "state", "KeyType": "HASH"},
                {"AttributeName": "at", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["why"]},
        },
        {
            "IndexName": "ByOwner",
            "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        },
    ],
}
TABLE = Table.of(DESCRIPTION)
KEY = {"id": {"S": "a"}}


def item(**texts: str):
    return KEY | {name: {"S": text} for name, text in texts.items()}


def billed(before, after, **options):
    return [
        (one.place, one.key, one.units) for one in of_write(TABLE, KEY, before, after, **options)
    ]


@pytest.mark.parametrize(
    ("value", "number_of_bytes"),
    [
        ({"S": "abc"}, 3),
        ({"S": "é"}, 2),
        ({"N": "1"}, 2),
        ({"N": "12345"}, 4),
        ({"N": "-12"}, 3),
        ({"N": "1000"}, 2),  # zeros at the ends do not count
        ({"N": "0.001"}, 2),
        ({"N": "1.5E+30"}, 2),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"B": "AAEC"}, 3),
        ({"L": []}, 3),
        ({"L": [{"S": "ab"}, {"BOOL": False}]}, 3 + 1 + 2 + 1 + 1),
        ({"M": {"key": {"S": "ab"}}}, 3 + 1 + 3 + 2),
        ({"SS": ["ab", "c"]}, 3),
        ({"NS": ["1", "22"]}, 4),
    ],
)
def test_value_has_its_size_beside_its_name(value, number_of_bytes):
    assert size({"name": value}) == 4 + number_of_bytes


def test_kind_that_dynamodb_has_not_is_refused():
    with pytest.raises(ValueError, match="no type X"):
        size({"name": {"X": 1}})


def test_table_is_read_as_described():
    assert TABLE.key == ("id",)
    assert TABLE.indexes == (
        Index("ByState", ("state", "at"), frozenset({"id", "state", "at", "why"})),
        Index("ByOwner", ("owner",), None),
    )


def test_write_costs_a_unit_for_each_kilobyte_of_the_larger_image():
    small, large = item(text="x" * 100), item(text="x" * 2_000)

    assert billed(None, small) == [("T", "a", 1)]
    assert billed(large, small) == billed(small, large) == [("T", "a", 2)]


def test_kilobyte_is_1024_bytes():
    rest = size(item(text=""))

    assert billed(None, item(text="x" * (1_024 - rest))) == [("T", "a", 1)]
    assert billed(None, item(text="x" * (1_025 - rest))) == [("T", "a", 2)]


def test_transaction_doubles_what_the_table_costs():
    after = item(owner="o")

    assert billed(None, after, transactional=True) == [("T", "a", 2), ("T/ByOwner", "o", 1)]


def test_refused_write_costs_as_much_as_if_it_had_written():
    assert billed(item(text="x" * 2_000), item(text="x" * 2_000)) == [("T", "a", 2)]
    assert billed(None, None) == [("T", "a", 1)]  # of an item that does not exist


def test_index_costs_nothing_while_what_it_carries_stays():
    before, after = item(state="s", at="1", other="x"), item(state="s", at="1", other="y")

    assert billed(before, after) == [("T", "a", 1)]


def test_index_is_written_once_if_only_what_it_carries_changes():
    before, after = item(state="s", at="1", why="x"), item(state="s", at="1", why="y")

    assert billed(before, after) == [("T", "a", 1), ("T/ByState", "s", 1)]


def test_index_is_written_twice_if_its_key_changes():
    before, after = item(state="s", at="1"), item(state="s", at="2")
    other = item(state="t", at="1")

    assert billed(before, after) == [("T", "a", 1), ("T/ByState", "s", 1), ("T/ByState", "s", 1)]
    assert billed(before, other)[1:] == [("T/ByState", "s", 1), ("T/ByState", "t", 1)]


def test_item_enters_and_leaves_a_sparse_index():
    listed, unlisted = item(state="s", at="1"), item(at="1")

    assert billed(unlisted, listed)[1:] == [("T/ByState", "s", 1)]
    assert billed(listed, unlisted)[1:] == [("T/ByState", "s", 1)]
    assert billed(listed, None)[1:] == [("T/ByState", "s", 1)]


def test_index_costs_by_the_size_of_what_it_carries():
    before, after = item(owner="o", text="x"), item(owner="o", text="x" * 3_000)

    assert billed(before, after)[1:] == [("T/ByOwner", "o", 3)]
    assert list(of_write(TABLE, KEY, None, item(state="s", at="1", other="x" * 3_000)))[1] == (
        Units("T/ByState", "s", 1)
    )


@pytest.mark.parametrize(
    ("number_of_bytes", "consistent", "units"),
    [(0, True, 1), (0, False, 0.5), (4_096, True, 1), (4_097, True, 2), (4_097, False, 1)],
)
def test_read_costs_a_unit_for_4_kilobytes_or_half_of_it(number_of_bytes, consistent, units):
    assert of_read(number_of_bytes, consistent=consistent) == units
