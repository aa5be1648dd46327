"""`template.yaml`, read as it stands."""

from functools import cache
from typing import Any

import yaml

from local.stack import ROOT

TEMPLATE = ROOT / "template.yaml"


@cache
def template() -> dict[str, Any]:
    """Return `template.yaml`; of `!Ref X` and its like only `X` is left."""
    return dict(yaml.load(TEMPLATE.read_text(), _TemplateLoader))  # noqa: S506 - a SafeLoader


@cache
def template_tables() -> dict[str, dict[str, Any]]:
    """Return the properties of each table in `template.yaml`, by logical id."""
    return {
        name: resource["Properties"]
        for name, resource in template()["Resources"].items()
        if resource["Type"] == "AWS::DynamoDB::Table"
    }


def chosen(value: Any, conditions: dict[str, bool]) -> Any:
    """Return a part of the template as it is where conditions hold, or do not: each `!If`."""
    if isinstance(value, list):
        if len(value) == 3 and isinstance(value[0], str) and value[0] in conditions:
            return chosen(value[1 if conditions[value[0]] else 2], conditions)
        parts = (chosen(part, conditions) for part in value)
        return [part for part in parts if part != "AWS::NoValue"]
    if isinstance(value, dict):
        return {name: chosen(part, conditions) for name, part in value.items()}
    return value


class _TemplateLoader(yaml.SafeLoader):
    """Reads CloudFormation's YAML; `!Ref X` and its like become the bare `X`."""


def _bare(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)  # type: ignore[arg-type]  # what is left is a scalar


_TemplateLoader.add_multi_constructor("!", _bare)
