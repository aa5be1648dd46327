"""What the flows of redrive runs over HTTP share."""

from local.deadline import wait_until
from tests.deployed.flows import finished
from tests.support.redrive_runs import COUNTERS


def run_of(client, **request):
    """Start a run and return its record when it ended."""
    return finished(client, client.reprocess(**request).expect(202)["run_id"])


def counted(run):
    """Return a run's counters, without the zeros."""
    return {name: run[name] for name in COUNTERS if run[name]}


def outcome_becomes(client, run_id, **expected):
    """Wait for what became of a run's messages; the names that are not given are zero."""

    def found():
        outcome = client.run(run_id).expect(200)["outcome"]
        return {name: n for name, n in outcome.items() if n} == expected

    wait_until(found, 60, f"the outcome of {run_id} is {expected}", interval=0.2)
