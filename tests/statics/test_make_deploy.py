"""`make deploy`: a person confirms what will change; where there is no terminal nobody can."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from local.stack import ROOT


@pytest.fixture
def sam(tmp_path):
    """Give a command in the place of SAM that notes its arguments, and these notes."""
    notes = tmp_path / "notes"
    command = tmp_path / "sam"
    command.write_text(f'#!/bin/sh\necho "$@" >> {notes}\n')
    command.chmod(0o700)
    return command, notes


def deploy(sam: Path, stdin: int, section: str = "default", ci: str = "") -> None:
    # What SAM is installed in is taken for up to date, so that nothing is installed.
    subprocess.run(  # noqa: S603
        ["make", "-o", ".venv-sam/.installed", "deploy", f"SAM={sam}"],  # noqa: S607
        cwd=ROOT,
        env=os.environ | {"SAM_CONFIG_ENV": section, "CI": ci},
        stdin=stdin,
        check=True,
        capture_output=True,
        timeout=60,
    )


def test_without_a_terminal_nobody_is_asked(sam):
    command, notes = sam

    deploy(command, subprocess.DEVNULL)

    build, deployed = notes.read_text().splitlines()
    assert build.startswith("build ")
    assert deployed == "deploy --config-env default --no-confirm-changeset"


@pytest.fixture
def terminal():
    """Give a terminal."""
    ours, theirs = pty.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


def test_in_ci_nobody_is_asked_whatever_its_terminal(sam, terminal):
    command, notes = sam

    deploy(command, terminal, ci="true")

    assert notes.read_text().splitlines()[1].endswith(" --no-confirm-changeset")


def test_name_of_a_section_is_one_word_whatever_it_holds(sam, tmp_path):
    command, notes = sam

    deploy(command, subprocess.DEVNULL, section=f"a b; touch {tmp_path}/made $(touch made)")

    assert f"--config-env a b; touch {tmp_path}/made $(touch made)" in notes.read_text()
    assert not (tmp_path / "made").exists()


def test_a_person_is_asked(sam, terminal):
    command, notes = sam

    deploy(command, terminal)

    assert notes.read_text().splitlines()[1] == "deploy --config-env default"
    assert "confirm_changeset = true" in (ROOT / "samconfig.toml").read_text()
