"""The template as the scanners of CloudFormation are given it: transformed, and without conditions.

A rule cannot look into `Fn::If`, so there are two: with the parameters' defaults, which is what
most people deploy, and with everything that a parameter can switch on.
"""

from typing import Any

from samtranslator.intrinsics.resolver import IntrinsicsResolver

from local.package import read_template
from tests.statics.transformed import transform_whole
from tests.support.template import TEMPLATE

_ARN = "arn:aws:{}:us-east-1:111122223333:{}"
DEFAULT: dict[str, str] = {}
# Of each parameter that is a switch or a list, another value than its default.
SWITCHED = {
    "ApiAccessLogs": "on",
    "AuditBucketName": "ours",
    "EffectFunctionArns": _ARN.format("lambda", "function:ship-order"),
    "KmsKeyArn": _ARN.format("kms", "key/ours"),
    "RedriveLaneType": "EXPRESS",
    "RedrivePayloadBucketArns": "arn:aws:s3:::payloads",
    "RedriveQueueArns": _ARN.format("sqs", "orders"),
    "RedriveQueueKeyArns": _ARN.format("kms", "key/theirs"),
    "WebAclArn": _ARN.format("wafv2", "regional/webacl/ours/1"),
}


def transformed(parameters: dict[str, str]) -> dict[str, Any]:
    """Return the template as CloudFormation has it with these parameters beside the defaults."""
    whole = read_template(TEMPLATE)
    values = {n: str(one["Default"]) for n, one in whole["Parameters"].items()} | parameters
    holds = {name: _holds(one, values) for name, one in whole.pop("Conditions").items()}
    for part in ("Resources", "Outputs"):
        there = {k: v for k, v in whole[part].items() if holds.get(v.pop("Condition", ""), True)}
        whole[part] = there
    known = IntrinsicsResolver(values).resolve_parameter_refs(_chosen(whole, holds))
    return transform_whole(_lists(known), values)


def _holds(condition: dict[str, Any], values: dict[str, str]) -> bool:
    """Return whether a condition holds; those of the template compare a parameter with a text."""
    ((kind, terms),) = condition.items()
    if kind == "Fn::Not":
        return not _holds(terms[0], values)
    if kind in ("Fn::And", "Fn::Or"):
        return {"Fn::And": all, "Fn::Or": any}[kind](_holds(one, values) for one in terms)
    return values[terms[0]["Ref"]] == str(terms[1])


def _chosen(value: Any, holds: dict[str, bool]) -> Any:
    if isinstance(value, list):
        items = (_chosen(one, holds) for one in value)
        return [one for one in items if one != {"Ref": "AWS::NoValue"}]
    if not isinstance(value, dict):
        return value
    if "Fn::If" in value:
        name, yes, no = value["Fn::If"]
        return _chosen(yes if holds[name] else no, holds)
    chosen = {name: _chosen(part, holds) for name, part in value.items()}
    return {name: part for name, part in chosen.items() if part != {"Ref": "AWS::NoValue"}}


def _lists(value: Any) -> Any:
    """Return a value in which what is split is a list, and a single statement one of one."""
    if isinstance(value, list):
        return [_lists(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Split" in value:
        comma, text = value["Fn::Split"]
        return [{"Fn::Sub": part} for part in _text(text).split(comma)]
    found = {name: _lists(part) for name, part in value.items()}
    if isinstance(found.get("Statement"), dict):
        found["Statement"] = [found["Statement"]]
    return found


def _text(value: Any) -> str:
    """Return what comes of `Fn::Sub`, and of `Fn::Join` of what is split, of texts."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        between, parts = value["Fn::Join"]
        comma, text = parts["Fn::Split"]
        return str(between.join(_text(text).split(comma)))
    text, given = value["Fn::Sub"] if isinstance(value["Fn::Sub"], list) else (value["Fn::Sub"], {})
    for name, one in given.items():
        text = text.replace(f"${{{name}}}", _text(one))
    return str(text)
