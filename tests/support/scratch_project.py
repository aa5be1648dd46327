"""A copy of this project that a test may change: with the message type `entry`, and mutations.

The type's effects show the exact order in which the messages of each group had theirs.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.stack import ROOT, Stack
from tests.support.entries import Entries
from tests.support.stack_fixtures import WAIT_SCALE


def scratch_project(folder: Path, *, crashing: bool = False) -> Path:
    """Copy what is deployed to a folder that does not exist yet, and add the type `entry`.

    With `crashing`, a claim soon ends: for tests with workers that die, whose messages nobody may
    take before. See `Entries.brought_again_soon`.
    """
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("workflows", "lambdas", "statemachines"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "local").symlink_to(ROOT / "local")
    messages = folder / "workflows" / "messages"
    shutil.copy(Path(__file__).parent / "entry.py", messages / "entry.py")
    # At the end, whatever types there are.
    with (messages / "message_types.py").open("a", encoding="utf-8") as types:
        types.write(
            '\n\nfrom workflows.messages import entry  # noqa: E402\n\nTYPES["entry"] = entry\n'
        )
    if crashing:
        mutate(folder, "template.yaml", "CLAIM_LEASE_SECONDS: 32", "CLAIM_LEASE_SECONDS: 1")
    return folder


def mutate(root: Path, file: str, old: str, new: str) -> None:
    """Replace a piece of the code; it must be there, or the test would try nothing."""
    text = (root / file).read_text(encoding="utf-8")
    assert old in text, f"{file} has no {old!r} to replace"
    (root / file).write_text(text.replace(old, new), encoding="utf-8")


@contextmanager
def deployed(root: Path, **options: Any) -> Iterator[Entries]:
    """Deploy a scratch project, its waits scaled."""
    with Stack(root=root, wait_scale=WAIT_SCALE, **options) as stack:
        yield Entries(stack)
