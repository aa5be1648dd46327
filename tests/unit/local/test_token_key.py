"""The command that rotates the token key: what it leaves in the secret, and what it refuses."""

import json
import time
from types import SimpleNamespace

import boto3
import pytest

from local import token_key
from tests.support.cloud import ENVIRONMENT, TOKEN_KEY
from workflows.access import tokens

SECRET = ENVIRONMENT["TOKEN_KEY_SECRET"]
LIFETIME = 21_600

pytestmark = pytest.mark.usefixtures("token_key")


def keys():
    tokens.key_store.cache_clear()
    return tokens.key_store().keys()


@pytest.fixture(autouse=True)
def stack(token_key):
    return deployed(LIFETIME)


def deployed(lifetime):
    """Deploy what the command asks a stack for, and no more."""
    resource = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "any"}}
    names = {"UsersTableName": "Users", "AuditTableName": "Audit", "TokenKeySecret": SECRET}
    body = {
        "Parameters": {"TokenLifetimeSeconds": {"Type": "Number", "Default": lifetime}},
        "Resources": {"Any": resource},
        "Outputs": {name: {"Value": value} for name, value in names.items()},
    }
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(StackName="production", TemplateBody=json.dumps(body))


def run(*options, stack="production"):
    return token_key.main(["--stack", stack, *options])


def test_rotation_keeps_the_key_that_was_and_prints_none(capsys):
    assert run() == 0

    found = keys()
    assert found.previous == TOKEN_KEY
    assert found.current != TOKEN_KEY
    assert len(found.current) == 64
    assert found.current.isalnum()
    told = capsys.readouterr().out
    assert "counts until" in told
    assert found.current not in told


def test_second_rotation_waits_until_the_first_is_over(monkeypatch, capsys):
    assert run() == 0
    before = keys()
    assert run() == 1
    assert "is over at" in capsys.readouterr().err
    assert keys() == before

    after = time.time() + tokens.counts_until(0, LIFETIME) + 1
    monkeypatch.setattr(token_key, "time", SimpleNamespace(time=lambda: after))
    assert run() == 0
    assert keys().previous == before.current


def test_ending_sessions_leaves_no_key_that_anybody_had(capsys):
    assert run() == 0
    had = {TOKEN_KEY, keys().current}

    assert run("--end-sessions") == 0

    assert had & set(keys().believed) == set()
    assert "within five minutes" in capsys.readouterr().out


def test_stack_that_is_not_there_is_told(capsys):
    assert run(stack="none") == 1
    assert "none" in capsys.readouterr().err


def test_secret_that_is_not_there_is_told(capsys):
    boto3.client("secretsmanager").delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)
    assert run() == 1
    assert "ResourceNotFoundException" in capsys.readouterr().err
