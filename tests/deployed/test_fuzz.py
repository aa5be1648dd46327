"""Requests made up from the OpenAPI document, by schemathesis, in both roles: no answer surprises.

It makes what the document allows and what it forbids; `make security` says of its environment.
"""

import re
import subprocess

import pytest

from local.client import Client
from local.stack import ROOT, Stack
from tests.support.stack_fixtures import WAIT_SCALE

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1_800), pytest.mark.xdist_group("fuzz")]

SCHEMATHESIS = ROOT / ".venv-security" / "bin" / "schemathesis"
CASES = 10_000
# Of each operation, besides the cases that it makes of every boundary of the document.
EXAMPLES = 220
# What the document cannot say is refused as well: a queue that nobody has, say.
LEFT_OUT = "positive_data_acceptance,unsupported_method"


@pytest.fixture(scope="module")
def fuzzed():
    """Give a stack of its own: what is made up stays in it."""
    with Stack(wait_scale=WAIT_SCALE) as stack:
        yield stack


def test_no_answer_is_unlike_the_document_whatever_is_asked(fuzzed, tmp_path):
    cases = 0
    for role, user in fuzzed.users.items():
        client = Client(fuzzed.api_url)
        token = client.call("POST", "/users/login", user).expect(200)["access_token"]
        done = subprocess.run(  # noqa: S603
            [
                SCHEMATHESIS, "run", f"{fuzzed.api_url}/openapi.json",
                "--header", f"Authorization: Bearer {token}",
                "--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES),
                "--exclude-checks", LEFT_OUT, "--exclude-path", "/users/login",
                "--warnings", "off", "--no-color", "--no-shrink",
            ],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=1_500,
        )  # fmt: skip
        assert done.returncode == 0, f"{role}: {done.stdout[-6_000:]}{done.stderr[-2_000:]}"
        cases += int(re.findall(r"([\d,]+) generated", done.stdout)[-1].replace(",", ""))
        logged = fuzzed.lambda_log()
        assert token not in logged
        # By this API Gateway has the authorizer say 401.
        assert logged.count("Traceback") == logged.count("Exception: Unauthorized")

    assert cases >= CASES
