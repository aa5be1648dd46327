"""Mocked results for single executions on the local stack, in Step Functions Local's format."""

import uuid
from typing import Any

from local.stack import Stack
from tests.support.history import matching, states_of

# Test cases given so far: setting them replaces all, and an earlier one may be in use.
_given: dict[str, Any] = {"StateMachines": {}, "MockedResponses": {}}


def new_case(stack: Stack, arn: str, mocks: dict[str, list[dict[str, Any]]]) -> str:
    """Tell the emulator what a state's first entries meet; return the name of this test case.

    `mocks` is that of `stack_fixtures.start_machine`. States that the machine does not have are
    those of a run's lane.
    """
    case = f"case-{uuid.uuid4()}"
    deployed = stack.client("stepfunctions").describe_state_machine(stateMachineArn=arn)
    left = _mock(arn, states_of(deployed["definition"]), case, mocks)
    if left:
        lane = stack.outputs["RedriveLaneStateMachineArn"]
        deployed = stack.client("stepfunctions").describe_state_machine(stateMachineArn=lane)
        left = _mock(lane, states_of(deployed["definition"]), case, left)
    assert not left, f"no machine has {left.keys()}"
    stack.emulator.mock_states(_given)
    return case


def _mock(
    arn: str, states: dict[str, Any], case: str, mocks: dict[str, list[dict[str, Any]]]
) -> dict[str, list[dict[str, Any]]]:
    """Mock those states that a machine has; return the others."""
    own = {state: entries for state, entries in mocks.items() if state in states}
    cases = _given["StateMachines"].setdefault(arn.rpartition(":")[2], {"TestCases": {}})
    cases["TestCases"][case] = {state: f"{case}-{state}" for state in own}
    for state, entries in own.items():
        invocations = _invocations(states[state].get("Retry", []), entries)
        _given["MockedResponses"][f"{case}-{state}"] = invocations
    return {state: entries for state, entries in mocks.items() if state not in own}


def _invocations(
    retriers: list[dict[str, Any]], entries: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return a response for each invocation: an error at each retry too, at last the service."""
    found, first = {}, 0
    for response in entries:
        last = first
        if "Throw" in response:
            index = matching(retriers, response["Throw"]["Error"])
            last += 0 if index is None else retriers[index].get("MaxAttempts", 3)
        found[f"{first}-{last}"] = response
        first = last + 1
    return found | {f"{first}-{first + 100_000}": {}}  # our emulator calls the service for {}
