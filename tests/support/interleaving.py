"""All orders in which the AWS calls of several actors can meet, tried one after the other.

Each actor runs in a thread of its own and stops before each call to AWS; the scheduler lets one
after the other make its next call. With the same choices the same happens, so that every order can
be enumerated, and one that fails can be repeated.
"""

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

_SECONDS = 20.0
Actors = dict[str, Callable[[], Any]]


class _Actor:
    def __init__(self, act: Callable[[], Any]) -> None:
        self.error: BaseException | None = None
        self.done = False
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._act = act
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._wait(self._stopped)

    def advance(self) -> None:
        """Let the actor make its next call, and go on to the one after it."""
        self._go.release()
        self._wait(self._stopped)

    def before_call(self) -> None:
        """Stop until it is this actor's turn."""
        self._stopped.release()
        self._wait(self._go)

    def _run(self) -> None:
        _current.actor = self
        try:
            self._act()
        except BaseException as error:  # noqa: BLE001 - told by `meet`
            self.error = error
        self.done = True
        self._stopped.release()

    def _wait(self, semaphore: threading.Semaphore) -> None:
        if not semaphore.acquire(timeout=_SECONDS):
            raise TimeoutError("an actor neither stops nor ends")


_current = threading.local()


def watch(*clients: Any) -> None:
    """Stop actors before each call of these boto3 clients; other threads are left alone."""
    for client in clients:
        client.meta.events.register("before-call", _before_call)


def pause() -> None:
    """Stop the actor that calls this, as before a call to AWS; other threads go on."""
    _before_call()


def _before_call(**_: Any) -> None:
    actor = getattr(_current, "actor", None)
    if actor is not None:
        actor.before_call()


def meet(actors: Actors, choose: Callable[[list[str]], str]) -> list[str]:
    """Run actors to their ends, in the order that `choose` picks; return that order.

    Raises:
        Exception: what an actor raised.
    """
    running = {name: _Actor(act) for name, act in actors.items()}
    for actor in running.values():
        actor.start()
    order = []
    while ready := [name for name, actor in running.items() if not actor.done]:
        name = choose(ready)
        order.append(name)
        running[name].advance()
    for actor in running.values():
        if actor.error is not None:
            raise actor.error
    return order


def every_order(scene: Callable[[], Actors]) -> Iterator[list[str]]:
    """Enumerate all orders; `scene` sets everything up anew and returns the actors.

    Yields after each, for the caller to look at what came of it.
    """
    path: list[tuple[list[str], int]] = []
    more = True
    while more:
        depth = 0

        def choose(ready: list[str]) -> str:
            nonlocal depth
            if depth == len(path):
                path.append((ready, 0))
            assert path[depth][0] == ready, "the actors do not depend on the choices alone"
            depth += 1
            return ready[path[depth - 1][1]]

        yield meet(scene(), choose)
        while path and path[-1][1] + 1 == len(path[-1][0]):
            path.pop()
        more = bool(path)
        if path:
            ready, index = path.pop()
            path.append((ready, index + 1))


def random_orders(scene: Callable[[], Actors], seeds: range) -> Iterator[str]:
    """Try one random order for each seed, and yield seed and order in words."""
    for seed in seeds:
        order = meet(scene(), random.Random(seed).choice)  # noqa: S311 - no secret
        yield f"seed {seed}: {' '.join(order)}"
