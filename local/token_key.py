"""Rotate the key that signs the access tokens.

Of the local stack of `make run`:

    python -m local.token_key

Of a deployed one, with the AWS credentials of the environment:

    python -m local.token_key --stack NAME --region eu-central-1

Nobody is signed out: the new key signs after five minutes, and the one before it is believed until
its last token is over, which is told. Before then there is no further rotation, unless
`--end-sessions` asks for it: it replaces the key twice, so that no key is left that anybody had,
and every token ends within five minutes. That is for a key that may have leaked; signing in may
have to be repeated during these minutes.
"""

import argparse
import sys
import time
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.administrator import NoStack, add_options, administered
from local.running import NotRunning
from workflows.access import tokens


class NotYet(Exception):
    """The key before the present one is believed still, and would be lost too early."""


def main(arguments: list[str] | None = None) -> int:
    """Rotate the key that the arguments name; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        stack = administered(options)
        secret, lifetime = stack.token_key_secret, stack.token_lifetime
        print(rotate(secret, lifetime, end_sessions=options.end_sessions))
    except (NotYet, NoStack, NotRunning, BotoCoreError, ClientError) as error:
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
    add_options(parser)
    parser.add_argument("--end-sessions", action="store_true", help="sign everybody out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
