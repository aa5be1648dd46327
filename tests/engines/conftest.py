"""MiniStack with a tiny project: as we mend it (`small`), and as it comes (`bare`)."""

import sys

import pytest

from local import deployment, stack
from local.emulator import Emulator
from local.stack import Stack
from tests.engines import small_project


class BareEmulator(Emulator):
    """MiniStack as it comes."""

    def _command(self, listener):
        return [
            sys.executable,
            "-m",
            "hypercorn",
            "--bind",
            f"fd://{listener}",
            "ministack.app:app",
        ]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return small_project.copy_to(tmp_path_factory.mktemp("small") / "project")


@pytest.fixture(scope="module")
def small(project):
    with Stack(root=project, with_users=False) as running:
        yield running


@pytest.fixture(scope="module")
def bare(project):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "Emulator", BareEmulator)
        patch.setattr(deployment, "_import_gateway_responses", lambda *_: None)
        with Stack(root=project, with_users=False) as running:
            yield running
