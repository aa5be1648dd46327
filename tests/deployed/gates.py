"""Gates in a scratch project's retry machine: an execution waits before a state until let through.

A gate is closed by an item of the `Accounts` table, for one group and one state at a time.
"""

import json
from pathlib import Path
from typing import Any

from local.deadline import wait_until
from tests.support import stack_fixtures
from tests.support.entries import Entries
from tests.support.scratch_project import mutate

_MACHINE = Path("statemachines") / "retry.asl.json"
# At a gate the variable that names the group is set; before the first state it is not.
_WITHOUT = "StartGroup"


def build_gates(root: Path) -> None:
    """Put a gate before every state of the project's retry machine but the first."""
    machine = json.loads((root / _MACHINE).read_text(encoding="utf-8"))
    states: dict[str, Any] = machine["States"]
    names = [name for name in states if name != _WITHOUT]
    for state in states.values():
        for way in (state, *state.get("Choices", []), *state.get("Catch", [])):
            for key in ("Next", "Default"):
                if key in way:
                    way[key] = f"Before {way[key]}"
    for name in names:
        states |= _gate(name)
    (root / _MACHINE).write_text(json.dumps(machine), encoding="utf-8")
    table = "        AccountsTable: !Ref AccountsTable\n"
    first = "        ProcessMessageFunctionArn: "
    mutate(root, "template.yaml", first, table + first)


def _gate(name: str) -> dict[str, Any]:
    closed = f'$exists($states.result.Item) and $states.result.Item.closed.S = "{name}"'
    return {
        f"Before {name}": {
            "Type": "Task",
            "Resource": "arn:aws:states:::dynamodb:getItem",
            "Arguments": {
                "TableName": "${AccountsTable}",
                "Key": {"account_id": {"S": '{% "GATE#" & $group_id %}'}},
                "ConsistentRead": True,
            },
            "TimeoutSeconds": 30,
            "Output": f'{{% {{"closed": {closed}, "input": $states.input}} %}}',
            "Next": f"Gate {name}",
        },
        f"Gate {name}": {
            "Type": "Choice",
            "Choices": [
                {
                    "Condition": "{% $states.input.closed %}",
                    "Output": "{% $states.input.input %}",
                    "Next": f"At {name}",
                },
                {
                    "Condition": "{% $not($states.input.closed) %}",
                    "Output": "{% $states.input.input %}",
                    "Next": name,
                },
            ],
        },
        f"At {name}": {"Type": "Wait", "Seconds": 5, "Next": f"Before {name}"},
    }


def close(entries: Entries, group: str, state: str) -> None:
    """Let the next execution that comes to a state of this group wait before it."""
    gate = {"account_id": f"GATE#{group}", "closed": state}
    stack_fixtures.put(entries.stack, "Accounts", gate)


def open_all(entries: Entries, group: str) -> None:
    """Let every execution of this group go on."""
    stack_fixtures.delete(entries.stack, "Accounts", f"GATE#{group}")


def arrives(entries: Entries, execution_arn: str, state: str) -> None:
    """Wait until an execution waits at the gate before a state."""
    wait_until(
        lambda: f"At {state}" in _last_states(entries, execution_arn),
        60,
        f"{execution_arn} comes to {state}",
    )


def _last_states(entries: Entries, execution_arn: str) -> list[str]:
    return stack_fixtures.history(entries.stack, execution_arn)[-3:]
