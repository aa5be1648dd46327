"""A function loads no more of `workflows` than it needs: a cold start pays for each module."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MESSAGES = {"ledger", "messages", "runtime"}
RUNS = {"ledger", "messages", "queues", "redrive", "runtime"}
FENCES = MESSAGES | {"groups"}
TROUBLE = MESSAGES | {"operator", "queues"}
# The packages of `workflows` that each module of `lambdas` loads.
LOADED = {
    # The API's functions
    "authorize_request": {"access", "runtime"},
    "cancel_run": RUNS,
    "discard_messages": FENCES | TROUBLE,
    "edit_messages": TROUBLE,
    "list_audit": {"ledger", "messages", "runtime"},
    "list_dead_letters": TROUBLE,
    "list_groups": {"groups", "ledger", "messages", "runtime"},
    "list_quarantine": TROUBLE,
    "list_runs": RUNS,
    "log_in": {"access", "runtime"},
    "register_queues": FENCES | TROUBLE | RUNS | {"queues", "jsonschema_rs"},
    "register_types": FENCES | TROUBLE | {"jsonschema_rs"},
    "reprocess_dead_letters": RUNS,
    "retry_messages": TROUBLE,
    "send_message": MESSAGES | {"send"},
    "show_docs": FENCES
    | TROUBLE
    | RUNS
    | {"access", "queues", "send", "jsonschema_rs"},  # the routes are in it, all of them
    "show_group": {"groups", "ledger", "messages", "runtime"},
    "show_message": TROUBLE,
    "show_queues": FENCES | TROUBLE | RUNS,
    "show_run": RUNS,
    "show_status": FENCES | TROUBLE,
    "show_types": FENCES | TROUBLE | {"jsonschema_rs"},
    # The others
    "consume_messages": FENCES | {"consume"},
    "conduct_run": RUNS,
    "note_run_ends": RUNS,
    "process_message": MESSAGES | {"retry"},
    "receive_large_dead_letters": RUNS,
    "recover_executions": FENCES | TROUBLE | RUNS | {"recovery"},
    "copy_audit": {"ledger", "runtime"},
    "validate_messages": RUNS,
    # What they share
    "acting": {"ledger", "messages", "runtime"},
    "api": {"runtime"},
    "bulk_answer": TROUBLE,
    "described": {"messages", "runtime"},
    "glossary": set(),
    "registered_glossary": set(),
    "page_query": set(),
    "queue_query": {"messages"},
    "readers": {"messages", "runtime"},
    "responses": set(),
    "run_record": RUNS,
    "trouble_query": {"messages", "runtime"},
    "unknown_input": {"runtime"},
}
# One interpreter for all, which forgets what is ours before each; other packages stay loaded.
TELL = """
import importlib, json, sys
found = {}
for name in sys.argv[1:]:
    for module in [m for m in sys.modules if m.split(".")[0] in ("workflows", "lambdas")]:
        del sys.modules[module]
    importlib.import_module(f"lambdas.{name}")
    packages = {m.split(".")[1] for m in sys.modules if m.startswith("workflows.")}
    # A library of 15 MB, which can be loaded once only; one module alone imports it.
    packages |= {"jsonschema_rs"} if "workflows.messages.schemas" in sys.modules else set()
    found[name] = sorted(packages)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def loaded():
    command = [sys.executable, "-c", TELL, *LOADED]
    told = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return {name: set(packages) for name, packages in json.loads(told.stdout).items()}


def test_each_module_is_looked_at():
    assert {path.stem for path in Path("lambdas").glob("[a-z]*.py")} == set(LOADED)


@pytest.mark.parametrize("name", LOADED)
def test_module_loads_just_what_it_needs(loaded, name):
    assert loaded[name] == LOADED[name]


# What takes long to load, and is not needed before the first request, or not at all.
LATE = {"boto3", "s3transfer"}
UNNEEDED = {
    "authorize_request": LATE | {"pydantic", "aws_lambda_powertools.utilities.parameters"},
    "consume_messages": LATE | {"aws_lambda_powertools.utilities.batch"},
    "log_in": LATE | {"aws_lambda_powertools.utilities.parameters"},
    "send_message": LATE,
}


@pytest.mark.parametrize("name", UNNEEDED)
def test_function_that_somebody_waits_for_loads_no_slow_package_it_does_not_need(name):
    code = f"import json, sys, lambdas.{name}; print(json.dumps(list(sys.modules)))"
    told = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    assert UNNEEDED[name] & set(json.loads(told.stdout)) == set()


def test_nothing_that_a_snapshot_would_freeze_is_made_while_a_function_is_loaded():
    """Neither clients with their connections and credentials, nor settings, nor the token key."""
    made = (
        "from workflows.access import tokens; from workflows.runtime import aws, settings;"
        " made = [aws.session, aws.dynamodb, aws.sqs, aws.stepfunctions, aws.functions,"
        " aws.secrets, aws.typed_dynamodb,"
        " settings.settings, tokens.key_store];"
        " print([one.__name__ for one in made if one.cache_info().currsize])"
    )
    modules = ", ".join(f"lambdas.{name}" for name in LOADED)
    told = subprocess.run(  # noqa: S603
        [sys.executable, "-c", f"import {modules}; {made}"],
        check=True,
        capture_output=True,
        text=True,
    )

    assert told.stdout.strip() == "[]"
