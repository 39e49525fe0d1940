"""Medians, spread and ratios; a ratio is of two runs of one round, or it is not there."""

from __future__ import annotations

from bench.results import Report, Session
from bench.summary import Spread, line_of, lines_of
from tests.unit.bench.samples import measurement, session


def test_ratios_are_formed_within_rounds() -> None:
    etcd, zetcd = lines_of(session())
    assert etcd.rate == Spread(550, 100, 1000, 2)
    assert zetcd.rate == Spread(1250, 500, 2000, 2)
    # 2,000 to 1,000 and 500 to 100; the ratio of the medians would be 2.27.
    assert zetcd.rate_ratio == Spread(3.5, 2.0, 5.0, 2)
    assert etcd.rate_ratio is None


def test_a_run_without_its_counterpart_gives_no_ratio() -> None:
    runs = [measurement("etcd", 0, 1000), measurement("zetcd", 1, 2000)]
    _, zetcd = lines_of(Session("", "", measurements=runs))
    assert zetcd.rate_ratio is None
    assert zetcd.p50_ratio is None


def test_void_rounds_are_left_out_and_counted() -> None:
    runs = [
        measurement("etcd", 0, 1000),
        measurement("etcd", 1, 100, void="void round: the leader changed"),
        measurement("zetcd", 0, 900),
        measurement("zetcd", 1, 1000),
    ]
    zetcd = line_of(runs, "put-100", "zetcd", "etcd")
    assert zetcd.rate == Spread(950, 900, 1000, 2)
    assert zetcd.rate_ratio == Spread(0.9, 0.9, 0.9, 1)
    etcd = line_of(runs, "put-100", "etcd", "etcd")
    assert etcd.void_rounds == 1
    assert "void round: the leader changed" in etcd.doubts


def test_cpu_is_counted_for_every_operation_by_actor() -> None:
    line = line_of([measurement("zetcd", 0, 1000)], "put-100", "zetcd", "etcd")
    assert {actor: round(us, 6) for actor, us in line.cpu_us.items()} == {"apply": 20.0}


def test_latencies_of_all_rounds_are_merged_before_a_percentile_is_taken() -> None:
    runs = [measurement("etcd", each, 600) for each in range(2)]
    line = line_of(runs, "put-100", "etcd", "etcd")
    # 1,200 operations: enough for p99, not for p99.9.
    assert line.latency_ms["p99"] is not None
    assert line.latency_ms["p99.9"] is None


def test_a_stall_is_the_longest_run_of_empty_tenths() -> None:
    assert Report(timeline=(5, 0, 0, 3, 0, 0, 0, 1, 0)).longest_stall_seconds == 0.3
    assert Report().longest_stall_seconds == 0.0
