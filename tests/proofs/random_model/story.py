"""A story: what producers, operators, time and trouble may do to the service, in any order.

After each step the oracle (`model.py`) looks at the ledger and the effects.
"""

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    initialize,
    multiple,
    precondition,
    rule,
)

from tests.proofs.random_model import model
from tests.proofs.random_model.model import Entry
from tests.proofs.random_model.stage import MESSAGES, Stage
from workflows.redrive import runs

_STRANGERS = 3  # in a story
_DEATHS = 2  # of a message's workers, at most: with a third one SQS promises no order

_groups = st.sampled_from(model.GROUPS)
_kinds = st.sampled_from(model.KINDS)
_options = st.fixed_dictionaries(
    {},
    optional={
        "max_messages": st.integers(1, 3),
        "max_per_second": st.sampled_from([1, 100]),
        "canary": st.just({"messages": 1, "watch_seconds": 2}),
        "filter": st.sampled_from(
            [{"group_id": group} for group in model.GROUPS]
            + [{"reason": reason} for reason in ("AccountFrozen", "EntryFailed")]
        ),
    },
)
# Most messages are in no trouble, and a service that refuses is a dull one.
_apt = st.sampled_from([True, True, False])
T = TypeVar("T")
steps: Counter[str] = Counter()
KINDS_OF_STEP = {"begin"}  # and each that `step` makes


def step(**strategies: Any) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Make a rule of a method: its call is counted, and after it the oracle looks."""

    def as_rule(method: Callable[..., T]) -> Callable[..., T]:
        KINDS_OF_STEP.add(method.__name__)

        @wraps(method)
        def told(self: "Story", **arguments: Any) -> T:
            steps[method.__name__] += 1
            result = method(self, **arguments)
            self.look()
            return result

        as_told: Callable[..., T] = rule(**strategies)(told)
        return as_told

    return as_rule


class Story(Stage):
    """What may happen, a rule for each kind of thing."""

    messages = Bundle("message")

    @initialize(
        target=messages,
        given=st.lists(st.tuples(_groups, _kinds), min_size=2, max_size=5),
        frozen=st.booleans(),
    )
    def begin(self, given: list[tuple[str, str]], frozen: bool) -> Any:
        steps["begin"] += 1
        sent = [self._send_new(group, kind) for group, kind in given]
        if frozen:  # as most things happen to what is in trouble
            for group in {group for group, _ in given}:
                self.service.freeze(group, "FROZEN")
            self._settle()
        self.look()
        return multiple(*sent)

    # Producers

    @step(target=messages, group=_groups, kind=_kinds)
    @precondition(lambda self: len(self.model.entries) < MESSAGES)
    def send(self, group: str, kind: str) -> Entry:
        return self._send_new(group, kind)

    @step(target=messages, group=_groups, kind=_kinds, at=st.integers(0, 5))
    @precondition(lambda self: len(self.model.entries) < MESSAGES)
    def send_and_die(self, group: str, kind: str, at: int) -> Entry:
        entry = self._new(group, kind)
        with self.service.dying(at):
            self._send(entry, entry.sent)
        self._note_sent(entry)
        return entry

    @step(message=messages, same=st.booleans())
    def send_again(self, message: Entry, same: bool) -> None:
        same |= message.status == "NEW"  # the service never heard of it
        payload = message.sent if same else message.sent | {"number": 999}
        assert self._send(message, payload) == self.model.to_send(message, payload)

    @step(message=messages)
    @precondition(lambda self: any(entry.bodies for entry in self.model.entries.values()))
    def copy(self, message: Entry) -> None:
        if message.bodies:
            self.service.copy(message.group, message.bodies[0])

    @step(queue=st.sampled_from(["Work", "DeadLetter"]), group=_groups)
    @precondition(lambda self: len(self.service.strangers) < _STRANGERS)
    def put_stranger(self, queue: str, group: str) -> None:
        self.service.put_stranger(queue, group)

    # Trouble

    @step(group=_groups)
    def freeze(self, group: str) -> None:
        self.service.freeze(group, "FROZEN")

    @step(group=_groups)
    def unfreeze(self, group: str) -> None:
        self.service.freeze(group, "ACTIVE")

    @step(seconds=st.sampled_from([31, 181, 301, 901]))
    def elapse(self, seconds: int) -> None:
        self.service.stack.elapse(seconds)

    # The service at work

    @step(retries=st.booleans())
    def poll(self, retries: bool) -> None:
        self.moving(model.CONSUMER)
        self.service.stack.poll()
        if retries:
            self._work()

    @step(at=st.integers(0, 40))
    @precondition(lambda self: self.deaths < _DEATHS)
    def poll_and_die(self, at: int) -> None:
        self.deaths += 1
        self.model.harmed = True
        self.moving(model.CONSUMER)
        with self.service.dying(at):
            self.service.stack.poll()

    @step()
    def work(self) -> None:
        self._work()

    @step(at=st.integers(0, 40))
    def work_until_stopped(self, at: int) -> None:
        self.moving(model.RETRY | model.RUN)
        if self.service.work(at, lambda: False):
            self.model.harmed = True
        self._run_is_over()

    @step(at=st.integers(0, 20), always=st.booleans())
    def work_while_consuming(self, at: int, always: bool) -> None:
        self.moving(model.CONSUMER | model.RETRY | model.RUN)
        self.service.work(at, lambda: self.service.stack.poll() is None or True, again=always)
        self._run_is_over()

    @step(at=st.integers(0, 40))
    def work_until_cancelled(self, at: int) -> None:
        if self.run is None:
            self._redrive({})
        self.moving(model.RETRY | model.RUN)
        run, answers = self.runs[-1], []
        self.service.work(at, lambda: answers.append(self.service.cancel(run)[0]))
        self._run_is_over()
        if answers == [202]:
            # Its last poll may have come back empty before it could notice.
            assert runs.get(run)["status"] in ("CANCELLED", "HALTED", "SUCCEEDED")
        else:
            assert answers in ([], [409])

    @step()
    def sweep(self) -> None:
        self.service.stack.recover()

    @step()
    def rest(self) -> None:
        self._settle()

    # Operators

    @step(message=messages, apt=_apt, reset=st.booleans())
    def retry(self, message: Entry, apt: bool, reset: bool) -> None:
        message = self._in_trouble(message) if apt else message
        expected = self.model.to_retry(message, reset=reset)
        self.moving(model.OPERATOR, message)
        status, _ = self.service.retry(message.message_id, reset=reset)
        assert status == expected
        if status == 202:
            self.model.retried(message, reset=reset)

    @step(message=messages, apt=_apt, kind=_kinds)
    def edit(self, message: Entry, apt: bool, kind: str) -> None:
        self._edit(self._in_trouble(message) if apt else message, kind)

    @step(message=messages, apt=_apt)
    def discard(self, message: Entry, apt: bool) -> None:
        self._discard(self._in_trouble(message) if apt else message)

    def _in_trouble(self, message: Entry) -> Entry:
        """Return the first message that can be mended; there may be none."""
        entries = self.model.entries.values()
        return next((entry for entry in entries if entry.mendable), message)

    @step()
    def redrive_natively(self) -> None:
        self.service.redrive_natively()

    @step(options=_options)
    def redrive(self, options: dict[str, Any]) -> None:
        self._redrive(options)

    @step()
    @precondition(lambda self: self.runs)
    def cancel(self) -> None:
        status, _ = self.service.cancel(self.runs[-1])
        assert status == (202 if self.run else 409)
