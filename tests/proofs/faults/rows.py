"""The faults to survive: one row each, the tests that prove it, and what no engine here can show.

A test says which row it proves by `@pytest.mark.fault(number)`. Invariants for all rows are those
of `tests/support/invariants.py`, which such a test has to ask (`checked.py`); one that
says it need not proves no row alone. What a row asks for besides is asserted by its tests.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType

import tests.proofs.faults
from tests.machines.scenarios import SCENARIOS
from tests.proofs.faults import checked


@dataclass(frozen=True)
class Fault:
    """One row: what happens, what must hold afterwards, what else proves it, what is not shown.

    `evidence` are tests elsewhere, as `module::test`, or scenarios, of which
    `machines/test_two_engines.py` is the test; `note` says why a fault is not produced
    itself here and what is tested in its place, or is empty.
    """

    fault: str
    holds: str
    evidence: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A row of the table in `docs/testing.md`."""

    number: int
    fault: str
    holds: str
    tests: tuple[str, ...]
    note: str


ROWS = {
    1: Fault(
        "crash before a send",
        "nothing lost, the message is still where it was",
    ),
    2: Fault(
        "crash after the send, before the delete",
        "one effect; the dead letter is found processed or sent again safely",
        (
            "machines.redrive.test_let_go::test_message_that_was_sent_by_a_run_stopped_at_once_has_one_effect_at_most",
        ),
    ),
    3: Fault(
        "the same, resumed more than five minutes later: SQS has forgotten the deduplication id",
        "one effect",
    ),
    4: Fault(
        "crash after the guard, before the send",
        "not lost; the count may be one too high, never too low",
        (
            "machines.redrive.test_let_go::test_message_of_a_run_that_was_stopped_before_it_sent_is_dead_again",
        ),
    ),
    5: Fault(
        "crash after the delete, before the bookkeeping",
        "the run is marked, the message is safe",
    ),
    6: Fault(
        "sendMessageBatch fails for some",
        "only confirmed ones are deleted; order kept",
        ("machines.scenarios::work_queue_refuses_some",),
    ),
    7: Fault(
        "deleteMessageBatch fails for some, or the receipt handle is stale",
        "the next run notices; no second effect",
        ("machines.scenarios::receipts_that_ran_out",),
    ),
    8: Fault("the visibility timeout ends during a run", "as for 7"),
    9: Fault(
        "a message is delivered twice; two workers have one message",
        "one effect",
        ("unit.test_consume::test_worker_whose_lease_ran_out_leaves_the_other_one_s_result",),
    ),
    10: Fault(
        "two runs at once, a schedule's and a person's",
        "one runs, the other says so",
        ("machines.scenarios::second_run",),
    ),
    11: Fault("a group in flight hides its later messages", "no false 'empty'"),
    12: Fault(
        "SQS or DynamoDB throttles, Lambda answers 429, a call times out",
        "jittered, bounded retries; then a loud failure",
        ("machines.paths.test_paths::test_case",),
        "No engine here throttles by itself: errors of these names are raised at the call. That"
        " the pause has jitter is read in the machines, not measured.",
    ),
    13: Fault(
        "a condition fails where that is an answer",
        "taken as data",
        ("machines.scenarios::verdict_that_time_overtook",),
    ),
    14: Fault(
        "poison: always fails, and comes back each time",
        "the guard stops it at the limit: quarantine, never more",
        ("machines.scenarios::keeps_dying",),
    ),
    15: Fault(
        "malformed JSON, empty body, array, number, null, duplicate keys, NaN, 10,000 levels",
        "quarantined with the reason; the others move",
        ("machines.scenarios::bodies_not_json",),
        "SQS takes no empty body, so one is handed to the machine as if received.",
    ),
    16: Fault(
        "oversize: one of 250 KiB; ten of 26 KiB; a queue of 1 MiB",
        "no uncaught DataLimitExceeded; all handled",
        (
            "machines.scenarios::one_of_250_kib",
            "machines.scenarios::ten_of_the_largest",
            "proofs.sizes.test_state_sizes::test_guard_s_statements_fit",
        ),
        "MiniStack does not end an execution whose state is over 256 KiB, moto does; the largest"
        " input and output of each state are measured.",
    ),
    17: Fault(
        'NUL, controls, lone surrogates, U+2028, emoji, quotes, `"; $s := "x`, `{% %}`, `${X}`',
        "byte-identical, never evaluated",
        (
            "machines.scenarios::forged_attributes",
            "machines.scenarios::bodies_that_sqs_refuses",
        ),
        "SQS takes neither NUL nor lone surrogates; they come escaped, inside JSON.",
    ),
    18: Fault(
        "missing, forged or absurd attributes: a counter of `abc`, -1, 1e9",
        "never unlimited, never a crash",
    ),
    19: Fault(
        "an execution is stopped in the console, times out, or its definition changes meanwhile",
        "lock and fence recovered without a person; nothing lost",
        (
            "deployed.test_fence_hold::test_held_group_resumes_in_order_after_a_stop_in_the_middle",
            "proofs.interleavings.test_fence_crashes"
            "::test_execution_that_is_stopped_before_any_of_its_states",
        ),
        "No engine here changes a running execution's definition, and AWS says that it goes on"
        " with the one it began with; what both are handed over by, the input and the tables, is"
        " tested with an input of the older form.",
    ),
    20: Fault(
        "the consumer dies on one message again and again",
        "SQS moves it to the dead-letter queue; its group stays in order",
        (
            "deployed.test_fence_hold"
            "::test_group_waits_behind_a_message_that_sqs_moved_after_three_crashes",
        ),
    ),
    21: Fault(
        "a message arrives exactly while its group's fence is released",
        "parked and drained, or processed after: never lost, never early",
        (
            "deployed.test_fence_release::test_message_that_arrives_at_this_point_comes_next",
            "proofs.interleavings.test_fence_interleavings"
            "::test_message_that_arrives_while_the_fence_is_released",
        ),
    ),
    22: Fault(
        "a receive comes back short or empty although there are messages",
        "asked twice before 'empty'",
        ("machines.scenarios::empty_queue_from_the_console",),
        "moto always gives what there is: the short answer is made up.",
    ),
    23: Fault(
        "the queue is deleted, no permission, the wrong queue",
        "fails loudly, deletes nothing",
        ("machines.scenarios::work_queue_that_is_gone",),
        "No engine here enforces a machine's role: AccessDenied is raised at the call, and another"
        " queue, which the role forbids, is taken for ours. None refuses a deduplication id on a"
        " standard queue: AWS's answer is made up.",
    ),
    24: Fault(
        "cancelled in the middle of a run",
        "stops within one batch; counters true",
        (
            "unit.redrive.test_run_ends"
            "::test_cancelled_run_is_cancelling_until_it_notices_and_asking_again_changes_nothing",
        ),
    ),
    25: Fault(
        "clocks differ; TTL is late",
        "decided by conditions, not by TTL",
        (),
        "Neither engine deletes by TTL at all, which is TTL that never comes: rows long past"
        " their `expires_at` are there in these tests.",
    ),
    26: Fault(
        "SQS's own redrive is used in place of ours",
        "fence and guard still hold",
        (
            "unit.test_consume::test_crash_with_an_exhausted_message_leaves_it_in_quarantine",
            "deployed.test_fence_hold"
            "::test_native_redrive_keeps_order_and_counts_and_quarantine_holds_until_a_discard",
        ),
        "moto has no StartMessageMoveTask: messages are moved as it does, the same bytes under a"
        " new id.",
    ),
    27: Fault(
        "the secret cannot be read; the table is gone",
        "5xx with a trace id, no partial state",
        (
            "unit.lambdas.test_handlers"
            "::test_unexpected_error_is_500_that_tells_nothing_but_where_to_look",
        ),
    ),
}


