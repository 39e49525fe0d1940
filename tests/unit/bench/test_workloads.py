"""Workloads are named and seeded, and sessions go through them in an order that favours nobody."""

from __future__ import annotations

import pytest

from bench.native_driver import NativeSpec, request_maker
from bench.results import Session
from bench.session import Options, drop_unpaired, order_of, sorted_by_group
from bench.workloads import BY_NAME, WORKLOADS, chosen
from tests.unit.bench.samples import measurement


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(WORKLOADS)


def test_the_same_spec_is_made_each_time() -> None:
    for workload in WORKLOADS:
        spec = workload.spec(["a:1"], seconds=1, warmup=0)
        assert spec == workload.spec(["a:1"], seconds=1, warmup=0)
        assert spec["key_bytes"] == 16
        assert spec["connections"] <= spec["clients"]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no such workload: put-7"):
        chosen(["put-1", "put-7"])


def test_the_short_selection_is_a_part() -> None:
    short = chosen([], is_short=True)
    assert 0 < len(short) < len(chosen([]))
    assert all(workload.is_short for workload in short)


def test_groups_stay_together_because_they_share_a_cluster() -> None:
    names = [each.name for each in sorted_by_group(chosen(["get-1", "put-1", "get-10", "put-10"]))]
    assert names == ["get-1", "get-10", "put-1", "put-10"]


def test_the_order_of_the_systems_turns_round_with_each_round() -> None:
    systems = ("etcd", "zetcd", "zetcd-native")
    assert order_of(systems, 0) == ["etcd", "zetcd"]
    assert order_of(systems, 1) == ["zetcd", "etcd"]
    assert order_of(("zetcd-native",), 1) == ["zetcd"]


def test_what_has_no_counterpart_when_time_is_up_is_left_out() -> None:
    made = Session("", "")
    made.measurements = [
        measurement("etcd", 0, 10),
        measurement("zetcd", 0, 10),
        measurement("etcd", 1, 10),
    ]
    drop_unpaired(made, Options(systems=("etcd", "zetcd", "zetcd-native")))
    assert [(each.system, each.round) for each in made.measurements] == [("etcd", 0), ("zetcd", 0)]


def test_the_native_driver_knows_every_workload_that_is_marked_so() -> None:
    for workload in WORKLOADS:
        if workload.is_native:
            request_maker(NativeSpec(workload.kind, [], preload=1))
    with pytest.raises(ValueError, match="does not know 'cas'"):
        request_maker(NativeSpec("cas", []))
