"""Mending over HTTP: retry, edit, discard and their bulk forms, to the balances they lead to."""

import uuid

import pytest

from tests.deployed.flows import (
    assert_problem,
    credit,
    dead_message,
    finished,
    settled,
)
from tests.support.stack_fixtures import (
    balance,
    dead_letter,
    put_on_dlq,
    queued,
    record,
    row,
    transaction,
    unfreeze,
)
from workflows.messages.reasons import fingerprint

pytestmark = [pytest.mark.xdist_group("flows"), pytest.mark.usefixtures("no_dead_letters")]

RESET = {"reset_redrives": True}


def retry(client, message_id, body=None):
    return client.call("POST", f"/messages/{message_id}/retry", body)


def edit(client, message_id, payload):
    return client.call("PATCH", f"/messages/{message_id}", {"payload": payload})


def told(client, message_id):
    """Return the names of the events of a message's journey."""
    return [event["event"] for event in client.message(message_id).expect(200)["journey"]]


def results(answer):
    return {result["message_id"]: result for result in answer.expect(200)["results"]}


# --- Retry --------------------------------------------------------------------------------


def test_dead_message_is_retried_now_and_its_group_follows(stack, producer, operator):
    account_id, dead = dead_message(stack, producer)
    later = producer.send(credit(account_id)).expect(202)["message_id"]
    settled(producer, later, "PARKED")
    unfreeze(stack, account_id)

    answer = retry(operator, dead["message_id"])

    assert answer.expect(202) == {
        "message_id": dead["message_id"], "group_id": account_id, "status": "REDRIVEN",
        "redrives": 1,
    }  # fmt: skip
    after = settled(producer, dead["message_id"], "PROCESSED")
    first, second = after, settled(producer, later, "PROCESSED")
    assert first["processed_at"] <= second["processed_at"]
    assert after["redrives"] == 1
    assert told(producer, dead["message_id"])[-2:] == ["retried", "processed"]
    assert str(balance(stack, account_id)) == "24.68"
    assert_problem(retry(operator, dead["message_id"]), 409, "message_not_in_trouble")


def test_copy_that_is_left_on_the_dead_letter_queue_is_deleted_by_the_next_run(
    stack, producer, operator
):
    account_id, dead = dead_message(stack, producer)
    unfreeze(stack, account_id)
    retry(operator, dead["message_id"]).expect(202)
    settled(producer, dead["message_id"], "PROCESSED")
    assert len(queued(stack, "DeadLetter", account_id)) == 1

    run = finished(operator, operator.reprocess(max_messages=1).expect(202)["run_id"])

    assert (run["redriven"], run["already_processed"]) == (0, 1)
    assert queued(stack, "DeadLetter", account_id) == []
    assert str(balance(stack, account_id)) == "12.34"


def test_foreign_message_can_be_discarded_only(stack, operator):
    sqs_id = put_on_dlq(stack, "not an envelope", f"group-{uuid.uuid4()}")
    finished(operator, operator.reprocess(max_messages=1).expect(202)["run_id"])
    foreign = f"sqs:{sqs_id}"

    assert_problem(retry(operator, foreign, RESET), 409, "foreign_message")
    assert_problem(edit(operator, foreign, credit()), 409, "foreign_message")
    answer = operator.call("POST", f"/messages/{foreign}/discard", {"reason": "not ours"})
    assert answer.expect(200)["status"] == "DISCARDED"


def test_run_and_operator_at_once_have_one_effect_each(stack, producer, operator):
    messages = [transaction(amount=12.34) for _ in range(6)]
    for message in messages:
        dead_letter(stack, message)

    run_id = operator.reprocess(max_messages=len(messages)).expect(202)["run_id"]
    answers = [retry(operator, message.message_id) for message in messages]
    run = finished(operator, run_id)

    assert {answer.status for answer in answers} <= {202, 409}
    assert run["status"] == "SUCCEEDED"
    for message in messages:
        settled(producer, message.message_id, "PROCESSED")
        assert str(balance(stack, message.group_id)) == "12.34"


# --- Edit ---------------------------------------------------------------------------------


def overdrawn(producer):
    """Send a debit that no balance covers; return its account and the dead record."""
    account_id = f"account-{uuid.uuid4()}"
    debit = credit(account_id, kind="debit")
    message_id = producer.send(debit).expect(202)["message_id"]
    return account_id, settled(producer, message_id, "DEAD")


def test_edited_message_is_processed_as_edited_and_keeps_original_and_link(
    stack, producer, operator
):
    account_id, dead = overdrawn(producer)
    message_id = dead["message_id"]
    later = producer.send(credit(account_id)).expect(202)["message_id"]
    settled(producer, later, "PARKED")
    before = row(stack, "Messages", message_id)

    edited = edit(operator, message_id, credit(account_id, amount="5.00")).expect(200)

    assert (edited["status"], edited["redrives"], edited["redrive_limit"]) == ("DEAD", 0, 3)
    found = row(stack, "Messages", message_id)
    assert found["original_body"] == before["body"]
    assert found["superseded_hashes"] == [before["payload_hash"]]
    assert found["first_sent_at"] == before["first_sent_at"]
    assert producer.message(message_id).expect(200)["status"] == "DEAD"
    retry(operator, message_id).expect(202)
    after = settled(producer, message_id, "PROCESSED")
    settled(producer, later, "PROCESSED")
    assert str(balance(stack, account_id)) == "17.34"
    assert (after["trace_id"], after["message_id"]) == (dead["trace_id"], message_id)
    assert told(producer, message_id)[-3:] == ["edited", "retried", "processed"]
    assert row(stack, "Messages", message_id)["original_body"] == before["body"]


