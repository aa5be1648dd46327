"""`make openapi`: the API's requests as a file that Insomnia, Postman and Bruno import.

It is made of the OpenAPI document, in Postman's collection format 2.1, which all three read. The
requests stand in the order in which a person needs them; what one answers and a later one needs
(the token, ids, the hash of a plan) is kept in variables, as are base URL and credentials.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.stack import ROOT

FILE = ROOT / "clients" / "collection" / "guarded-redrive.postman_collection.json"
VARIABLES = {
    "base_url": "http://127.0.0.1:4566/v1",
    "email": "operator@example.com",
    "password": "",  # a secret: whoever imports the file knows it
    "token": "",
    "message_id": "",
    "group_id": "",
    "plan_hash": "",
    "run_id": "",
    "queue": "orders",
    "type": "order",
}
# In bodies it is the type of a message, which the example says itself.
_OF_PATHS = {"type"}
# What is shown first; what is not named comes after, so that a new route is never left out.
_ORDER = [
    "post /users/login",
    "post /messages/send",
    "get /messages/{message_id}",
    "get /messages/status",
    "get /messages/dlq",
    "get /messages/dlq/groups",
    "get /messages/quarantine",
    "get /groups",
    "get /groups/{group_id}",
    "post /messages/dlq/reprocess",
    "get /messages/dlq/reprocess/{run_id}",
    "delete /messages/dlq/reprocess/{run_id}",
    "get /messages/dlq/reprocess",
    "put /queues/{queue}",
    "get /queues",
    "get /queues/{queue}",
    "delete /queues/{queue}",
    "put /types/{type}",
    "get /types",
    "get /types/{type}",
    "delete /types/{type}",
]
_MENDING = [
    "patch /messages/{message_id}",
    "post /messages/{message_id}/retry",
    "post /messages/{message_id}/discard",
    "patch /messages",
    "post /messages/retry",
    "post /messages/discard",
]
# Variables that a request's answer sets, by the field that has the value.
_KEPT = {
    "post /users/login": {"token": "access_token"},
    "post /messages/send": {"message_id": "message_id"},
    "get /messages/{message_id}": {"group_id": "group_id"},
}
# Whoever sends all that is in the file acts on no message but the last that the file sent.
_ONE = {"filter": {"message_ids": ["{{message_id}}"]}}
_BEARER = {
    "type": "bearer",
    "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}],
}
_FAILING = ("that dies: a debit beyond the balance", {"kind": "debit", "account_id": "acct-broke"})


def collection(document: dict[str, Any]) -> dict[str, Any]:
    """Return the collection of an OpenAPI document."""
    folders: dict[str, list[Any]] = {}
    for key, operation in sorted(_operations(document), key=lambda found: _place(found[0])):
        folder = operation["tags"][0] if key not in _MENDING else "Mend"
        folders.setdefault(folder, []).extend(_requests(document, key, operation))
    return {
        "info": {
            "name": document["info"]["title"],
            "description": "Made by `make openapi` of the OpenAPI document. Set base_url, email"
            " and password, and send them from top to bottom.",
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "variable": [{"key": name, "value": value} for name, value in VARIABLES.items()],
        "item": [{"name": name, "item": requests} for name, requests in folders.items()],
    }


def text() -> str:
    """Return the file's content, of the document as it is now."""
    from lambdas import show_docs

    return json.dumps(collection(show_docs.document("")), indent=2, ensure_ascii=False) + "\n"


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def _place(key: str) -> tuple[int, str]:
    order = [*_ORDER, *_MENDING]
    return (order.index(key) if key in order else len(order), key.partition(" ")[2] + key)


