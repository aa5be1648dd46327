"""What fences of other groups cost the consumer, as `make bench` measures it."""

import statistics
import time

from local.bench_scene import Scene
from local.bench_tables import Part
from local.deadline import wait_until

_SECONDS = 120.0


def measure(scene: Scene, messages: int, fences: int, rounds: int) -> Part:
    """Measure the consumer with and without fenced groups, in turn."""
    _healthy(scene, messages, 0)  # for the cold starts
    seconds: dict[int, list[float]] = {0: [], fences: []}
    for _ in range(rounds):
        for count, measured in seconds.items():
            measured.append(_healthy(scene, messages, count))
    return Part(
        name="consumer",
        says=f"{messages} healthy messages of as many groups, while other groups are fenced.",
        header=("fenced groups", "messages a second"),
        rows=[
            (f"{count:,}", f"{messages / statistics.median(measured):.0f}")
            for count, measured in seconds.items()
        ],
    )


def _healthy(scene: Scene, messages: int, fences: int) -> float:
    """Return how long the consumer takes for messages of groups that are not fenced."""
    scene.empty()
    with scene.fenced_groups(fences):
        scene.send_healthy(messages)
        began = time.perf_counter()
        scene.consume(True)
        wait_until(lambda: not scene.depth(scene.work), _SECONDS, "the work queue is empty")
        took = time.perf_counter() - began
        scene.consume(False)
    return took