def test_edited_message_is_redriven_by_a_run_with_its_new_payload(stack, producer, operator):
    account_id, dead = overdrawn(producer)
    edit(operator, dead["message_id"], credit(account_id, amount="5.00")).expect(200)

    run = finished(operator, operator.reprocess(max_messages=1).expect(202)["run_id"])

    assert (run["redriven"], run["quarantined"]) == (1, 0)
    after = settled(producer, dead["message_id"], "PROCESSED")
    assert (after["redrives"], str(balance(stack, account_id))) == (1, "5")
    assert queued(stack, "DeadLetter", account_id) == []


def test_quarantined_message_is_edited_and_retried(stack, producer, operator):
    message = transaction(amount=12.34, kind="debit")
    record(stack, message, "QUARANTINED", redrives=3)

    edited = edit(operator, message.message_id, credit(message.group_id)).expect(200)
    assert (edited["status"], edited["redrive_limit"]) == ("QUARANTINED", 6)
    retry(operator, message.message_id, RESET).expect(202)

    settled(producer, message.message_id, "PROCESSED")
    assert str(balance(stack, message.group_id)) == "12.34"


# --- Many ---------------------------------------------------------------------------------


def reason_of_its_own():
    """Return a reason whose fingerprint no other test's messages have."""
    return {"type": f"Failure{uuid.uuid4().hex}", "message": "It failed."}


def test_many_are_retried_with_partial_results(stack, producer, operator):
    why = reason_of_its_own()
    messages = [transaction(amount=12.34) for _ in range(3)]
    for message, redrives in zip(messages, (0, 3, 0), strict=True):
        dead_letter(stack, message, redrives=redrives, reason=why)
    wanted = {"filter": {"fingerprint": fingerprint("transaction", why)}, "limit": 2}

    first = operator.call("POST", "/messages/retry", wanted).expect(200)
    second = operator.call("POST", "/messages/retry", wanted | {"cursor": first["cursor"]})

    assert (first["more"], second.expect(200)["more"]) == (True, False)
    found = {r["message_id"]: r for r in first["results"] + second.json["results"]}
    exhausted = found.pop(messages[1].message_id)
    assert exhausted["error"]["code"] == "redrive_limit_reached"
    assert {result["status"] for result in found.values()} == {"REDRIVEN"}
    for message in (messages[0], messages[2]):
        settled(producer, message.message_id, "PROCESSED")
        assert str(balance(stack, message.group_id)) == "12.34"
    assert producer.message(messages[1].message_id).expect(200)["status"] == "DEAD"


def test_many_are_edited_by_a_merge_patch_and_retried(stack, producer, operator):
    why = reason_of_its_own()
    messages = [transaction(amount=amount, kind="debit") for amount in (1.5, 2.5)]
    for message in messages:
        dead_letter(stack, message, reason=why)
    wanted = {
        "filter": {"fingerprint": fingerprint("transaction", why), "jmespath": "amount > `2`"}
    }

    refused = operator.call("PATCH", "/messages", wanted | {"merge": {"currency": None}})
    edited = operator.call("PATCH", "/messages", wanted | {"merge": {"kind": "credit"}})

    small, large = messages
    assert results(refused)[large.message_id]["error"]["code"] == "invalid_message"
    assert results(edited) == {large.message_id: {"message_id": large.message_id, "status": "DEAD"}}
    assert results(operator.call("POST", "/messages/retry", wanted)).keys() == {large.message_id}
    settled(producer, large.message_id, "PROCESSED")
    assert str(balance(stack, large.group_id)) == "2.5"
    assert producer.message(small.message_id).expect(200)["status"] == "DEAD"


def test_many_are_discarded_and_their_groups_go_on(stack, producer, operator):
    found = [dead_message(stack, producer) for _ in range(2)]
    ids = [dead["message_id"] for _, dead in found]
    later = [producer.send(credit(account)).expect(202)["message_id"] for account, _ in found]
    for (account_id, _), message_id in zip(found, later, strict=True):
        settled(producer, message_id, "PARKED")
        unfreeze(stack, account_id)
    wanted = {"filter": {"message_ids": [*ids, "none"]}, "reason": "given up"}

    answer = operator.call("POST", "/messages/discard", wanted)

    assert {key: r["status"] for key, r in results(answer).items()} == dict.fromkeys(
        ids, "DISCARDED"
    )
    for (account_id, _), message_id in zip(found, later, strict=True):
        settled(producer, message_id, "PROCESSED")
        assert str(balance(stack, account_id)) == "12.34"
