"""`.pre-commit-config.yaml` runs what `make check` runs, and downloads nothing."""

import yaml

from local.stack import ROOT

CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(PYTHON)", ".venv/bin/python")
# Of what is about to be committed, which `make check` knows nothing of.
OF_GIT = "git diff --cached --check"


def test_every_hook_is_a_line_of_make_check():
    recipe = MAKEFILE.partition("\ncheck: ")[2].partition("\nformat: ")[0]
    (hooks,) = [repository["hooks"] for repository in CONFIG["repos"]]

    entries = {hook["entry"] for hook in hooks} - {OF_GIT}
    assert len(entries) == len(hooks) - 1
    assert entries <= {line.strip() for line in recipe.splitlines()[1:]}


def test_nothing_is_downloaded():
    for repository in CONFIG["repos"]:
        assert repository["repo"] == "local"
        assert {hook["language"] for hook in repository["hooks"]} == {"system"}
