"""What carries bodies through a lane fits a state, and what a run carries, at its longest.

MiniStack limits no state's size, and moto's limit is met by what a test sends, never by the longest
of everything at once. So the bytes are counted here: the arguments by the shipped expressions, the
results as the services answer. The sizes are those of compact JSON.
"""

import json
import re
import sys
from functools import cache
from typing import Any

import pytest

from tests.statics.test_template import STATE_BYTES, evaluate, longest_verdict, states
from tests.support.cloud import forget
from tests.support.template import template
from workflows.messages.carried import Carried
from workflows.messages.envelope import InvalidEnvelope
from workflows.messages.limits import ATTRIBUTE_RESERVE_BYTES
from workflows.messages.reasons import reason_of
from workflows.queues.letters import identity_attribute
from workflows.queues.queue import Queue
from workflows.redrive import batch, lane, leg_executions, state_bytes
from workflows.redrive.columns import Turn
from workflows.redrive.counters import COUNTED
from workflows.redrive.lane import Asked, Guarded, Lane
from workflows.redrive.requests import RedriveRequest
from workflows.redrive.run import Run
from workflows.redrive.verdict import Verdict

FILTER = {
    "message_ids": [f"{n:036}" for n in range(100)],  # as many as there may be
    "payload": {"merchant.country": "x" * 60, "currency": "EUR"},
    "jmespath": "amount > `100` && " * 20 + "kind == 'debit'",
}
REQUESTS = ["{}", json.dumps({"filter": FILTER})]
RUN_ID = "r" * 80
EXECUTION = f"arn:aws-us-gov:states:us-gov-west-1:123456789012:execution:{'m' * 80}:{'e' * 80}"
CONTEXT = {"context": {"Execution": {"Id": EXECUTION}}}
# Whose names and URLs are as long as they may be.
_URL = f"https://sqs.us-gov-west-1.amazonaws.com/123456789012/{'n' * 80}"
_ARN = f"arn:aws-us-gov:sqs:us-gov-west-1:123456789012:{'n' * 80}"
REGISTERED = Queue(
    "q" * 64, _URL, _URL, source_arn=_ARN, dead_letter_arn=_ARN, fifo=False, destination="d" * 64
)
QUEUE = Queue("default", _URL, _URL)
LANE_MACHINE = "RedriveLaneStateMachine"


def ids(count):
    """Return messages of the longest ids that were guarded under the largest number."""
    return [Guarded(id=f"{number:c>120}", redrives=25) for number in range(count)]


def a_lane(asked=0, settling=lane._MOST_UNSETTLED):
    """Return a lane of which all is as long as it may be, with so many messages to settle."""
    found = Lane(
        number=99, leg=99_999, size=10, turns=999_999, polls=999_999, records=999_999,
        counts=dict.fromkeys(COUNTED, 1_000_000), may_receive=1_000_000, may_redrive=1_000_000,
        rate=2_999.5,
        asked=[
            Asked(verdict="quarantine", id=f"{number:a>128}", redrives=25, after="9")
            for number in range(asked)
        ],
        unsent=ids(settling), sent_at=1_800_000_000_000, window=2_000, gap=10_000, empty_polls=2,
        refusals=5, waves_left=300, until=1_800_000_000, poll=10,
    )  # fmt: skip
    found.name = leg_executions.leg_name(RUN_ID, found.number, found.leg)
    found.attempt_id = f"{'s' * 53}-99-999999"
    found.mark = f"{RUN_ID}#99.999999"
    return found


def laden(size):
    """Return a lane with as much as it may carry beside as many messages as fit at once.

    With more it asks for one message less, which makes room for many times what it may carry.
    """
    found = a_lane(size, 0)
    found.size = size
    while fits_whole(found) and len(found.unsent) < lane._MOST_UNSETTLED - 10:
        found.unsent = ids(len(found.unsent) + 1)
    while not fits_whole(found):
        (found.unsent or found.asked).pop()
    return found


def fits_whole(found):
    """Tell whether a batch beside what a lane carries need not be smaller."""
    carried = ((one.id for one in part) for part in (found.asked, found.unsent))
    return state_bytes.room_for(found.size, *carried) == found.size


def attribute(value):
    return {"DataType": "String", "StringValue": value}


