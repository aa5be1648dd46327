"""What AWS bills for, and its prices: the one list, for plans of runs and for `make bench`.

US dollars for a million of each, us-east-1, without free tiers and volume discounts, as read on
AS_OF. Not among them: API Gateway, logs, traces, storage.

- Step Functions: https://aws.amazon.com/step-functions/pricing/ (Standard: 0.025 for 1,000 state
  transitions, retries included; Express: requests, and duration by 100 ms and 64 MB)
- Lambda, arm64: https://aws.amazon.com/lambda/pricing/
- SQS FIFO, each 64 KB of a request's payload is one: https://aws.amazon.com/sqs/pricing/
- DynamoDB on demand, Standard class, since November 2024:
  https://aws.amazon.com/dynamodb/pricing/on-demand/
"""

from collections.abc import Mapping
from enum import StrEnum

AS_OF = "2026-12-01"
REGION = "us-east-1"
MILLION = 1_000_000


class Item(StrEnum):
    """What AWS counts."""

    TRANSITIONS = "state transitions"
    EXPRESS_REQUESTS = "Express requests"
    EXPRESS_SECONDS = "Express GB-seconds"
    INVOCATIONS = "Lambda requests"
    LAMBDA_SECONDS = "Lambda GB-seconds"
    SQS = "SQS requests"
    WRITES = "DynamoDB write units"
    READS = "DynamoDB read units"


PRICES: dict[Item, float] = {
    Item.TRANSITIONS: 25.0,
    Item.EXPRESS_REQUESTS: 1.0,
    Item.EXPRESS_SECONDS: 16.67,
    Item.INVOCATIONS: 0.20,
    Item.LAMBDA_SECONDS: 13.3334,
    Item.SQS: 0.50,
    Item.WRITES: 0.625,
    Item.READS: 0.125,
}

Usage = Mapping[Item, float]


def bill(usage: Usage) -> dict[Item, float]:
    """Return the dollars of each item that was used."""
    return {item: count * PRICES[item] / MILLION for item, count in usage.items()}
