"""`template.yaml` and the machines: the pairs and the numbers that nothing else checks."""

import importlib
import json
import re
from dataclasses import fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonata import jsonata

from tests.statics import transformed
from tests.support.cloud import ENVIRONMENT
from tests.support.history import states_of
from tests.support.template import TEMPLATE, chosen, template, template_tables
from workflows import recovery
from workflows.groups import execution
from workflows.ledger import audit, trouble
from workflows.queues import permissions
from workflows.redrive import (
    canary,
    counters,
    course,
    in_flight,
    lane,
    outcome,
    runs,
    state_bytes,
    verdict,
)
from workflows.redrive.requests import Canary, RedriveRequest
from workflows.runtime import aws
from workflows.runtime.settings import Settings

STATE_BYTES = 262_144
RESOURCES = template()["Resources"]
GLOBALS = template()["Globals"]["Function"]
DEFAULTS = {name: entry.get("Default") for name, entry in template()["Parameters"].items()}
VARIABLES = GLOBALS["Environment"]["Variables"]


def of_type(kind):
    return {
        name: resource["Properties"]
        for name, resource in RESOURCES.items()
        if resource["Type"] == kind
    }


FUNCTIONS = of_type("AWS::Serverless::Function")
MACHINES = of_type("AWS::Serverless::StateMachine")
QUEUES = of_type("AWS::SQS::Queue")
TABLES = template_tables()


@cache
def definition(machine):
    return (TEMPLATE.parent / MACHINES[machine]["DefinitionUri"]).read_text()


def states(machine):
    return states_of(definition(machine))


def leads_to(state):
    """Return the names of the states that may follow one."""
    ways = [state, *state.get("Choices", []), *state.get("Catch", [])]
    return {way[name] for way in ways for name in ("Next", "Default") if name in way}


TASKS = [
    (machine, name)
    for machine in MACHINES
    for name, state in states(machine).items()
    if state["Type"] == "Task"
]


def tasks(machine):
    return [name for found, name in TASKS if found == machine]


def timeout(function):
    return FUNCTIONS[function].get("Timeout", GLOBALS["Timeout"])


# --- Pairs --------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
def test_substitutions_given_are_those_used(machine):
    used = set(re.findall(r"\$\{(\w+)\}", definition(machine)))

    assert used == set(MACHINES[machine]["DefinitionSubstitutions"])