# SQS takes ten, and their names, types and values count as size of the message: the ten of the
# fewest bytes leave the most to the body, and each is written with more around it.
TEN = {name: attribute('"') for name in "abcdefghij"}
# As long as the one that X-Ray's documentation shows with a lineage.
TRACE = "t" * 117
OURS = {"ReasonType": attribute("T" * 64), "ReasonMessage": attribute('"' * 256)}


def size(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def quotes(count: int) -> str:
    """Return so many bytes, each of which JSON must escape."""
    return '"' * count


def room_beside(attributes):
    return sum(
        len(name) + len(entry["DataType"]) + len(entry["StringValue"])
        for name, entry in attributes.items()
    )


def letters(maximum, count, attributes):
    """Return what SQS hands out: the longest messages that a queue of that size takes."""
    return [
        {
            "MessageId": "m" * 36,
            "ReceiptHandle": "h" * 1_024,
            "Md5OfBody": "5" * 32,
            "Md5OfMessageAttributes": "5" * 32,
            "Body": quotes(maximum - room_beside(attributes)),
            "Attributes": {
                "MessageGroupId": quotes(128),
                "SentTimestamp": "1" * 13,
                "AWSTraceHeader": TRACE,
            },
            "MessageAttributes": attributes,
        }
    ] * count


# Of what is no message of ours: SQS takes any punctuation in the name of a group, and the reason
# may name what the body holds. The ids are SQS's.
FOREIGN = {
    "group": quotes(128),
    "group_id": quotes(128),
    "ledger_id": f"sqs:{'m' * 36}",
    "trace_id": "m" * 36,
    "type": "foreign",
    "reason": reason_of(InvalidEnvelope(quotes(300))) | {"template": "t" * 48},
}
# Of ours: the names in the envelope are as long as they may be, and need no escape; a reason
# that the ledger has from elsewhere may.
OWN = {
    "group": "g" * 120,
    "group_id": "g" * 120,
    "ledger_id": "i" * 120,
    "trace_id": "t" * 128,
    "type": "y" * 64,
    "reason": {
        "type": "Lambda.ClientExecutionTimeoutException",
        "message": quotes(256),
        "template": "t" * 64,
    },
}


def verdicts(count, **parts):
    """Return the longest verdicts on foreign messages; with a body or a row, on ours."""
    texts = OWN if parts.get("known") or "body" in parts else FOREIGN
    also = {"left_because": "filter", "status": "QUARANTINED"}
    return [longest_verdict(index) | also | texts | parts for index in range(count)]


def argument(state, *names):
    found = states(LANE_MACHINE)[state]["Arguments"]
    for name in names:
        found = found[name]
    return found


@pytest.fixture
def names(environment, monkeypatch):
    """Give the tables and the queue names as long as they may be."""
    for name in ("MESSAGES_TABLE", "RUNS_TABLE"):
        monkeypatch.setenv(name, "t" * 60)
    monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", f"https://sqs/1/{'q' * 75}.fifo")
    forget()


@cache
def maxima():
    """Return the parameter's default, both ends, and each size above which a batch is smaller."""
    bounds = template()["Parameters"]["MaxMessageBytes"]
    found = {bounds[name] for name in ("Default", "MinValue", "MaxValue")}
    for request in REQUESTS:
        for count in range(1, 11):
            low, high = bounds["MinValue"], bounds["MaxValue"]
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (
                    (middle, high)
                    if state_bytes.batch_size(middle, json.loads(request)) >= count
                    else (low, middle - 1)
                )
            found.add(low)
    return sorted(found)


@pytest.fixture(params=[QUEUE, REGISTERED], ids=["built-in", "registered"])
def each_queue(request, monkeypatch):
    """Let the messages be of the built-in queue, and of a registered one."""
    monkeypatch.setattr(sys.modules[__name__], "QUEUE", request.param)


def fitting(maximum, request_):
    """Return how many messages of the queue are received at once."""
    return state_bytes.batch_size(maximum, json.loads(request_), is_default=QUEUE.is_default)


every_batch = pytest.mark.parametrize(
    ("maximum", "request_"),
    [
        pytest.param(maximum, request, id=f"{maximum}-{name}")
        for maximum in maxima()
        for name, request in zip(("all", "filter"), REQUESTS, strict=True)
    ],
)


def test_batches_of_every_size_are_counted():
    counts = {state_bytes.batch_size(maximum, {}) for maximum in maxima()}

    assert counts == set(range(1, 11))
    assert longest_verdict(0).keys() | {"left_because", "status"} == Verdict.__required_keys__


def test_reason_is_written_without_an_escape():
    found = reason_of(InvalidEnvelope('"\\\x07é' * 100))["message"]

    assert size(found) == len('""') + len(found) == len('""') + 256
    assert found.startswith("'/??'/??")


@every_batch
@pytest.mark.parametrize("attributes", [TEN, OURS], ids=["ten", "ours"])
def test_received_messages_fit(maximum, request_, attributes):
    received = letters(maximum, fitting(maximum, request_), attributes)

    assert size({"Messages": received}) < STATE_BYTES


@pytest.mark.usefixtures("each_queue")
@every_batch
@pytest.mark.parametrize("attributes", [TEN, OURS], ids=["ten", "ours"])
def test_messages_to_validate_fit(maximum, request_, attributes):
    received = letters(maximum, fitting(maximum, request_), attributes)
    received = evaluate(
        LANE_MACHINE,
        states(LANE_MACHINE)["ReceiveDeadLetters"]["Assign"]["batch"],
        states={"result": {"Messages": received}},
    )
    payload = evaluate_all(
        argument("ValidateMessages", "Payload"),
        {"batch": received, "run": run_of(request_), "lane": laden(len(received)).model_dump()}
        | {"done": [str(n) for n in range(10)], "sent_at": 1_800_000_000_000},
        LANE_MACHINE,
    )

    assert payload["messages"] == received
    assert size({"FunctionName": "f" * 140, "Payload": payload}) < STATE_BYTES


def run_of(request):
    """Return what a lane knows of its run."""
    options = RedriveRequest.model_validate(json.loads(request)).options()
    return {"run_id": RUN_ID, "trace_id": "t" * 128, "request": options, "queue": QUEUE.as_dict()}


@every_batch
def test_messages_to_validate_fit_beside_a_lane_that_carries_all_it_can(maximum, request_):
    size_ = fitting(maximum, request_)
    full = a_lane(size_, lane._MOST_UNSETTLED - 10)
    full.size = size_
    lane.next_poll(full, RUN_ID)
    payload = {
        "messages": letters(maximum, full.poll, OURS),
        "lane": full.model_dump(),
        "execution_arn": EXECUTION,
        "done": [str(n) for n in range(10)],
    }

    assert full.poll == max(1, size_ - 1)
    validated = run_of(request_) | {"queue": QUEUE.name}
    assert size({"FunctionName": "f" * 140, "Payload": payload | validated}) < STATE_BYTES


def answered(batch_, found):
    """Return what ValidateMessages answers on a batch with these verdicts."""
    given: Any = batch_
    now = laden(len(batch_))
    # What was asked for before is refused by now, and this batch is asked for.
    now.unsent = ids(len(now.unsent) + len(now.asked))
    now.asked = a_lane(len(batch_)).asked
    turn = Turn(RUN_ID, QUEUE, EXECUTION, now.mark)
    return batch.guarded(turn, now, given, found)


def invoked(payload):
    """Return an invocation's result as Step Functions has it, the service's headers included."""
    return {
        "ExecutedVersion": "$LATEST",
        "Payload": payload,
        "SdkHttpMetadata": {
            "AllHttpHeaders": {f"X-Amz-Header-{n:02}": ["v" * 60] for n in range(10)},
            "HttpHeaders": {f"X-Amz-Header-{n:02}": "v" * 60 for n in range(10)},
            "HttpStatusCode": 200,
        },
        "SdkResponseMetadata": {"RequestId": "q" * 36},
        "StatusCode": 200,
    }


@pytest.mark.usefixtures("each_queue")
@every_batch
@pytest.mark.parametrize(
    ("verdict", "unnoted"), [("redrive", True), ("quarantine", False), ("left", True)]
)
def test_verdicts_on_edited_messages_fit(names, maximum, request_, verdict, unnoted):
    """An edited body comes with the verdict, as large as an edit may make it."""
    edited = quotes(maximum - ATTRIBUTE_RESERVE_BYTES)
    count = fitting(maximum, request_)
    found = verdicts(count, body=edited, known=True, verdict=verdict, unnoted=unnoted)
    found[0]["unnoted"] &= verdict != "left" or "filter" in request_  # as below
    answer = answered(letters(maximum, count, {}), found)

    assert json.dumps(answer, ensure_ascii=False).count(json.dumps(edited)) >= count - 1
    assert size(invoked(answer)) < STATE_BYTES


@pytest.mark.parametrize("each_queue", [REGISTERED], indirect=True, ids=["registered"])
@every_batch
@pytest.mark.parametrize(
    ("verdict", "unnoted"), [("redrive", True), ("quarantine", False), ("left", True)]
)
def test_verdicts_on_edited_messages_with_attributes_fit(
    names, each_queue, maximum, request_, verdict, unnoted
):
    """Of a registered queue's the attributes come with it, and one that tells whose copy it is."""
    nine = dict(list(TEN.items())[:9])
    attributes = nine | identity_attribute("i" * 120, "")
    edited = quotes(maximum - room_beside(attributes) - ATTRIBUTE_RESERVE_BYTES)
    count = fitting(maximum, request_)
    parts = {"body": edited, "attributes": attributes, "sent_hash": "h" * 64}
    found = verdicts(count, known=True, verdict=verdict, unnoted=unnoted, **parts)
    found[0]["unnoted"] &= verdict != "left" or "filter" in request_  # as below
    answer = answered(letters(maximum, count, {}), found)

    assert size(invoked(answer)) < STATE_BYTES


def guard(batch_, found):
    """Return the statements of the first wave on a batch with these verdicts."""
    answer = answered(batch_, found)
    statements = evaluate(
        LANE_MACHINE,
        argument("GuardLoop", "Statements"),
        turn=answer["verdicts"],
        common=answer["common"],
        batch=batch_,
    )
    assert len(statements) <= 25  # DynamoDB's limit
    assert not re.search(r'"(body|seconds)":', json.dumps(statements))
    return statements


@pytest.mark.usefixtures("each_queue")
@every_batch
@pytest.mark.parametrize("attributes", [{}, TEN], ids=["none", "ten"])
@pytest.mark.parametrize(
    ("verdict", "known"), [("quarantine", False), ("quarantine", True), ("redrive", True)]
)
def test_guard_s_statements_fit(names, maximum, request_, verdict, known, attributes):
    count = fitting(maximum, request_)
    found = verdicts(count, verdict=verdict, known=known)

    statements = guard(letters(maximum, count, attributes), found)

    assert json.dumps(statements).count(TRACE) == (0 if verdict == "redrive" else count)
    assert len(statements) == count + 2
    assert size({"Statements": statements}) < STATE_BYTES


@pytest.mark.usefixtures("each_queue")
@every_batch
@pytest.mark.parametrize("attributes", [{}, TEN], ids=["none", "ten"])
@pytest.mark.parametrize("known", [False, True])
def test_guard_s_statements_on_what_is_left_fit(names, maximum, request_, known, attributes):
    """Only a filter leaves all: the first one that is left without one is noted already."""
    count = fitting(maximum, request_)
    found = verdicts(count, verdict="left", known=known)
    found[0]["unnoted"] = "filter" in request_

    statements = guard(letters(maximum, count, attributes), found)

    assert size({"Statements": statements}) < STATE_BYTES


@every_batch
@pytest.mark.parametrize("attributes", [TEN, OURS], ids=["ten", "ours"])
def test_copies_to_send_fit(names, maximum, request_, attributes):
    count = fitting(maximum, request_)
    received = letters(maximum, count, attributes)
    entries = evaluate(
        LANE_MACHINE,
        argument("RedriveMessages", "Entries"),
        turn=answered(received, verdicts(count, verdict="redrive", known=True))["verdicts"],
        batch=received,
    )

    assert [entry["MessageBody"] for entry in entries] == [letter["Body"] for letter in received]
    assert size({"QueueUrl": "u" * 200, "Entries": entries}) < STATE_BYTES


def a_request():
    """Return the longest request that there may be, as far as its parts are bounded."""
    canary = {"messages": 1_000, "watch_seconds": 14_400, "max_failures": 100_000}
    return {"filter": FILTER, "max_messages": 1_000_000, "max_per_second": 2_999.5} | {
        "canary": canary
    }


def a_told_leg(settling=lane._MOST_UNSETTLED):
    """Return what a leg ends with that could not settle it itself."""
    return evaluate_all(
        states(LANE_MACHINE)["LegOver"]["Output"],
        {
            "lane": a_lane(10, settling).model_dump(),
            "done": [str(n) for n in range(10)],
            "sent_at": 1_800_000_000_000,
            "failure": "DynamoDb.ItemCollectionSizeLimitExceeded",
            "verdicts": [1],
            "batch": letters(1_024, 10, {}),
        },
        LANE_MACHINE,
    )


def a_settled_lane():
    return a_lane(0, 0).model_copy(
        update={
            "failure": "f" * 60, "reason": "r" * 100, "lost": "l" * 60,
        }
    )  # fmt: skip


def a_run(lanes):
    return Run(
        run_id=RUN_ID, execution_arn=EXECUTION, trace_id="t" * 254, trigger="t" * 254,
        queue=QUEUE, requested_by=quotes(254), request=a_request(),
        planned=1_000_000, reason="r" * 1_000, failure="f" * 254,
        lanes=[a_settled_lane()] * lanes,
        working=[*range(lanes)], round=99_999, watch_from=1_800_000_000, events=17_000,
    ).model_dump()  # fmt: skip


def test_leg_s_output_fits_beside_what_it_began_with():
    leg = a_told_leg()
    # A result says of the execution what it began with, once more and as text.
    begun = run_of(json.dumps(a_request())) | {"lane": a_lane(10).model_dump()}
    result = {"Output": leg, "Input": json.dumps(begun), "ExecutionArn": EXECUTION}

    assert len(leg["told"]["lane"]["unsent"]) == lane._MOST_UNSETTLED
    assert leg["told"]["in_hand"] is True
    payload = argument("SettleLeg", "Payload")["leg"]
    assert payload == states(LANE_MACHINE)["LegOver"]["Output"]["told"]
    assert size(result) < STATE_BYTES
    assert size({"FunctionName": "f" * 140, "Payload": begun | {"leg": leg["told"]}}) < STATE_BYTES


@pytest.mark.parametrize(
    ("lanes", "told"), [(40, 0), (40, 10), (10, 10)], ids=["most", "ten of them told", "usual"]
)
def test_what_all_lanes_did_fits_beside_the_run(lanes, told):
    """Of lanes that could not settle their legs themselves not all have room, if they are many."""
    legs = [a_told_leg()] * told + [{"lane": a_settled_lane().model_dump()}] * (lanes - told)
    run = a_run(lanes)

    assert size(invoked(run)) < STATE_BYTES
    assert size(legs) < STATE_BYTES
    assert size({"FunctionName": "f" * 140, "Payload": {"run": run, "legs": legs}}) < STATE_BYTES


@pytest.mark.parametrize("attributes", [{}, TEN], ids=["none", "ten"])
def test_retried_message_fits(attributes):
    """What the retry machine reads, promotes and dead-letters, of the largest message there is."""
    maximum = template()["Parameters"]["MaxMessageBytes"]["MaxValue"]
    body = quotes(maximum - room_beside(attributes))
    kept = {"body": {"S": body}, "carried": {"M": _column(attributes)}}
    row = kept | {
        "message_id": {"S": "i" * 120},
        "group_id": {"S": "g" * 120},
        "trace_id": {"S": "t" * 128},
        "status": {"S": "RETRYING"},
        "attempts": {"N": "100"},
        "attempts_total": {"N": "1000"},
        "reason": {"M": {"type": {"S": "T" * 64}, "message": {"S": quotes(256)}}},
    }
    found = states("RetryStateMachine")
    variables = {
        "row": row,
        "parked": row | {"item": {"S": "P" * 47}},
        "reason": OWN["reason"],
        "group_id": "g" * 120,
        "holder": "i" * 120,
        "generation": 1_000,
        "attributes": attributes,
    }
    letter = found["DeadLetter"]["Arguments"] | {"MessageDeduplicationId": "u" * 36}
    sent = evaluate_all(letter, variables, "RetryStateMachine")
    promoted = evaluate_all(found["PromoteParked"]["Arguments"], variables, "RetryStateMachine")

    assert attributes.items() <= sent["MessageAttributes"].items()
    assert sent["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"] == TRACE
    for state in ({"Item": row}, {"Items": [row]}, sent, promoted):
        assert size(state) < STATE_BYTES


def _column(attributes):
    carried = Carried(attributes, TRACE).column
    return {name: {"S": text} for name, text in carried.items()}


def evaluate_all(value, variables, machine):
    """Return a state's arguments with each expression evaluated."""
    if isinstance(value, dict):
        return {name: evaluate_all(part, variables, machine) for name, part in value.items()}
    if isinstance(value, list):
        return [evaluate_all(part, variables, machine) for part in value]
    if isinstance(value, str) and value.startswith("{%"):
        return evaluate(machine, value, **variables, states=CONTEXT)
    return value
