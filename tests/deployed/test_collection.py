"""The client collection: made of the OpenAPI document, and every request of it works."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lambdas import show_docs
from local import collection
from local.client import Client
from local.deadline import wait_until
from tests.deployed.flows import finished, forget_dead_letters, settled
from tests.deployed.team_functions import create

SCRIPT = re.compile(r'  pm\.collectionVariables\.set\("(\w+)", pm\.response\.json\(\)\.(\w+)\);')


def stored() -> dict[str, Any]:
    return dict(json.loads(collection.FILE.read_text(encoding="utf-8")))


def requests() -> list[dict[str, Any]]:
    return [item for folder in stored()["item"] for item in folder["item"]]


def route(item):
    path = re.sub(r"\{\{(?!base_url)(\w+)\}\}", r"{\1}", item["request"]["url"]["raw"])
    return item["request"]["method"].lower(), path.removeprefix("{{base_url}}")


def number(method, path, title=""):
    """Return where in the file a request stands."""
    (found,) = [
        n
        for n, item in enumerate(requests())
        if route(item) == (method, path) and title in item["name"]
    ]
    return found


def test_file_is_what_the_command_makes():
    assert collection.FILE.read_text(encoding="utf-8") == collection.text(), "make openapi"


def test_every_operation_is_in_it_and_no_other():
    document = show_docs.document("")

    assert {route(item) for item in requests()} == {
        (method, path) for path, methods in document["paths"].items() for method in methods
    }


def test_base_url_and_credentials_are_variables_without_a_secret():
    variables = {one["key"]: one["value"] for one in stored()["variable"]}
    text = collection.FILE.read_text(encoding="utf-8")

    assert variables["base_url"] == "http://127.0.0.1:4566/v1"
    assert variables["password"] == variables["token"] == ""
    assert set(re.findall(r"\{\{(\w+)\}\}", text)) == variables.keys()
    for item in requests():
        assert item["request"]["url"]["raw"].startswith("{{base_url}}/")
        assert (
            "/".join([*item["request"]["url"]["host"], *item["request"]["url"]["path"]])
            == (item["request"]["url"]["raw"])
        )
    open_to_all = [route(i) for i in requests() if i["request"]["auth"] == {"type": "noauth"}]
    assert open_to_all == [("post", "/users/login")]
    (bearer,) = {json.dumps(i["request"]["auth"]) for i in requests()} - {'{"type": "noauth"}'}
    assert '"value": "{{token}}"' in bearer


def test_each_variable_is_set_before_it_is_used():
    known = {"base_url", "email", "password", "queue", "type"}
    for item in requests():
        request = item["request"]
        used = re.findall(r"\{\{(\w+)\}\}", json.dumps([request["url"], request.get("body")]))
        assert set(used) <= known, item["name"]
        known |= kept(item).keys()
    assert "token" in known
    reprocess = "/messages/dlq/reprocess"
    plan, run = number("post", reprocess, "What would"), number("post", reprocess, "of that plan")
    assert plan < run < number("get", f"{reprocess}/{{run_id}}")


def test_nothing_acts_on_more_than_one_message():
    for item in requests():
        if route(item) in {("patch", "/messages"), ("post", "/messages/discard")} | {
            ("post", "/messages/retry"),
            ("post", "/messages/dlq/reprocess"),
        }:
            assert body(item)["filter"] == {"message_ids": ["{{message_id}}"]}, item["name"]


def test_bodies_are_valid():
    document = show_docs.document("")
    for item in requests():
        method, path = route(item)
        described = document["paths"][path][method].get("requestBody")
        assert bool(described) == ("body" in item["request"]), item["name"]
        if described:
            schema = described["content"]["application/json"]["schema"]
            text = item["request"]["body"]["raw"].replace("{{plan_hash}}", "0" * 64)
            given = json.loads(text.replace("{{", "").replace("}}", ""))
            Draft202012Validator(schema | {"components": document["components"]}).validate(given)


def kept(item):
    """Return what a request's script keeps: the field by the variable's name."""
    found = {}
    for event in item.get("event", []):
        first, *lines, last = event["script"]["exec"]
        assert (event["listen"], first, last) == ("test", "if (pm.response.code < 300) {", "}")
        for line in lines:
            match = SCRIPT.fullmatch(line)
            assert match, line
            found[match[1]] = match[2]
    return found


def body(item):
    return json.loads(item["request"]["body"]["raw"])


class Importer:
    """What Insomnia, Postman and Bruno do with the file: send, and keep in variables."""

    def __init__(self, api_url, user):
        self.variables = {one["key"]: one["value"] for one in stored()["variable"]}
        self.variables |= {"base_url": api_url, **user}

    def filled(self, text):
        return re.sub(r"\{\{(\w+)\}\}", lambda found: self.variables[found[1]], text)

    def send(self, item):
        request = item["request"]
        token = None if request["auth"]["type"] == "noauth" else self.variables["token"]
        url = self.filled(request["url"]["raw"])
        content = self.filled(request["body"]["raw"]) if "body" in request else None
        path = url.removeprefix(self.variables["base_url"])
        headers = {one["key"]: one["value"] for one in request["header"]}
        answer = Client(self.variables["base_url"], token).call(
            request["method"], path, content, headers
        )
        if answer.status < 300:
            self.variables |= {name: answer.json[field] for name, field in kept(item).items()}
        return answer


def at_rest(watch, message_id):
    """Return a message's status once nothing more happens to it by itself."""

    def found():
        status = watch.message(message_id).expect(200)["status"]
        return status if status in ("DEAD", "PROCESSED", "DISCARDED") else None

    return wait_until(found, 120, f"{message_id} is at rest")


@pytest.mark.xdist_group("flows of runs")
@pytest.mark.timeout(300)
def test_every_request_of_the_file_is_answered(stack):
    forget_dead_letters(stack)
    for name in ("orders", "orders-dead-letters"):  # of the examples
        stack.client("sqs").create_queue(QueueName=name)
    create(stack, "ship-order", "python3.13", "ship.py", "def handler(event, context): pass")
    user = stack.users["operator"]
    importer, watch = Importer(stack.api_url, user), Client(stack.api_url).signed_in(**user)
    dies = requests()[number("post", "/messages/send", "that dies")]
    # These need a message that is dead, and all but an edit leave none.
    need = {("get", "/groups/{group_id}")} | {
        route(item)
        for item in requests()
        if "message_ids" in json.dumps(item)
        or (
            item["request"]["method"] != "GET" and "{{message_id}}" in item["request"]["url"]["raw"]
        )
    }
    statuses = {}
    for item in requests():
        if route(item) in need:
            if at_rest(watch, importer.variables["message_id"]) != "DEAD":
                importer.send(dies).expect(202)
            settled(watch, importer.variables["message_id"], "DEAD")
        answer = importer.send(item)
        statuses[item["name"]] = answer.status
        if route(item) == ("post", "/messages/dlq/reprocess") and answer.status == 202:
            finished(watch, answer.json["run_id"])
    cancel = "Cancel a redrive run"
    assert statuses.pop(cancel) == 409  # it has ended
    assert {name: status for name, status in statuses.items() if status >= 300} == {}
