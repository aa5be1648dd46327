"""`.env.sample` and what reads each of its settings; `.env`; the numbers that the pages repeat."""

import os
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from local import env_file, run, seed, user
from local.administrator import Administered
from local.deployment import parameter_overrides
from local.stack import ROOT
from tests.support.template import template, template_tables
from workflows.access import failures
from workflows.messages import transaction
from workflows.redrive import lane
from workflows.runtime.settings import Settings

SAMPLE = (ROOT / ".env.sample").read_text(encoding="utf-8")
_SETTING = re.compile(r"^(?:# )?([A-Za-z][A-Za-z_]*)=(\S*)", re.MULTILINE)
OPERATOR = {"email": "ann@example.com", "password": 'it\'s "quoted" $HOME'}
_WORDS = {3: "three", 4: "four", 5: "five", 9: "nine"}
USED_BY = {"AWS_ENDPOINT_URL_SFN": "tests/support/endpoint.py"}


def listed():
    found = _SETTING.findall(SAMPLE)
    names = [name for name, _ in found]
    assert len(names) == len(set(names))
    return dict(found)


def test_every_setting_of_the_sample_is_read():
    functions = {one.name.upper() for one in fields(Settings)}
    parameters = set(template()["Parameters"])
    elsewhere = {name for name, file in USED_BY.items() if name in (ROOT / file).read_text()}

    assert listed().keys() == functions | parameters | set(env_file.NAMES) | elsewhere


def test_what_the_commands_take_of_a_file_is_read_by_them():
    code = "".join(path.read_text() for path in (ROOT / "local").glob("*.py"))
    for name in env_file.NAMES:
        assert re.search(rf'environ(\.get\(|\[)"{name}"|: "{name}"', code), name


def test_sample_has_the_defaults_of_the_template():
    for name, parameter in template()["Parameters"].items():
        assert listed()[name].strip('"') == str(parameter["Default"]).partition(" ")[0], name


def test_sample_has_what_the_template_gives_the_functions():
    given = template()["Globals"]["Function"]["Environment"]["Variables"]
    parameters = template()["Parameters"]
    for name, value in given.items():
        if name not in listed() and value in template_tables():
            continue  # of a message type of somebody's own
        is_given = str(value) in parameters
        expected = parameters[value]["Default"] if is_given else value
        if listed()[name] or is_given:
            assert listed()[name] == str(expected), name


def test_commands_read_the_file_where_the_environment_says_nothing(tmp_path, monkeypatch):
    for name in ("PORT", "APP_USER_EMAIL", "APP_USER_PASSWORD", "AWS_REGION"):
        monkeypatch.setenv(name, "")  # so that it is as it was afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("PORT", "1")
    file = tmp_path / ".env"
    file.write_text(
        "# words\n\nexport PORT=2\nAPP_USER_EMAIL=a@example.com  # mine\n"
        "APP_USER_PASSWORD='with \"spaces\" and # in it'\nAWS_REGION=nowhere\n"
    )

    env_file.load(file)

    assert os.environ["PORT"] == "1"
    assert os.environ["APP_USER_PASSWORD"] == 'with "spaces" and # in it'
    assert run._operator()["email"] == "a@example.com"
    assert "AWS_REGION" not in os.environ  # it is not for them


@pytest.mark.parametrize("line", ["PORT", "A B=c", "PORT='1", "PORT=1 2", "2=3"])
def test_line_that_is_no_setting_is_told_without_its_value(tmp_path, line):
    file = tmp_path / ".env"
    file.write_text(f"# first\n{line}\n")

    with pytest.raises(ValueError, match=r"^Line 2 of \.env is no NAME=value; quote what"):
        env_file.load(file)


def test_sample_is_itself_such_a_file(tmp_path, monkeypatch):
    for name in env_file.NAMES:
        monkeypatch.setenv(name, "kept")
    env_file.load(ROOT / ".env.sample")
    assert {os.environ[name] for name in env_file.NAMES} == {"kept"}


