"""The API's description of itself: complete, valid, and served through the stage."""

import json
import os
import subprocess
import sys

import pytest
from openapi_spec_validator import validate

from lambdas import show_docs
from local import openapi
from tests.support.invocations import CONTEXT, STAGE, api_event
from tests.support.template import template
from workflows.messages.ids import RESERVED_IDS

OPEN = {("/users/login", "post")}
# The description does not describe itself.
DOCS = {("/docs", "get"), ("/openapi.json", "get")}
PROBLEM = {"$ref": "#/components/schemas/Problem"}


@pytest.fixture
def document(environment):
    return json.loads(get("/openapi.json")["body"])


def get(path, asked=None):
    event = api_event("GET", path, roles=())
    event["requestContext"]["path"] = asked or f"/{STAGE}{path}"
    return show_docs.handler(event, CONTEXT)


def operations(document):
    return {
        (path, method): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def template_routes():
    """Return the events of the template's functions that are routes of the API."""
    return {
        (event["Properties"]["Path"], event["Properties"]["Method"]): event["Properties"]
        for resource in template()["Resources"].values()
        for event in resource["Properties"].get("Events", {}).values()
        if event["Type"] == "Api"
    }


def parts(node):
    """Return every object in the document, at any depth."""
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    for child in children:
        yield from parts(child)


def test_document_is_valid_openapi(document):
    validate(document)
    assert document["openapi"].startswith("3.")


def test_file_in_docs_is_the_document():
    """What clients see changes with it: look at the difference, and tell it in CHANGELOG."""
    assert openapi.FILE.read_text(encoding="utf-8") == openapi.text(), "make openapi"


IN_REVERSE = """
import importlib, pathlib, sys
for path in sorted(pathlib.Path("lambdas").glob("[a-z]*.py"), reverse=True):
    if path.stem != "show_docs":
        importlib.import_module(f"lambdas.{path.stem}")
from local import openapi
sys.stdout.write(openapi.text())
"""


def test_document_is_the_same_whichever_route_is_imported_first(environment):
    made = subprocess.run(  # noqa: S603 - no shell
        [sys.executable, "-c", IN_REVERSE],
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    assert made.stdout == openapi.FILE.read_text(encoding="utf-8")


def test_document_and_template_have_the_same_routes(document):
    assert set(operations(document)) == set(template_routes()) - DOCS
    assert set(template_routes()) >= DOCS


def test_open_routes_of_the_template_are_those_of_the_document(document):
    without_token = {
        route
        for route, properties in template_routes().items()
        if properties.get("Auth", {}).get("Authorizer") == "NONE"
    }
    assert without_token == OPEN | DOCS


def test_every_operation_but_login_wants_the_bearer_token(document):
    name, scheme = next(iter(document["components"]["securitySchemes"].items()))
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for route, operation in operations(document).items():
        wanted = operation.get("security", document.get("security"))
        assert wanted == ([] if route in OPEN else [{name: []}]), route


def test_every_operation_says_what_it_is_and_has_its_own_id(document):
    found = operations(document).values()

    for operation in found:
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
    assert len({operation["operationId"] for operation in found}) == len(found)


def test_every_failure_has_the_one_shape(document):
    for route, operation in operations(document).items():
        failures = {code for code in operation["responses"] if int(code) >= 400}
        expected = {"500"} | (set() if route in OPEN else {"401", "403"})
        assert expected <= failures, route
        for code in failures:
            schemas = operation["responses"][code]["content"]
            assert schemas["application/json"]["schema"] == PROBLEM, (route, code)
            # Python's own name of it is another before 3.13, and the file in docs must not be.
            names = {"413": "Content Too Large", "422": "Unprocessable Content"}
            described = operation["responses"][code]["description"]
            assert described == names.get(code, described), (route, code)


@pytest.mark.parametrize(
    ("route", "codes"),
    [
        (("/users/login", "post"), {"200", "401", "403", "413", "422", "429", "500"}),
        (("/messages/send", "post"), {"200", "202", "401", "403", "409", "413", "422", "500"}),
        (("/messages/status", "get"), {"200", "401", "403", "404", "422", "500"}),
        (("/messages/{message_id}", "get"), {"200", "401", "403", "404", "422", "500"}),
        (
            ("/messages/{message_id}/discard", "post"),
            {"200", "401", "403", "404", "409", "413", "422", "500"},
        ),
        (
            ("/messages/{message_id}/retry", "post"),
            {"202", "401", "403", "404", "409", "413", "422", "500"},
        ),
        (
            ("/messages/{message_id}", "patch"),
            {"200", "401", "403", "404", "409", "413", "422", "500"},
        ),
        (("/messages/retry", "post"), {"200", "401", "403", "404", "413", "422", "500"}),
        (("/messages", "patch"), {"200", "401", "403", "404", "413", "422", "500"}),
        (("/messages/discard", "post"), {"200", "401", "403", "404", "413", "422", "500"}),
        (("/audit", "get"), {"200", "401", "403", "422", "500"}),
        (("/queues", "get"), {"200", "401", "403", "422", "500"}),
        (("/queues/{queue}", "get"), {"200", "401", "403", "404", "422", "500"}),
        (("/queues/{queue}", "put"), {"200", "201", "401", "403", "409", "413", "422", "500"}),
        (("/queues/{queue}", "delete"), {"200", "401", "403", "404", "409", "422", "500"}),
        (("/messages/dlq", "get"), {"200", "401", "403", "404", "422", "500"}),
        (("/messages/dlq/groups", "get"), {"200", "401", "403", "404", "422", "500"}),
        (("/messages/quarantine", "get"), {"200", "401", "403", "404", "422", "500"}),
        (
            ("/messages/dlq/reprocess", "post"),
            {"200", "202", "401", "403", "404", "409", "413", "422", "500"},
        ),
        (("/messages/dlq/reprocess", "get"), {"200", "401", "403", "404", "422", "500"}),
        (("/messages/dlq/reprocess/{run_id}", "get"), {"200", "401", "403", "404", "422", "500"}),
    ],
)
def test_operation_answers_with_just_these_codes(document, route, codes):
    assert set(operations(document)[route]["responses"]) == codes


def test_no_message_can_have_an_id_that_the_paths_use():
    words = {path.split("/")[2] for path, _ in template_routes() if path.startswith("/messages/")}

    assert words - {"{message_id}"} <= RESERVED_IDS
    assert {"retry", "discard"} <= RESERVED_IDS  # of all messages that a filter matches


def test_list_of_dead_letters_is_no_message_called_dlq(tables):
    assert show_docs.handler(api_event("GET", "/messages/dlq"), CONTEXT)["statusCode"] == 200
    assert show_docs.handler(api_event("GET", "/messages/quarantine"), CONTEXT)["statusCode"] == 200
    groups = show_docs.handler(api_event("GET", "/messages/dlq/groups"), CONTEXT)
    assert json.loads(groups["body"]) == {"groups": [], "complete": True}
    event = api_event("GET", "/messages/m-1", resource="/messages/{message_id}")
    assert show_docs.handler(event, CONTEXT)["statusCode"] == 404


def test_lists_of_trouble_show_examples(document):
    schemas = document["components"]["schemas"]

    assert schemas["DeadLetter"]["properties"]["fingerprint"]["examples"]
    query = operations(document)[("/messages/dlq", "get")]["parameters"]
    assert {p["name"]: p["schema"].get("examples") for p in query}["older_than"] == ["PT2H"]


def test_every_success_has_a_named_schema(document):
    for route, operation in operations(document).items():
        for code, response in operation["responses"].items():
            assert response["description"]
            if int(code) < 400:
                schema = response["content"]["application/json"]["schema"]
                assert "$ref" in schema, (route, code)


def test_problem_is_described_as_it_is_answered(document):
    schemas = document["components"]["schemas"]

    assert set(schemas["Problem"]["required"]) == {"error", "trace_id"}
    error = schemas["Problem"]["properties"]["error"]
    assert error["$ref"] == "#/components/schemas/ErrorBody"
    assert set(schemas["ErrorBody"]["required"]) == {"code", "message"}


def test_journey_is_described_step_by_step(document):
    schemas = document["components"]["schemas"]
    steps = schemas["LedgerRecord"]["properties"]["journey"]["items"]

    assert steps == {"$ref": "#/components/schemas/Event"}
    fields = schemas["Event"]["properties"]
    assert set(fields["event"]["enum"]) >= {"sent", "attempt", "redriven", "processed"}
    assert set(schemas["Event"]["required"]) == {"n", "event", "at"}
    assert {"number", "reason_type", "run_id", "by", "previous_hash"} < set(fields)


def test_bodies_and_parameters_are_described(document):
    found = operations(document)

    posts = {route for route, operation in found.items() if "requestBody" in operation}
    assert posts == {route for route in found if route[1] in ("post", "patch", "put")}
    named = {
        (parameter["name"], parameter["in"])
        for operation in found.values()
        for parameter in operation.get("parameters", [])
    }
    assert named == {
        ("idempotency-key", "header"), ("message_id", "path"), ("run_id", "path"),
        ("group_id", "path"), ("fenced", "query"),
        ("group_id", "query"), ("type", "query"), ("reason", "query"), ("fingerprint", "query"),
        ("older_than", "query"), ("newer_than", "query"),
        ("limit", "query"), ("cursor", "query"),
        ("queue", "path"), ("queue", "query"), ("type", "path"), ("force", "query"),
        ("from", "query"), ("to", "query"), ("actor", "query"), ("message_id", "query"),
    }  # fmt: skip


def test_nothing_refers_to_what_is_not_there(document):
    schemas = document["components"]["schemas"]
    wanted = {part["$ref"].rpartition("/")[2] for part in parts(document) if "$ref" in part}

    assert wanted <= set(schemas)


@pytest.mark.parametrize(
    ("asked", "server"),
    [
        (f"/{STAGE}/openapi.json", f"/{STAGE}"),
        ("/openapi.json", "/"),
        ("/base/openapi.json", "/base"),
    ],
)
def test_server_is_the_stage_or_the_domain_that_was_asked(environment, asked, server):
    document = json.loads(get("/openapi.json", asked)["body"])

    assert [entry["url"] for entry in document["servers"]] == [server]


def test_docs_are_the_swagger_ui_through_the_stage(environment):
    answer = get("/docs")

    assert answer["statusCode"] == 200
    assert answer["multiValueHeaders"]["Content-Type"] == ["text/html"]
    page = answer["body"]
    assert "SwaggerUIBundle(" in page
    assert "persistAuthorization: false" in page
    assert "<script src=" not in page  # no other host is asked for anything
    assert f'"url": "/{STAGE}"' in page or f'"url":"/{STAGE}"' in page


def test_docs_hold_the_whole_document(document):
    page = get("/docs")["body"]

    for path in document["paths"]:
        assert f'"{path}"' in page


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_docs_are_open_to_everyone(environment, path):
    assert get(path)["statusCode"] == 200


@pytest.mark.parametrize(
    "schema", ["RetrySelection", "EditSelection", "DiscardSelection", "EditRequest", "Results"]
)
def test_what_a_person_pastes_has_examples(document, schema):
    found = document["components"]["schemas"][schema]
    wanted = found.get("required", ["payload"])  # which an edit may have a body instead of

    assert wanted
    for name in wanted:
        assert found.get("examples") or found["properties"][name]["examples"], name
