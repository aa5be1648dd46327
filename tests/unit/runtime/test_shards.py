"""Sharded indexes: what comes of all shards, in what order, and in how few calls one by one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.stack import ROOT
from tests.support.messages import a_message
from tests.support.template import template_tables
from tests.support.troubles import in_trouble
from workflows.groups import view
from workflows.messages.filters import Filter
from workflows.operator import failures, overview
from workflows.queues.queue import default
from workflows.redrive import plan
from workflows.runtime import aws, shards
from workflows.runtime.shards import SHARDS, Index

INDEX = Index("Messages", "TroubleIndex", "listed", "message_id", "updated_at")


def test_ids_are_spread_over_all_shards_evenly():
    found = [shards.key("DEAD", f"payment-{number}") for number in range(16_000)]

    assert {key.rpartition("#")[2] for key in found} == set(SHARDS)
    assert max(found.count(f"DEAD#{shard}") for shard in SHARDS) < 1_200
    assert {shards.common(key) for key in found} == {"DEAD"}


def test_machine_spells_the_key_as_the_code_does():
    """That it is the same key, scenarios of the machine show: the lists find its dead letters."""
    machine = (ROOT / "statemachines" / "retry.asl.json").read_text()

    assert r"\"DEAD#\" & $substring($hash($holder, \"SHA-256\"), 0, 1)" in machine


@pytest.mark.parametrize("table", ["Messages", "Groups"])
def test_every_index_key_that_messages_share_is_written_with_a_shard(table):
    """One that is not here has no key that many messages have."""
    shared = {
        index["KeySchema"][0]["AttributeName"]
        for index in template_tables()[f"{table}Table"]["GlobalSecondaryIndexes"]
    }

    assert shared == {"Messages": {"listed", "redriven_by"}, "Groups": {"fenced"}}[table]


# --- Order ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_rows_of_one_time_and_of_others_come_in_order_however_few_a_page_has(limit):
    times = ["2026-11-24T12:00:00.000Z"] * 10 + [
        f"2026-11-24T12:00:0{number % 5}.000Z" for number in range(20)
    ]
    for number, at in enumerate(times):
        in_trouble(message=a_message(message_id=f"m-{number:03}"), updated_at=at)
    expected = sorted((at, f"m-{number:03}") for number, at in enumerate(times))

    looked = list(shards.in_order(INDEX, "DEAD", Limit=limit))

    assert [INDEX.place(row) for found in looked for row in found.rows] == expected
    assert sum(found.read for found in looked) == len(times)
    for begin in (0, 7, 10, 21, 30):
        after = expected[begin - 1] if begin else shards.START
        rest = shards.in_order(INDEX, "DEAD", after=after, until=times[11], Limit=limit)
        places = [INDEX.place(row) for found in rest for row in found.rows]
        assert places == [place for place in expected[begin:] if place[0] <= times[11]]


@pytest.mark.usefixtures("tables")
def test_error_of_one_shard_ends_the_list():
    with pytest.raises(aws.dynamodb().exceptions.ClientError, match="key"):
        list(shards.in_order(Index("Messages", "TroubleIndex", "no", "no", "no"), "DEAD"))


@pytest.fixture(autouse=True)
def side_by_side(cloud, monkeypatch):
    """Let calls be made side by side, as Lambda makes them; tests on moto have no use for that."""
    monkeypatch.setattr(shards, "ThreadPoolExecutor", ThreadPoolExecutor)


# --- Calls one after the other ---------------------------------------------------------------

DEAD = 100_000
# After so long without another call, all that were made are answered.
QUIET_SECONDS, DEADLINE_SECONDS = 0.03, 30
AT_A_CALL = 0.05
WITHIN = 3.0
# A page of an index holds 1 MB; a row of it as large as one of the template's reasons makes it.
A_PAGE = 1_000_000


class Service:
    """Stands for DynamoDB and SQS with 100,000 dead letters, each alone in its fenced group.

    Calls that wait for one another are counted: all that were made before any of them was answered
    are one `round`.
    """

    def __init__(self) -> None:
        self.rounds = 0
        lock = threading.Lock()
        self._came, self._answered = threading.Condition(lock), threading.Condition(lock)
        self._waiting, self._closed = 0, False
        self.meta, self.exceptions = None, aws.dynamodb().exceptions
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        """Answer what waits as soon as nothing more comes."""
        with self._came:
            while not self._closed:
                if not self._came.wait(QUIET_SECONDS) and self._waiting:
                    self.rounds += 1
                    self._waiting = 0
                    self._answered.notify_all()

    def close(self) -> None:
        """End the thread that answers."""
        with self._came:
            self._closed = True
            self._came.notify()

    def _wait(self) -> None:
        with self._came:
            self._waiting += 1
            self._came.notify()
            assert self._answered.wait(DEADLINE_SECONDS)

    def query(self, **asked: Any) -> dict[str, Any]:
        self._wait()
        shard = asked["ExpressionAttributeValues"][":key"]
        mine = DEAD // len(SHARDS) if shard.startswith(("DEAD", "FENCED")) else 0
        row_bytes = 150 if asked["IndexName"] == "FencedIndex" else 650
        size = min(asked.get("Limit", A_PAGE), A_PAGE // row_bytes)
        first = asked.get("ExclusiveStartKey", {}).get("number", 0)
        numbers = range(first, min(first + size, mine))
        more = numbers.stop < mine
        key = {"number": numbers.stop, "updated_at": _at(numbers.stop), "since": _at(numbers.stop)}
        matching = [] if "FilterExpression" in asked else numbers
        return {
            "Count": len(numbers),
            "ScannedCount": len(numbers),
            "Items": [_row(shard, n) for n in matching] if asked.get("Select") != "COUNT" else [],
            **({"LastEvaluatedKey": key} if more else {}),
        }

    def batch_get_item(self, **asked: Any) -> dict[str, Any]:
        self._wait()
        ((table, wanted),) = asked["RequestItems"].items()
        assert len(wanted["Keys"]) <= 100
        read = _fence if table == "Groups" else _whole
        if wanted.get("ProjectionExpression") == "#message_id, #status":
            read = _status
        return {"Responses": {table: [read(key) for key in wanted["Keys"]]}}

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        self._wait()
        names = ("", "NotVisible", "Delayed")
        return {"Attributes": {f"ApproximateNumberOfMessages{name}": "0" for name in names}}


def _at(number: int) -> str:
    return f"2026-11-24T12:00:{number // 1_000:02}.{number % 1_000:03}Z"


def _row(shard: str, number: int) -> dict[str, Any]:
    return {
        "message_id": f"m{shard[-1]}{number:06}", "group_id": f"m{shard[-1]}{number:06}",
        "updated_at": _at(number), "since": _at(number), "dead_at": _at(number),
        "first_sent_at": _at(number), "status": "DEAD", "type": "transaction", "attempts": 5,
        "redrives": 0, "reason": {"type": "AccountFrozen", "message": f"Account {number} is it."},
    }  # fmt: skip


def _status(key: dict[str, str]) -> dict[str, Any]:
    return key | {"status": "DEAD"}


def _whole(key: dict[str, str]) -> dict[str, Any]:
    found = a_message(message_id=key["message_id"], group_id=key["message_id"])
    return _row("0", 0) | key | {
        "trouble": "DEAD", "body": found.body(), "payload_hash": found.payload_hash,
        "group_id": key["message_id"], "attempts_total": 5,
    }  # fmt: skip


def _fence(key: dict[str, str]) -> dict[str, Any]:
    numbers = {"generation": 1, "parked": 0, "drained": 0, "owned_at": 1}
    return key | numbers | {"holder": key["group_id"], "execution_arn": "", "since": _at(0)}


@pytest.fixture
def service(monkeypatch, tables):
    found = Service()
    for place in (
        "runtime.shards.dynamodb", "groups.fences.dynamodb", "ledger.rows.dynamodb",
        "operator.overview.sqs", "redrive.progress.sqs",
    ):  # fmt: skip
        monkeypatch.setattr(f"workflows.{place}", lambda: found)
    yield found
    found.close()


@pytest.mark.parametrize(
    "ask",
    [
        lambda: overview.status(default()),
        lambda: failures.causes(default()),
        lambda: failures.dead_letters(Filter(), 100, None, default()),
        lambda: failures.dead_letters(Filter(reason="KeyError"), 100, None, default()),
        lambda: view.page(100, None),
        lambda: plan.draw({}, Filter(), None, None, default()),
    ],
    ids=["status", "groups", "page", "search in vain", "fences", "plan"],
)
def test_answer_at_a_hundred_thousand_dead_letters_takes_few_calls_one_by_one(service, ask):
    ask()

    assert 0 < service.rounds * AT_A_CALL <= WITHIN
