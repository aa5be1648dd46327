"""`make demo`: real transactions through the whole service, step by step, every claim checked.

The exit status is 0 only if every claim held. `python -m local.demo --keep` leaves the stack up
afterwards, until Ctrl-C, to look around in it.
"""

import argparse
import contextlib
import io
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

from local.client import UnexpectedAnswer
from local.deadline import DeadlineMissed, wait_until
from local.demo_scene import Scene
from local.demo_story import Story
from local.deployment import DeploymentFailed
from local.emulator import EmulatorFailed
from local.journal import Run
from local.narration import look, say, table
from local.stack import Stack

WAIT_SCALE = 0.25
_DAY = 86_400.0
_SHOWN = ("redriven", "quarantined")
_DEPTHS = ("visible", "in_flight", "delayed")


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return 0 if every claim held, 130 if it was interrupted, else 1."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the stack up until Ctrl-C")
    keep = parser.parse_args(arguments).keep
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background ignores the second
        signal.signal(number, _stop)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 is no reason to stop
    began = time.monotonic()
    try:
        say("Starting a local stack of its own: an emulator of AWS that runs template.yaml.")
        with Stack(wait_scale=WAIT_SCALE) as stack:
            failed = play(stack, began)
            if keep:
                say(f"The stack stays up at {stack.endpoint_url} until Ctrl-C.")
                with contextlib.suppress(KeyboardInterrupt):
                    wait_until(lambda: not stack.emulator.is_running(), _DAY, "it ends", interval=1)
    except KeyboardInterrupt:
        print("\nStopped; nothing is left.", file=sys.stderr)
        return 130
    except (EmulatorFailed, DeploymentFailed, DeadlineMissed, UnexpectedAnswer, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if failed else 0


def play(stack: Stack, began: float) -> int:
    """Play the demo on a fresh stack and return how many claims failed."""
    say(
        f"Ready after {time.monotonic() - began:.1f} s. The state machines' waits are scaled by"
        f" {WAIT_SCALE}, none is skipped; everything else is as `make run` has it. While the demo"
        " runs (or stays, with --keep), any execution named here can be looked up:"
    )
    executions = stack.outputs["RedriveStateMachineArn"].replace(":stateMachine:", ":execution:")
    look(
        f"aws stepfunctions get-execution-history --endpoint-url {stack.endpoint_url}"
        f" --execution-arn {executions}:NAME"
    )
    scene = Scene(stack, began)
    try:
        Story(scene).tell()
        show(scene)
        check(scene)
    except (DeadlineMissed, UnexpectedAnswer) as error:
        scene.claims.holds("the story could be told to its end", False, str(error))
    scene.chapter("11. Every claim, checked")
    scene.claims.show()
    failed = scene.claims.failed
    say(f"{len(scene.claims.lines)} claims, {failed} failed, {time.monotonic() - began:.0f} s.")
    return failed


def show(scene: Scene) -> None:
    """Show what became of every message and every run."""
    scene.chapter("10. How it all ended")
    scene.journal.look(scene.journal.entries)
    foreign = scene.silent.message(scene.foreign_id).expect(200)
    say(
        "Each message's tries in each life, of what it died, how often and in which runs it was"
        " redriven, and where it is now:"
    )
    table(
        ["message", "tries", "died of", "redrives", "ends as", "because of"],
        [
            *scene.journal.rows(),
            ("(foreign)", "-", "-", "0", foreign["status"], foreign["reason"]["type"]),
        ],
    )
    print()
    counts = [*_SHOWN, "settled", "failed", "left"]
    table(
        ["run", "purpose", "status", *counts, "transitions", "each"],
        [_told(run) for run in scene.journal.runs],
    )


def _told(run: Run) -> tuple[object, ...]:
    record, transitions = run.record, run.history.transitions
    return (
        run.number,
        run.purpose,
        record["status"],
        *(record[name] for name in _SHOWN),
        record["already_processed"] + record["discarded"],
        record["failed"],
        record["left"],
        transitions,
        f"{transitions / record['received']:.2f}" if record["received"] else "-",
    )


def check(scene: Scene) -> None:
    """Hold what the service says at the end against what was sent."""
    entries = scene.journal.entries
    scene.journal.look(entries)
    scene.claims.equal(
        f"all {len(entries)} messages ended where they belong",
        {e.message_id: e.record["status"] for e in entries if e.record["status"] != e.ends},
        {},
    )
    applied, balances = scene.accounts()
    scene.claims.equal(
        "every processed message had its effect exactly once, no other had any",
        sorted(applied),
        sorted(e.message_id for e in entries if e.ends == "PROCESSED"),
    )
    expected = scene.journal.expected_balances()
    scene.claims.equal(
        f"{len(expected)} balances add up to the cent: {sum(expected.values()):,} EUR in all",
        {name: balances.get(name) for name in expected if balances.get(name) != expected[name]},
        {},
    )
    last = entries[-1]
    actions = {"send_message", "consume_message"} | ({"retry_message"} if last.died_of else set())
    scene.claims.equal(
        f"the trace_id of {last.message_id} is in the logs of its request and of every try",
        actions - scene.traced(last.record["trace_id"]),
        set(),
    )
    status = scene.silent.status().expect(200)
    scene.claims.equal(
        "both queues are empty; three messages are in quarantine, none is dead or retrying",
        (
            [status["work_queue"][k] + status["dead_letter_queue"][k] for k in _DEPTHS],
            status["messages"],
        ),
        ([0, 0, 0], {"dead": 0, "lost": 0, "quarantined": 3, "retrying": 0}),
    )


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
