"""Configuration, read once from the environment; a missing or absurd value stops the start."""

import os
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Everything that differs by deployment; each field is the environment variable of its name.

    `template.yaml` sets all of them for every function. Durations are seconds, sizes bytes.
    """

    model_config = ConfigDict(frozen=True, alias_generator=str.upper, populate_by_name=True)

    aws_region: str = Field(min_length=1)
    messages_table: str = Field(min_length=1)
    groups_table: str = Field(min_length=1)
    runs_table: str = Field(min_length=1)
    audit_table: str = Field(min_length=1)
    users_table: str = Field(min_length=1)
    accounts_table: str = Field(min_length=1)
    work_queue_url: str = Field(min_length=1)
    dead_letter_queue_url: str = Field(min_length=1)
    retry_state_machine_arn: str = Field(min_length=1)
    redrive_state_machine_arn: str = Field(min_length=1)
    redrive_lane_state_machine_arn: str = Field(min_length=1)
    token_key_secret: str = Field(min_length=1)
    token_lifetime_seconds: int = Field(ge=60, le=86_400)
    on_dead_letter: Literal["hold", "continue"]
    # Each leaves an event in its message's row, which must not outgrow DynamoDB's 400 KB.
    max_attempts: int = Field(ge=1, le=25)
    max_redrives: int = Field(ge=1, le=25)
    max_message_bytes: int = Field(ge=4_096, le=122_880)
    # MessageRetentionPeriod of WorkQueue; SQS takes no more than 14 days.
    work_queue_retention_seconds: int = Field(ge=3_600, le=1_209_600)
    ledger_retention_days: int = Field(ge=15, le=3_650)
    claim_lease_seconds: int = Field(ge=1, le=900)
    run_lease_seconds: int = Field(ge=60, le=86_400)

    @property
    def work_queue_name(self) -> str:
        """The work queue's name, of its URL."""
        return self.work_queue_url.rpartition("/")[2]

    @property
    def dead_letter_queue_name(self) -> str:
        """The dead-letter queue's name, of its URL."""
        return self.dead_letter_queue_url.rpartition("/")[2]


@cache
def settings() -> Settings:
    """Return the settings of this process.

    Raises:
        pydantic.ValidationError: naming each variable that is missing or out of bounds.
    """
    return Settings.model_validate(dict(os.environ))
