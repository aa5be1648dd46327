"""The blocks of our pages do what the pages say, pasted into bash and zsh in their order."""

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jmespath
import pytest

from local.deadline import DeadlineMissed, wait_until
from local.stack import ROOT
from tests.deployed.terminal import Answer, Desk, blocks

FOLDERS = (".", "docs", "statemachines", "tests")
PAGES = [
    str(path.relative_to(ROOT)) for one in FOLDERS for path in sorted((ROOT / one).glob("*.md"))
]
# What no test pastes, by its first line, and why.
ELSEWHERE = {
    "make demo": "tests/deployed/test_demo.py",
    "make deploy": "needs an AWS account",
    "make check": "what CI begins with",
    "make openapi": "tests/statics/test_openapi.py holds what it writes",
    "make tables": "each part that it writes has a test that holds it",
    ".venv/bin/python -m pytest": "tests/statics/test_links.py holds the paths",
    ".venv/bin/python -m tests.statics.asl_linters": "tests/statics/test_asl_linters.py",
    ".venv/bin/uv tool install": "needs a network; see tests/statics/test_pre_commit.py",
    "docker run": "needs Docker; never run",
    "python -m local.token_key": "tests/deployed/test_flows_access.py rotates the key by it",
    "AWS_ENDPOINT_URL_SFN=": "tests/engines/test_stepfunctions_local.py, with `make soak`",
}
_SECONDS = 120.0


@dataclass(frozen=True)
class Step:
    """One block: how it begins, and what its calls answer.

    Each call is its status and, by JMESPath, values of its body. `again` if the page says to
    paste it until that is so. `says` is in what the block prints.
    """

    begins: str
    calls: Sequence[tuple[int, dict[str, Any]]] = ()
    again: bool = False
    says: str = ""


PROCESSED = {"status": "PROCESSED"}
QUEUED = (202, {"status": "QUEUED", "duplicate": False})
TRY_IT = [
    Step("api=", [(200, {"length(access_token) > `100`": True})]),
    Step("curl -s $api/messages/send", [QUEUED]),
    Step("curl -s $api/messages/payment-1", [(200, PROCESSED)], again=True),
    Step("curl -s $api/messages/send", [QUEUED]),
    Step("curl -s $api/messages/status", [(200, {"messages.dead": 1})], again=True),
    Step(
        "curl -s $api/groups",
        [(200, {"groups[].[group_id, holder]": [["acct-7", "payment-2"]]})],
    ),
    Step("curl -s $api/messages/send", [QUEUED]),
    Step("curl -s $api/messages/payment-3", [(200, PROCESSED)], again=True),
    Step("curl -s -X POST $api/messages/dlq/reprocess", [(202, {})]),
    Step(
        "curl -s $api/messages/dlq/reprocess",
        [(200, {"runs[].[status, redriven]": [["SUCCEEDED", 1]]}), (200, PROCESSED)],
        again=True,
    ),
]
OPERATOR = [
    Step("make freeze", [QUEUED] * 6, says="acct-8 is FROZEN."),
    Step("curl -s $api/messages/status", [(200, {"messages.dead": 6})], again=True),
    Step(
        "curl -s $api/messages/dlq/groups",
        [
            (200, {"sort(groups[].count)": [1, 2, 3]}),
            (200, {"sort(messages[].message_id)": ["payment-4", "payment-5", "payment-6"]}),
        ],
    ),
    Step(
        "make unfreeze",
        [(200, {"counts": {"redrive": 2, "left": 4}})],
        says="acct-8 is ACTIVE.",
    ),
    Step("hash=", [(202, {})]),
    Step(
        "curl -s $api/messages/dlq/reprocess/$run",
        [(200, {"[status, redriven, outcome.processed]": ["SUCCEEDED", 2, 2]})],
        again=True,
    ),
    Step("curl -s -X DELETE", [(409, {"error.code": "run_ended"})]),
    Step("curl -s -X PATCH $api/messages/payment-7", [(200, {}), (202, {})]),
    Step("curl -s $api/messages/payment-7", [(200, PROCESSED)], again=True),
    Step(
        "curl -s -X PATCH $api/messages ",
        [(200, {"length(results)": 2}), (200, {"length(results)": 2})],
    ),
    Step("curl -s $api/messages/payment-8", [(200, PROCESSED), (200, PROCESSED)], again=True),
    Step(
        'curl -s "$api/audit',
        [
            (
                200,
                {
                    "records[].[actor, action]": [
                        ["ann@example.com", "retry_message"],
                        ["ann@example.com", "edit_message"],
                    ]
                },
            )
        ],
    ),
]
GREETING = [(200, {}), QUEUED, (200, {})]


