"""`make bench`: the redrive machine beside other ways to empty a dead-letter queue.

Measured on the emulator, on this computer: good for comparing one way, or one version of this
project, with another. It says nothing about AWS, whose latencies and limits are others; what AWS
would bill is counted.
"""

import os
import sys
from collections.abc import Iterable, Iterator

from local import bench_consumer, bench_reckoned, bench_startup, bench_tables, ministack_counts
from local.bench_scene import Scene
from local.bench_tables import Found, Part, Result
from local.bench_ways import WAYS, Bench, NotMoved, NotOffered, Way
from local.client import UnexpectedAnswer
from local.deadline import DeadlineMissed
from local.deployment import DeploymentFailed
from local.emulator import EmulatorFailed
from local.narration import say, table
from local.pages import put
from local.stack import ROOT, Stack

MESSAGES = 400
ROUNDS = 2
FENCES = 1_000
STARTS = 15
LATENCIES = (0, 40)  # LATENCY_MS
DOCUMENT = ROOT / "docs" / "performance.md"


def main() -> int:
    """Measure every way and print what was found; return the exit status.

    With `WRITE` in the environment it is written into the page of these tables, too.
    """
    try:
        parts = _measure()
    except KeyboardInterrupt:
        print("\nStopped; nothing is left.", file=sys.stderr)
        return 130
    except (EmulatorFailed, DeploymentFailed, DeadlineMissed, UnexpectedAnswer, NotMoved) as error:
        print(error, file=sys.stderr)
        return 1
    for part in parts:
        print()
        say(part.says)
        print()
        table(part.header, part.rows)
    print()
    say(bench_tables.closing(os.cpu_count()))
    if os.environ.get("WRITE"):
        for part in parts:
            put(DOCUMENT, part.name, part.header, part.rows)
        print(f"\nWritten into {DOCUMENT.relative_to(ROOT)}.")
    return 0


def _measure() -> list[Part]:
    found: Found = {}
    consumer: list[Part] = []
    for latency in LATENCIES:
        found[latency] = {}
        for parameters, ways in _by_parameters(WAYS):
            with _stack(parameters, latency) as stack:
                scene = Scene(stack)
                found[latency] |= dict(_measured(scene, ways, latency))
                if not consumer:
                    _tell("the consumer")
                    consumer.append(bench_consumer.measure(scene, MESSAGES, FENCES, ROUNDS))
    _tell("start-up")
    startup = bench_startup.measure(STARTS)
    measured = bench_tables.parts(found, WAYS, MESSAGES)
    return [*measured, bench_reckoned.part(found), *consumer, startup]


def _measured(scene: Scene, ways: list[Way], latency: float) -> Iterator[tuple[str, Result]]:
    """Yield what each way took; None for one that the emulator has not."""
    bench = Bench(scene, MESSAGES, ROUNDS)
    for way in ways:
        if latency and way.run is None:
            continue  # it is added to states only
        _tell(f"{way.name}, LATENCY_MS={latency:g}")
        try:
            yield way.name, bench.measure(way)
        except NotOffered:
            yield way.name, None


def _tell(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)


def _stack(parameters: dict[str, str], latency: float) -> Stack:
    return Stack(
        parameters=parameters,
        latency_ms=latency,
        wait_scale=0.01,  # a message has to fail four times before there is a dead letter
        settings={ministack_counts.SETTING: "1"},
    )


def _by_parameters(ways: Iterable[Way]) -> list[tuple[dict[str, str], list[Way]]]:
    """Return the ways by the stack that they need."""
    found: list[tuple[dict[str, str], list[Way]]] = []
    for way in ways:
        same = [group for parameters, group in found if parameters == way.parameters]
        if same:
            same[0].append(way)
        else:
            found.append((way.parameters, [way]))
    return found


if __name__ == "__main__":
    sys.exit(main())
