"""Each `Assign` gives the same on AWS, which assigns all at once, as here, one after the other."""

import json
import re
from itertools import combinations

import pytest

from local.stack import ROOT


@pytest.mark.parametrize("machine", ["redrive", "redrive_lane"])
def test_no_assign_reads_what_it_has_just_set(machine):
    text = (ROOT / "statemachines" / f"{machine}.asl.json").read_text(encoding="utf-8")
    found = [
        (state, name, reader)
        for state, given in json.loads(text)["States"].items()
        for holder in (given, *given.get("Choices", []), *given.get("Catch", []))
        for name, reader in combinations(holder.get("Assign", {}), 2)
        if re.search(rf"\${name}\b(?!\s*:=)", str(holder["Assign"][reader]))
    ]

    assert found == []
