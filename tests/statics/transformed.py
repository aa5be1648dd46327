"""The template as SAM's transform leaves it: what CloudFormation gets."""

import json
import os
from functools import cache
from typing import Any
from unittest import mock

from samtranslator.translator.transform import transform

from local.package import read_template
from tests.support.cloud import REGION
from tests.support.template import TEMPLATE


class _NoManagedPolicies:
    """SAM asks IAM for the names of AWS's managed policies; the template uses none by name."""

    def load(self) -> dict[str, str]:
        return {}


def transform_whole(whole: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    """Return a template as CloudFormation gets it, whatever it is packaged into."""
    whole["Globals"]["Function"]["CodeUri"] = "s3://bucket/code.zip"
    for resource in whole["Resources"].values():
        if resource["Type"] == "AWS::Serverless::StateMachine":
            resource["Properties"]["DefinitionUri"] = "s3://bucket/machine.json"
    plain = json.loads(json.dumps(whole, default=str))  # a date is one to YAML
    with mock.patch.dict(os.environ, AWS_DEFAULT_REGION=REGION):
        found: dict[str, Any] = transform(plain, parameters, _NoManagedPolicies())
    return found


@cache
def resources() -> dict[str, dict[str, Any]]:
    """Return the transformed template's resources, by logical id."""
    found: dict[str, dict[str, Any]] = transform_whole(read_template(TEMPLATE), {})["Resources"]
    return found


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of all resources of a type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in resources().items()
        if resource["Type"] == kind
    }
