"""What the OpenAPI document says of each field, and its examples, each of which is taken."""

import importlib
import json

import jsonschema
import pytest

from lambdas import show_docs
from lambdas.glossary import FIELDS, PARAMETERS
from tests.statics.test_openapi import operations
from tests.support.invocations import CONTEXT, STAGE, api_event
from workflows.messages.message_types import TYPES
from workflows.operator import user_changes

pytestmark = pytest.mark.usefixtures("recursion_limit")


@pytest.fixture(scope="module")
def document():
    event = api_event("GET", "/openapi.json", roles=())
    event["requestContext"]["path"] = f"/{STAGE}/openapi.json"
    return json.loads(show_docs.handler(event, CONTEXT)["body"])


def fields(document):
    return {
        f"{name}.{field}": found
        for name, schema in document["components"]["schemas"].items()
        for field, found in schema.get("properties", {}).items()
    }


def test_each_field_of_every_request_and_answer_has_a_description(document):
    assert [name for name, found in fields(document).items() if not found.get("description")] == []


def test_each_parameter_has_a_description(document):
    assert [
        (route, parameter["name"])
        for route, operation in operations(document).items()
        for parameter in operation.get("parameters", [])
        if not (parameter.get("description") or parameter["schema"].get("description"))
    ] == []


def test_glossary_has_no_word_that_no_field_uses(document):
    known = fields(document)
    names = {name.partition(".")[2] for name in known}
    parameters = {
        parameter["name"]
        for operation in operations(document).values()
        for parameter in operation.get("parameters", [])
    }

    assert {word for word in FIELDS if word not in (known if "." in word else names)} == set()
    assert set(PARAMETERS) <= parameters


def test_docs_page_has_the_descriptions_too(document):
    page = show_docs.handler(api_event("GET", "/docs", roles=()), CONTEXT)["body"]

    assert FIELDS["hours_until_dropped"] in page
    assert '"SendRegistered"' in page


def test_shape_of_a_failure_that_is_not_ours_is_not_in_the_document(document):
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


# --- Payloads ------------------------------------------------------------------------------


def test_what_is_sent_is_of_a_built_in_type_or_of_any_other(document):
    schemas = document["components"]["schemas"]
    *variants, other = (
        schemas[one["$ref"].rpartition("/")[2]] for one in schemas["SendRequest"]["oneOf"]
    )

    assert other["properties"]["type"]["not"] == {"enum": sorted(TYPES)}
    assert [one["properties"]["type"]["const"] for one in variants] == list(TYPES)
    for variant in variants:
        name = variant["properties"]["type"]["const"]
        payload = schemas[variant["properties"]["payload"]["$ref"].rpartition("/")[2]]
        assert set(variant["required"]) == {"type", "payload"}
        assert set(payload["properties"]) == set(TYPES[name].Payload.model_fields)


def taken(document, value):
    schema = {"$ref": "#/components/schemas/SendRequest", "components": document["components"]}
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def test_schema_takes_the_example_and_no_other_payload(document):
    body = operations(document)["/messages/send", "post"]["requestBody"]
    value = body["content"]["application/json"]["examples"]["transaction"]["value"]

    assert taken(document, value)
    assert taken(document, {"type": "another", "payload": {"any": "thing"}})
    assert not taken(document, {"type": "another", "payload": "text"})
    assert not taken(document, value | {"payload": value["payload"] | {"kind": "gift"}})
    assert not taken(document, value | {"payload": {}})


# --- Examples ------------------------------------------------------------------------------

SEND = ("/messages/send", "post")
LOGIN = ("/users/login", "post")
REPROCESS = ("/messages/dlq/reprocess", "post")
HANDLERS = {SEND: "send_message", LOGIN: "log_in", REPROCESS: "reprocess_dead_letters"}


def examples(document, route):
    content = operations(document)[route]["requestBody"]["content"]["application/json"]
    return [example["value"] for example in content["examples"].values()]


@pytest.mark.parametrize("route", HANDLERS, ids=HANDLERS.values())
def test_each_example_is_taken(document, route, tables, queues, machines, token_key):
    user_changes.add_user("ann@example.com", "correct horse battery staple", ["producer"])
    module = importlib.import_module(f"lambdas.{HANDLERS[route]}")

    for value in examples(document, route):
        event = api_event("POST", route[0], value, roles=("producer", "operator"))
        answer = module.handler(event, CONTEXT)
        # One run at a time: a second one is refused for that alone.
        assert answer["statusCode"] in (200, 202, 409), (value, answer["body"])
        if answer["statusCode"] == 409:
            assert json.loads(answer["body"])["error"]["code"] == "run_active"


def test_first_example_of_a_run_is_a_plan(document, tables, queues, machines):
    assert examples(document, REPROCESS)[0] == {"dry_run": True}


# --- Location ------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [f"/{STAGE}", "", "/base"])
@pytest.mark.parametrize(
    ("module", "path", "body", "where"),
    [
        ("send_message", SEND[0], "example", "/messages/{message_id}"),
        ("reprocess_dead_letters", REPROCESS[0], {}, f"{REPROCESS[0]}/{{run_id}}"),
    ],
)  # fmt: skip
def test_202_points_to_what_it_began(
    document, tables, queues, machines, base, module, path, body, where
):
    body = examples(document, SEND)[0] if body == "example" else body
    event = api_event("POST", path, body, roles=("producer", "operator"))
    event["requestContext"]["path"] = f"{base}{path}"

    answer = importlib.import_module(f"lambdas.{module}").handler(event, CONTEXT)

    assert answer["statusCode"] == 202
    told = where.format(**json.loads(answer["body"]))
    assert answer["multiValueHeaders"]["Location"] == [f"{base}{told}"]


def test_every_202_is_said_to_have_a_location(document):
    found = [
        operation["responses"]["202"]
        for operation in operations(document).values()
        if "202" in operation["responses"]
    ]

    assert len(found) == 4
    assert all(response["headers"]["Location"]["description"] for response in found)