def test_every_machine_file_belongs_to_a_machine():
    files = {f"statemachines/{path.name}" for path in Path("statemachines").iterdir()}

    machines = {machine["DefinitionUri"] for machine in MACHINES.values()}
    assert files == machines | {"statemachines/README.md"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_handler_exists_and_is_named_like_its_function(function):
    module, _, name = FUNCTIONS[function]["Handler"].rpartition(".")

    assert callable(getattr(importlib.import_module(module), name))
    noun = "".join(part.title() for part in module.rpartition(".")[2].split("_"))
    assert function == f"{noun}Function"


def test_every_module_with_a_handler_is_a_function():
    modules = {
        f"lambdas.{path.stem}.handler"
        for path in Path("lambdas").glob("*.py")
        if re.search("^def handler", path.read_text(), re.MULTILINE)
    }
    assert modules == {properties["Handler"] for properties in FUNCTIONS.values()}


def test_environment_is_what_the_settings_want():
    wanted = {one.name.upper() for one in fields(Settings)} - {"AWS_REGION"}  # Lambda's own
    types = "".join(path.read_text() for path in Path("workflows/messages").glob("*.py"))
    theirs = set(re.findall(r'environ\["(\w+)"\]', types))

    assert set(VARIABLES) == wanted | theirs
    assert set(ENVIRONMENT) >= wanted | theirs


@pytest.mark.parametrize(
    ("parameter", "field"),
    [
        ("MaxAttempts", "max_attempts"),
        ("MaxRedrives", "max_redrives"),
        ("MaxMessageBytes", "max_message_bytes"),
        ("TokenLifetimeSeconds", "token_lifetime_seconds"),
        ("WorkQueueRetentionSeconds", "work_queue_retention_seconds"),
        ("LedgerRetentionDays", "ledger_retention_days"),
    ],
)
@pytest.mark.parametrize("bound", ["MinValue", "MaxValue", "Default"])
def test_value_that_the_template_allows_the_settings_take(parameter, field, bound, environment):
    value = template()["Parameters"][parameter][bound]

    assert VARIABLES[field.upper()] == parameter
    assert getattr(Settings.of(environment | {field.upper(): str(value)}), field) == value


def test_numbers_that_people_tune_have_their_defaults():
    assert DEFAULTS["TokenLifetimeSeconds"] == 6 * 3_600
    assert DEFAULTS["RedriveScheduleState"] == "DISABLED"


@pytest.mark.parametrize(
    ("table", "indexes"),
    [
        ("MessagesTable", [trouble.TROUBLE_INDEX, outcome.RUN_INDEX]),
        ("RunsTable", [runs.BY_START_INDEX]),
        ("AuditTable", [audit.ACTOR_INDEX, audit.MESSAGE_INDEX]),
    ],
)
def test_indexes_that_the_code_asks_are_there(table, indexes):
    assert [found["IndexName"] for found in TABLES[table]["GlobalSecondaryIndexes"]] == indexes


def test_no_index_copies_bodies_or_journeys():
    indexes = {
        found["IndexName"]: found["Projection"]
        for found in TABLES["MessagesTable"]["GlobalSecondaryIndexes"]
    }

    assert indexes["RunIndex"]["NonKeyAttributes"] == ["redrive_mark"]
    assert indexes[trouble.TROUBLE_INDEX]["ProjectionType"] == "INCLUDE"
    columns = set(indexes[trouble.TROUBLE_INDEX]["NonKeyAttributes"])
    assert not {"body", "original_body", "journey"} & columns


def test_progress_of_a_run_writes_no_index():
    (index,) = TABLES["RunsTable"]["GlobalSecondaryIndexes"]

    assert index["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["held_by"]}


def test_every_verdict_is_counted():
    assert {*lane.DEALT_WITH, "left"} == {*get_args(verdict.Kind)}
    assert {*lane.DEALT_WITH.values()} < {*counters.COUNTED}


# --- Numbers ------------------------------------------------------------------------------


def test_message_is_invisible_for_six_times_the_consumer_s_time():
    assert QUEUES["WorkQueue"]["VisibilityTimeout"] >= 6 * timeout("ConsumeMessagesFunction")


def test_claim_outlives_its_worker_and_not_the_message_s_visibility():
    lease = VARIABLES["CLAIM_LEASE_SECONDS"]

    assert timeout("ConsumeMessagesFunction") <= lease < QUEUES["WorkQueue"]["VisibilityTimeout"]


def test_sweep_ends_a_fence_that_it_began_in_time_and_has_most_of_its_time_for_them():
    config: Any = aws._CONFIG
    tries = config.retries["total_max_attempts"]
    # Of the standard mode, whose pauses are at most 1 s, 2 s, 4 s …
    pauses = 2 ** (tries - 1) - 1
    call = tries * (config.connect_timeout + config.read_timeout) + pauses

    assert 3 * call < recovery.RESERVE_SECONDS < timeout("RecoverExecutionsFunction") / 2


def test_run_lease_outlives_a_batch_a_leg_and_each_wait():
    """Prolonged with each wave by the lane, and after each leg and each wait by DecideNext."""
    lease = VARIABLES["RUN_LEASE_SECONDS"]
    lane_machine = json.loads(definition("RedriveLaneStateMachine"))
    tasks = [one for one in lane_machine["States"].values() if one["Type"] == "Task"]
    decides = states("RedriveStateMachine")["DecideNext"]["TimeoutSeconds"]
    longest_watch = Canary.model_fields["watch_seconds"].metadata[1].le
    look = -(-longest_watch // canary._LOOKS_A_WATCH)

    assert lease > 6 * max(task["TimeoutSeconds"] for task in tasks)
    assert lease > lane_machine["TimeoutSeconds"] + decides
    assert lease > max(look, course._VISIBILITY_SECONDS, course._LOOK_SECONDS) + decides


def test_what_a_run_leaves_stays_in_flight_for_hours_and_is_noted_while_it_can_be():
    legs = json.loads(definition("RedriveLaneStateMachine"))["TimeoutSeconds"]

    assert 8 * 3_600 < in_flight.LEFT_SECONDS < 12 * 3_600 - legs  # SQS's own limit
    assert QUEUES["DeadLetterQueue"]["MessageRetentionPeriod"] == in_flight._NOTED_SECONDS


def test_comments_of_the_redrive_tell_the_numbers_that_it_uses():
    assert "lane.over_because" in states("RedriveLaneStateMachine")["MoreToDo"]["Comment"]
    assert "The queue was empty twice." in Path("workflows/redrive/lane.py").read_text()
    assert lane.EMPTY_POLLS == 2
    assert "or else SQS nine hours after" in Path("lambdas/conduct_run.py").read_text()
    assert in_flight.LEFT_SECONDS == 9 * 3_600


def test_round_of_all_lanes_of_which_every_task_is_tried_again_has_room_in_the_history():
    """Of the 25,000 events that end an execution."""
    most = states("RedriveStateMachine")["RunLanes"]["MaxConcurrency"]
    tried_again = 3 * sum(
        entry["MaxAttempts"] for entry in states("RedriveStateMachine")["RunLane"]["Retry"]
    )
    round_of_all = course._EVENTS_OF_A_ROUND + most * (course._EVENTS_OF_A_LEG + tried_again)

    assert course._MOST_EVENTS + round_of_all < 25_000


def test_no_run_has_more_lanes_than_work_side_by_side():
    """An inline Map has 40 items at work at most."""
    most = states("RedriveStateMachine")["RunLanes"]["MaxConcurrency"]
    limits = [
        template()["Parameters"]["RedriveLanes"]["MaxValue"],
        RedriveRequest.model_fields["lanes"].metadata[1].le,
        {one.name: one for one in fields(Settings)}["redrive_lanes"].metadata["bounds"][1],
    ]

    assert limits == [most] * 3 == [40] * 3


def test_run_has_time_for_as_many_legs_and_looks_as_its_history_has_room():
    limit = json.loads(definition("RedriveStateMachine"))["TimeoutSeconds"]
    leg = json.loads(definition("RedriveLaneStateMachine"))["TimeoutSeconds"]
    longest_watch = Canary.model_fields["watch_seconds"].metadata[1].le
    look = -(-longest_watch // canary._LOOKS_A_WATCH)

    assert course._MOST_EVENTS / (course._EVENTS_OF_A_ROUND + course._EVENTS_OF_A_LEG) * leg < limit
    assert course._MOST_EVENTS / course._EVENTS_OF_A_WAIT * look < limit


def received_for():
    """Return for how many seconds a lane has what it receives."""
    arguments = states("RedriveLaneStateMachine")["ReceiveDeadLetters"]["Arguments"]
    (found,) = re.findall(r'"VisibilityTimeout": (\d+)', arguments)
    return int(found)


def test_message_that_could_not_be_received_is_waited_for_as_long_as_it_is_in_flight():
    assert received_for() <= course._VISIBILITY_SECONDS


def test_dead_letter_outlasts_a_batch_of_a_redrive():
    receive = states("RedriveLaneStateMachine")["ReceiveDeadLetters"]

    assert received_for() == QUEUES["DeadLetterQueue"]["VisibilityTimeout"]
    assert receive["TimeoutSeconds"] > template()["Parameters"]["DeadLetterPollSeconds"]["MaxValue"]


@pytest.mark.parametrize(
    ("machine", "state", "function"),
    [
        ("RetryStateMachine", "ProcessMessage", "ProcessMessageFunction"),
        ("RedriveLaneStateMachine", "ValidateMessages", "ValidateMessagesFunction"),
        ("RedriveStateMachine", "BeginRun", "ConductRunFunction"),
        ("RedriveStateMachine", "DecideNext", "ConductRunFunction"),
        ("RedriveStateMachine", "FinishRun", "ConductRunFunction"),
        ("RedriveStateMachine", "FailRun", "ConductRunFunction"),
    ],
)
def test_machine_waits_longer_than_its_function_runs(machine, state, function):
    assert states(machine)[state]["TimeoutSeconds"] > timeout(function)


def test_functions_of_the_api_answer_before_it_gives_up():
    for function, properties in FUNCTIONS.items():
        if any(event["Type"] == "Api" for event in properties.get("Events", {}).values()):
            assert timeout(function) <= 29, function


def slowest(task):
    """Return the seconds of a task of which each try, and each pause between two, takes longest."""
    pauses = [
        min(entry["IntervalSeconds"] * entry["BackoffRate"] ** n, entry["MaxDelaySeconds"])
        for entry in task["Retry"]  # each has a count of its own
        for n in range(entry["MaxAttempts"])
    ]
    return sum(pauses) + (len(pauses) + 1) * task["TimeoutSeconds"]


def test_every_wait_of_the_retry_machine_is_a_step_that_it_counts():
    found = states("RetryStateMachine")
    waits = [name for name, state in found.items() if state["Type"] == "Wait"]
    before = [name for name in found if set(waits) & leads_to(found[name])]
    hand_over = found["AnyParked"]["Choices"][0]

    assert (waits, before) == (["WaitBackoff"], ["GuardLoop"])
    assert found["GuardLoop"]["Assign"]["steps"] == "{% $steps + 1 %}"
    assert "attempts < :limit" in found["GuardLoop"]["Arguments"]["ConditionExpression"]
    counting = {name for name in found if "steps" in found[name].get("Assign", {})}
    assert counting == {"StartGroup", "GuardLoop", "PromoteParked", "DropParked"}
    assert [name for name in found if "PromoteParked" in leads_to(found[name])] == ["AnyParked"]
    assert hand_over["Next"] == "StartSuccessor"  # asked before a message is promoted, always


def test_retry_machine_lives_longer_than_all_its_waits():
    """An execution brings back one message after another, and each may take all its attempts."""
    most = {name: entry.get("MaxValue") for name, entry in template()["Parameters"].items()}
    found = states("RetryStateMachine")
    (steps,) = re.findall(r"\$steps >= (\d+)", found["AnyParked"]["Choices"][0]["Condition"])
    # Asked between messages only: the one that began a step earlier takes all its attempts.
    waits = int(steps) - 1 + most["MaxAttempts"]
    seconds = found["WaitBackoff"]["Seconds"].replace("$random()", "0.999999999")
    for name in ("BackoffCapSeconds", "BackoffBaseSeconds"):
        seconds = seconds.replace("${" + name + "}", str(most[name]))
    longest = evaluate("RetryStateMachine", seconds, attempts=most["MaxAttempts"])
    tasks = sum(slowest(state) for state in found.values() if state["Type"] == "Task")

    assert longest == most["BackoffCapSeconds"]
    limit = json.loads(definition("RetryStateMachine"))["TimeoutSeconds"]
    assert waits * (longest + tasks) <= limit < 365 * 86_400  # Step Functions' own limit


@pytest.mark.parametrize(
    "way",
    [
        ["PromoteParked", "ProcessMessage", "InspectMessage", "ValidateMessage", "DeadLetter",
         "MarkDead", "HoldOrContinue", "NextParked", "AnyParked", "PromoteParked"],
        ["GuardLoop", "WaitBackoff", "ProcessMessage", "InspectMessage", "ValidateMessage",
         "GuardLoop"],
        ["DropParked", "NextParked", "AnyParked", "PromoteParked", "DropParked"],
    ],
    ids=["parked messages that are invalid", "attempts", "parked messages that are settled"],
)  # fmt: skip
def test_steps_of_a_retry_leave_room_for_a_failed_try_of_each_task_before_its_history_is_full(way):
    """An execution ends at its 25,000th event.

    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    """
    found = states("RetryStateMachine")
    (steps,) = re.findall(r"\$steps >= (\d+)", found["AnyParked"]["Choices"][0]["Condition"])

    assert all(following in leads_to(found[name]) for name, following in pairwise(way))
    # Entered and exited; a task is scheduled, started, and succeeds or fails each time.
    events = sum(2 + 2 * 3 * (found[name]["Type"] == "Task") for name in way[1:])
    assert int(steps) * events < 25_000


@pytest.mark.usefixtures("environment")
def test_execution_names_of_every_redrive_fit():
    most = template()["Parameters"]["MaxRedrives"]["MaxValue"]
    name = execution.execution_arn("m" * 120, most, 9_999).rpartition(":")[2] + "-s999"

    assert len(name) <= 80


# --- Queues and tables --------------------------------------------------------------------


@pytest.mark.parametrize("queue", ["WorkQueue", "DeadLetterQueue"])
def test_queue_is_fifo_and_limited(queue):
    assert QUEUES[queue]["FifoQueue"] is True
    condition, own, derived = QUEUES[queue]["QueueName"]
    assert (condition, own) == (f"Name{queue}", f"{queue}Name")
    assert derived.startswith("${AWS::StackName}-")
    assert derived.endswith(".fifo")
    pattern = template()["Parameters"][own]["AllowedPattern"]
    assert re.fullmatch(pattern, "main_queue.fifo")
    assert re.fullmatch(pattern, "")
    assert not re.fullmatch(pattern, "main_queue")
    assert not re.fullmatch(pattern, f"{'q' * 76}.fifo")  # SQS takes 80 characters
    assert QUEUES[queue]["MaximumMessageSize"] == "MaxMessageBytes"
    assert QUEUES[queue]["DeduplicationScope"] == "messageGroup"
    assert "ContentBasedDeduplication" not in QUEUES[queue]


def test_third_receive_is_the_last_and_the_dead_letter_queue_keeps_fourteen_days():
    policy = QUEUES["WorkQueue"]["RedrivePolicy"]

    assert policy == {"deadLetterTargetArn": "DeadLetterQueue.Arn", "maxReceiveCount": 3}
    assert QUEUES["DeadLetterQueue"]["MessageRetentionPeriod"] == 14 * 86_400


def test_retention_that_the_sweep_goes_by_is_that_of_the_work_queue():
    kept = QUEUES["WorkQueue"]["MessageRetentionPeriod"]

    assert kept == VARIABLES["WORK_QUEUE_RETENTION_SECONDS"] == "WorkQueueRetentionSeconds"


def test_consumer_takes_ten_and_reports_what_failed():
    mapping = of_type("AWS::Lambda::EventSourceMapping")["ConsumeMessagesFunctionWorkQueue"]

    assert mapping["FunctionName"] == "ConsumeMessagesFunction"
    assert (mapping["EventSourceArn"], mapping["BatchSize"]) == ("WorkQueue.Arn", 10)
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert "FilterCriteria" not in mapping  # it deletes what it rejects


@pytest.mark.parametrize("table", TABLES)
def test_table_is_recoverable_encrypted_on_demand_and_kept(table):
    properties = TABLES[table]

    assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert properties["SSESpecification"]["SSEEnabled"] is True
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert RESOURCES[table]["DeletionPolicy"] == RESOURCES[table]["UpdateReplacePolicy"] == "Retain"


def test_only_rows_that_may_be_forgotten_expire():
    expiring = {name for name in TABLES if "TimeToLiveSpecification" in TABLES[name]}

    assert expiring == {"MessagesTable", "RunsTable", "UsersTable"}
    for name in expiring:
        assert TABLES[name]["TimeToLiveSpecification"] == {
            "AttributeName": "expires_at", "Enabled": True,
        }  # fmt: skip


def test_ledger_remembers_longer_than_a_message_can_live_on_both_queues():
    parameters = template()["Parameters"]
    longest = parameters["WorkQueueRetentionSeconds"]["MaxValue"] / 86_400 + 14

    assert parameters["LedgerRetentionDays"]["MinValue"] > longest


def test_functions_are_built_small_and_for_one_platform():
    assert (GLOBALS["Runtime"], GLOBALS["Architectures"]) == ("python3.13", ["arm64"])
    for function in FUNCTIONS:
        assert RESOURCES[function]["Metadata"] == {"BuildMethod": "makefile"}


def statements(properties, *, more_queues=True):
    names = ("RedriveQueues", "RedriveQueueKeys", "RedrivePayloadBuckets", "EffectFunctions")
    conditions = dict.fromkeys((*names, "HasDemoType"), more_queues)
    for policy in chosen(properties.get("Policies", []), conditions):
        found = policy.get("Statement", [])
        yield from found if isinstance(found, list) else [found]


def test_sam_adds_no_permission_but_to_write_logs_and_traces():
    """What it adds stands in no policy here; for an SQS event, all queues of an account."""
    roles = {
        name: resource["Properties"].get("ManagedPolicyArns", [])
        for name, resource in transformed.resources().items()
        if resource["Type"] == "AWS::IAM::Role"
    }
    added = {arn.rpartition("/")[2] for arns in roles.values() for arn in arns}

    assert roles.keys() >= {f"{name}Role" for name in FUNCTIONS | MACHINES}
    assert added == {"AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}


def allowed_on(table):
    """Return what each role may do with a table or its indexes, by its function or machine."""
    allowed: dict[str, set[str]] = {}
    for name, properties in (FUNCTIONS | MACHINES).items():
        for statement in statements(properties):
            if table in json.dumps(statement["Resource"]):
                actions = statement["Action"]
                actions = {actions} if isinstance(actions, str) else set(actions)
                allowed.setdefault(name, set()).update(actions)
    return allowed


def acts(properties):
    module = properties["Handler"].removesuffix(".handler").replace(".", "/")
    return "acting(" in Path(f"{module}.py").read_text()


_OF_A_STREAM = {"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"}


def test_copy_of_the_audit_is_made_where_there_is_a_bucket_alone():
    """Its function may add objects, and read the stream of the table and nothing else of it."""
    made = ["CopyAuditFunction", "CopyAuditFunctionAuditTable"]
    resources = template()["Resources"]

    assert [resources[name]["Condition"] for name in made] == ["CopyAudit"] * 2
    condition, streaming, _ = TABLES["AuditTable"]["StreamSpecification"]
    assert (condition, streaming) == ("CopyAudit", {"StreamViewType": "NEW_AND_OLD_IMAGES"})
    mapping = of_type("AWS::Lambda::EventSourceMapping")["CopyAuditFunctionAuditTable"]
    assert mapping["EventSourceArn"] == "AuditTable.StreamArn"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert "Enabled" not in mapping


def test_no_role_can_change_or_delete_an_audit_record():
    allowed = allowed_on("AuditTable")

    for name, actions in allowed.items():
        reading = {"dynamodb:Query"} if name != "CopyAuditFunction" else _OF_A_STREAM
        assert actions <= {"dynamodb:PutItem", "dynamodb:PartiQLInsert"} | reading, name
    assert "TimeToLiveSpecification" not in TABLES["AuditTable"]
    policies = [p for found in FUNCTIONS.values() for p in found.get("Policies", [])]
    for policy in chosen(policies, {"RedrivePayloadBuckets": True}):
        assert not any(name.startswith("DynamoDB") for name in policy)  # SAM's own allow too much


def test_every_function_that_acts_may_record_it_and_no_other_one():
    allowed = allowed_on("AuditTable")
    writing = {name for name in FUNCTIONS if "dynamodb:PutItem" in allowed.get(name, ())}

    # A run accounts for itself; whoever finds one that ended without a word does so for it.
    finding = {"ShowRunFunction", "ListRunsFunction", "RecoverExecutionsFunction"}
    finding |= {"ConductRunFunction"}
    acting = {name for name in FUNCTIONS if acts(FUNCTIONS[name])}
    assert acting >= {"ReprocessDeadLettersFunction", "CancelRunFunction"}
    assert writing == acting | finding
    assert allowed["ListAuditFunction"] == {"dynamodb:Query"}


def test_star_stands_only_where_there_is_no_resource():
    for name, properties in (FUNCTIONS | MACHINES).items():
        for statement in statements(properties):
            actions = statement["Action"]
            actions = [actions] if isinstance(actions, str) else actions
            assert not any("*" in action for action in actions), name
            if statement["Resource"] == "*":
                assert all(a.split(":")[0] in ("logs", "cloudwatch") for a in actions), name


def allowed_where(resource, *, more_queues):
    """Return what each role may do where its statements name a resource."""
    return {
        (name, action)
        for name, properties in (FUNCTIONS | MACHINES).items()
        for statement in statements(properties, more_queues=more_queues)
        if resource in json.dumps(statement["Resource"])
        for action in listed(statement["Action"])
    }


def listed(value):
    return value if isinstance(value, list) else [value]


def test_who_redrives_may_do_with_registered_queues_what_it_may_with_its_own_and_no_more():
    """And whoever registers one all of that, because it asks for it."""
    registered = allowed_where("RedriveQueueArns", more_queues=True)
    asking = {action for name, action in registered if name == "RegisterQueuesFunction"}
    # These two know the queue that the API sends to, and no other one.
    own = {"SendMessageFunction", "ConsumeMessagesFunction"}
    built_in = {
        (name, action)
        for queue in ("WorkQueue.Arn", "DeadLetterQueue.Arn")
        for name, action in allowed_where(queue, more_queues=False)
        if name not in own
    }

    # How much the built-in queue takes is a setting.
    editing = {("EditMessagesFunction", permissions.READ)}
    registering = {("RegisterQueuesFunction", action) for action in asking}
    assert registered == built_in | editing | registering
    assert asking == {action for _, action in built_in}
    assert asking == {permissions.READ, *permissions.SENDING, *permissions.TAKING}


def test_no_role_may_touch_a_queue_or_a_key_that_no_parameter_names():
    assert allowed_where("RedriveQueue", more_queues=False) == set()
    assert DEFAULTS["RedriveQueueArns"] == DEFAULTS["RedriveQueueKeyArns"] == ""
    for name, condition in template()["Conditions"].items():
        if name.startswith("RedriveQueue"):
            (equal,) = condition
            assert equal == [f"{name.removesuffix('s')}Arns", ""]


def test_who_sends_to_registered_queues_or_receives_from_them_may_use_their_keys():
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    using = allowed_where("RedriveQueueKeyArns", more_queues=True)
    moving = {
        name
        for name, action in allowed_where("RedriveQueueArns", more_queues=True)
        if action in ("sqs:SendMessage", "sqs:ReceiveMessage") and name != "RegisterQueuesFunction"
    }

    # Whoever reads what they point to needs the keys of the buckets.
    reading = {name for name, _ in allowed_where("RedrivePayloadBucketArns", more_queues=True)}
    assert using == {(name, action) for name in moving for action in permissions.KEY} | {
        (name, "kms:Decrypt") for name in reading
    }


def test_who_looks_into_bodies_may_read_what_they_point_to_and_nobody_else():
    looking = {
        f"{name}Function"
        for name in (
            "DiscardMessages", "RetryMessages", "EditMessages", "ReprocessDeadLetters",
            "ValidateMessages", "ReceiveLargeDeadLetters",
        )
    }  # fmt: skip
    may = {(name, action) for name in looking for action in permissions.PAYLOADS}

    assert allowed_where("RedrivePayloadBucketArns", more_queues=True) == may
    assert {action for _, action in may} == set(permissions.PAYLOADS)
    assert DEFAULTS["RedrivePayloadBucketArns"] == ""
    assert allowed_where("RedrivePayloadBucketArns", more_queues=False) == set()
    reads = [
        statement["Resource"]
        for statement in statements(FUNCTIONS["ValidateMessagesFunction"], more_queues=True)
        if statement["Action"] == "s3:GetObject"
    ]
    # By AWS's documentation the one is of objects and the other of the bucket.
    assert [resource[1][0] for resource in reads] == ["${Objects}/*"]


def test_functions_are_invoked_where_effects_are_had_and_asked_for_where_types_are_registered():
    may = {"lambda:InvokeFunction"}
    where = ("ConsumeMessagesFunction", "ProcessMessageFunction", "RegisterTypesFunction")

    assert allowed_where("EffectFunctionArns", more_queues=True) == {
        (name, action) for name in where for action in may
    }
    assert DEFAULTS["EffectFunctionArns"] == ""
    assert allowed_where("EffectFunctionArns", more_queues=False) == set()


# --- Machines -----------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
def test_machine_is_standard_logged_without_bodies_and_traced(machine):
    properties = MACHINES[machine]

    kind = properties["Type"]
    assert kind == ("RedriveLaneType" if machine == "RedriveLaneStateMachine" else "STANDARD")
    assert DEFAULTS.get(kind, kind) == "STANDARD"
    assert properties["Tracing"]["Enabled"] is True
    assert properties["Logging"]["Level"] == "ALL"
    assert properties["Logging"]["IncludeExecutionData"] is False
    assert json.loads(definition(machine))["QueryLanguage"] == "JSONata"
    assert json.loads(definition(machine))["TimeoutSeconds"] > 0


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_task_has_a_time_limit_and_a_bounded_jittered_retry(machine, name):
    state = states(machine)[name]

    assert state["TimeoutSeconds"] > 0
    assert any(retrier.get("MaxAttempts") != 0 for retrier in state["Retry"])
    for retrier in state["Retry"]:
        if retrier.get("MaxAttempts") != 0:
            assert retrier["JitterStrategy"] == "FULL"
            assert 1 <= retrier["MaxAttempts"] <= 10
            assert retrier["MaxDelaySeconds"] <= 60


@pytest.mark.parametrize("name", tasks("RedriveLaneStateMachine"))
def test_what_carries_bodies_catches_by_name_what_is_too_large(name):
    """`States.ALL` does not catch it; every other task carries ids, handles and numbers."""
    state = states("RedriveLaneStateMachine")[name]
    mentions = r"\bBody\b|\{% \$batch %\}|result\.(Payload\.)?Messages\b"
    bodies = re.search(mentions, json.dumps(state)) is not None

    assert bodies == (name in {
        "ReceiveDeadLetters", "ReceiveLargeDeadLetters", "ValidateMessages", "GuardLoop",
        "RedriveMessages",
    })  # fmt: skip
    assert bodies == (state["Catch"][0]["ErrorEquals"] == ["States.DataLimitExceeded"])
    if bodies:
        at_once = {"ErrorEquals": ["States.DataLimitExceeded"], "MaxAttempts": 0}
        assert state["Retry"][0] == at_once


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_a_failed_condition_is_an_answer_and_never_tried_again(machine, name):
    state = states(machine)[name]
    caught = {error for catcher in state.get("Catch", []) for error in catcher["ErrorEquals"]}
    conditions = {error for error in caught if "ConditionalCheck" in error}
    at_once = {
        error
        for retrier in state["Retry"]
        if retrier.get("MaxAttempts") == 0
        for error in retrier["ErrorEquals"]
    }
    assert conditions <= at_once
    if '"ConditionExpression"' in json.dumps(state):
        assert conditions or "DynamoDb.TransactionCanceledException" in caught
    # Each integration has a prefix of its own:
    # https://docs.aws.amazon.com/step-functions/latest/dg/connect-ddb.html
    prefix = "DynamoDb" if ":aws-sdk:" in state["Resource"] else "DynamoDB"
    assert conditions <= {f"{prefix}.ConditionalCheckFailedException"}


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_no_optimized_dynamodb_task_passes_a_map_or_a_list(machine, name):
    """AWS: "You cannot pass a map or list to DynamoDB inside a map". The engines here take them.

    https://docs.aws.amazon.com/step-functions/latest/dg/connect-ddb.html says so in some editions.
    """
    state = states(machine)[name]
    # As they stand, or inside an expression.
    nested = re.search(r'"[ML]\\*":', json.dumps(state["Arguments"])) is not None

    assert not (nested and ":::dynamodb:" in state["Resource"])


@pytest.mark.parametrize(("machine", "name"), TASKS)
def test_a_cancelled_transaction_may_be_a_conflict_and_is_soon_tried_again(machine, name):
    state = states(machine)[name]
    if state["Resource"].endswith(":transactWriteItems"):
        first = state["Retry"][0]
        assert first["ErrorEquals"] == ["DynamoDb.TransactionCanceledException"]
        assert 1 <= first["MaxAttempts"] <= 2
        assert first["MaxDelaySeconds"] <= 20


@pytest.mark.parametrize("name", tasks("RedriveStateMachine"))
def test_whatever_goes_wrong_in_a_run_frees_the_lock_or_is_for_the_sweep(name):
    last = states("RedriveStateMachine")[name]["Catch"][-1]

    assert last["ErrorEquals"] == ["States.ALL"]
    assert last["Next"] == {"RunLane": "LegUnanswered", "FailRun": "RunFailed"}.get(name, "FailRun")


@pytest.mark.parametrize("name", tasks("RedriveLaneStateMachine"))
def test_whatever_goes_wrong_in_a_leg_gives_its_batch_back_and_is_told_to_the_run(name):
    found = states("RedriveLaneStateMachine")
    last = found[name]["Catch"][-1]
    gives_back = "GiveBackDeadLetters"

    assert last["ErrorEquals"] == ["States.ALL"]
    goes_on = {gives_back: "SettleLeg", "SettleLeg": "LegOver"}
    assert last["Next"] == goes_on.get(name, gives_back)
    assert ("failure" in last.get("Assign", {})) == (name not in goes_on)
    assert leads_to(found[gives_back]) == {"SettleLeg"}
    told = found["LegOver"]["Output"]["told"]
    assert told == found["SettleLeg"]["Arguments"]["Payload"]["leg"]
    assert "failure" in told


def test_delete_comes_after_send_and_guard_before_it():
    found = states("RedriveLaneStateMachine")

    assert leads_to(found["RedriveMessages"]) == {"DeleteDeadLetters", "GiveBackDeadLetters"}
    assert [name for name in found if "RedriveMessages" in leads_to(found[name])] == [
        "AnyToRedrive"
    ]
    assert [name for name in found if "AnyToRedrive" in leads_to(found[name])] == ["GuardLoop"]


@pytest.mark.parametrize("machine", MACHINES)
def test_no_expression_is_ever_built_from_data(machine):
    # Step Functions' own $parse reads JSON: what an Express lane answers, which is ours.
    answers = {"RedriveStateMachine": ["$parse($states.result.Output)"]}
    found = re.findall(r"\$(?:parse|eval)\b[^)]*\)", definition(machine))

    assert found == answers.get(machine, [])


# --- Sizes --------------------------------------------------------------------------------


@cache
def compiled(machine, expression):
    text = expression.removeprefix("{%").removesuffix("%}")
    for name, given_value in MACHINES[machine]["DefinitionSubstitutions"].items():
        # The longest name that CloudFormation makes of a stack's, a table's and a random part.
        value = DEFAULTS.get(name) or (given_value if isinstance(given_value, int) else "x" * 100)
        text = text.replace("${" + name + "}", str(value))
    return jsonata.Jsonata(text)


def evaluate(machine, expression, **variables):
    found = compiled(machine, expression)
    frame = found.create_frame()
    for name, value in variables.items():
        frame.bind(name, value)
    return found.evaluate(None, frame)


def test_ten_messages_of_the_default_size_fit_a_state_with_every_byte_escaped():
    escaped = len(json.dumps('"' * DEFAULTS["MaxMessageBytes"])) - 2

    assert escaped == 2 * DEFAULTS["MaxMessageBytes"]
    assert 10 * (escaped + state_bytes._AROUND_BYTES) < STATE_BYTES
    assert state_bytes.batch_size(DEFAULTS["MaxMessageBytes"], {}) == 10


def longest_verdict(index):
    """Return the verdict on a letter of the most bytes that are not its body's."""
    return {
        "verdict": "quarantine", "index": index, "wave": 0, "group": "g" * 120,
        "group_id": "g" * 120, "known": False,
        "unnoted": True, "dead_at": "2026-11-24T12:00:00.000Z",
        "ledger_id": f"{index:i>128}", "redrives": 25, "redrive_limit": 25, "attempts_total": 1_000,
        "reason": {"type": "RedriveLimitReached", "message": "m" * 256, "template": "t" * 64},
        "type": "transaction",
        "first_sent_at": "2026-11-24T12:00:00.123Z", "payload_hash": "h" * 64,
        "trace_id": "t" * 128,
    }  # fmt: skip


def test_retry_machine_reads_of_a_row_what_it_uses_and_so_one_body():
    found = states("RetryStateMachine")["InspectMessage"]["Arguments"]
    columns = set(found["ExpressionAttributeNames"].values())

    used = re.findall(r"(?:\$row|\$states\.result\.Item)\.(\w+)", definition("RetryStateMachine"))
    assert columns == set(used)
    assert found["ProjectionExpression"] == ", ".join(found["ExpressionAttributeNames"])
    longest = template()["Parameters"]["MaxMessageBytes"]["MaxValue"]
    assert 2 * longest + 3_000 < STATE_BYTES
