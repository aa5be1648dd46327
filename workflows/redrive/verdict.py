"""What is known of one dead letter, and what a run does with it."""

from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

Because = Literal["", "filter", "group", "copy", "busy", "look"]
Kind = Literal["redrive", "quarantine", "settled", "discarded", "left"]


class DeadLetter(TypedDict):
    """What SQS's ReceiveMessage says of one message, as Step Functions hands it on.

    A plan has none of SQS's: where the ledger lacks the body it has none, and `MessageId` is ours.
    Where its row tells enough of it, `LedgerId` is the row's.
    """

    MessageId: str
    Body: NotRequired[str]
    Attributes: NotRequired[dict[str, str]]
    MessageAttributes: NotRequired[dict[str, dict[str, str]]]
    ReceiptHandle: NotRequired[str]
    LedgerId: NotRequired[str]


@dataclass(frozen=True)
class Edited:
    """What is sent, or stored, in the place of a copy from before an edit.

    `attributes` are those of a registered queue's message; None where the copy's own go.
    """

    message_id: str
    body: str
    attributes: dict[str, dict[str, str]] | None = None


class Verdict(TypedDict):
    """What to do with one dead letter.

    `left_because` says why a message is left: by the filter, behind such a one in its group, as a
    second copy, because another copy is under way, or because the run only looks. `wave` counts the
    messages of its group before it in the batch that are dealt with: a wave holds one message a
    group, so none can overtake the one ahead of it. `known` tells whether the ledger has a row
    under `ledger_id`, `status` what that row says, and `unnoted` that it does not yet say that the
    message is dead. `body` is there if another is to be sent than the one on the queue: the message
    was edited; with it, of a registered queue's, `attributes`. `sent_hash` is there if the row of
    such a one was edited: the hash of the body that is to be sent. `redrives` and `attempts_total`
    are the row's, by which the statements' conditions know it again. `group` is what is kept in
    order: a message group, or on a standard queue the message by itself. The rest fills the row.
    """

    verdict: Kind
    left_because: Because
    index: int
    group: str
    group_id: str
    wave: int
    ledger_id: str
    known: bool
    unnoted: bool
    status: str
    redrives: int
    redrive_limit: int
    attempts_total: int
    reason: dict[str, str]
    type: str
    first_sent_at: str
    dead_at: str
    payload_hash: str
    trace_id: str
    body: NotRequired[str]
    attributes: NotRequired[dict[str, dict[str, str]]]
    sent_hash: NotRequired[str]
