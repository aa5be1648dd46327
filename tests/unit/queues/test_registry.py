"""The registry: what is registered is found, and a dead-letter queue is one queue's."""

from dataclasses import replace

import pytest

from tests.support.cloud import ACCOUNT, ENVIRONMENT, REGION
from workflows.queues import registry
from workflows.queues.queue import Queue
from workflows.runtime import aws

pytestmark = pytest.mark.usefixtures("tables")


def queue(name, **fields):
    def pair(what):
        found = fields.pop(what, f"{name}-{what}")
        url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{found}"
        return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{found}"

    (source_url, source), (dead_url, dead) = pair("source"), pair("dead")
    return Queue(name, source_url, dead_url, source_arn=source, dead_letter_arn=dead, **fields)


def names():
    return [found.name for found in registry.every()]


def keys():
    return sorted(item["queue"] for item in aws.dynamodb().scan(TableName="Queues")["Items"])


FULL = queue(
    "full",
    fifo=False,
    identity="body.id",
    type="'order'",
    group="group",
    error="attributes.error",
    schema={"type": "object", "properties": {"total": {"minimum": 0.5, "maximum": 10**30}}},
    max_redrives=2,
    max_age_seconds=3_600,
    redrive_request={"max_per_second": 0.5, "filter": {"type": "order"}},
    acknowledge_receives=True,
    mask=("body.card", "group"),
)


def test_queue_is_found_as_it_was_registered():
    assert registry.register(FULL, "o") is None

    assert registry.get("full") == FULL
    assert isinstance(registry.get("full").max_redrives, int)


def test_registered_anew_it_is_the_new_one_wholly_and_the_old_one_is_told():
    registry.register(FULL, "o")
    plain = queue("full", dead="other")

    assert registry.register(plain, "o") == FULL
    assert registry.get("full") == plain


def test_default_is_the_template_s_pair_and_needs_no_table(calls):
    found = registry.get("default")

    assert (found.source_url, found.is_default) == (ENVIRONMENT["WORK_QUEUE_URL"], True)
    assert calls.ends == []


def test_list_has_the_built_in_pair_first_and_the_others_by_name():
    for name in ("b", "a", "C"):
        registry.register(queue(name), "o")

    assert names() == ["default", "C", "a", "b"]


def test_queue_that_is_not_there_is_told_by_its_name():
    registry.register(FULL, "o")

    for name in ("nobody", f"dead-letter-queue {FULL.dead_letter_arn}"):
        with pytest.raises(registry.UnknownQueue, match=name):
            registry.get(name)
        with pytest.raises(registry.UnknownQueue, match=name):
            registry.remove(name, "o", True)


def test_dead_letter_queue_is_one_queue_s():
    registry.register(queue("one", dead="shared"), "o")

    with pytest.raises(registry.DeadLetterQueueTaken, match="belongs to the queue one"):
        registry.register(queue("two", dead="shared"), "o")

    assert names() == ["default", "one"]
    assert registry.get("one").dead_letter_url.endswith("/shared")


def test_changed_queue_gives_its_dead_letter_queue_back():
    registry.register(queue("one", dead="shared"), "o")
    registry.register(queue("one", dead="own"), "o")

    registry.register(queue("two", dead="shared"), "o")

    assert names() == ["default", "one", "two"]
    with pytest.raises(registry.DeadLetterQueueTaken):
        registry.register(queue("one", dead="shared"), "o")


def test_removed_queue_leaves_nothing():
    registry.register(FULL, "o")

    assert registry.remove("full", "o") == FULL

    assert keys() == []
    with pytest.raises(registry.UnknownQueue):
        registry.remove("full", "o")


def meanwhile(monkeypatch, act):
    """Let something happen between a registration's look at the table and its write."""
    original = aws.transact

    def transact(items):
        monkeypatch.setattr(registry, "transact", original)
        act()
        return original(items)

    monkeypatch.setattr(registry, "transact", transact)


def test_of_two_that_want_one_dead_letter_queue_at_once_one_has_it(monkeypatch):
    meanwhile(monkeypatch, lambda: registry.register(queue("two", dead="shared"), "o"))

    with pytest.raises(registry.DeadLetterQueueTaken, match="two"):
        registry.register(queue("one", dead="shared"), "o")

    assert names() == ["default", "two"]


@pytest.mark.parametrize("known", [False, True])
def test_of_two_registrations_of_one_queue_at_once_one_is_refused(monkeypatch, known):
    if known:
        registry.register(queue("one", dead="first"), "o")
    meanwhile(monkeypatch, lambda: registry.register(queue("one", dead="theirs"), "o"))

    with pytest.raises(registry.QueueChanged):
        registry.register(queue("one", dead="ours"), "o")

    assert registry.get("one").dead_letter_url.endswith("/theirs")
    assert len(keys()) == 2  # no dead-letter queue is anybody's but that one


def test_queue_that_was_registered_anew_meanwhile_is_not_removed(monkeypatch):
    registry.register(queue("one"), "o")
    changed = replace(queue("one"), max_redrives=9)
    meanwhile(monkeypatch, lambda: registry.register(changed, "o"))

    with pytest.raises(registry.QueueChanged):
        registry.remove("one", "o")

    assert registry.get("one") == changed


def test_queue_that_is_needed_is_removed_only_by_force():
    registry.register(queue("one"), "o")

    with pytest.raises(registry.QueueInUse, match="A run"):
        registry.remove("one", "o", trouble=lambda found: f"A run works on {found.name}.")
    assert names() == ["default", "one"]

    registry.remove("one", "o", True, trouble=lambda _found: "A run.")
    assert names() == ["default"]


def test_what_is_recorded_is_written_with_it_or_not_at_all():
    told = []

    def record(by, before):
        told.append((by, before))
        item = {"queue": f"record {len(told)}", "belongs_to": "-"}
        return [{"Put": {"TableName": "Queues", "Item": item}}]

    registry.register(queue("one"), "ann", record)
    registry.register(queue("one", dead="x"), "ann", record)
    with pytest.raises(registry.DeadLetterQueueTaken):
        registry.register(queue("two", dead="x"), "bob", record)
    registry.remove("one", "cy", record=record)

    assert told == [
        ("ann", None), ("ann", queue("one")), ("bob", None), ("cy", queue("one", dead="x")),
    ]  # fmt: skip
    assert keys() == ["record 1", "record 2", "record 4"]