# In zsh each block is read for a comment's words in every run, and pasted in the soak.
@pytest.fixture(params=["bash", pytest.param("zsh", marks=pytest.mark.soak)])
def shell(request):
    if request.param == "zsh" and not (shutil.which("zsh") or os.environ.get("CI")):
        pytest.skip("there is no zsh on this machine; where CI is set, that is a failure")
    return request.param


@pytest.fixture
def desk(shell, tmp_path):
    return Desk(tmp_path, shell)


def is_elsewhere(block):
    return any(block.startswith(begin) for begin in ELSEWHERE)


def wrong(step: Step, said: str, answers: Sequence[Answer]) -> list[Any]:
    """Return what is not as the page says."""
    met = [answer.statuses for answer in answers]
    if met != [[str(status)] for status, _ in step.calls]:
        return [step.begins, met, said]
    return [
        (query, found, answer.text)
        for answer, (_, values) in zip(answers, step.calls, strict=True)
        for query, value in values.items()
        if (found := jmespath.search(query, answer.json)) != value
    ] + ([said] if step.says not in said else [])


def follow(terminal, block, step):
    """Paste a block, and once more until it is as the page says where the page says so."""
    assert block.startswith(step.begins)
    found: list[Any] = []

    def pasted():
        found[:] = wrong(step, *terminal.paste(block))
        return not found

    if step.again:
        with suppress(DeadlineMissed):
            wait_until(pasted, _SECONDS, "it is as the page says", interval=0.5)
    else:
        pasted()
    assert not found


def greeted(terminal):
    """Wait until what runs in a terminal is ready; return the commands that it tells to try."""
    wait_until(lambda: "Ctrl-C stops it" in terminal.screen, _SECONDS, "the stack is ready")
    return terminal.screen.partition("Try it:\n")[2].partition("\n\n")[0]


@pytest.mark.parametrize("page", PAGES)
def test_no_block_holds_what_a_terminal_takes_otherwise(page):
    for block in blocks(page):
        assert not re.search(r"(^|\s)#", block, re.MULTILINE), f"a comment, to zsh words: {block}"
        assert "…" not in block, block
        assert "!" not in block, f"history, to an interactive shell: {block}"


def test_terminal_of_zsh_takes_a_comment_for_words(desk, shell):
    """If it did not, this file could not notice a comment in a block."""
    with desk.terminal() as terminal:
        said, _ = terminal.paste("echo one # two")
        missing, _ = terminal.paste("no-such-command")

    assert said == ("one # two\n" if shell == "zsh" else "one\n")
    assert "command not found" in missing


@pytest.mark.timeout(300)
def test_blocks_of_the_readme_and_then_of_operating_do_what_they_say(desk):
    first, *pasted = [
        block
        for page in ("README.md", "docs/operating.md")
        for block in blocks(page)
        if not is_elsewhere(block) and not block.startswith("aws ")
    ]
    assert first == "make run\n"
    # The settings may name the first operator.
    operator = "APP_USER_EMAIL=ann@example.com\nAPP_USER_PASSWORD='it\"s a \\secret $HOME'\n"
    (desk.root / ".env").write_text(operator)
    with desk.terminal() as stack, desk.terminal() as terminal:
        stack.type(first)
        greeting = greeted(stack)
        for block, step in zip(pasted, TRY_IT + OPERATOR, strict=True):
            follow(terminal, block, step)
        follow(terminal, greeting, Step("", GREETING))


@pytest.mark.timeout(300)
def test_blocks_of_step_functions_local_do_what_they_say(desk):
    serve, look = [
        block for block in blocks("docs/stepfunctions-local.md") if not is_elsewhere(block)
    ]
    (example,) = [block for block in blocks("README.md") if block.startswith("aws ")]
    assert serve == "make stepfunctions-local\n"
    with desk.terminal() as server, desk.terminal() as terminal:
        server.type(serve)
        greeting = greeted(server)
        port = re.search(r"http://127\.0\.0\.1:(\d+) ", server.screen)
        assert port
        for block, says in (
            (example, '"executionArn": "arn:aws:states:us-east-1:123456789012:execution:redrive:'),
            (look, '"type": "ExecutionStarted"'),
            (greeting, '"executionArn": "arn:aws:states:us-east-1:123456789012:execution:'),
        ):
            said, _ = terminal.paste(block.replace(":8083", f":{port[1]}"))
            assert says in said


def test_every_block_of_every_page_is_pasted_or_said_not_to_be():
    pasted = {"README.md", "docs/operating.md", "docs/stepfunctions-local.md"}
    others = {page for page in PAGES if any(not is_elsewhere(block) for block in blocks(page))}

    assert others == pasted
    assert not [
        begin
        for begin in ELSEWHERE
        if not any(block.startswith(begin) for page in PAGES for block in blocks(page))
    ]
