"""Addresses of queues: what is one, and that nobody's host is called."""

import pytest

from tests.support.cloud import ACCOUNT, OTHER, REGION
from workflows.queues import addresses
from workflows.queues.queue import Queue, default

pytestmark = pytest.mark.usefixtures("environment")

HERE = f"https://sqs.{REGION}.amazonaws.com"


@pytest.mark.parametrize(
    ("text", "account"),
    [
        ("team-orders", ACCOUNT),
        (f"arn:aws:sqs:{REGION}:{ACCOUNT}:team-orders", ACCOUNT),
        (f"{HERE}/{ACCOUNT}/team-orders", ACCOUNT),
        (f"https://{REGION}.queue.amazonaws.com/{ACCOUNT}/team-orders", ACCOUNT),
        (f"https://vpce-1.sqs.{REGION}.vpce.amazonaws.com/{ACCOUNT}/team-orders", ACCOUNT),
        (f"http://127.0.0.1:4566/{ACCOUNT}/team-orders", ACCOUNT),
        (f"arn:aws:sqs:{REGION}:{OTHER}:team-orders", OTHER),
        (f"https://evil.example.com/{OTHER}/team-orders", OTHER),
    ],
)
def test_queue_is_read_by_name_url_or_arn_and_called_at_our_own_host(text, account):
    found = addresses.read(text)

    assert found.arn == f"arn:aws:sqs:{REGION}:{account}:team-orders"
    assert found.url == f"{HERE}/{account}/team-orders"
    assert not found.fifo
    assert addresses.check(text) == text


def test_fifo_queue_is_known_by_its_name():
    assert addresses.read("orders.fifo").fifo


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "orders queue", "orders.fifo.fifo", "a" * 81, f"{'a' * 76}.fifo", ".fifo",
        f"arn:aws:sns:{REGION}:{ACCOUNT}:orders", f"arn:aws:sqs:{REGION}:1234:orders",
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders:x", f"{HERE}/{ACCOUNT}/orders?x", f"{HERE}/orders",
        f"{HERE}/{ACCOUNT}/../orders", f"ftp://{ACCOUNT}/orders", "orders\n", "٣orders",
    ],
)  # fmt: skip
def test_what_is_no_queue_is_refused(text):
    with pytest.raises(ValueError, match=r"is no name, URL or ARN of an SQS queue"):
        addresses.read(text)


@pytest.mark.parametrize(
    "text",
    [
        f"arn:aws:sqs:eu-west-1:{ACCOUNT}:orders",
        f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/orders",
        f"https://eu-west-1.queue.amazonaws.com/{ACCOUNT}/orders",
    ],
)
def test_queue_of_another_region_is_refused_by_name(text):
    with pytest.raises(ValueError, match=rf"is in eu-west-1; .* {REGION} only"):
        addresses.read(text)


def test_built_in_pair_has_the_arns_of_its_urls():
    found = addresses.whole(default())

    assert found.source_arn == f"arn:aws:sqs:{REGION}:{ACCOUNT}:work.fifo"
    assert found.dead_letter_arn == f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead-letter.fifo"


def test_pair_that_has_arns_keeps_them():
    queue = Queue("q", "u", "d", source_arn="s", dead_letter_arn="t")

    assert addresses.whole(queue) is queue
