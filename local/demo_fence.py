"""The demo's chapter about the fence: a group of five whose second message fails."""

from decimal import Decimal
from itertools import pairwise

from local.deadline import wait_until
from local.demo_scene import Scene
from local.journal import Entry, counters
from local.narration import look, say

GROUP = "order-77"


def tell(scene: Scene) -> None:
    """Send five messages of one group, let the second die, and bring the group back in order.

    Raises:
        local.deadline.DeadlineMissed: something did not happen in time.
    """
    scene.chapter("7. A group keeps its order through failure")
    say(f"Five messages of the group {GROUP}; the second is for frank's account, which is FROZEN.")
    scene.set_status("FROZEN", "frank")
    accounts = ["gina", "frank", "gina", "gina", "gina"]
    five = [
        scene.send(
            Entry(f"step-{n}", account, "credit", Decimal(n) + Decimal("0.10"), group_id=GROUP),
            loudly=n == 1,
        )
        for n, account in enumerate(accounts, 1)
    ]
    _wait(scene, five)
    _redrive(scene, five)


def _wait(scene: Scene, five: list[Entry]) -> None:
    first, second, *later = five
    scene.journal.wait_for([first], "PROCESSED")
    scene.journal.wait_for([second], "DEAD")
    scene.journal.wait_for(later, "PARKED")
    group = scene.operator.call("GET", f"/groups/{GROUP}").expect(200)
    scene.claims.equal(
        "the group waits behind its second message, the other three parked in order",
        (group["holder"], group["reason"], group["parked_message_ids"]),
        (second.message_id, "DEAD", [entry.message_id for entry in later]),
    )
    say("Another group is not held up:")
    other = scene.send(Entry("tip-gina", "gina", "credit", Decimal("1.00"), group_id="tips"))
    scene.journal.wait_for([other], "PROCESSED")


def _redrive(scene: Scene, five: list[Entry]) -> None:
    _, second, *later = five
    say("frank is unfrozen and his message redriven: it passes its own fence, the others follow.")
    scene.set_status("ACTIVE", "frank")
    run = scene.run("unfence a group", max_messages=1)
    scene.claims.equal(
        f"run {run.number} redrove one message, the one the group waits for",
        run.counters(),
        counters(received=1, redriven=1),
    )
    scene.journal.wait_for([second], "PROCESSED", redrives=1)
    scene.journal.wait_for(later, "PROCESSED")
    wait_until(lambda: _released(scene), 30, f"the fence of {GROUP} is gone")
    times = [entry.record["processed_at"] for entry in scene.look(five)]
    look("processed at " + ", ".join(time[11:-1] for time in times))
    scene.claims.holds(
        "all five had their effect in the order they were sent",
        all(earlier <= after for earlier, after in pairwise(times)),
        str(times),
    )


def _released(scene: Scene) -> bool:
    return scene.silent.call("GET", f"/groups/{GROUP}").status == 404
