"""`make stepfunctions-local`: serve our machines as AWS's Step Functions Local does, until Ctrl-C.

The machines of `local/machines.py` run as `ARN#TestCase` with the results of a mock configuration
file. What a test case does not mock, and an execution without one, meets the whole deployed stack.
"""

import os
import sys
from pathlib import Path

from local import env_file, foreground, mock_config
from local.machines import ACCOUNT, MACHINES, MOCK_CONFIG
from local.stack import Stack

DEFAULT_PORT = 8083  # of AWS's
_FILES = dict.fromkeys(machine.file for machine in MACHINES.values())
_LANE = "RedriveLaneStateMachineArn"  # the output's name, and the substitution's


def main() -> int:
    """Serve on `PORT` and return the exit code: 0 when stopped, 1 when it cannot start.

    `SFN_MOCK_CONFIG` names another mock configuration file than ours.
    """
    return foreground.serve(_stack, lambda stack: greeting(stack, create_machines(stack)))


def create_machines(stack: Stack) -> dict[str, str]:
    """Create each of `MACHINES` on a deployed stack, with its resources; return their ARNs.

    A run's lane is the one that is made here, so that it has test cases, too.
    """
    stepfunctions = stack.client("stepfunctions")
    arns = {}
    for name, machine in MACHINES.items():
        deployed = stepfunctions.describe_state_machine(
            stateMachineArn=stack.outputs[_output(machine.file)]
        )
        values = machine.values_in(deployed["definition"])
        if _LANE in values:
            values[_LANE] = f"{deployed['stateMachineArn'].rpartition(':')[0]}:redrive-lane"
        arns[name] = stepfunctions.create_state_machine(
            name=name, definition=machine.definition(values), roleArn=deployed["roleArn"]
        )["stateMachineArn"]
    return arns


def _output(file: str) -> str:
    return f"{file.title().replace('_', '')}StateMachineArn"


def greeting(stack: Stack, arns: dict[str, str]) -> str:
    """Return what a person needs to begin with."""
    path = _mock_config_path()
    config = mock_config.read(path)
    cases = {name: list(mock_config.cases(config, name)) for name in arns}
    others = [name for name in config["StateMachines"] if name not in arns]
    machine = next((name for name in ("redrive", *arns) if cases[name]), None)
    lines = [
        f"Step Functions  {stack.endpoint_url}   (any credentials, region us-east-1)",
        f"Mock config     {path}   (SFN_MOCK_CONFIG names another)",
        "Machines",
        *(f"  {arn}   {len(cases[name])} test cases" for name, arn in arns.items()),
        "Deployed as they are on AWS, without test cases",
        *(f"  {stack.outputs[_output(file)]}" for file in _FILES),
    ]
    if others:
        lines += ["In the file, and not made here", *(f"  {name}" for name in others)]
    if machine:
        lines += [
            "",
            "Try it:",
            f"  aws stepfunctions start-execution --endpoint-url {stack.endpoint_url}"
            " --region us-east-1 \\",
            f"    --state-machine-arn '{arns[machine]}#{cases[machine][0]}'",
        ]
    return "\n".join([*lines, "", "Ctrl-C stops it and removes everything."])


def _stack() -> Stack:
    env_file.load()
    path = _mock_config_path()
    config = mock_config.read(path)
    wrong = [
        mistake
        for name, machine in MACHINES.items()
        for mistake in mock_config.mistakes(config, name, mock_config.tasks(machine.text()))
    ]
    if wrong:
        raise ValueError(
            "\n".join([f"The mock configuration file {path} would mock less:", *wrong])
        )
    return Stack(
        foreground.port_or(DEFAULT_PORT),
        with_users=False,
        settings={"SFN_MOCK_CONFIG": str(path), "MINISTACK_ACCOUNT_ID": ACCOUNT},
    )


def _mock_config_path() -> Path:
    return Path(os.environ.get("SFN_MOCK_CONFIG") or MOCK_CONFIG).resolve()


if __name__ == "__main__":
    sys.exit(main())
