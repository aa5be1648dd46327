"""Consuming: what happens to the messages that the work queue delivered.

A worker may die between any two lines here. What SQS then brings again meets the ledger first, so
a message has its effect once; it leaves the queue only when its effect, the fence, the retry
machine or the dead-letter queue has it.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from workflows.groups import fence, fences
from workflows.groups.fence import Claimed
from workflows.ledger import claims, transitions
from workflows.ledger.claims import Claim, Decision
from workflows.ledger.status import Status
from workflows.messages import message_types
from workflows.messages.carried import NOTHING, Carried
from workflows.messages.effect_functions import Try
from workflows.messages.envelope import InvalidMessage, Message, MessageConflict, parse
from workflows.messages.ids import deduplication_id
from workflows.messages.limits import RedriveLimitReached
from workflows.messages.reasons import reason_of
from workflows.runtime import telemetry
from workflows.runtime.aws import sqs
from workflows.runtime.settings import settings


class MessageBusy(Exception):
    """Another worker holds the message; SQS will deliver it again."""


@dataclass(frozen=True)
class Delivery:
    """One SQS record: its body as it came, its message group, and what SQS says of it.

    `carried` is what its sender put beside the body.
    """

    body: str
    group_id: str
    sqs_message_id: str
    sequence_number: str
    receive_count: int
    carried: Carried = NOTHING

    @cached_property
    def message(self) -> Message | InvalidMessage:
        """The message in the body, or what is wrong with it."""
        try:
            return parse(self.body, self.group_id)
        except InvalidMessage as error:
            return error

    @property
    def trace_id(self) -> str:
        """The trace of the request that sent the message; of a foreign one, SQS's MessageId."""
        return self.message.trace_id if isinstance(self.message, Message) else self.sqs_message_id


