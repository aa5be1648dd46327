"""The story of the demo, chapter by chapter; what it claims is checked on the way."""

from decimal import Decimal

from local import demo_fence, demo_operator
from local.demo_scene import Scene
from local.journal import Entry, Run, counters
from local.narration import look, say

BATCH = 10
MOST_TRANSITIONS = 0.75  # a message, at full batches
# What every byte of must survive: quotes, JSONata, a substitution, an emoji, Latin and a line end.
FOREIGN = '<order id="4711">{% $now() %} ${Name} Crème brûlée \U0001f36e "2 × 4,50 €"</order>\n'


class Story:
    """Chapters 2 to 9; they happen in this order and build on one another."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.claims = scene.claims
        self.journal = scene.journal

    def tell(self) -> None:
        """Tell all of them.

        Raises:
            local.deadline.DeadlineMissed: something did not happen in time.
        """
        refused = self.scene.producer.reprocess()
        self.claims.equal("a producer may not redrive: 403", refused.status, 403)
        self._healthy()
        self._trouble()
        self._retries()
        self._first_run()
        self._stubborn()
        self._nothing_left()
        demo_fence.tell(self.scene)
        demo_operator.tell(self.scene)
        self._fifty()

    def _healthy(self) -> None:
        self.scene.chapter("2. Healthy transactions")
        say("Each is recorded in the ledger, put on the FIFO work queue, and processed at once.")
        healthy = [
            self.scene.send(Entry("salary-alice", "alice", "credit", Decimal("2815.40"))),
            self.scene.send(Entry("rent-alice", "alice", "debit", Decimal("890.00"))),
            self.scene.send(Entry("salary-bob", "bob", "credit", Decimal("1999.99"))),
            self.scene.send(Entry("deposit-dave", "dave", "credit", Decimal("1250.75"))),
        ]
        say("The producer is not sure that the first one got through, and sends it again.")
        again = self.scene.producer.send(healthy[0].payload, message_id=healthy[0].message_id)
        self.claims.equal(
            "the same message again is answered 200 and duplicate",
            (again.status, again.json.get("duplicate")),
            (200, True),
        )
        self.journal.wait_for(healthy, "PROCESSED")
        self.scene.producer.message("salary-alice")
        self.claims.equal(
            "healthy messages are processed at the first try, without a state machine",
            [(e.record["attempts"], e.record["execution_arns"]) for e in healthy],
            [(1, [])] * len(healthy),
        )

    def _trouble(self) -> None:
        self.scene.chapter("3. Trouble")
        say("The accounts of dave and erin are FROZEN from here on (set in the Accounts table).")
        self.scene.set_status("FROZEN", "dave", "erin")
        self.dave = [
            self.scene.send(Entry("invoice-dave", "dave", "debit", Decimal("99.95"))),
            self.scene.send(Entry("refund-dave", "dave", "credit", Decimal("0.05"))),
        ]
        self.erin = self.scene.send(
            Entry("bonus-erin", "erin", "credit", Decimal("150.00"), "QUARANTINED")
        )
        say("bob cannot afford this one:")
        self.yacht = self.scene.send(
            Entry("yacht-bob", "bob", "debit", Decimal("250000.00"), "QUARANTINED")
        )
        say("And somebody puts a message straight on the dead-letter queue that is not ours:")
        look(f"sqs send-message --message-group-id foreign --message-body {FOREIGN!r}")
        sent = self.scene.stack.client("sqs").send_message(
            QueueUrl=self.scene.stack.outputs["DeadLetterQueueUrl"],
            MessageBody=FOREIGN,
            MessageGroupId="foreign",
            MessageDeduplicationId="foreign",
        )
        self.scene.foreign_id = f"sqs:{sent['MessageId']}"

    def _retries(self) -> None:
        say(
            f"The retry machine tries each frozen one until it had {self.scene.max_attempts} tries,"
            " the worker's included. The wait before each is random, and may be twice as long as"
            " the one before. Then it goes to the dead-letter queue, with the reason. dave's"
            " second message waits behind his first: a message group keeps its order."
        )
        frozen = [self.dave[0], self.erin]
        self.journal.wait_for([*frozen, self.yacht], "DEAD")
        self.journal.wait_for(self.dave[1:], "PARKED")
        self.scene.producer.message("invoice-dave")
        self._show_retries(frozen)
        self.claims.equal(
            "frozen accounts' messages died of AccountFrozen after every try they had",
            [(e.died_of, e.record["attempts"]) for e in frozen],
            [("AccountFrozen", self.scene.max_attempts)] * len(frozen),
        )
        self.claims.equal(
            "the debit beyond the balance was dead-lettered at once, without a retry",
            (self.yacht.died_of, self.yacht.record["attempts"], self.yacht.executions("retry")),
            ("TransactionRejected", 1, []),
        )

    def _show_retries(self, frozen: list[Entry]) -> None:
        histories = [self.scene.history(e.executions("retry")[-1]) for e in frozen]
        arn = frozen[0].executions("retry")[0]
        say(f"Look at the execution {arn.rpartition(':')[2]} of the retry machine:")
        look(" > ".join(histories[0].steps))
        self.claims.equal(
            "each try after the first is a WaitBackoff and a ProcessMessage of the retry machine",
            [(h.count("WaitBackoff"), h.count("ProcessMessage")) for h in histories],
            [(self.scene.max_attempts - 1, self.scene.max_attempts - 1)] * len(frozen),
        )

    def _first_run(self) -> None:
        self.scene.chapter("4. The operator redrives")
        status = self.scene.operator.status().expect(200)
        self.claims.equal(
            "status shows four dead letters, three of them ours, and one message parked",
            (
                status["dead_letter_queue"]["visible"],
                status["messages"]["dead"],
                status["groups"]["parked"],
            ),
            (4, 3, 1),
        )
        say("The operator unfreezes dave's account, but not erin's, and starts a run.")
        self.scene.set_status("ACTIVE", "dave")
        run = self.scene.run("unfrozen", twice=True)
        self.claims.equal(
            "run 1 redrove the three messages of ours and quarantined the foreign one",
            run.counters(),
            counters(received=4, redriven=3, quarantined=1),
        )
        self.journal.wait_for(self.dave[:1], "PROCESSED", redrives=1)
        self.journal.wait_for(self.dave[1:], "PROCESSED")
        say(
            "dave's are processed, in order. The other two failed again: one redrive a run for"
            " each message."
        )
        self.journal.wait_for([self.erin, self.yacht], "DEAD", redrives=1)
        row = self.scene.ledger_row(self.scene.foreign_id)
        say("The foreign message is in quarantine, its body and the reason in the ledger:")
        look(f"{row['status']['S']}: {row['reason']['M']['message']['S']}")
        self.claims.equal(
            "the foreign message is quarantined, its body byte for byte the same",
            (row["status"]["S"], row["body"]["S"].encode()),
            ("QUARANTINED", FOREIGN.encode()),
        )

    def _stubborn(self) -> None:
        self.scene.chapter("5. What keeps failing")
        say(
            "Nobody unfreezes erin's account, nobody gives bob a quarter of a million. After"
            f" {self.scene.max_redrives} redrives the loop guard puts such a message into"
            " quarantine. max_messages ends a run once it has dealt with so many."
        )
        both = [self.erin, self.yacht]
        for redrives in range(2, self.scene.max_redrives + 1):
            run = self.scene.run("still failing", max_messages=2)
            self.journal.wait_for(both, "DEAD", redrives)
            self.claims.equal(
                f"run {run.number} redrove both once more, and both died again",
                run.counters(),
                counters(received=2, redriven=2),
            )
        run = self.scene.run("out of redrives", max_messages=2)
        self.claims.equal(
            f"run {run.number} sent neither and quarantined both",
            run.counters(),
            counters(received=2, quarantined=2),
        )
        self.journal.wait_for(both, "QUARANTINED", self.scene.max_redrives)
        self.scene.operator.message("bonus-erin")
        self.claims.equal(
            "both are in quarantine because of the redrive limit",
            [e.record["reason"]["type"] for e in both],
            ["RedriveLimitReached"] * 2,
        )

    def _nothing_left(self) -> None:
        self.scene.chapter("6. Nothing left")
        say("A run takes a queue for empty only after two empty long polls.")
        run = self.scene.run("nothing left")
        self.claims.equal(
            f"run {run.number} found nothing to do", run.counters(), counters(received=0)
        )

    def _fifty(self) -> None:
        self.scene.chapter("9. Fifty messages, twenty of them dead-lettered, in one run")
        accounts = [f"shop-{number:02d}" for number in range(1, 51)]
        frozen = accounts[30:]
        say(f"{frozen[0]} to {frozen[-1]} are FROZEN. The producer sends a sale for each shop.")
        self.scene.set_status("FROZEN", *frozen)
        sales = [
            Entry(f"sale-{number:02d}", account, "credit", Decimal(1_999 + 37 * number) / 100)
            for number, account in enumerate(accounts, 1)
        ]
        for sale in sales:
            self.scene.send(sale, loudly=sale is sales[0])
        look(f"... and {len(sales) - 1} more")
        healthy, dead = sales[:30], sales[30:]
        self.journal.wait_for(dead, "DEAD")
        self.journal.wait_for(healthy, "PROCESSED")
        self.scene.operator.status()
        say("Unfrozen, and redriven:")
        self.scene.set_status("ACTIVE", *frozen)
        run = self.scene.run("twenty of fifty")
        self.journal.wait_for(dead, "PROCESSED", redrives=1)
        self.claims.equal(
            f"run {run.number} redrove all twenty",
            run.counters(),
            counters(received=20, redriven=20),
        )
        self._show_transitions(run)

    def _show_transitions(self, run: Run) -> None:
        say(
            f"Look at the execution {run.record['run_id']} of the redrive machine, and, from"
            f" StartLeg to SettleLeg, at {run.record['run_id']}-l0-1 of the lane machine:"
        )
        look(" > ".join(run.history.steps))
        full = run.history.full_turns(BATCH)
        messages, transitions = BATCH * len(full), sum(turn.transitions for turn in full)
        each = transitions / messages if messages else 0.0
        whole = run.history.transitions / run.record["received"]
        say(
            f"State transitions a message, of both machines: {each:.2f} at full batches"
            f" ({transitions} for {messages} messages), {whole:.2f} over the whole run"
            f" ({run.history.transitions} for {run.record['received']}), which starts, looks twice"
            " whether the queue is empty, and ends."
        )
        self.claims.holds(
            f"two full batches, at most {MOST_TRANSITIONS} state transitions a message: {each:.2f}",
            len(full) == 2 and each <= MOST_TRANSITIONS,
            f"{len(full)} full batches, {each:.2f}",
        )
