"""``python -m tests.security``: run every scanner, and fail for what is new."""

import logging
import sys

from tests.security.findings import problems, read
from tests.security.scanners import SCANNERS, NotReached

logging.disable(logging.WARNING)  # of the transform, of its own metrics
found, ran = [], []
for name, scan in SCANNERS.items():
    try:
        findings = list(scan())
    except NotReached:
        print(f"{name}: not run, it reaches no network")
        continue
    print(f"{name}: {len(findings)} findings")
    found += findings
    ran.append(name)
to_mend = problems(found, read(), ran)
for problem in to_mend:
    print(problem)
sys.exit(1 if to_mend else 0)
