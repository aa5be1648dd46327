"""What a run would cost, by what AWS bills for.

The counts are those of the machines and the statements as they are: tests hold them to what is
counted on the engines. A message that is quarantined is reckoned as one that is redriven. How long
a function takes is an assumption; nothing has run on AWS.
"""

from collections import Counter

from pydantic import BaseModel

from workflows.redrive.prices import Item, Usage, bill

# Of a run without its batches, of a full batch, and of a message; but for state transitions.
_A_RUN: Usage = {
    Item.SQS: 4,
    Item.INVOCATIONS: 6,
    Item.LAMBDA_SECONDS: 0.6,
    Item.WRITES: 20,
    Item.READS: 2,
}
_A_BATCH: Usage = {
    Item.SQS: 3,
    Item.INVOCATIONS: 1,
    Item.LAMBDA_SECONDS: 0.1,
    Item.WRITES: 2,
}
_A_MESSAGE: Usage = {Item.WRITES: 4, Item.READS: 2}

_EXPRESS_GB = 64 / 1_024  # the least that is billed; a lane needs no more


class Estimate(BaseModel):
    """About what a run takes, by AWS's prices in us-east-1; the consumer's work is not in it."""

    lanes: int
    seconds: int
    dollars: float


def of(
    messages: int,
    *,
    batches: int,
    transitions: int,
    seconds: float,
    lanes: int,
    express: bool = False,
) -> Estimate:
    """Return what a run takes.

    Args:
        messages: with which it deals.
        batches: in which it receives them.
        transitions: of both machines.
        seconds: from its start to its end.
        lanes: how many work side by side.
        express: whether they are Express executions, billed by their duration.
    """
    used = dict(usage(messages, batches=batches, transitions=transitions))
    if express:
        used |= {Item.EXPRESS_REQUESTS: lanes, Item.EXPRESS_SECONDS: _EXPRESS_GB * seconds * lanes}
    dollars = sum(bill(used).values())
    return Estimate(lanes=lanes, seconds=round(seconds), dollars=round(dollars, 4))


def usage(messages: int, *, batches: int, transitions: int) -> Usage:
    """Return what a run uses of what AWS bills for."""
    found: Counter[Item] = Counter({Item.TRANSITIONS: transitions})
    for times, part in ((1, _A_RUN), (batches, _A_BATCH), (messages, _A_MESSAGE)):
        for item, count in part.items():
            found[item] += count * times  # type: ignore[assignment]  # GB-seconds are no whole ones
    return found
