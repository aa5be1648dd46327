"""The one-off command for items that were written before indexes had shards."""

import boto3
import pytest

from local.reindex import reindex
from tests.support.cloud import REGION
from tests.support.messages import a_message
from tests.support.troubles import in_trouble, row
from workflows.groups import fences
from workflows.groups.fence import raise_ahead
from workflows.ledger import lookup, trouble
from workflows.messages.filters import Filter
from workflows.redrive import outcome

pytestmark = pytest.mark.usefixtures("tables")


def old(table, key, **columns):
    """Give an item the columns that it had before."""
    found = boto3.resource("dynamodb", region_name=REGION).Table(table)
    item = found.get_item(Key=key)["Item"] | columns
    found.put_item(Item={name: value for name, value in item.items() if value is not None})


def test_items_of_before_are_listed_again_and_others_stay_as_they_are():
    dead = in_trouble()
    old("Messages", {"message_id": dead.message_id}, listed=None, redriven_by="run-1")
    in_trouble(message=a_message(message_id="sqs:orders:o-1"))
    retried = in_trouble("RETRYING", a_message(message_id="m-2"))
    sent = in_trouble("REDRIVEN", a_message(message_id="m-3"), trouble=None, redriven_by="run-1")
    raise_ahead(dead)
    old("Groups", {"group_id": dead.group_id, "item": "FENCE"}, fenced="FENCED")
    kept = [lookup.get(message.message_id) for message in (retried, sent)]
    assert [*trouble.every("DEAD", Filter()), *fences.every()] == []

    changed = reindex(boto3.resource("dynamodb", region_name=REGION), "Messages", "Groups")

    assert changed == 2
    assert [found["message_id"] for found in trouble.every("DEAD", Filter())] == [dead.message_id]
    assert row(dead.message_id)["redriven_by"] == "run-1"
    assert outcome.count("run-1", 2).pending + outcome.count("run-1", 2).died_again == 2
    assert [fence.holder for fence in fences.every()] == [dead.message_id]
    assert [lookup.get(message.message_id) for message in (retried, sent)] == kept
    assert reindex(boto3.resource("dynamodb", region_name=REGION), "Messages", "Groups") == 0
