from __future__ import annotations

from zetcd.ctl.check import Load, Tally, verdict
from zetcd.errors import NoLeader

LOAD = Load(rate=10, clients=2)


def test_a_run_that_keeps_up_passes() -> None:
    lines, is_ok = verdict(Tally([0.01] * 95), LOAD, elapsed=10.0)
    assert is_ok
    assert lines == [
        "PASS: Throughput is 10 writes/s",
        "PASS: Slowest request took 0.010000s",
        "PASS: Stddev is 0.000000s",
        "PASS",
    ]


def test_each_thing_that_is_bad_is_named() -> None:
    tally = Tally([0.01] * 40 + [0.9] * 10)
    tally.failed(NoLeader())
    tally.failed(NoLeader())
    lines, is_ok = verdict(tally, LOAD, elapsed=10.0)
    assert not is_ok
    assert lines == [
        "FAIL: 2 errors: {'etcdserver: no leader': 2}",
        "FAIL: Throughput too low: 5 writes/s",
        "FAIL: Slowest request took too long: 0.900000s",
        "FAIL: Stddev too high: 0.356000s",
        "FAIL",
    ]


def test_a_run_without_any_answer_fails() -> None:
    _, is_ok = verdict(Tally(), LOAD, elapsed=10.0)
    assert not is_ok
