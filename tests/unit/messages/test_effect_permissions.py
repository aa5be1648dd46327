"""What the effects of the built-in types do to tables, both functions that have them may do."""

import pytest
from botocore.exceptions import ClientError

from tests.support.cloud import ENVIRONMENT
from tests.support.messages import a_message, a_transaction
from tests.support.template import chosen, template
from workflows.messages import message_types
from workflows.messages.message_types import TYPES
from workflows.runtime import aws

# Of each type payloads that, one after the other, take every way through its effect.
PAYLOADS = {
    "transaction": [a_transaction(), a_transaction(), a_transaction(kind="debit", amount="99")],
}
FUNCTIONS = ("ConsumeMessagesFunction", "ProcessMessageFunction")
CONDITIONS = {"HasDemoType": True, "EffectFunctions": True}
# A transaction needs the permission of each of its parts.
_PARTS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}


def missing(name, calls):
    """Return in words what of some calls, (operation, table), nothing in the template allows."""
    for function in FUNCTIONS:
        policies = chosen(template()["Resources"][function]["Properties"]["Policies"], CONDITIONS)
        may = {
            (action, resource)
            for policy in policies
            for statement in _list(policy.get("Statement", []))
            for action in _list(statement["Action"])
            for resource in _list(statement["Resource"])
        }
        for operation, table in sorted(calls):
            if (f"dynamodb:{operation}", f"{table}Table.Arn") not in may:
                yield f"{function} lacks dynamodb:{operation} on {table}Table, for {name}"


def _list(value):
    return value if isinstance(value, list) else [value]


@pytest.fixture
def calls(tables):
    found = set()

    def note(params, model, **_):
        for item in params.get("TransactItems", []):
            ((kind, part),) = item.items()
            found.add((_PARTS[kind], part["TableName"]))
        if "TableName" in params:
            found.add((model.name, params["TableName"]))

    aws.dynamodb().meta.events.register("before-parameter-build.dynamodb", note)
    return found


@pytest.mark.parametrize("name", TYPES)
def test_whatever_an_effect_does_consumer_and_retry_machine_may_do(calls, name):
    assert name in PAYLOADS, f"give PAYLOADS some of {name}"
    for number, payload in enumerate(PAYLOADS[name]):
        try:
            message_types.process(a_message(type=name, payload=payload, message_id=f"m-{number}"))
        except ClientError:
            raise
        except Exception:  # noqa: BLE001, S112 - an effect that refuses has asked for something too
            continue

    assert calls
    assert list(missing(name, calls)) == []


def test_what_is_missing_is_named():
    assert list(missing("order", [("PutItem", "Orders")])) == [
        f"{function} lacks dynamodb:PutItem on OrdersTable, for order" for function in FUNCTIONS
    ]
    assert list(missing("transaction", [("UpdateItem", "Accounts")])) == []
    assert ENVIRONMENT["ACCOUNTS_TABLE"] == "Accounts"  # so tables are called in tests