def _requests(
    document: dict[str, Any], key: str, operation: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield a request for each example of a body, or the one of an operation without a body."""
    for title, body in _bodies(document, key, operation):
        kept = dict(_KEPT.get(key, {}))
        if key == "post /messages/dlq/reprocess":
            kept = (
                {"plan_hash": "plan_hash"} if (body or {}).get("dry_run") else {"run_id": "run_id"}
            )
        request: dict[str, Any] = {
            "method": key.partition(" ")[0].upper(),
            "description": operation["description"],
            "header": [],
            "url": _url(key.partition(" ")[2], operation.get("parameters", [])),
        }
        # At each request: Insomnia passes over a folder's and the file's.
        request["auth"] = {"type": "noauth"} if operation.get("security") == [] else _BEARER
        if body is not None:
            request["header"] = [{"key": "Content-Type", "value": "application/json"}]
            request["body"] = {
                "mode": "raw",
                "raw": json.dumps(body, indent=2, ensure_ascii=False),
                "options": {"raw": {"language": "json"}},
            }
        name = f"{operation['summary']} ({title})" if title else operation["summary"]
        item: dict[str, Any] = {"name": name, "request": request}
        if kept:
            item["event"] = [{"listen": "test", "script": _keep(kept)}]
        yield item


def _keep(variables: dict[str, str]) -> dict[str, Any]:
    """Return the script that keeps fields of a good answer in variables."""
    lines = [
        f'  pm.collectionVariables.set("{name}", pm.response.json().{field});'
        for name, field in variables.items()
    ]
    return {"type": "text/javascript", "exec": ["if (pm.response.code < 300) {", *lines, "}"]}


def _url(path: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    steps = path.replace("{", "{{").replace("}", "}}").strip("/").split("/")
    query = [
        {
            "key": parameter["name"],
            "value": str(_example({}, parameter["schema"]) or ""),
            "description": parameter.get("description", ""),
            "disabled": True,
        }
        for parameter in parameters
        if parameter["in"] == "query"
    ]
    url = {"raw": "{{base_url}}/" + "/".join(steps), "host": ["{{base_url}}"], "path": steps}
    return url | {"query": query} if query else url


def _bodies(
    document: dict[str, Any], key: str, operation: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield the bodies to send, each with the words that tell it from the others."""
    if "requestBody" not in operation:
        yield "", None
        return
    content = operation["requestBody"]["content"]["application/json"]
    examples = content.get("examples")
    if not examples:
        yield "", _with_variables(_example(document, content["schema"]) or {})
        return
    found = [
        (example.get("summary") or name, _with_variables(example["value"]))
        for name, example in examples.items()
        if example["value"] or len(examples) == 1  # nobody acts on everything by accident
    ]
    if key == "post /messages/dlq/reprocess":  # a plan, the run that it is of, then any other
        found = [(title, body | _ONE) for title, body in found]
        plan = next(one for one in found if one[1].get("dry_run"))
        planned = {name: value for name, value in plan[1].items() if name != "dry_run"}
        run = ("the run of that plan", planned | {"plan_hash": "{{plan_hash}}"})
        found = [plan, run, *(one for one in found if not one[1].get("dry_run"))]
    if key == "post /messages/send":
        title, change = _FAILING
        found.append((title, found[0][1] | {"payload": found[0][1]["payload"] | change}))
    yield from found if len(found) > 1 else [("", found[0][1])]


def _with_variables(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body with variables for its values; what acts on many acts on one message."""
    known = VARIABLES.keys() - _OF_PATHS
    found = {name: f"{{{{{name}}}}}" if name in known else v for name, v in body.items()}
    return found | _ONE if "filter" in body else found


def _example(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Return what a schema has for an example; of an object, the fields that have one."""
    if "$ref" in schema and "examples" not in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("examples"):
        return schema["examples"][0]
    for kind in schema.get("anyOf", []):
        if kind.get("type") != "null":
            return _example(document, kind)
    if "properties" in schema:
        fields = {
            name: _example(document, field)
            for name, field in schema["properties"].items()
            if name in schema.get("required", []) or "examples" in field
        }
        return {name: value for name, value in fields.items() if value is not None}
    return schema.get("default")


def write() -> Path:
    """Write the file, and return where it is."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
    return FILE
