"""A world with a redriver of any kind in it, and a person who may tell that to stop."""

from typing import Any, Protocol

from tests.engines.moto_engine.stack import end_alone
from tests.support.messages import an_operator
from tests.support.world import World
from workflows.redrive import runs


class Redriver(Protocol):
    """What is told a story in place of the shipped machine."""

    def __call__(self, world: World, request: dict[str, Any], /) -> Any:
        """Redrive until there is nothing left, or until it was told to stop."""

    def cancel(self) -> None:
        """Be told to stop; when it does is its own affair."""


class Redriven(World):
    """A world in which a redriver works: the shipped machine, or the one given."""

    def __init__(self, stack: Any, redriver: Redriver | None = None) -> None:
        super().__init__(stack, redriver=redriver)
        self._other = redriver

    def end_run(self, execution_arn: str) -> None:
        """Let a person stop an execution, and not its lane with it."""
        end_alone(execution_arn)

    def cancel(self) -> None:
        """Let a person tell whoever redrives to stop, by the means that the redriver has."""
        if self._other is not None:
            self._other.cancel()
            return
        pages = self.stack.client("dynamodb").get_paginator("scan").paginate(TableName="Runs")
        for item in (item for page in pages for item in page["Items"] if "trigger" in item):
            runs.cancel(item["run_id"]["S"], an_operator())
