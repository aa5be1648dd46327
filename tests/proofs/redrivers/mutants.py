"""The shipped application with one thing broken each, and the story that must notice it."""

import inspect
import json
import pkgutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from local.stack import ROOT


@dataclass(frozen=True)
class Mutant:
    """One fault that somebody could make.

    `seen_by` is the name of the story that must notice it. `changes` are in a machine's
    states, (machine, state, old, new) in any text or number of it, or in a function, (its dotted
    name, old, new); each old text must be there.
    """

    name: str
    seen_by: str
    changes: tuple[tuple[Any, ...], ...]

    @contextmanager
    def alive(self) -> Iterator[dict[str, str]]:
        """Put the changed functions in their places; give the changed definitions by machine."""
        machines: dict[str, Any] = {}
        patches = []
        for change in self.changes:
            if len(change) == 4:
                machine, state, old, new = change
                states = machines.setdefault(machine, _shipped(machine))["States"]
                states[state] = _changed(states[state], old, new)
            else:
                patches.append(_patch(*change))
        for patch in patches:
            patch.start()
        try:
            yield {name: json.dumps(machine) for name, machine in machines.items()}
        finally:
            for patch in patches:
                patch.stop()


# By which GuardLoop learns that its run was cancelled or ended.
_IS_UNWANTED = (
    " or $states.result.Responses[$count($turn.statement) + 1].Error.Code"
    ' = "ConditionalCheckFailed"'
)

