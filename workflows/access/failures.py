"""Failed logins: how many of them an e-mail takes, from whom.

Two counts, each in an item of its own in the table `Users`, which DynamoDB's TTL removes:

- of an e-mail and where its login comes from: five in 15 minutes. So nobody is locked out by what
  is tried from elsewhere.
- of an e-mail from all strangers: 480 in a day, as many as five in 15 minutes are. So whoever has
  many addresses guesses no faster than with one. A stranger is where nobody has signed in under
  that e-mail for 30 days.

A window begins with the first failure in it; a lock lasts to its end. An e-mail that nobody has is
counted alike, because a lock that only users get would tell which e-mails exist. The keys carry the
`session_version`, so that a user who is given another password begins anew.
"""

import ipaddress
from contextlib import suppress
from typing import Any

from workflows.runtime import clock
from workflows.runtime.aws import dynamodb, plain
from workflows.runtime.refusals import TooMany
from workflows.runtime.settings import settings

MAX_FAILED_LOGINS, WINDOW_SECONDS = 5, 900
MAX_OF_STRANGERS, DAY_SECONDS = 480, 86_400
KNOWN_SECONDS = 30 * DAY_SECONDS
# Each lost race means that another attempt was counted, and a window takes only five.
_LOST_RACES = 2 * MAX_FAILED_LOGINS
_IPV6_NETWORK = 64  # of which a household, or a server, has at least one to itself


class TooManyFailures(TooMany):
    """The e-mail takes no logins from here for now, not even right ones.

    `retry_after` is in seconds.
    """

    code = "too_many_failures"

    def __init__(self, retry_after: int) -> None:
        """Take the seconds until the window ends."""
        super().__init__(f"Too many failed logins. Try again in {retry_after} seconds.")
        self.retry_after = retry_after


class Tries:
    """The tries of one e-mail from one source.

    A login counts once it was checked, by conditional writes, and is answered only by what those
    say. So right passwords never lock each other out, and of guesses at once as many are told as of
    guesses one after the other. A right and a wrong one cost the same writes.
    """

    def __init__(self, email: str, session_version: str, source_ip: str) -> None:
        """Read what was counted so far.

        Args:
            email: as the table has it.
            session_version: of its user, or "" where there is none.
            source_ip: where the login comes from.
        """
        # No e-mail has a space in it.
        self._here = f"{email} {session_version} {_network(source_ip)}"
        self._strangers = f"{email} {session_version} strangers"
        found = _read(self._here)
        self._known_until = int(found.get("known_until", 0))
        self._is_known = self._known_until > clock.epoch()
        _refuse_if_locked(found, MAX_FAILED_LOGINS)
        others = _read(self._strangers)
        if not self._is_known:
            _refuse_if_locked(others, MAX_OF_STRANGERS)

    def failed(self) -> None:
        """Count a failed try.

        Raises:
            TooManyFailures: too many others were counted while it was checked.
        """
        if not self._is_known:
            _count(self._strangers, MAX_OF_STRANGERS, DAY_SECONDS)
        _count(self._here, MAX_FAILED_LOGINS, WINDOW_SECONDS, self._known_until)

    def succeeded(self) -> None:
        """Let a right password begin the count anew, and where it came from be known.

        Raises:
            TooManyFailures: as `failed`, so that of any number of guesses at once a right one is
                told only if it is among the first that are.
        """
        now = clock.epoch()
        if not self._is_known:
            _change(self._strangers, "SET expires_at = :until", MAX_OF_STRANGERS, now + DAY_SECONDS)
        _change(
            self._here,
            "SET known_until = :until, expires_at = :until REMOVE failed_logins, window_ends",
            MAX_FAILED_LOGINS,
            now + KNOWN_SECONDS,
        )


def _network(source_ip: str) -> str:
    with suppress(ValueError):
        address = ipaddress.ip_address(source_ip)
        if address.version == 6:
            return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))
    return source_ip


def _read(key: str) -> dict[str, Any]:
    found = dynamodb().get_item(
        TableName=settings().users_table, Key={"email": key}, ConsistentRead=True
    )
    return dict(found.get("Item", {}))


def _refuse_if_locked(item: dict[str, Any], most: int) -> None:
    left = int(item.get("window_ends", 0)) - clock.epoch()
    if left > 0 and int(item["failed_logins"]) >= most:
        raise TooManyFailures(left)


def _count(key: str, most: int, seconds: int, keep_until: int = 0) -> None:
    now = clock.epoch()
    for _ in range(_LOST_RACES):
        counted, item = _update(
            key,
            "SET failed_logins = failed_logins + :one",
            "window_ends > :now AND failed_logins < :most",
            {":one": 1, ":now": now, ":most": most},
        )
        if counted:
            return
        if int(item.get("window_ends", 0)) > now:
            raise TooManyFailures(int(item["window_ends"]) - now)
        ends = now + seconds
        opened, item = _update(
            key,
            "SET failed_logins = :one, window_ends = :ends, expires_at = :expires",
            "attribute_not_exists(window_ends) OR window_ends <= :now",
            {":one": 1, ":now": now, ":ends": ends, ":expires": max(ends, keep_until)},
        )
        if opened:
            return
        # Another attempt opened the window a moment ago: count in that.
    raise TooManyFailures(1)


def _change(key: str, change: str, most: int, until: int) -> None:
    done, item = _update(
        key,
        change,
        "attribute_not_exists(window_ends) OR window_ends <= :now OR failed_logins < :most",
        {":now": clock.epoch(), ":most": most, ":until": until},
    )
    if not done:
        raise TooManyFailures(max(1, int(item["window_ends"]) - clock.epoch()))


def _update(
    key: str, change: str, condition: str, values: dict[str, Any]
) -> tuple[bool, dict[str, Any]]:
    """Change an item on a condition; return whether it held, and the item as it is now."""
    try:
        answer: Any = dynamodb().update_item(
            TableName=settings().users_table,
            Key={"email": key},
            UpdateExpression=change,
            ConditionExpression=condition,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb().exceptions.ConditionalCheckFailedException as error:
        return False, plain(error.response)
    return True, answer["Attributes"]
