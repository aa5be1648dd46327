"""The template made ready to deploy: what `sam package` does, and nothing else.

The template on disk is never changed. Each local path in it (the code of the functions, the
definitions of the state machines) is uploaded to a bucket and replaced by its place there.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

# All a function needs of the project. Third-party packages come from the interpreter that runs
# the emulator, because its Lambda workers are processes of that interpreter.
CODE_FOLDERS = ("workflows", "lambdas")
_SKIPPED = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def read_template(path: Path) -> dict[str, Any]:
    """Return a CloudFormation template with its short tags (`!Sub`) in their long form."""
    template: dict[str, Any] = yaml_parse(path.read_text(encoding="utf-8"))
    return template


def zip_code(root: Path) -> bytes:
    """Return the Lambda package of a project: its code folders, the same bytes every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for folder in CODE_FOLDERS:
            for path in sorted((root / folder).rglob("*")):
                if path.is_file() and not _SKIPPED & set(path.parts):
                    entry = zipfile.ZipInfo(path.relative_to(root).as_posix())
                    entry.external_attr = 0o644 << 16
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def package(root: Path, s3: Any, bucket: str) -> str:
    """Upload a project's artifacts and return its template, as JSON, pointing at them.

    Args:
        root: the folder that holds `template.yaml`.
        s3: a boto3 client.
        bucket: exists already.
    """
    template = read_template(root / "template.yaml")
    s3.put_object(Bucket=bucket, Key="code.zip", Body=zip_code(root))
    code_uri = f"s3://{bucket}/code.zip"
    function_defaults = template.get("Globals", {}).get("Function", {})
    if _is_local(function_defaults.get("CodeUri")):
        function_defaults["CodeUri"] = code_uri
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            if _is_local(properties.get("CodeUri")):
                properties["CodeUri"] = code_uri
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            definition = properties.get("DefinitionUri")
            if _is_local(definition):
                s3.upload_file(str(root / definition), bucket, definition)
                properties["DefinitionUri"] = f"s3://{bucket}/{definition}"
    # Unquoted dates, such as the format version, are dates to YAML.
    return json.dumps(template, default=str)


def _is_local(uri: Any) -> bool:
    return isinstance(uri, str) and not uri.startswith("s3://")
