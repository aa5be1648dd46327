"""Add a user, change the password and roles of one and lift its lock, or remove one.

To the local stack of `make run` (`make user` does this):

    python -m local.user

This adds the operator that `APP_USER_EMAIL` and `APP_USER_PASSWORD` name, in the environment or in
`.env`; what they do not say is asked.

To a deployed stack, with the AWS credentials of the environment; the table is the stack's output
`UsersTableName`:

    python -m local.user --table NAME --region eu-central-1 --email you@example.com --role operator

`--remove` removes the user `--email`. Whoever is removed or changed is signed out within a minute.

Roles are `producer` (send and read) and `operator` (that, and redrive). The
password is asked for, or taken from an environment variable named by `--password-from-env`; there
is no option for it, because other users of a computer can read the arguments of a process.
"""

import argparse
import getpass
import os
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local import env_file, running
from workflows.access import users
from workflows.access.roles import ROLES


def main(arguments: list[str] | None = None) -> int:
    """Add or remove the user that the arguments describe; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        table = options.table or _local_table()
        if options.endpoint_url:
            os.environ["AWS_ENDPOINT_URL"] = options.endpoint_url
        if options.region:
            boto3.setup_default_session(region_name=options.region)
        if not options.remove:
            _take_settings(options)
        email = options.email or input("E-mail: ")
        if options.remove:
            users.remove_user(email, table=table)
            print(f"{email.strip().lower()} is removed, and signed out within a minute.")
            return 0
        roles = options.role or input(f"Roles ({', '.join(ROLES)}): ").split()
        users.add_user(email, _password(options.password_from_env), roles, table=table)
    except (ValueError, _Unusable, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    except EOFError:
        print("Nobody answers: give --email, --role, --password-from-env.", file=sys.stderr)
        return 1
    print(f"{email.strip().lower()} may now sign in as {', '.join(sorted(set(roles)))}.")
    return 0


class _Unusable(Exception):
    """What was given does not suffice to add a user."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.user",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--email", help="asked for if missing")
    parser.add_argument("--remove", action="store_true", help="remove the user")
    parser.add_argument("--role", action="append", choices=ROLES, help="asked for if missing")
    parser.add_argument("--password-from-env", metavar="VARIABLE", help="asked for if missing")
    parser.add_argument("--table", help="the Users table; without it, the running local stack's")
    parser.add_argument("--region", help="of the table; by default your AWS profile's")
    parser.add_argument("--endpoint-url", help="of an emulator that is not the local stack")
    return parser


def _take_settings(options: argparse.Namespace) -> None:
    """Let the settings name the user, of the local stack only, and only if no option does."""
    if options.table or options.email:
        return
    env_file.load()
    options.email = os.environ.get("APP_USER_EMAIL")
    if options.email:
        options.role = options.role or ["operator"]
        if os.environ.get("APP_USER_PASSWORD"):
            options.password_from_env = options.password_from_env or "APP_USER_PASSWORD"


def _local_table() -> str:
    try:
        return str(running.connect()["tables"]["users"])
    except running.NotRunning as error:
        raise _Unusable(f"{error.args[0].removesuffix('.')}, or give --table.") from None


def _password(variable: str | None) -> str:
    if variable is not None:
        if variable not in os.environ:
            raise _Unusable(f"The environment variable {variable} is not set.")
        return os.environ[variable]
    password = getpass.getpass(f"Password (at least {users.MIN_PASSWORD_CHARACTERS} characters): ")
    if getpass.getpass("Once more: ") != password:
        raise _Unusable("The two passwords differ.")
    return password


if __name__ == "__main__":
    sys.exit(main())
