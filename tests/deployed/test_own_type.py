"""A message type of somebody's own, without the demo's: just the edits of `docs/adopt.md`."""

import re
import shutil
import uuid
from textwrap import dedent, indent

import pytest

from local.client import Client
from local.stack import ROOT, Stack
from tests.deployed.flows import assert_problem, settled
from tests.support.scratch_project import mutate

pytestmark = [pytest.mark.xdist_group("own type"), pytest.mark.timeout(180)]

# Above which line of a file each block of the page goes; `order` in the first is imported.
PLACES = {
    'TYPES["order"]': ("workflows/messages/message_types.py", "\n\ndef built_in("),
    "ORDERS_TABLE": ("template.yaml", "        WORK_QUEUE_URL: "),
    "dynamodb:PutItem": (
        "template.yaml",
        "            - *readQueues\n            - *invokeEffects",
    ),
    "OrdersTable:": ("template.yaml", "  # --- Secrets"),
}
INDENTS = {"ORDERS_TABLE": 8, "dynamodb:PutItem": 12, "OrdersTable:": 2}


def blocks():
    """Return the blocks of the page's section by the words in them."""
    page = (ROOT / "docs" / "adopt.md").read_text(encoding="utf-8")
    section = page.split("## A message type of your own, in Python")[1].split("\n## ")[0]
    found = re.findall(r"^   ```(?:python|yaml)\n(.*?)^   ```", section, re.MULTILINE | re.DOTALL)
    return {word: next(one for one in found if word in one) for word in PLACES}


@pytest.fixture
def project(tmp_path):
    """Give a copy of the project in which somebody did what the page says."""
    for folder in ("workflows", "lambdas", "statemachines", "local"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in ("samconfig.toml", "template.yaml"):
        shutil.copy(ROOT / file, tmp_path)
    shutil.copy(ROOT / "docs/examples/order.py", tmp_path / "workflows/messages/order.py")
    types = "workflows/messages/message_types.py"
    mutate(
        tmp_path,
        types,
        "messages import registered_types",
        "messages import order, registered_types",
    )
    for word, block in blocks().items():
        file, above = PLACES[word]
        text = indent(dedent(block), " " * INDENTS.get(word, 0))
        mutate(tmp_path, file, above, text + above)
    return tmp_path


def test_type_of_one_s_own_with_its_table_is_all_there_is(project):
    """As `DemoType=false` leaves it, with IAM enforced: the consumer and the retry machine."""
    parameters = {"DemoType": "false"}
    with Stack(root=project, enforce_iam=True, wait_scale=0.01, parameters=parameters) as stack:
        operator = Client(stack.api_url).signed_in(**stack.users["operator"])
        tables = stack.client("dynamodb").list_tables()["TableNames"]
        (orders,) = (name for name in tables if "Orders" in name)
        assert "AccountsTableName" not in stack.outputs
        assert not [name for name in tables if "Accounts" in name]
        assert [one["type"] for one in operator.call("GET", "/types").expect(200)["types"]] == [
            "order"
        ]

        # The first is invalid, so the second waits until it is discarded, and is then processed by
        # the retry machine's function.
        customer = f"c-{uuid.uuid4().hex[:8]}"
        first, second = (
            operator.send({"customer": customer, "quantity": number}, type_="order").expect(202)
            for number in (0, 2)
        )
        dead = settled(operator, first["message_id"], "DEAD")
        assert (dead["reason"]["type"], dead["group_id"]) == ("OrderRejected", customer)
        settled(operator, second["message_id"], "PARKED")
        discard = f"/messages/{first['message_id']}/discard"
        operator.call("POST", discard, {"reason": "a test"}).expect(200)
        settled(operator, second["message_id"], "PROCESSED")
        third = operator.send({"customer": "c-2", "quantity": 1}, type_="order").expect(202)
        settled(operator, third["message_id"], "PROCESSED")
        stored = stack.client("dynamodb").scan(TableName=orders)["Items"]
        assert {item["message_id"]["S"] for item in stored} == {
            second["message_id"], third["message_id"],
        }  # fmt: skip

        payment = {"account_id": "a", "kind": "credit", "amount": 1, "currency": "EUR"}
        assert_problem(operator.send(payment), 422, "invalid_message")
        assert_problem(operator.call("GET", "/types/transaction"), 404, "unknown_type")
        assert operator.status().expect(200)["messages"]["dead"] == 0
        for page in ("/docs", "/openapi.json"):
            assert operator.call("GET", page).status == 200
        assert "AccessDenied" not in stack.lambda_log() + stack.log()
