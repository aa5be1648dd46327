"""The measurements: that they measure, not what."""

import pytest

from local import bench


@pytest.mark.xdist_group("demo")
def test_bench_prints_a_row_for_each_way(monkeypatch, capsys):
    monkeypatch.setattr(bench, "MESSAGES", 20)
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench, "FENCES", 30)

    assert bench.main() == 0

    output = capsys.readouterr().out
    rows = {line.split("  ")[0]: line.split() for line in output.splitlines()}
    machine, naive = rows["redrive machine"], rows["naive loop"]
    assert machine[3:] == ["0.35", "1.10", "0.25"]  # 7 SQS calls, 22 transitions, 5 invocations
    assert naive[3:] == ["2.10", "0.00", "0.00"]
    assert int(rows["0"][1]) > 0
    assert int(rows["30"][1]) > 0
    assert "not in MiniStack" in output
    assert "not AWS" in output
