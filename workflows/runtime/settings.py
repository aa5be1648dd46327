"""Configuration, read once from the environment; a missing or absurd value stops the start.

Every function reads it, and one that needs no pydantic for anything else would pay for it here.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any, Self


class InvalidSettings(ValueError):
    """The environment lacks settings, or has absurd ones: each is named."""


def _text() -> Any:
    return field(metadata={"is": "a text", "pattern": r".+"})


def _text_or_none() -> Any:
    return field(metadata={"is": "a text, which may be empty", "pattern": r".*"})


def _list() -> Any:
    return field(metadata={"is": "a list, which may be empty", "pattern": r".*"})


def _matching(what: str, pattern: str) -> Any:
    return field(metadata={"is": what, "pattern": pattern})


def _one_of(*words: str) -> Any:
    return field(metadata={"is": " or ".join(words), "pattern": "|".join(words)})


def _number(least: int, most: int) -> Any:
    between = f"a whole number from {least} to {most}"
    return field(metadata={"is": between, "pattern": r"[0-9]+", "bounds": (least, most)})


@dataclass(frozen=True)
class Settings:
    """Everything that differs by deployment; each field is the environment variable of its name.

    `template.yaml` sets all of them for every function. Durations are seconds, sizes bytes.
    """

    aws_region: str = _text()
    messages_table: str = _text()
    groups_table: str = _text()
    runs_table: str = _text()
    audit_table: str = _text()
    audit_bucket: str = _text_or_none()  # without it, records are copied nowhere
    users_table: str = _text()
    queues_table: str = _text()
    accounts_table: str = _text_or_none()  # without it, there is no type `transaction`
    work_queue_url: str = _text()
    dead_letter_queue_url: str = _text()
    retry_state_machine_arn: str = _text()
    redrive_state_machine_arn: str = _text()
    redrive_lane_state_machine_arn: str = _text()
    token_key_secret: str = _text()
    token_lifetime_seconds: int = _number(60, 86_400)
    on_dead_letter: str = _one_of("hold", "continue")
    # Each leaves an event in its message's row, which must not outgrow DynamoDB's 400 KB.
    max_attempts: int = _number(1, 25)
    max_redrives: int = _number(1, 25)
    max_message_bytes: int = _number(4_096, 122_880)
    # MessageRetentionPeriod of WorkQueue; SQS takes no more than 14 days.
    work_queue_retention_seconds: int = _number(3_600, 1_209_600)
    ledger_retention_days: int = _number(15, 3_650)
    claim_lease_seconds: int = _number(1, 900)
    run_lease_seconds: int = _number(60, 86_400)
    redrive_lanes: int = _number(1, 40)
    redrive_lane_type: str = _one_of("STANDARD", "EXPRESS")
    # Of queues beside the built-in pair, and of their keys: ARNs with wildcards, between commas.
    redrive_queue_arns: str = _list()
    redrive_queue_key_arns: str = _list()
    # Of buckets whose objects bodies of such queues may point to, likewise.
    redrive_payload_bucket_arns: str = _list()
    # Of functions that may be effects, likewise.
    effect_function_arns: str = _list()
    # Of company sign-in; without an issuer there is none. Claims: the user's, the roles'.
    oidc_issuer: str = _matching(
        "an address of HTTPS, or empty", r"(https://\S+|http://(127\.0\.0\.1|localhost):\d+)?"
    )
    oidc_audience: str = _text_or_none()
    oidc_claims: str = _matching("a claim's name, and another's", r"[^\s,]+,[^\s,]+")
    oidc_roles: str = _matching(
        "a list of role=theirs", r"(operator|producer)=[^\s,=]+(,(operator|producer)=[^\s,=]+)*"
    )
    own_sign_in: str = _one_of("true", "false")
    isolate_producers: str = _one_of("true", "false")

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Return what an environment says.

        Raises:
            InvalidSettings: naming each variable that is missing or out of bounds, no values.
        """
        found, wrong = {}, []
        for setting in fields(cls):
            value = _value(setting, environment.get(setting.name.upper()))
            found[setting.name] = value
            if value is None:
                wrong.append(f"{setting.name.upper()} is not {setting.metadata['is']}")
        if found["oidc_issuer"] and not found["oidc_audience"]:
            # Tokens that the issuer made for anybody else would be as good.
            wrong.append("OIDC_AUDIENCE is not a text, and there is an OIDC_ISSUER")
        if wrong:
            raise InvalidSettings(f"{'; '.join(wrong)}.")
        return cls(**found)

    @property
    def work_queue_name(self) -> str:
        """The work queue's name, of its URL."""
        return self.work_queue_url.rpartition("/")[2]

    @property
    def dead_letter_queue_name(self) -> str:
        """The dead-letter queue's name, of its URL."""
        return self.dead_letter_queue_url.rpartition("/")[2]


def _value(setting: Field[Any], text: str | None) -> Any:
    if text is None or not re.fullmatch(setting.metadata["pattern"], text, re.ASCII):
        return None
    if "bounds" not in setting.metadata:
        return text
    least, most = setting.metadata["bounds"]
    return int(text) if least <= int(text) <= most else None


@cache
def settings() -> Settings:
    """Return the settings of this process.

    Raises:
        InvalidSettings: naming each variable that is missing or out of bounds.
    """
    return Settings.of(os.environ)
