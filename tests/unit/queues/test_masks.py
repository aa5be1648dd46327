"""Masks: which expressions read what is masked, and what those see who are no operators."""

from dataclasses import replace

import pytest

from tests.support.pairs import BUILT_IN, STANDARD
from workflows.queues import masks
from workflows.queues.masks import Masked

ROW = {
    "type": "order", "group_id": "g-1", "reason": {"type": "Late", "message": "Ann is late"},
    "journey": [{"event": "dead", "reason_type": "Late"}, {"event": "edited"}], "redrives": 1,
}  # fmt: skip
MASK = ("body.customer", "body.items[*].card", 'attributes."x-user"')


def masked(row=ROW, **settings):
    found = masks.masked(row, replace(STANDARD, **settings))
    return {name for name in found if found[name] != row.get(name)}


@pytest.mark.parametrize(
    "mask",
    ["body", "body.a.b", "body.a[0].b", "body.items[*].card", "body.*.x", 'attributes."a-b"'],
)
def test_path_is_a_mask(mask):
    assert masks.check(mask) == mask


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        ("", "1 to 512"),
        ("body." + "a" * 512, "1 to 512"),
        ("body.", "not a JMESPath"),
        ("length(body.a)", "must be a path"),
        ("'x'", "must be a path"),
        ("@", "must be a path"),
        ("body.a || body.b", "must be a path"),
        ("[body.a]", "may hold"),
        ("payload.a", "must begin at body"),
    ],
)
def test_what_is_no_path_is_refused(mask, problem):
    with pytest.raises(ValueError, match=problem):
        masks.check(mask)


@pytest.mark.parametrize(
    ("expression", "hidden"),
    [
        ("body.customer", True),
        ("body.customer.email", True),
        ("body", True),
        ("@", True),
        ("body.customers", False),
        ("body.items[0].card", True),
        ("body.items[?price > `1`].card | [0]", True),
        ("body.items[?card == 'x'].price", True),
        ("body.items[*].price", False),
        ("body.items[1:2].card", True),
        ("not_null(body.id, body.customer.name)", True),
        ("length(values(body)[0])", True),
        ('[body.id, attributes."x-user"]', True),
        ("attributes.other || 'customer'", False),
        ("body.[id, customer]", True),
        ("(body || attributes).customer", True),
        ("(" + " || ".join(["body"] * 30) + ").id", False),
        (" | ".join(["(body || body)"] * 20), True),  # more than is followed
    ],
)
def test_expression_is_hidden_if_it_reads_what_is_masked(expression, hidden):
    assert masks.hides(MASK, expression) == hidden


def test_what_is_told_of_masked_fields_is_replaced_and_nothing_else():
    assert masked(mask=MASK) == set()
    assert masked(mask=MASK, type="body.customer.kind", group="body.items[0].card") == {
        "type", "group_id",
    }  # fmt: skip
    assert masked(mask=("group",)) == {"group_id"}
    assert masked(mask=("attributes.ErrorMessage",)) == {"reason"}
    assert masked(mask=("body.cause",), error="body.cause") == {"reason", "journey"}

    found = masks.masked(ROW, replace(STANDARD, mask=("attributes",)))
    assert found["reason"] == {"type": "***", "message": "***"}
    assert found["journey"] == [{"event": "dead", "reason_type": "***"}, {"event": "edited"}]
    assert (found["redrives"], found["type"]) == (1, "order")


def test_built_in_queue_masks_nothing_and_a_forgotten_one_all():
    assert masks.masked(ROW, BUILT_IN) == ROW
    found = masks.masked(ROW, None)
    assert (found["type"], found["group_id"], found["reason"]["message"]) == ("***",) * 3


def test_filter_by_what_is_masked_is_refused():
    queue = replace(STANDARD, mask=("body.cause",), error="body.cause", type="body.kind")

    masks.check_filter(queue, type="order", group_id="g", reason=None)
    with pytest.raises(Masked, match="reason: the queue masks it"):
        masks.check_filter(queue, type="order", reason="Late")
