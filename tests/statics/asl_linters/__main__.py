"""``python -m tests.statics.asl_linters``: lint every machine in ``statemachines/``."""

import sys
from pathlib import Path

from tests.statics.asl_linters import lint

problems = lint(sorted(Path("statemachines").glob("*.asl.json")))
for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)
