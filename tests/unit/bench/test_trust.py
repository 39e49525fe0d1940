"""When a figure is not to be believed."""

from __future__ import annotations

from bench.histogram import Histogram
from bench.results import Report, Usage
from bench.trust import doubts_of, void_of


def usage(foreign: float = 0.0) -> Usage:
    return Usage(foreign_cpu_seconds=foreign, wall_seconds=10.0, cores=2)


def test_a_quiet_run_is_believed() -> None:
    quiet = Report(1000, 1000, 10.0, 5.0)
    assert doubts_of(quiet, usage(), one_thread=True) == []
    assert void_of(quiet, leader_before=1, leader_after=1) == ""


def test_a_client_at_its_limit_is_named() -> None:
    busy = Report(1000, 1000, 10.0, 9.5)
    saturated = "client saturated: the server may be faster than this"
    assert doubts_of(busy, usage(), one_thread=True) == [saturated]
    assert doubts_of(busy, usage(), one_thread=False) == []
    busier = Report(1000, 1000, 10.0, 10.5)
    competing = "the client used more than 50% of the machine"
    assert doubts_of(busier, usage(), one_thread=False) == [competing]


def test_other_programs_are_noticed() -> None:
    quiet = Report(1000, 1000, 10.0, 1.0)
    assert doubts_of(quiet, usage(foreign=1.9), one_thread=False) == []
    disturbed = "other programs used more than 10% of the machine"
    assert doubts_of(quiet, usage(foreign=2.1), one_thread=False) == [disturbed]


def test_an_open_loop_must_send_in_time_and_reach_its_rate() -> None:
    late = Histogram()
    for _ in range(90):
        late.record(10)
    for _ in range(10):
        late.record(8_000)
    lagging = Report(900, 900, 10.0, 1.0, lateness=late.buckets())
    assert doubts_of(lagging, usage(), one_thread=False, rate=100.0) == [
        "open loop: more than 1 % was sent over 5 ms late",
        "open loop: the rate was not reached",
    ]


def test_failed_requests_are_a_doubt_and_many_make_the_round_void() -> None:
    some = Report(1000, 1000, 10.0, 1.0, {"etcdserver: request timed out": 1})
    assert doubts_of(some, usage(), one_thread=False) == ["requests failed"]
    assert void_of(some, leader_before=1, leader_after=1) == ""
    many = Report(1000, 1000, 10.0, 1.0, {"etcdserver: request timed out": 11})
    assert void_of(many, leader_before=1, leader_after=1) == "void round: more than 1 % failed"


def test_a_change_of_leader_makes_the_round_void() -> None:
    quiet = Report(1000, 1000, 10.0, 1.0)
    assert void_of(quiet, leader_before=1, leader_after=2) == "void round: the leader changed"
    assert void_of(Report(), leader_before=1, leader_after=1) == "void round: nothing was answered"
