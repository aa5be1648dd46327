"""Rotate the key that signs the access tokens.

Of the local stack of `make run`:

    python -m local.token_key

Of a deployed one, with the AWS credentials of the environment; the secret is the stack's output
`TokenKeySecret`:

    python -m local.token_key --secret ARN --region eu-central-1

Nobody is signed out: the new key signs after five minutes, and the one before it is believed until
its last token is over, which is told. Before then there is no further rotation, unless
`--end-sessions` asks for it: it replaces the key twice, so that no key is left that anybody had,
and every token ends within five minutes. That is for a key that may have leaked; signing in may
have to be repeated during these minutes.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local import running
from local.stack import STACK_NAME
from workflows.access import tokens

_LONGEST_LIFETIME = 86_400  # MaxValue of the parameter `TokenLifetimeSeconds`


class NotYet(Exception):
    """The key before the present one is believed still, and would be lost too early."""


def main(arguments: list[str] | None = None) -> int:
    """Rotate the key that the arguments name; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.region:
            boto3.setup_default_session(region_name=options.region)
        secret = options.secret or _local_secret()
        if options.endpoint_url:
            os.environ["AWS_ENDPOINT_URL"] = options.endpoint_url
        print(rotate(secret, options.token_lifetime, end_sessions=options.end_sessions))
    except (NotYet, running.NotRunning, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def rotate(secret: str, lifetime: int, *, end_sessions: bool = False) -> str:
    """Put another key in the place of the present one, and return what that means, in words.

    Args:
        secret: its name or ARN.
        lifetime: of a token, in seconds.
        end_sessions: whether every token ends.

    Raises:
        NotYet: the last rotation is not over.
    """
    store = boto3.client("secretsmanager")
    if end_sessions:
        _put(store, secret)
        _put(store, secret)
        return "Every token ends within five minutes."
    put_at = store.get_secret_value(SecretId=secret)["CreatedDate"].timestamp()
    over = tokens.counts_until(put_at, lifetime)
    if over > time.time() and _has_previous(store, secret):
        raise NotYet(f"The last rotation is over at {_text(over)}. Wait, or give --end-sessions.")
    _put(store, secret)
    over = tokens.counts_until(time.time(), lifetime)
    return f"The new key signs in five minutes; the one before it counts until {_text(over)}."


def _local_secret() -> str:
    running.connect()
    stack: Any = boto3.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    return str(outputs["TokenKeySecret"])


def _put(store: Any, secret: str) -> None:
    # As the template does: 64 letters and digits are 380 bits.
    key = store.get_random_password(PasswordLength=64, ExcludePunctuation=True)["RandomPassword"]
    store.put_secret_value(SecretId=secret, SecretString=key)


def _has_previous(store: Any, secret: str) -> bool:
    versions = store.list_secret_version_ids(SecretId=secret)["Versions"]
    return any("AWSPREVIOUS" in version.get("VersionStages", []) for version in versions)


def _text(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.token_key",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--secret", help="name or ARN; without it, the running local stack's")
    parser.add_argument("--region", help="of the secret; by default your AWS profile's")
    parser.add_argument("--endpoint-url", help="of an emulator that is not the local stack")
    parser.add_argument(
        "--token-lifetime",
        type=int,
        default=_LONGEST_LIFETIME,
        metavar="SECONDS",
        help="the stack's TokenLifetimeSeconds; without it, the longest there can be: a day",
    )
    parser.add_argument("--end-sessions", action="store_true", help="sign everybody out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
