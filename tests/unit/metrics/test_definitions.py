"""The list of metrics: names of etcd, and that nothing is served that is not in the document."""

from __future__ import annotations

import re
from pathlib import Path

from zetcd.metrics import DEFINITIONS, Kind
from zetcd.metrics.definitions import exponential

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "testdata" / "metrics" / "names.txt"


def test_names_types_and_labels_are_as_written_down() -> None:
    lines = [" ".join((each.name, each.kind.value, *each.labels)) for each in DEFINITIONS.values()]
    assert lines == GOLDEN.read_text().splitlines()


def test_names_are_prometheus_names() -> None:
    for each in DEFINITIONS.values():
        assert re.fullmatch(r"[a-z_][a-z0-9_]*", each.name)
        assert all(re.fullmatch(r"[A-Za-z_]+", label) for label in each.labels)
        assert each.help.endswith(".")
        assert bool(each.buckets) == (each.kind is Kind.HISTOGRAM)
        assert list(each.buckets) == sorted(set(each.buckets))


def test_buckets_are_those_of_etcd() -> None:
    buckets = DEFINITIONS["etcd_disk_wal_fsync_duration_seconds"].buckets
    assert (len(buckets), buckets[0], buckets[-1]) == (14, 0.001, 8.192)
    usual = DEFINITIONS["grpc_server_handling_seconds"].buckets
    assert list(usual) == [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
    assert exponential(0.1, 2, 4) == (0.1, 0.2, 0.4, 0.8)


def test_every_metric_is_in_the_document() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    missing = [name for name in DEFINITIONS if f"`{name}`" not in text]
    assert not missing
