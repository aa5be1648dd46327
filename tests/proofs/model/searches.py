"""The searches of `make model`: what is looked for, and what must come of it.

A search without a mutant must go through every state and find no violation; how many states that
are is written down, so that a model which grew or shrank is noticed. A mutant takes one condition
away, and spin must find the promise that this breaks.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Search:
    """One search.

    `defines` are the budgets and settings at the head of `fence.pml`, as `N=2 CRASH=1`. `states` is
    how many there are, `breaks` the promise that a mutant breaks. `long` ones run with `--all`.
    `memory` is in megabytes.
    """

    name: str
    about: str
    defines: str
    states: int = 0
    breaks: str = ""
    long: bool = False
    memory: int = 3000


PROVED = [
    Search(
        "all-at-once",
        "one message; anything of each kind, two in all",
        "N=1 FAILS=2 EDIT=1 TROUBLES=2",
        states=4_178_198,
    ),
    Search(
        "all-three",
        "the same, three in all",
        "N=1 FAILS=2 EDIT=1 TROUBLES=3",
        long=True,
        states=230_260_830,
        memory=9000,
    ),
    Search(
        "two-at-once",
        "two messages; anything of each kind, one in all",
        "N=2 FAILS=1 EDIT=1 TROUBLES=1",
        states=719_597,
    ),
    Search(
        "three-at-once",
        "three messages; anything of each kind, one in all",
        "N=3 BATCH=1 FAILS=1 EDIT=1 TROUBLES=1",
        states=804_084,
    ),
    Search(
        "one",
        "one message; crashes and lost answers",
        "N=1 CRASH=1 LOST=1 FAILS=2",
        states=438_310,
    ),
    Search(
        "one-stray",
        "one message; a function outlives its execution's wait; native move, people",
        "N=1 CRASH=0 FAILS=2 NATIVE=1 OPS=1 GHOSTS=1",
        states=583_623,
    ),
    Search(
        "one-edit",
        "one message; edits, retries, discards; an execution that comes back",
        "N=1 CRASH=0 FAILS=2 OPS=2 EDIT=1 ZOMBIE=1",
        states=491_619,
    ),
    Search(
        "two-runs", "two runs, whose leases end", "N=2 NR=2 SLOW=1 CRASH=0 FAILS=1", states=74_779
    ),
    Search("two", "two messages; crashes", "N=2 CRASH=1 FAILS=1", states=583_879),
    Search(
        "two-native",
        "two messages; native move, lost answers",
        "N=2 CRASH=0 FAILS=2 NATIVE=1 LOST=1",
        states=497_422,
    ),
    Search(
        "continue",
        "two messages; `OnDeadLetter=continue`; an execution that comes back",
        "N=2 CONT=1 CRASH=0 FAILS=1 ZOMBIE=1",
        states=1_229_271,
    ),
    Search(
        "overlap",
        "two messages, two workers; a visibility timeout ends too early",
        "N=2 NW=2 NX=1 NR=0 OVERLAP=1 MAXRC=2 NC=3 CRASH=0 FAILS=1 INVALID=0",
        states=2_802_908,
    ),
    Search(
        "three",
        "three messages; an execution that comes back",
        "N=3 BATCH=1 CRASH=0 FAILS=1 INVALID=0 ZOMBIE=1",
        states=431_735,
    ),
    Search(
        "three-crash",
        "three messages; crashes",
        "N=3 BATCH=1 CRASH=1 FAILS=1",
        states=514_766,
    ),
    Search(
        "three-people",
        "three messages; native move, people",
        "N=3 BATCH=1 CRASH=0 FAILS=1 NATIVE=1 OPS=1",
        states=749_337,
    ),
    Search("two-edit", "two messages; edits", "N=2 CRASH=0 FAILS=1 OPS=2 EDIT=1", states=67_600),
    Search(
        "two-stray",
        "two messages; a function outlives its execution's wait; people",
        "N=2 BATCH=1 CRASH=0 FAILS=1 OPS=1 GHOSTS=1",
        states=270_874,
    ),
    Search(
        "lanes",
        "two dead letters; a run of two lanes, and a second run: each may lose its lock",
        "N=2 LETTERS=1 LANES=2 NR=2 SLOW=2 CRASH=0 FAILS=1",
        long=True,
        states=13_310_800,
    ),
    Search(
        "lanes-born",
        "the same, of messages that die",
        "N=2 LANES=2 NR=2 SLOW=2 CRASH=0 FAILS=1",
        states=2_081_648,
    ),
    Search(
        "lanes-crash",
        "one dead letter; the same, and a lane or its run ends, the run without its lanes",
        "N=1 LETTERS=1 LANES=2 NR=2 CRASH=1 SLOW=1 FAILS=0 NX=1",
        states=396_108,
    ),
    Search(
        "lanes-three",
        "three dead letters; two lanes of one run",
        "N=3 LETTERS=1 LANES=2 NR=1 CRASH=0 FAILS=0",
        states=26_631,
    ),
]
_STRAY = "N=1 CRASH=0 FAILS=2 OPS=1 GHOSTS=1"
MUTANTS = [
    Search(
        "claim",
        "the function has its effect without taking the row (flaw 1)",
        "N=1 CRASH=0 FAILS=1 OPS=1 ZOMBIE=1 MUTANT_CLAIM",
        breaks="EFFECT AFTER DISCARD",
    ),
    Search(
        "give-back",
        "a failed try gives back a lease that another function has too",
        f"{_STRAY} MUTANT_GIVE_BACK",
        breaks="EFFECT AFTER DISCARD",
    ),
    Search(
        "free",
        "people do not wait for a lease",
        f"{_STRAY} MUTANT_FREE",
        breaks="EFFECT AFTER DISCARD",
    ),
    Search(
        "copy",
        "a moved copy of a RETRYING message is acknowledged and not counted (flaw 2)",
        "N=1 CRASH=0 FAILS=2 NATIVE=1 MUTANT_COPY",
        breaks="LOSS",
    ),
    Search(
        "mark-attempt",
        "`MarkDead` names no attempt (flaw 3)",
        "N=1 CRASH=0 FAILS=2 MAXATT=1 NATIVE=1 LOST=1 MUTANT_MARK_ATTEMPT",
        breaks="LOSS",
    ),
    Search(
        "run-attempt",
        "the run's statements name no attempt (flaw 4)",
        "N=1 CRASH=1 FAILS=1 MUTANT_RUN_ATTEMPT",
        breaks="WORKER ROBBED",
    ),
    Search(
        "release",
        "the fence goes although more were parked than drained",
        "N=2 CRASH=0 FAILS=1 MUTANT_RELEASE",
        breaks="COUNT",
    ),
    Search(
        "park",
        "a message is parked without a fence",
        "N=2 CRASH=0 FAILS=1 MUTANT_PARK",
        breaks="COUNT",
    ),
    Search(
        "owner",
        "promotion and release ask for no holder and generation",
        "N=3 BATCH=1 CRASH=0 FAILS=1 INVALID=0 ZOMBIE=1 MUTANT_OWNER",
        breaks="ORDER",
    ),
    Search(
        "delete-first",
        "a run deletes before it sends",
        "N=1 CRASH=0 FAILS=2 MUTANT_DELETE_FIRST",
        breaks="LOSS",
    ),
    Search(
        "deduplication",
        "a run sends under the id of the last redrive",
        "N=1 CRASH=0 FAILS=2 MUTANT_DEDUPLICATION",
        breaks="LOSS",
    ),
    Search(
        "no-ask",
        "two workers; the fence is not read again where the row shows that there is one",
        "N=2 NW=2 NX=1 NR=0 OVERLAP=1 CRASH=0 FAILS=1 INVALID=0 MUTANT_NO_ASK",
        breaks="ORDER",
    ),
    Search(
        "lane-group",
        "a lane receives what is behind another lane's, of one group",
        "N=3 LETTERS=1 LANES=2 NR=1 CRASH=0 FAILS=0 MUTANT_GROUP",
        breaks="ORDER",
    ),
    Search(
        "lane-lease",
        "a lane goes on although its run has lost the lock",
        "N=2 LETTERS=1 LANES=2 NR=2 SLOW=2 CRASH=0 FAILS=0 MUTANT_LEASE",
        breaks="NO LOCK",
    ),
]
SEARCHES = PROVED + MUTANTS
