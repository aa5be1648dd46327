"""The start-up's measurement: each starts in a process of its own, and is compared with one."""

import sys

from local import bench_startup


def test_each_start_is_told_as_a_ratio(monkeypatch):
    monkeypatch.setattr(bench_startup, "PYTHON", sys.executable)
    monkeypatch.setattr(bench_startup, "_SERVICE", "the service")
    monkeypatch.setattr(bench_startup, "_CLIENTS", {"authorize_request": ("secrets",)})
    began = bench_startup._seconds

    def seconds(code, bytecode):
        return 2.0 if "bench_original" in code else began(code, bytecode)

    monkeypatch.setattr(bench_startup, "_seconds", seconds)

    part = bench_startup.measure(1)

    service, authorizer = part.rows
    assert service == ("the service", "2000", "1.00")
    assert authorizer[0] == "authorize_request"
    milliseconds, ratio = (float(str(cell)) for cell in authorizer[1:])
    assert ratio == round(milliseconds / 2_000, 2) > 0
