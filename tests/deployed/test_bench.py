"""The measurements: that they measure and count, not how fast it goes."""

import pytest

from local import bench, bench_startup, pages
from local.bench_tables import Part
from workflows.redrive import estimate
from workflows.redrive.prices import Item


@pytest.mark.xdist_group("demo")
def test_bench_counts_what_each_way_takes(monkeypatch, capsys, tmp_path):
    page = tmp_path / "performance.md"
    page.write_text(bench.DOCUMENT.read_text())
    for name, value in {"MESSAGES": 40, "ROUNDS": 1, "FENCES": 30, "LATENCIES": (0,)}.items():
        monkeypatch.setattr(bench, name, value)
    # It has an environment of its own, which `make bench` makes.
    started = Part("startup", "Start-up.", ("start of", "ratio"), [("send_message", "0.50")])
    monkeypatch.setattr(bench_startup, "measure", lambda rounds: started)
    monkeypatch.setattr(bench, "DOCUMENT", page)
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    monkeypatch.setenv("WRITE", "1")

    assert bench.main() == 0

    rates, counts, dollars, consumer = (
        rows(page, name) for name in ("rates", "counts", "dollars", "consumer")
    )
    assert counts["naive loop"] == ["2.10", "0.00", "0.00", "0.00", "0.00"]
    assert counts["SQS's own redrive"] == ["-"] * 5
    # Of a batch of ten: receive, send, delete; seven states; one function.
    assert [cell.split(" ")[0] for cell in counts["one lane"][:3]] == ["0.30", "0.70", "0.10"]
    # Where a function measures what it receives there are as many, and as many states.
    measuring = counts["one lane, 2 KB of 1 MiB"]
    assert [cell.split(" ")[0] for cell in measuring[:3]] == ["0.30", "0.70", "0.20"]
    batch = (estimate._A_BATCH[item] / 10 for item in (Item.SQS, Item.INVOCATIONS))
    assert [f"{count:.2f}" for count in batch] == ["0.30", "0.10"]  # a plan reckons so, too
    assert all(float(cell.split(" ")[0]) >= 1 for cell in counts["one lane"][3:])
    assert dollars["one lane"][0] == "17.50"
    assert float(dollars["four lanes"][0]) > 10 > float(dollars["four Express lanes"][0])
    assert float(dollars["four Express lanes"][1]) > 0 == float(dollars["four lanes"][1])
    assert dollars["naive loop"][-2] == "1.05"
    assert int(rates["naive loop"][0]) > 0
    assert int(rates["one lane"][0]) > 0
    assert rows(page, "reckoned")["messages a second"][1] == rates["one lane"][0]
    assert rates["SQS's own redrive"] == ["not on this engine"]
    assert {name: int(cells[0]) > 0 for name, cells in consumer.items()} == {"0": True, "30": True}
    assert rows(page, "startup") == {"send_message": ["0.50"]}
    output = capsys.readouterr().out
    assert "not AWS" in output
    assert "17.50" in output


def rows(page, name):
    """Return the cells of a table of the page, by the first of each row."""
    lines = pages.part(page, name)[2].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: others for first, *others in cells}
