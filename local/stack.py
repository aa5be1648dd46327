"""The local stack: this project's template, deployed into an emulator that ends with it."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import botocore.session
from boto3.session import Session
from botocore.config import Config

from local import ministack_quirks, seed
from local.deployment import deploy
from local.emulator import ACCESS_KEY, HOST, REGION, Emulator
from local.state_file import StateFile

ROOT = Path(__file__).parent.parent
STATE_FILE = ROOT / ".local" / "stack.json"
STACK_NAME = "local"


class Stack:
    """The deployed application on 127.0.0.1, as a context manager.

    Entering returns when everything is deployed and usable; leaving, in whatever way, ends every
    process and removes every file of it. If this process is killed, the same happens by itself.

    Args:
        port: on 127.0.0.1; 0 takes a free one.
        enforce_iam: let every Lambda do only what its role in the template allows.
        wait_scale: factor on Wait states and retry intervals of the state machines; None is 1.
        latency_ms: how much longer each Task of a machine takes, and 0.4 of it each Choice.
        parameters: template parameters that win over `samconfig.toml`'s `local` ones.
        state_file: where to describe the stack for other processes; None for nowhere.
        with_users: add an operator and a producer.
        operator: email or password of that operator, or both; by default made up.
        settings: more environment variables of MiniStack, such as `SFN_MOCK_CONFIG`.
        root: the folder of `template.yaml`; this project's.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        enforce_iam: bool = False,
        wait_scale: float | None = None,
        latency_ms: float = 0,
        parameters: dict[str, str] | None = None,
        state_file: Path | None = None,
        with_users: bool = True,
        operator: dict[str, str] | None = None,
        settings: dict[str, str] | None = None,
        root: Path = ROOT,
    ) -> None:
        self.root = root
        self.outputs: dict[str, str] = {}
        self.users: dict[str, dict[str, str]] = {}
        self.emulator = Emulator(
            port,
            enforce_iam=enforce_iam,
            wait_scale=wait_scale,
            latency_ms=latency_ms,
            settings=settings,
        )
        self._parameters = parameters or {}
        self._state_file = StateFile(state_file) if state_file else None
        self._with_users = with_users
        self._operator = operator
        self._clients: dict[str, Any] = {}
        self._session: Any = None

    def __enter__(self) -> Self:
        """Start, deploy, add the users.

        Raises:
            local.emulator.PortTaken: the port is in use.
            local.emulator.EmulatorFailed: the emulator does not start.
            local.deployment.DeploymentFailed: the template cannot be deployed.
            local.seed.UsersRefused: nobody can have that e-mail or password.
        """
        self.emulator.start()
        try:
            self.outputs = deploy(self, self.root, STACK_NAME, self._parameters)
            ministack_quirks.serve_api(
                self.client("apigateway"), HOST, self.outputs["ApiId"], self.outputs["ApiStage"]
            )
            if self._with_users:
                self.users = seed.new_users(self._operator)
                seed.add_users(self.root, self.process_environment(), self.users)
            if self._state_file:
                self._state_file.write(self.describe())
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process and remove every file of the stack; harmless when called twice."""
        try:
            if self._state_file:
                self._state_file.remove(self.endpoint_url)
        finally:
            self.emulator.stop()

    @property
    def endpoint_url(self) -> str:
        """The endpoint of every AWS service, for `AWS_ENDPOINT_URL`."""
        return self.emulator.url

    @property
    def api_url(self) -> str:
        """The base URL of the deployed REST API with its stage, without a slash at the end."""
        return f"{self.endpoint_url}/{self.outputs['ApiStage']}"

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service, with all rights; the same one each time.

        Not for a first call from several threads at once.
        """
        if service not in self._clients:
            if self._session is None:
                self._session = _session()
            self._clients[service] = self._session.client(
                service,
                endpoint_url=self.endpoint_url,
                config=Config(
                    proxies={},  # never send loopback traffic to a proxy of the environment
                    s3={"addressing_style": "path"},
                    inject_host_prefix=False,
                    retries={"total_max_attempts": 1},
                    max_pool_connections=50,
                ),
            )
        return self._clients[service]

    def describe(self) -> dict[str, Any]:
        """Return what another process needs to use the stack: the content of `stack.json`."""
        outputs = self.outputs
        return {
            "api_url": self.api_url,
            "endpoint_url": self.endpoint_url,
            "region": REGION,
            "users": self.users,
            "queues": {
                "work": outputs["WorkQueueUrl"],
                "dead_letter": outputs["DeadLetterQueueUrl"],
            },
            "state_machines": {
                "retry": outputs["RetryStateMachineArn"],
                "redrive": outputs["RedriveStateMachineArn"],
                "redrive_lane": outputs["RedriveLaneStateMachineArn"],
            },
            "tables": {
                output.removesuffix("TableName").lower(): name
                for output, name in outputs.items()
                if output.endswith("TableName")
            },
        }

    def process_environment(self) -> dict[str, str]:
        """Return the environment in which a process can import `workflows` and use the stack.

        It holds the settings of the deployed functions, and every right.
        """
        settings = seed.function_settings(self.client("lambda"))
        return settings | seed.own_environment(self.endpoint_url, REGION, ACCESS_KEY)

    def log(self) -> str:
        """Return the log of the emulator, which holds the output of failed Lambdas."""
        return self.emulator.log()

    def lambda_log(self, function: str | None = None) -> str:
        """Return what the Lambdas have logged, oldest first; of one function if it is named."""
        logs = self.client("logs")
        prefix = f"/aws/lambda/{function or ''}"
        events = [
            event
            for page in logs.get_paginator("describe_log_groups").paginate(
                logGroupNamePrefix=prefix
            )
            for group in page["logGroups"]
            for events_page in logs.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"]
            )
            for event in events_page["events"]
        ]
        events.sort(key=lambda event: event["timestamp"])
        return "\n".join(event["message"] for event in events)


def _session() -> Any:
    # The user's own AWS profile and files have no say here.
    core = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    return Session(
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=ACCESS_KEY,
        region_name=REGION,
        botocore_session=core,
    )
