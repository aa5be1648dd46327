"""Ids: none that a redrive makes is a sender's, and each fits where it goes."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.messages import a_message
from workflows.messages.ids import check_message_id, deduplication_id, new_message_id, stem

IDENTIFIERS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:@=+-]{0,119}", fullmatch=True)


@given(IDENTIFIERS, st.integers(0, 100))
def test_deduplication_id_of_a_redrive_fits_sqs_and_is_no_senders_id(message_id, redrives):
    made = deduplication_id(message_id, redrives)

    assert len(made) <= 128
    with pytest.raises(ValueError, match="must not"):
        check_message_id(made)


def test_new_ids_are_valid_and_differ():
    ids = {new_message_id() for _ in range(100)}

    assert len(ids) == 100
    for message_id in ids:
        assert a_message(message_id=check_message_id(message_id)).message_id == message_id


@given(IDENTIFIERS)
def test_stem_is_a_piece_of_an_execution_name(message_id):
    made = stem(message_id)

    assert re.fullmatch("[A-Za-z0-9_-]+", made)
    assert len(f"{made}-r100") <= 80
    assert made == stem(message_id)


@given(st.lists(IDENTIFIERS, min_size=2, unique=True))
@example(["a.b", "a:b", "a-b"])
@example(["a" * 119 + "b", "a" * 119 + "c"])
def test_stems_of_different_ids_differ(message_ids):
    assert len({stem(message_id) for message_id in message_ids}) == len(message_ids)