class Batch:
    """The messages of one delivery, in order, and the fences of their groups."""

    def __init__(self, deliveries: list[Delivery]) -> None:
        """Read the fences, and fence what comes for the second time.

        A message that comes again may have killed its worker, or have been in one batch with the
        one that did. Before any is tried again, the first of each such group fences it and the
        rest are parked: even if SQS moves them to the dead-letter queue, their order is kept.
        """
        self._deliveries = deliveries
        self._first = Try()  # by when the effects of the batch have to begin
        self._claimed: dict[str, Claimed] = {}
        self._parked: set[str] = set()
        self._fences = fences.find(delivery.group_id for delivery in deliveries)
        self._unfenced: dict[str, Exception] = {}
        for delivery in deliveries:
            if delivery.receive_count < 2 or delivery.group_id in self._unfenced:
                continue
            try:
                self._raise_ahead(delivery)
            except Exception as error:  # noqa: BLE001 - its group waits, the others go on
                self._unfenced[delivery.group_id] = error

    def _raise_ahead(self, delivery: Delivery) -> None:
        message = delivery.message
        if isinstance(message, InvalidMessage):
            return
        holding = self._fences.get(message.group_id)
        if holding is None and claims.holds_group(message):
            self._fences[message.group_id] = fence.raise_ahead(message)
        elif holding is not None and holding.holder != message.message_id:
            with suppress(MessageBusy):  # Its own turn says so.
                self.consume(delivery)

    def consume(self, delivery: Delivery) -> str:
        """Deal with one delivery; return what became of it. Returning means: acknowledge it.

        Raises:
            MessageBusy: leave it on the queue.
            Exception: something did not answer; leave it on the queue.
        """
        if delivery.group_id in self._unfenced:
            raise self._unfenced[delivery.group_id]
        message = delivery.message
        if isinstance(message, InvalidMessage):
            return _dead_letter(delivery, delivery.sqs_message_id, message)
        if delivery.sqs_message_id in self._parked:
            return Status.PARKED
        claimed = self._claimed.pop(delivery.sqs_message_id, None) or _claim(delivery, message)
        message, claim = claimed.message, claimed.claim
        delivery = replace(delivery, body=claimed.body, carried=claimed.carried)
        if claim.decision in (Decision.RETRYING, Decision.KEPT):
            # Its worker raised a fence, maybe after this batch read the fences: SQS should give a
            # group to one worker at a time, and what follows here is behind that fence if not.
            self._ask_again(message.group_id)
        holding = self._fences.get(message.group_id)
        ours = holding if holding and holding.holder == message.message_id else None
        if claim.decision is not Decision.PROCESS:
            return self._answer(message, claim, delivery, ours)
        if holding and not ours:
            if self._park(delivery, claimed, holding):
                return Status.PARKED
            self._ask_again(message.group_id)
        return self._process(message, claim, delivery, ours)

    def _park(self, delivery: Delivery, claimed: Claimed, holding: fences.Fence) -> bool:
        """Park a claimed message, and with it what came behind it; False if the fence is gone.

        Of what came behind it, all that is claimed one after the other: the fence counts them at
        once. Where one of them is refused, each is parked by itself.
        """
        with_it = {delivery.sqs_message_id: claimed} | self._claim_behind(delivery, holding)
        try:
            is_parked = fence.park(holding.group_id, [*with_it.values()])
        except fence.FenceTaken:
            if len(with_it) == 1:
                raise
            is_parked, with_it = fence.park(holding.group_id, [claimed]), {}
        if is_parked:
            self._parked |= with_it.keys() - {delivery.sqs_message_id}
            self._claimed = {one: c for one, c in self._claimed.items() if one not in with_it}
        return is_parked

    def _claim_behind(self, delivery: Delivery, holding: fences.Fence) -> dict[str, Claimed]:
        """Claim what came behind a message of a group that has to wait, up to what is no such."""
        found: dict[str, Claimed] = {}
        names = [one.sqs_message_id for one in self._deliveries]
        for later in self._deliveries[names.index(delivery.sqs_message_id) + 1 :]:
            message, name = later.message, later.sqs_message_id
            if later.group_id != delivery.group_id or name in self._parked:
                continue
            if isinstance(message, InvalidMessage) or message.message_id == holding.holder:
                break
            if name not in self._claimed:
                try:
                    claimed = _claim(later, message)
                except Exception:  # noqa: BLE001 - its own turn says so
                    break
                if claimed.claim.decision is not Decision.PROCESS:
                    break
                self._claimed[name] = claimed  # for its own turn, if it is not parked
            found[name] = self._claimed[name]
        return found

    def _answer(
        self, message: Message, claim: Claim, delivery: Delivery, ours: fences.Fence | None
    ) -> str:
        match claim.decision:
            case Decision.SETTLED if ours:
                # The worker died after the effect, before it let the group go on.
                self._release(ours, claim.redrives)
            case Decision.RETRYING if ours:
                # Started before, unless the worker died just then.
                fence.start(ours, claim.redrives)
            case Decision.EXHAUSTED:
                error = RedriveLimitReached()
                if not transitions.quarantine(
                    message, delivery.body, delivery.carried, error, claim.attempt
                ):
                    raise MessageBusy(message.message_id)
                telemetry.count("MessagesQuarantined")
                if ours and settings().on_dead_letter == "continue":
                    self._release(ours, claim.redrives)
            case Decision.CONFLICT:
                # The row is the other message's, so this one is known by SQS's id only.
                _dead_letter(delivery, delivery.sqs_message_id, MessageConflict())
            case Decision.BUSY:
                raise MessageBusy(message.message_id)
        return claim.decision.name

    def _process(
        self, message: Message, claim: Claim, delivery: Delivery, ours: fences.Fence | None
    ) -> str:
        try:
            tried = replace(self._first, attempt=claim.attempt, redrives=claim.redrives)
            message_types.process(message, tried)
        except InvalidMessage as error:
            # First the queue, then the ledger: a crash in between leaves a second copy, never none.
            _dead_letter(delivery, deduplication_id(message.message_id, claim.redrives), error)
            fence.dead(message, delivery.body, delivery.carried, claim, error, ours)
            telemetry.count("Errors")  # the try; the death was counted where it was sent
            self._ask_again(message.group_id)
            return Status.DEAD
        except Exception as error:  # noqa: BLE001 - whatever a type raises, the machine decides
            fence.retrying(message, delivery.body, delivery.carried, claim, error, ours)
            telemetry.count("Errors")
            self._ask_again(message.group_id)
            return Status.RETRYING
        transitions.processed(message.message_id)
        if ours:
            self._release(ours, claim.redrives)
        return Status.PROCESSED

    def _release(self, ours: fences.Fence, redrives: int) -> None:
        fence.release(ours, redrives)
        self._ask_again(ours.group_id)

    def _ask_again(self, group_id: str) -> None:
        # This batch just raised, removed or handed over the group's fence.
        self._fences.pop(group_id, None)
        self._fences |= fences.find([group_id])


def _claim(delivery: Delivery, message: Message) -> Claimed:
    """Claim a message, and say what to work on: what came, or what the ledger has in its place."""
    claim = claims.claim(message, delivery.sqs_message_id)
    body, carried = delivery.body, delivery.carried
    if claim.body is not None:
        body, carried = claim.body, claim.carried or carried
        message = parse(body, delivery.group_id)
    return Claimed(message, claim, body, carried, delivery.sequence_number)


def _dead_letter(delivery: Delivery, deduplication: str, error: Exception) -> str:
    sqs().send_message(
        QueueUrl=settings().dead_letter_queue_url,
        MessageBody=delivery.body,
        MessageGroupId=delivery.group_id,
        MessageDeduplicationId=deduplication,
        **delivery.carried.arguments(delivery.body, reason_of(error)),
    )
    telemetry.count("Errors")
    return Status.DEAD
