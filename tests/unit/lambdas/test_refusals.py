"""Refusals: whatever error of `workflows` reaches the API is answered by its own kind and code."""

import importlib
import json
import pkgutil

import pytest

import lambdas
import workflows
from lambdas import show_group
from tests.support.invocations import CONTEXT, api_event
from workflows.groups import view
from workflows.runtime.refusals import Refusal

# What clients rely on. Errors that are one to a client have one code.
ANSWERS = {
    "BuiltInQueue": (422, "built_in_queue"), "QueueInUse": (409, "queue_in_use"),
    "DeadLetterQueueTaken": (422, "dead_letter_queue_taken"),
    "PermissionMissing": (422, "permission_missing"), "QueueChanged": (409, "queue_changed"),
    "QueueMissing": (422, "queue_missing"), "UnfitQueue": (422, "unfit_queue"),
    "UnknownQueue": (404, "unknown_queue"),
    "Masked": (403, "forbidden"), "NoPayload": (422, "invalid_request"),
    "BodyTooLarge": (413, "body_too_large"),
    "UnfitDestination": (422, "unfit_destination"), "UnfitBody": (422, "unfit_body"),
    "PayloadUnreadable": (409, "payload_unreadable"),
    "BodiesTooLarge": (413, "message_too_large"),
    "BeingTried": (409, "message_being_tried"), "BodyMissing": (409, "body_missing"),
    "ConflictingMessage": (409, "message_id_conflict"), "Forbidden": (403, "forbidden"),
    "ForeignMessage": (409, "foreign_message"), "GroupNotFenced": (404, "group_not_fenced"),
    "InvalidCursor": (422, "invalid_request"), "InvalidEnvelope": (422, "invalid_message"),
    "InvalidMessage": (422, "invalid_message"), "InvalidPayload": (422, "invalid_message"),
    "InvalidPeriod": (422, "invalid_request"), "InvalidRequest": (422, "invalid_request"),
    "MessageChanged": (409, "message_changed"), "MessageConflict": (422, "invalid_message"),
    "MessageNotFound": (404, "message_not_found"), "MessageTooLarge": (413, "message_too_large"),
    "NotInTrouble": (409, "message_not_in_trouble"), "PlanChanged": (409, "plan_changed"),
    "RedriveLimitReached": (409, "redrive_limit_reached"), "ResetNeeded": (409, "reset_needed"),
    "RunActive": (409, "run_active"), "RunEnded": (409, "run_ended"),
    "RunNotFound": (404, "run_not_found"), "TooManyFailures": (429, "too_many_failures"),
    "TransactionRejected": (422, "invalid_message"), "Unauthorized": (401, "unauthorized"),
    "NoPasswords": (403, "no_passwords"),
    "UnknownType": (422, "invalid_message"), "WrongCredentials": (401, "wrong_credentials"),
    # Of message types
    "BuiltInType": (409, "built_in_type"), "TypeInUse": (409, "type_in_use"),
    "TypeChanged": (409, "type_changed"), "TypeNotFound": (404, "unknown_type"),
    "FunctionMissing": (422, "function_missing"), "UnfitType": (422, "unfit_type"),
    "EffectRefused": (422, "invalid_message"),
}  # fmt: skip
# Those that cannot be raised without more.
MADE_WITH = {"MessageTooLarge": (2, 1), "RunActive": ("run-1",), "TooManyFailures": (60,)}


def refusals() -> dict[str, type[Refusal]]:
    """Return every error that says how it is answered, by its name."""
    for package in (workflows, lambdas):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    found, kinds = {}, list(Refusal.__subclasses__())
    for kind in kinds:  # grows
        kinds += kind.__subclasses__()
        # Not those of the tests, nor the kinds, which nobody raises.
        if kind.__module__.startswith(("workflows.", "lambdas.")) and hasattr(kind, "code"):
            found[kind.__name__] = kind
    return found


def test_each_refusal_has_its_answer():
    assert set(refusals()) == set(ANSWERS)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", ANSWERS)
def test_refusal_is_answered_by_its_kind_and_code(monkeypatch, name):
    error = refusals()[name](*MADE_WITH.get(name, ()))

    def refuse(_group_id, _scope):
        raise error

    monkeypatch.setattr(view, "show", refuse)

    event = api_event("GET", "/groups/acc-1", resource="/groups/{group_id}", roles=("producer",))
    answer = show_group.handler(event, CONTEXT)

    told = json.loads(answer["body"])["error"]
    assert (answer["statusCode"], told["code"]) == ANSWERS[name]
    assert told["message"] == (str(error) or type(error).__doc__)


def test_refusal_says_its_own_words_or_those_of_its_class():
    class Closed(Refusal):
        """It is closed."""

        code = "closed"

    assert (Closed().sentence, Closed("On Sundays.").sentence) == ("It is closed.", "On Sundays.")
