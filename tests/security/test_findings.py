"""Findings and their reasons: what is new fails, and so does a reason that nothing needs."""

import pytest

from tests.security.findings import Finding, Reason, problems, read
from tests.security.scanned_template import DEFAULT, SWITCHED, transformed
from tests.security.scanners import SCANNERS
from tests.support.template import template

OLD = Finding("checkov", "CKV_1", "WorkQueue", "No key.")
REASON = Reason("checkov", "CKV_1", ("*Queue",), "SQS has one.")


def test_finding_with_a_reason_is_left():
    assert problems([OLD, OLD], [REASON], ["checkov"]) == []


@pytest.mark.parametrize(
    "new",
    [
        Finding("checkov", "CKV_2", "WorkQueue"),
        Finding("checkov", "CKV_1", "WorkTable"),
        Finding("bandit", "CKV_1", "WorkQueue"),
    ],
)
def test_new_finding_is_to_be_mended(new):
    assert problems([OLD, new], [REASON], ["checkov", "bandit"]) == [f"New: {new}"]


def test_reason_that_nothing_needs_is_to_be_removed_if_its_tool_ran():
    reason = Reason("checkov", "CKV_1", ("*Queue", "Gone"), "SQS has one.")

    assert problems([OLD], [reason], ["bandit"]) == [f"New: {OLD}"]
    assert problems([OLD], [reason], ["checkov"]) == [
        "No longer needed: the reason for checkov CKV_1 at Gone"
    ]


def test_each_reason_of_ours_says_something_of_a_tool_that_there_is():
    assert {one.tool for one in read()} <= SCANNERS.keys()


def test_reason_that_says_nothing_is_none(tmp_path):
    path = tmp_path / "reasons.toml"
    path.write_text('[[checkov.CKV_1]]\nwhere = ["*"]\nwhy = " "\n')

    with pytest.raises(ValueError, match="checkov CKV_1 has no reason"):
        read(path)


def test_template_is_scanned_with_all_that_a_parameter_can_switch_on():
    """So that no condition keeps something from both of them."""
    both = [transformed(parameters)["Resources"] for parameters in (DEFAULT, SWITCHED)]
    conditional = {name for name, one in template()["Resources"].items() if "Condition" in one}

    assert conditional
    for name in conditional:
        assert any(name in resources for resources in both), name
    for resources in both:
        assert "Fn::If" not in str(resources)
        assert "AWS::NoValue" not in str(resources)
