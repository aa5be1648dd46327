"""A small project of the shape of this one, to test the local stack by itself, and quickly."""

import shutil
from pathlib import Path

from local.stack import ROOT

HERE = Path(__file__).parent


def copy_to(folder: Path) -> Path:
    """Copy the project to a folder that does not exist yet, with this repository's `local`."""
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("__init__.py", "__pycache__"))
    for package in ("lambdas", "workflows", "workflows/operator"):
        (folder / package / "__init__.py").touch()
    (folder / "local").symlink_to(ROOT / "local")
    return folder
