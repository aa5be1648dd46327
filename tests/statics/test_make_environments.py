"""An environment that checkouts share is not emptied by `make` in one, and keeps bytecode."""

import os
import shutil
import subprocess

import pytest

from local.stack import ROOT

LINTERS = "tests/statics/asl_linters"


@pytest.mark.parametrize(
    ("made_of", "environment"),
    [
        ("requirements-dev.txt", ".venv"),
        ("requirements-sam.txt", ".venv-sam"),
        ("requirements-bench.txt", ".venv-bench"),
        (f"{LINTERS}/package-lock.json", f"{LINTERS}/node_modules"),
    ],
)
def test_environment_behind_a_link_is_left_as_it_is(tmp_path, made_of, environment):
    shared, checkout = tmp_path / "shared", tmp_path / "checkout"
    (checkout / LINTERS).mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", checkout)
    (checkout / made_of).touch()
    shared.mkdir()
    for name in ("kept", ".installed"):
        (shared / name).touch()
        os.utime(shared / name, (0, 0))  # older than what it is made of
    (checkout / environment).symlink_to(shared)

    # Nothing is made or downloaded if it does not stop.
    tools = ["PYTHON3=false", "NPM=false"]
    if environment.endswith("node_modules"):
        tools += ["-o", ".venv/.installed"]  # which has npm
    done = subprocess.run(  # noqa: S603
        ["make", f"{environment}/.installed", *tools],  # noqa: S607
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 2
    assert done.stderr.startswith(f"{environment} is a link and out of date:")
    assert (shared / "kept").exists()


def test_bytecode_is_kept_whatever_the_shell_says():
    say = "PYTHON=echo [$$PYTHONDONTWRITEBYTECODE]"
    done = subprocess.run(  # noqa: S603
        ["make", "-o", ".venv/.installed", "user", say],  # noqa: S607
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "[] -m local.user" in done.stdout