MUTANTS = [
    Mutant(
        "Messages are sent under their old deduplication id.",
        "soon_after_it_was_sent",
        (("workflows.redrive.batch._entry", "ids.deduplication_id(", "(lambda name, _: name)("),),
    ),
    Mutant(
        "Dead letters are deleted before they are sent.",
        "stopped_after_the_delete",
        (
            ("redrive_lane", "AnyToRedrive", "RedriveMessages", "DeleteDeadLetters"),
            ("redrive_lane", "DeleteDeadLetters", "MoreToDo", "RedriveMessages"),
            ("redrive_lane", "RedriveMessages", "DeleteDeadLetters", "MoreToDo"),
        ),
    ),
    Mutant(
        "SQS's list of what it did not send is ignored.",
        "some_are_not_sent",
        (("redrive_lane", "RedriveMessages", "$states.result.Successful.Id", "$turn.id"),),
    ),
    Mutant(
        "What SQS or the ledger refused is deleted as well.",
        "some_are_not_sent",
        (("redrive_lane", "DeleteDeadLetters", "$map($turn,", "$map($verdicts,"),),
    ),
    Mutant(
        "What follows a refused message in its group is sent.",
        "first_of_a_group_is_not_sent",
        (
            (
                "redrive_lane",
                "MoreToDo",
                " and $not(group in $verdicts[wave <= $wave and $not(id in $done)].group)",
                "",
            ),
        ),
    ),
    Mutant(
        "One empty answer is taken for an empty queue.",
        "queue_looks_empty",
        (
            ("workflows.redrive.lane._why_over", "empty_polls >= EMPTY_POLLS", "empty_polls >= 1"),
            (
                "workflows.redrive.course._is_empty",
                "empty_polls >= lanes.EMPTY_POLLS",
                "empty_polls >= 1",
            ),
        ),
    ),
    Mutant(
        "The lock of the dead-letter queue is taken, whoever has it.",
        "two_at_once",
        (
            (
                "workflows.redrive.run_lock.taking",
                "attribute_not_exists(run_id) OR holder = :run_id",
                ":run_id = :run_id",
            ),
        ),
    ),
    Mutant(
        "A run that was cancelled goes on.",
        "cancelled",
        (("redrive_lane", "GuardLoop", _IS_UNWANTED, ""),),
    ),
    Mutant(
        "The guard lets a message pass that was processed.",
        "processed_meanwhile",
        (
            (
                "workflows.redrive.statements.redrive",
                "for status in _NEVER_REDRIVEN",
                'for status in _NEVER_REDRIVEN if status != "PROCESSED"',
            ),
        ),
    ),
    Mutant(
        "Nobody is out of redrives.",
        "always_fails",
        (("workflows.redrive.judgement._verdict", 'row["redrives"] >= row', "-1 >= row"),),
    ),
    Mutant(
        "A redrive is not counted.",
        "always_fails",
        (("workflows.redrive.statements.redrive", '"redrives"+1', '"redrives"+0'),),
    ),
    Mutant(
        "A message that the ledger does not know is sent.",
        "unknown_to_the_ledger",
        (
            ("workflows.redrive.judgement._verdict", "raise UnknownMessage", "return 'redrive'"),
            ("redrive_lane", "GuardLoop", "$exists($v.statement) and $exists($error)", "false"),
        ),
    ),
    Mutant(
        "A lane goes on when its run was ended.",
        "lane_goes_on_alone",
        (
            ("redrive_lane", "GuardLoop", '"LeaseLost"', '""'),
            ("redrive_lane", "GuardLoop", _IS_UNWANTED, ""),
        ),
    ),
    Mutant(
        "A leg forgets what the ones before it have counted.",
        "two_legs",
        (
            (
                "workflows.redrive.shares.begin_leg",
                "lane.leg, lane.name = leg,",
                "lane.counts = dict.fromkeys(COUNTED, 0); lane.leg, lane.name = leg,",
            ),
        ),
    ),
    Mutant(
        "A leg has the share of the whole run.",
        "two_legs",
        (("workflows.redrive.shares.begin_round", "else most - done", "else most"),),
    ),
    Mutant(
        "Each lane has the whole of max_messages.",
        "lanes_share_a_limit",
        (
            (
                "workflows.redrive.shares._split",
                "limit // count + (number < limit % count)",
                "limit",
            ),
        ),
    ),
    Mutant(
        "The rate is each lane's.",
        "lanes_share_a_rate",
        (("workflows.redrive.shares.lanes", "int(rate), most)", "int(rate) * most, most)"),),
    ),
    Mutant(
        "A lane ignores that another has the group in hand.",
        "lanes_meet_one_group",
        (
            (
                "redrive_lane",
                "ReceiveDeadLetters",
                '"VisibilityTimeout": 300',
                '"VisibilityTimeout": 0',
            ),
        ),
    ),
    Mutant(
        "Each lane writes the run's counters over the others'.",
        "lanes_share_a_limit",
        (("workflows.redrive.counters.columns", "{lane.number}", "0"),),
    ),
    Mutant(
        "What a leg did not send is not let go of.",
        "refused_and_nobody_looks",
        (("workflows.redrive.turns._note_unsent", "if is_certain:", "if False:"),),
    ),
    Mutant(
        "A run's record says that the batch in hand is settled.",
        "stopped_and_only_the_sweep_looks",
        (("workflows.redrive.settled.columns", "lane.settled}", "lane.settled + 1}"),),
    ),
    Mutant(
        "What a stopped run sent is listed as dead, too.",
        "stopped_and_only_the_sweep_looks",
        (("workflows.redrive.settled.Settled.is_open", "int(turn) >", "True or int(turn) >"),),
    ),
    Mutant(
        "What a lane that failed perhaps did not send is noted nowhere.",
        "cannot_be_sent_and_only_the_sweep_looks",
        (("workflows.redrive.turns._note_unsent", "lane.unsure.append(asked.id)", "pass"),),
    ),
    Mutant(
        "The lock of a run that was stopped is never free.",
        "stopped_before_the_send",
        (("workflows.redrive.run_lock.is_alive", 'return status == "RUNNING"', "return True"),),
    ),
    Mutant(
        "The fence is released without its condition.",
        "one_comes_while_the_fence_is_released",
        (("retry", "ReleaseFence", " AND parked = drained", ""),),
    ),
    Mutant(
        "A message is marked dead, whatever became of it.",
        "succeeds_after_it_was_given_up",
        (("retry", "MarkDead", "#status = :retrying", "#status = :retrying OR #status <> :dead"),),
    ),
    Mutant(
        "A message is dead-lettered under the deduplication id that it had before.",
        "moved_back_after_a_stop",
        (("retry", "DeadLetter", "$uuid()", '$row.message_id.S & ".r" & $row.redrives.N'),),
    ),
    Mutant(
        "A moved copy of a message that is being retried is acknowledged and not counted.",
        "moved_back_before_it_was_noted",
        (("workflows.ledger.claims.claim", "!= sqs_message_id", "is None"),),
    ),
    Mutant(
        "Nobody waits behind a fence.",
        "later_ones_wait",
        (("workflows.consume.Batch.consume", "if holding and not ours:", "if False:"),),
    ),
    Mutant(
        "A message is parked behind a fence that is gone.",
        "fence_goes_before_one_is_parked",
        (
            # Where the fence could not count it, the message is written without it.
            (
                "workflows.groups.fence.park",
                "refused = transact(",
                "refused = (lambda items: transact(items) and transact(items[1:]))(",
            ),
        ),
    ),
    Mutant(
        "A message that was processed is processed again when it comes again.",
        "delivered_again",
        (
            (
                "workflows.ledger.claims.claim",
                '_DECISIONS.get(row["status"], Decision.BUSY)',
                "Decision.PROCESS",
            ),
        ),
    ),
    Mutant(
        "A lease keeps nobody away.",
        "two_workers_have_it",
        (
            (
                "workflows.ledger.claims.claim",
                "{conditions.FREE}",
                "{conditions.FREE.replace('<=', '<>')}",
            ),
        ),
    ),
]


def _shipped(machine: str) -> Any:
    path = ROOT / "statemachines" / f"{machine}.asl.json"
    return json.loads(path.read_text(encoding="utf-8"))


def _changed(value: Any, old: Any, new: Any) -> Any:
    """Return a state with a text or a number replaced, wherever it stands.

    Raises:
        ValueError: it stands nowhere, so that the mutant would be none.
    """
    changed = _replaced(value, old, new)
    if changed == value:
        raise ValueError(f"{old!r} does not stand in the state")
    return changed


def _replaced(value: Any, old: Any, new: Any) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(item, old, new) for name, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    if isinstance(value, str) and isinstance(old, str):
        return value.replace(old, new)
    return new if value == old else value


def _patch(dotted: str, old: str, new: str) -> Any:
    """Return a patch of a function or method whose source has another text.

    The changed function has the globals of the one that it replaces, so it is otherwise the same.
    """
    owner_name, _, name = dotted.rpartition(".")
    owner = pkgutil.resolve_name(owner_name)
    function = getattr(owner, name)
    source = textwrap.dedent(inspect.getsource(function))
    if old not in source:
        raise ValueError(f"{old!r} does not stand in {dotted}")
    made: dict[str, Any] = {}
    exec(source.replace(old, new), function.__globals__, made)  # noqa: S102 - our own source
    return mock.patch.object(owner, name, made[name])
