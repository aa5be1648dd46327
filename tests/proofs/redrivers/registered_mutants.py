"""What is broken of the rules that registered queues have, and the story that must notice it."""

from tests.proofs.redrivers.mutants import Mutant

_JUDGE = "workflows.redrive.registered"
_LETTERS = "workflows.queues.letters"

REGISTERED_MUTANTS = [
    Mutant(
        "What identifies a message is ignored: its body alone does.",
        "always_fails_and_changes",
        ((f"{_LETTERS}._identity", "found = _text(queue.identity, about)", 'found = ""'),),
    ),
    Mutant(
        "The group of what nothing else identifies is ignored.",
        "same_body_in_two_groups",
        ((f"{_LETTERS}._identity", "of_content(queue.name, group,", 'of_content(queue.name, "",'),),
    ),
    Mutant(
        "Our attribute is believed, whatever body it stands beside.",
        "names_another_in_an_attribute",
        ((f"{_LETTERS}._known", "of_body == body_hash and ", ""),),
    ),
    Mutant(
        "A first redrive is sent though the ledger has a row by then.",
        "another_counted_it_meanwhile",
        (
            (
                "redrive_lane",
                "GuardLoop",
                "$exists($v.statement) and $exists($error)",
                '$exists($v.statement) and $exists($error) and $error.Code != "DuplicateItem"',
            ),
        ),
    ),
    Mutant(
        "Another letter of an identity that was given up is deleted.",
        "another_of_its_identity_comes",
        ((f"{_JUDGE}.speaks_of", 'dead_letter["MessageId"]', 'row["letter_id"]'),),
    ),
    Mutant(
        "What a run has counted is taken for sent.",
        "first_met_is_refused_and_the_run_stopped",
        ((f"{_JUDGE}.was_sent", "not settled.of(run)", "True or settled.of(run)"),),
    ),
    Mutant(
        "What a run is known to have sent is sent again.",
        "sent_ones_are_not_deleted",
        ((f"{_JUDGE}.was_sent", "run is not None and", "False and"),),
    ),
    Mutant(
        "A first redrive is not noted as under way, so that nothing lets go of it.",
        "first_met_is_refused_and_nobody_looks",
        (
            (
                "workflows.redrive.statements._redrive_unmet",
                "Trouble.REDRIVING",
                '"none"',
            ),
        ),
    ),
    Mutant(
        "The limit of redrives is ignored.",
        "ten_of_a_team",
        (
            (f"{_JUDGE}.of", 'verdict["redrives"] >= verdict', "-1 >= verdict"),
            (
                "workflows.redrive.statements.redrive",
                '("redrives", "<", verdict["redrive_limit"])',
                '("redrives", "<", 1_000)',
            ),
        ),
    ),
    Mutant(
        "A group of a FIFO queue has no order.",
        "first_of_its_group_is_refused",
        (
            (f"{_JUDGE}._unmet", "group if queue.fifo else dead_letter", "dead_letter"),
            ("workflows.redrive.batch._entry", 'verdict["group"]', "group"),
        ),
    ),
    Mutant(
        "Attributes are not sent.",
        "ten_of_a_team_in_order",
        (("redrive_lane", "RedriveMessages", "$sift($message.MessageAttributes,", "$sift({},"),),
    ),
    Mutant(
        "An attribute of theirs is taken for the one that the built-in queue adds.",
        "ten_of_a_team",
        (("redrive_lane", "RedriveMessages", '$run.queue.name != "default" or ', ""),),
    ),
    Mutant(
        "The quarantine does not keep all attributes.",
        "ten_of_a_team",
        (("workflows.redrive.columns.carried_by", "else Carried.all_of", "else Carried.of"),),
    ),
    Mutant(
        "The schema of a queue is not looked at.",
        "ten_of_a_team",
        ((f"{_JUDGE}._gated", "problem := _problem(queue, found)", "problem := None"),),
    ),
    Mutant(
        "The lock goes by the queue's name, whosever it is.",
        "queue_of_another_account_is_locked",
        (("workflows.redrive.run_lock.key", "queue.key", "queue.dead_letter_queue_name"),),
    ),
    Mutant(
        "A pointer is not followed.",
        "bodies_lie_in_s3",
        (("workflows.queues.letters._inside", "queue.unwrap", "()"),),
    ),
    Mutant(
        "A letter whose object is gone is sent.",
        "bodies_lie_in_s3",
        ((f"{_JUDGE}._gated", "if found.is_missing", "if False"),),
    ),
    Mutant(
        "A pointer is followed to whatever bucket.",
        "points_to_a_foreign_bucket",
        (("workflows.queues.payloads._pointer", "if _may_be_read(bucket) and", "if"),),
    ),
    Mutant(
        "What S3 denies is taken for gone.",
        "points_to_what_s3_denies",
        (("workflows.queues.payloads._get", "if status == _NOT_FOUND or", "if True or"),),
    ),
    Mutant(
        "A run that looks sends.",
        "somebody_only_looks",
        (("workflows.redrive.judge.Judge._leave", "elif self._looks:", "elif False:"),),
    ),
]
