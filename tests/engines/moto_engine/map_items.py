"""How the items of a Map run side by side: in turns, one state at a time, in an order of choice.

moto gives each item a thread, and the threads run as they like. Here one of them works at a time,
until its next state, so that the same test does the same things in the same order each time.
"""

import threading
from collections.abc import Callable
from typing import Any, ClassVar
from unittest import mock

from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import (
    inline_iteration_component as inline,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.job import JobPool

# Of the items that are not done yet, by their index, which goes on; the last one was `before`.
Choose = Callable[[list[int], int], int]


def in_turn(open_items: list[int], before: int) -> int:
    """Let each item go on by one state, and begin again with the first."""
    return next((item for item in open_items if item > before), open_items[0])


class _Item:
    """One item of a Map, in threads of which one works, and only when it is told to.

    moto begins another thread for each task that has a timeout.
    """

    working: ClassVar["_Item | None"] = None

    def __init__(self, work: Callable[[], None]) -> None:
        self.is_done = False
        self.error: BaseException | None = None
        self._work = work
        self._mine, self._others = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()

    def go_on(self) -> None:
        """Let it work until its next state, or its end."""
        _Item.working = self
        self._mine.release()
        self._others.acquire()
        _Item.working = None

    def rest(self) -> None:
        """Wait, in the thread of it that works, until it is told to go on."""
        self._others.release()
        self._mine.acquire()

    def _run(self) -> None:
        self._mine.acquire()
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised in the thread of the Map
            self.error = error
        self.is_done = True
        self._others.release()


def rest() -> None:
    """Let the other items of the Map go on, if the caller works for one."""
    if _Item.working is not None:
        _Item.working.rest()


def _work(job: Any, worker: Any) -> Callable[[], None]:
    # By itself it takes the first job that is left when it begins, and so not always its own.
    return lambda: worker._eval_pool(job=job, worker_frame=worker._env.open_frame())


def patches(choose: Choose) -> list[Any]:
    """Return the patches, each a context manager."""
    component: Any = inline.InlineIterationComponent
    evaluate = component._eval_body

    def evaluate_while_it_runs(self: Any, env: Any) -> None:
        try:
            evaluate(self, env)
        except FailureEventException:
            if env.is_running():
                raise
            env.stack.append([])  # moto fails an execution that is stopped in the midst of a Map

    def launch(self: Any, env: Any, eval_input: Any, job_pool: Any) -> Any:
        worker = self._create_worker(env=env, eval_input=eval_input, job_pool=job_pool)
        vars(job_pool).setdefault("workers", []).append(worker)
        return worker

    def run(self: Any) -> None:
        workers = self.workers[: self._jobs_number]
        if len(workers) == 1:
            workers[0].eval()
            return
        items, before = [_Item(_work(self.next_job(), worker)) for worker in workers], -1
        while still_open := [n for n, item in enumerate(items) if not item.is_done]:
            before = choose(still_open, before)
            items[before].go_on()
        for item in items:
            if item.error is not None:
                raise item.error

    return [
        mock.patch.object(component, "_eval_body", evaluate_while_it_runs),
        mock.patch.object(component, "_launch_worker", launch),
        mock.patch.object(JobPool, "await_jobs", run),
    ]