def rows() -> list[Row]:
    """Return the table: each row with the tests that prove it, its own first."""
    own = _own_tests()
    return [
        Row(number, row.fault, row.holds, (*own.get(number, ()), *row.evidence), row.note)
        for number, row in sorted(ROWS.items())
    ]


def exists(test: str) -> bool:
    """Tell whether `module::test` names a test function of this project, or a scenario."""
    module, _, name = test.partition("::")
    if module == "machines.scenarios":
        return name in SCENARIOS
    try:
        found = getattr(importlib.import_module(f"tests.{module}"), name, None)
    except ModuleNotFoundError:
        return False
    return name.startswith("test_") and isinstance(found, FunctionType)


def _own_tests() -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for module in _modules():
        where = module.__name__.removeprefix("tests.")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            marks = getattr(function, "pytestmark", [])
            if name.startswith("test_") and function.__module__ == module.__name__:
                asking = (mark for mark in marks if not any(checked.reasons([mark])))
                for number in (n for mark in asking if mark.name == "fault" for n in mark.args):
                    found.setdefault(number, []).append(f"{where}::{name}")
    return found


def _modules() -> Iterator[ModuleType]:
    for module in pkgutil.iter_modules(tests.proofs.faults.__path__):
        if module.name.startswith("test_"):
            yield importlib.import_module(f"tests.proofs.faults.{module.name}")
