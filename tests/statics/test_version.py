"""One version, in `workflows/__init__.py`: all that tells one tells that."""

import json
import re
import tomllib

from lambdas import show_docs
from local.stack import ROOT
from tests.support.invocations import CONTEXT, api_event
from workflows import __version__


def answer(path):
    return show_docs.handler(api_event("GET", path, roles=()), CONTEXT)["body"]


def test_project_takes_its_version_from_the_code():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"] == {
        "version": {"attr": "workflows.__version__"}
    }


def test_openapi_document_and_docs_page_have_it(environment):
    assert json.loads(answer("/openapi.json"))["info"]["version"] == __version__
    assert f'"version":"{__version__}"' in answer("/docs").replace('": "', '":"')


def test_newest_heading_of_the_changelog_is_it():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\S+)", changelog, re.MULTILINE)

    assert headings[0] == __version__
    assert len(set(headings)) == len(headings)
