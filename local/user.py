"""Add a user, change the password and roles of one and lift its lock, or remove one.

To the local stack of `make run` (`make user` does this):

    python -m local.user

This adds the operator that `APP_USER_EMAIL` and `APP_USER_PASSWORD` name, in the environment or in
`.env`; what they do not say is asked.

To a deployed stack, with the AWS credentials of the environment, whose identity the audit names:

    python -m local.user --stack NAME --region eu-central-1 --email you@example.com --role operator

`--service 90` adds a service, such as a pipeline, with one role, for 90 days, and prints its
secret, which is shown once: it signs in by that as a person does by a password.

`--remove` removes the user `--email`. Whoever is removed or changed is signed out within a minute.

Roles are `producer` (send and read) and `operator` (that, and redrive). The
password is asked for, or taken from an environment variable named by `--password-from-env`; there
is no option for it, because other users of a computer can read the arguments of a process.
"""

import argparse
import getpass
import os
import sys

from botocore.exceptions import BotoCoreError, ClientError

from local import env_file
from local.administrator import NoStack, add_options, administered, identity
from local.running import NotRunning
from workflows.access import users
from workflows.access.roles import ROLES
from workflows.operator.user_changes import Tables, add_service, add_user, remove_user


def main(arguments: list[str] | None = None) -> int:
    """Add or remove the user that the arguments describe; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        stack = administered(options)
        tables = Tables(stack.users_table, stack.audit_table)
        if options.remove:
            email = options.email or input("E-mail: ")
            remove_user(email, by=identity(), tables=tables)
            print(f"{email.strip().lower()} is removed, and signed out within a minute.")
            return 0
        _take_settings(options)
        email = options.email or input("E-mail: ")
        roles = options.role or input(f"Roles ({', '.join(ROLES)}): ").split()
        if options.service:
            _add_service(email, roles, options.service, tables)
            return 0
        password = _password(options.password_from_env)
        add_user(email, password, roles, by=identity(), tables=tables)
    except (ValueError, _Unusable, NoStack, NotRunning, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    except EOFError:
        print("Nobody answers: give --email, --role, --password-from-env.", file=sys.stderr)
        return 1
    print(f"{email.strip().lower()} may now sign in as {', '.join(sorted(set(roles)))}.")
    return 0


def _add_service(email: str, roles: list[str], days: int, tables: Tables) -> None:
    if len(roles) != 1:
        raise _Unusable("A service has one role.")
    secret = add_service(email, roles[0], days, by=identity(), tables=tables)
    print(f"{email.strip().lower()} may sign in as {roles[0]} for {days} days, by", file=sys.stderr)
    print(secret)


class _Unusable(Exception):
    """What was given does not suffice to add a user."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.user",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--email", help="asked for if missing")
    parser.add_argument(
        "--service", type=int, metavar="DAYS", help="add a service; its secret is printed, once"
    )
    parser.add_argument("--remove", action="store_true", help="remove the user")
    parser.add_argument("--role", action="append", choices=ROLES, help="asked for if missing")
    parser.add_argument("--password-from-env", metavar="VARIABLE", help="asked for if missing")
    add_options(parser)
    return parser


def _take_settings(options: argparse.Namespace) -> None:
    """Let the settings name the user, of the local stack only, and only if no option does."""
    if options.stack or options.email:
        return
    env_file.load()
    options.email = os.environ.get("APP_USER_EMAIL")
    if options.email:
        options.role = options.role or ["operator"]
        if os.environ.get("APP_USER_PASSWORD"):
            options.password_from_env = options.password_from_env or "APP_USER_PASSWORD"


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
