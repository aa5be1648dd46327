"""What MiniStack's histories leave out of a Map's items: a part of `ministack_quirks`, which see.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""

import copy
import json
import threading
from contextvars import ContextVar
from typing import Any

# The last event of each execution, by its ARN, as the thread of an item or of the rest knows it.
_last: ContextVar[dict[str, int] | None] = ContextVar("last", default=None)


def patch(stepfunctions: Any) -> None:
    """Change MiniStack's Step Functions inside its own process, before it starts."""
    _link_events(stepfunctions)
    _tell_of_items(stepfunctions)


def _link_events(stepfunctions: Any) -> None:
    """Tell with each event which one led to it: another than the last where items take turns."""
    add_event, one_at_a_time = stepfunctions._add_event, threading.Lock()

    def add_linked(execution: Any, kind: str, details: Any = None) -> Any:
        known, arn = _last.get() or {}, execution["executionArn"]
        with one_at_a_time:
            event = add_event(execution, kind, details)
        event["previousEventId"] = known.get(arn, event["id"] - 1)
        _last.set(known | {arn: event["id"]})
        return event

    stepfunctions._add_event = add_linked


def _tell_of_items(stepfunctions: Any) -> None:
    """Note the entry and the exit of each state of an item, or of a branch; MiniStack does not."""
    run = stepfunctions._run_sub_machine

    def run_and_tell(
        states: Any, start_at: str, given: Any, execution: Any, context: dict[str, Any]
    ) -> Any:
        def note(name: str, what: str, **text: Any) -> None:
            details = {"name": name} | {part: json.dumps(value) for part, value in text.items()}
            kind = f"{states[name]['Type']}State{what}"
            stepfunctions._add_event(execution, kind, {f"state{what}EventDetails": details})

        name: str | None = start_at
        given = copy.deepcopy(given)
        while name:
            entered, state = name, states[name]
            note(entered, "Entered", input=given)
            if state["Type"] in ("Succeed", "Fail"):
                return run({name: state}, name, given, execution, context)
            context["State"] = {
                "Name": name,
                "EnteredTime": stepfunctions.now_iso(),
                "RetryCount": 0,
            }
            do = getattr(stepfunctions, f"_execute_{state['Type'].lower()}")
            also = [execution] if state["Type"] in ("Task", "Parallel", "Map") else []
            given, name = do(state, given, *also, context)
            note(entered, "Exited", output=given)
        return given

    stepfunctions._run_sub_machine = run_and_tell
