"""What each field of the API means, where its model does not say it: one word, one meaning.

A name stands for the field wherever it is; `Schema.name` for that schema's own. These sentences are
a table of `docs/glossary.md`, which has the other words, such as statuses: `make tables`.
"""

from lambdas.registered_glossary import REGISTERED, each

_ISO = "ISO 8601 in UTC."
_MESSAGE_ID = (
    "The message's id: idempotency key, key of the ledger and first deduplication id. One that was"
    " not sent as an envelope of this API has `sqs:` and SQS's MessageId."
)
_GROUP_ID = "The SQS message group, in which messages keep their order."
_RUN_ID = "The redrive run; the name of its execution."
_REDRIVES = "How often the message was sent again from the dead-letter queue."
_CURSOR = "Ask again with it for what follows; null at the end."

FIELDS = {
    # Messages
    "message_id": _MESSAGE_ID,
    "group_id": _GROUP_ID,
    "type": "The message's type: what its payload looks like, and what becomes of it.",
    "payload": "What the message says; by its type.",
    "status": "Where the message is: `ACCEPTED`, `QUEUED`, `PROCESSING`, `PARKED`, `RETRYING`,"
    " `DEAD`, `REDRIVEN`, `PROCESSED`, `QUARANTINED` or `DISCARDED`.",
    "attempts": "Tries since the message was last sent to the work queue.",
    "attempts_total": "Tries over all redrives.",
    "redrives": _REDRIVES,
    "redrives_left": "How often it may still be, before it is quarantined.",
    "redrive_limit": "The number of redrives after which it is quarantined.",
    "edited": "Whether its payload is another than was sent first.",
    "reason": "Why the message is in trouble.",
    "fingerprint": "The same for messages that failed alike; a filter takes it.",
    "submitted_by": "E-mail of the user who sent the message.",
    "trace_id": "Finds what happened in the logs.",
    "first_sent_at": f"When the message was first sent. {_ISO}",
    "updated_at": f"When its record last changed. {_ISO}",
    "processed_at": f"When it had its effect. {_ISO}",
    "dead_at": f"When it came to the dead-letter queue. {_ISO}",
    "quarantined_at": f"When it was quarantined. {_ISO}",
    "age_seconds": "Seconds since the message was first sent.",
    "hours_until_dropped": "Hours until SQS drops it from the dead-letter queue.",
    "lost": "Whether no queue is known to have it, so that no run finds it: retry it by hand.",
    "body": "The SQS body; shown to operators only.",
    "execution_arns": "Executions of the machines that dealt with the message, oldest first.",
    "execution_arn": "The execution of the state machine that does the work, or did it last.",
    "journey": "What became of the message, step by step, oldest first.",
    "Reason.type": "Class name of the error.",
    "Reason.message": "What the error said.",
    "Sent.status": "`QUEUED`; of a duplicate, where the message sent before is.",
    "Sent.duplicate": "Whether the same message had been sent before; then nothing was sent now.",
    # Steps of a journey
    "n": "Counts the steps, from 1.",
    "event": "What happened.",
    "at": f"When. {_ISO}",
    "number": "Which try failed, over all redrives, or which redrive it was.",
    "reason_type": "Class name of the error.",
    "run_id": _RUN_ID,
    "by": "E-mail of the operator who did it.",
    "previous_hash": "Hash of the payload before an edit.",
    # Groups of failures, and fenced groups
    "sample": "One of the messages: the one that failed last.",
    "Sample.message": "What its error said.",
    "count": "How many messages failed so.",
    "oldest": f"When the first of them died. {_ISO}",
    "newest": f"When the last of them died. {_ISO}",
    "holder": "Id of the message that the group waits for.",
    "Group.reason": "Status of the message that the group waits for.",
    "FencedGroup.reason": "Status of the message that the group waits for.",
    "parked": "How many messages wait behind the fence.",
    "since": f"Since when the group waits. {_ISO}",
    "parked_message_ids": "Ids of the messages that wait, in their order; the first 1,000.",
    # Status
    "name": "The queue's name.",
    "visible": "About how many messages can be received.",
    "in_flight": "About how many are with a consumer.",
    "delayed": "About how many SQS still holds back.",
    "oldest_age_seconds": "Seconds since the oldest message on it died; null if it is empty.",
    "work_queue": "The main queue.",
    "dead_letter_queue": "The queue of dead messages.",
    "Status.messages": "Messages in trouble, counted in the ledger.",
    "Status.groups": "Groups that wait behind a message in trouble.",
    "dead": "Messages that are listed as dead letters.",
    "MessageCounts.lost": "Those of the dead that no queue is known to have.",
    "quarantined": "Messages that no run touches any more.",
    "retrying": "Messages between two tries.",
    "fenced": "Groups that wait.",
    # Requests of an operator
    "filter": "Which messages are meant; those that meet every field given, all if none is.",
    "message_ids": "Only these messages.",
    "Filter.group_id": "Of this message group only.",
    "Filter.type": "Of this message type only.",
    "Filter.reason": "Of this error class only.",
    "Filter.fingerprint": "Failed alike, as `GET /messages/dlq/groups` shows it.",
    "Filter.payload": "What attributes of the payload are equal to, by dotted path.",
    "jmespath": "What is true of the payload: a JMESPath expression.",
    "max_messages": "At most so many are taken from the dead-letter queue.",
    "max_per_second": "At most so many are sent in any second; below 1 they are spaced.",
    "RedriveRequest.lanes": "So many lanes work side by side; unset, one for each 200 messages, at"
    " most as many as the deployment says. None has less than one message a second.",
    "look": "Send nothing: note in the ledger what lies on the dead-letter queue.",
    "RedriveRequest.destination": "Send to the source queue of this registered queue, for a"
    " repaired consumer or a test; not with a canary.",
    "Plan.destination": "The queue to whose consumers it would send; null for the queue itself.",
    "Event.destination": "The queue to whose consumers it was redriven, if not its own.",
    "canary": "Try a few first, and stop if they fail again.",
    "Canary.messages": "How many to redrive first; each step that goes well doubles it.",
    "watch_seconds": "How long the messages of a step may take to end.",
    "max_failures": "So many may fail again; one more halts the run.",
    "dry_run": "Answer with the plan and do nothing.",
    "plan_hash": "Stands for the plan: a run that is given it starts only if it would do the same.",
    "reset_redrives": "Give the message a new budget of redrives.",
    "DiscardRequest.reason": "Why the message is given up; kept in its record.",
    "DiscardSelection.reason": "Why the messages are given up; kept in their records.",
    "RetrySelection.status": "Which of the messages in trouble.",
    "EditSelection.status": "Which of the messages in trouble.",
    "DiscardSelection.status": "Which of the messages in trouble.",
    "merge": "A JSON merge patch (RFC 7396) of the payload: `null` removes.",
    "EditRequest.payload": "The whole new payload; of a registered queue's message, the JSON object"
    " that its body is to be.",
    "EditRequest.body": "Of a registered queue's message, the whole new body, sent as it is.",
    # Plans and runs
    "counts": "How many messages have which verdict.",
    "Plan.groups": "In how many message groups something would be redriven.",
    "Plan.messages": "The verdict on each message; the first 1,000.",
    "Plan.complete": "Whether every dead letter was looked at: a plan is of 5,000 at most, of 1,000"
    " where bodies point to S3, and of 100 where a schema or the filter has to see those.",
    "payloads_missing": "Messages that a run would quarantine because their bodies point to an"
    " object that is not in S3 any more.",
    "unnoted": "About how many lie on the queue that the ledger has not met.",
    "missing": "Dead in the ledger, and no longer on the dead-letter queue: no run finds them.",
    "estimated_seconds": "How long the run would take, a canary's watching left out.",
    "estimated_transitions": "State transitions, which AWS bills.",
    "estimate": "About what the run would take.",
    "Estimate.lanes": "How many lanes would work side by side.",
    "Estimate.seconds": "How long the run would take, a canary's watching left out.",
    "dollars": "By AWS's prices in us-east-1, without the consumer's work, logs and traces.",
    "verdict": "What would become of the message: `redrive`, `quarantine`, `settled`, `discarded`"
    ", `left` or `missing`.",
    "Planned.reason": "Why it would not be redriven.",
    "RunRecord.status": "`RUNNING`, `CANCELLING`, `SUCCEEDED`, `HALTED`, `CANCELLED`, `FAILED`,"
    " `ABORTED` or `TIMED_OUT`.",
    "RunReport.status": "`RUNNING`, `CANCELLING`, `SUCCEEDED`, `HALTED`, `CANCELLED`, `FAILED`,"
    " `ABORTED` or `TIMED_OUT`.",
    "RunStarted.status": "`RUNNING`.",
    "trigger": "What set the run off: `api`, `schedule` or `console`.",
    "requested_by": "Who set it off: an e-mail, `schedule` or `console`.",
    "request": "What it was asked for.",
    "received": "Dead letters that were dealt with: the sum of `redriven`, `quarantined`,"
    " `already_processed`, `discarded` and `failed`.",
    "redriven": "Sent to the work queue again.",
    **each("quarantined", "Run", "Put into quarantine."),
    "LaneRecord.quarantined": "Put into quarantine.",
    "already_processed": "Processed, parked or quarantined before; only deleted from the queue.",
    "discarded": "Discarded before, and only deleted from the queue.",
    "failed": "Refused by SQS or the ledger; they stay on the queue.",
    "left": "Not to be touched by this run; they stay on the queue.",
    "started_at": f"When the run began. {_ISO}",
    "finished_at": f"When it ended; null while it works. {_ISO}",
    **each("in_flight", "Run", "Dead letters in flight elsewhere when the run found no more."),
    **each("missing", "Run", "Messages of the plan that it was given which it did not deal with."),
    **each("reason", "Run", "Why the run was halted."),
    "failure": "Why the run failed: an error's name or a sentence.",
    "RunReport.lanes": "What each lane of the run has done; all of them together, the run.",
    "lane": "The lane's number, from 0.",
    "LaneRecord.execution_arn": "Its leg in the run's last round, at work or over; null if it had"
    " none.",
    "outcome": "What became of the messages that the run redrove.",
    "progress": "How the run goes; null when it has ended.",
    "processed": "Had their effect.",
    "died_again": "Dead again, quarantined or since discarded.",
    "pending": "On the work queue, parked in their group or with a worker.",
    "moved_on": "Redriven again by somebody else, or forgotten.",
    "returned": "Of a registered queue: seen on its dead-letter queue again.",
    "not_returned": "Of a registered queue: not seen there since; its consumer tells nothing.",
    "rate_per_second": "Messages redriven a second so far.",
    "remaining": "At most so many are still to be looked at.",
    "eta_seconds": "Seconds until the run may end; null while nothing was redriven.",
    **REGISTERED,
    # Pages and bulk answers
    "records": "The page's records, newest first.",
    "runs": "The page's runs, newest first.",
    "messages": "The page's messages, longest in trouble first.",
    "groups": "The page's groups, longest waiting first.",
    "FailureGroups.groups": "Messages that failed alike, most first.",
    "complete": "Whether every message in trouble was looked at.",
    "cursor": _CURSOR,
    "results": "What became of each message.",
    "more": "Whether messages are left to look at.",
    "Result.error": "Why the message was refused.",
    # The audit
    "role": "By which of the actor's roles, or what set the run off.",
    "source_ip": "The address that the request came from.",
    # Signing in, and failures
    "email": "The user's e-mail address; upper and lower case are the same.",
    "password": "The user's password.",
    "access_token": "Send it as `Authorization: Bearer <access_token>`.",
    "token_type": "Always `bearer`.",
    "expires_in": "Seconds until the token expires.",
    "error": "What went wrong.",
    "code": "The error's name, for programs.",
    "ErrorBody.message": "What went wrong, in words.",
    "details": "More of it, by field, if there is more.",
}

PARAMETERS = {
    "type": "The message type's name.",
    "message_id": _MESSAGE_ID,
    "group_id": _GROUP_ID,
    "run_id": _RUN_ID,
    "queue": "The queue's name: letters, digits, `-` and `_`, 64 at most.",
}