def test_settings_make_the_first_operator():
    users = seed.new_users(OPERATOR)

    assert users["operator"] == OPERATOR
    assert users["producer"]["email"] == "producer@example.com"
    assert seed.new_users()["operator"]["password"] != seed.new_users()["operator"]["password"]


def of_the_stack(monkeypatch):
    stack = Administered("Users", "Audit", "token-key", 21_600)
    monkeypatch.setattr(user, "administered", lambda _options: stack)


def test_command_adds_the_user_that_the_settings_name(tables, monkeypatch, capsys):
    of_the_stack(monkeypatch)
    monkeypatch.setenv("APP_USER_EMAIL", OPERATOR["email"])
    monkeypatch.setenv("APP_USER_PASSWORD", OPERATOR["password"])

    assert user.main([]) == 0

    assert "ann@example.com may now sign in as operator." in capsys.readouterr().out
    assert set(
        tables.get_item(TableName="Users", Key={"email": "ann@example.com"})["Item"]["roles"]
    ) == {"operator"}


def test_settings_name_no_user_of_a_deployed_stack(tables, monkeypatch, capsys):
    monkeypatch.setenv("APP_USER_EMAIL", OPERATOR["email"])
    monkeypatch.setenv("APP_USER_PASSWORD", OPERATOR["password"])
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115, PTH123 - nobody answers

    of_the_stack(monkeypatch)
    assert user.main(["--stack", "production"]) == 1

    assert "Nobody answers" in capsys.readouterr().err
    assert tables.scan(TableName="Users")["Count"] == 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"APP_USER_PASSWORD": "12345678"}, "operator: The password has fewer than 12 characters."),
        ({"APP_USER_EMAIL": "ann"}, "operator: The e-mail is not an e-mail address."),
    ],
)
def test_operator_that_cannot_be_is_told_in_one_sentence(settings, says):
    done = subprocess.run(
        [sys.executable, "-m", "local.run"],
        cwd=ROOT,
        env=os.environ | {"PORT": "0"} | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Could not add the users: {says}\n"


def numbers():
    """Return sentences of our pages, with the numbers that template and code have now."""
    resources, parameters = template()["Resources"], template()["Parameters"]
    redrive = resources["RedriveStateMachine"]["Properties"]["DefinitionSubstitutions"]
    leg = f"{_WORDS[lane._LEG_SECONDS // 60]} minutes or {redrive['WavesPerLeg']} waves"
    consumer = resources["ConsumeMessagesFunction"]["Properties"]["Timeout"]
    visible = resources["WorkQueue"]["Properties"]["VisibilityTimeout"]
    deliveries = resources["WorkQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]
    minutes = visible * deliveries // 60
    hours = parameters["TokenLifetimeSeconds"]["Default"] // 3_600
    attempts = int(parameter_overrides(ROOT / "samconfig.toml")["MaxAttempts"])
    return {
        f"A leg is over after {leg}": "docs/architecture.md",
        f"200 token for {hours} hours": "docs/adopting.md",
        f"429 after {_WORDS[failures.MAX_FAILED_LOGINS]} failures": "docs/adopting.md",
        f"(a `transaction`: {transaction.MAX_AGE_SECONDS // 86_400} days)": "docs/operating.md",
        f"are tried {_WORDS[attempts]} times": "docs/operating.md",
        f"for {_WORDS[deliveries]} deliveries in a row ({_WORDS[minutes]} minutes)": (
            "docs/architecture.md"
        ),
        f"({consumer} s) is shorter than the visibility timeout ({visible} s)": "docs/fence.md",
    }


@pytest.mark.parametrize(("words", "page"), numbers().items())
def test_pages_have_the_numbers_of_template_and_code(words, page):
    assert words in " ".join((ROOT / page).read_text(encoding="utf-8").split())
