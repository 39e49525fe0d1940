"""Prometheus' text format."""

from __future__ import annotations

import re

from zetcd.messages.node import Figure
from zetcd.metrics import Histogram, exposition, figure, histogram_figure
from zetcd.metrics.exposition import number

FSYNC = "etcd_disk_wal_fsync_duration_seconds"


def lines_of(*figures: Figure) -> list[str]:
    return exposition(figures).decode().splitlines()


def test_a_counter() -> None:
    assert lines_of(figure("etcd_mvcc_put_total", 7)) == [
        "# HELP etcd_mvcc_put_total Keys put.",
        "# TYPE etcd_mvcc_put_total counter",
        "etcd_mvcc_put_total 7",
    ]


def test_series_of_one_name_follow_each_other() -> None:
    lines = lines_of(
        figure("etcd_network_peer_sent_bytes_total", 1, "b"),
        figure("etcd_mvcc_put_total", 1),
        figure("etcd_network_peer_sent_bytes_total", 2, "a"),
    )
    assert lines[3:] == [
        "# HELP etcd_network_peer_sent_bytes_total Bytes of raft's messages sent to a peer.",
        "# TYPE etcd_network_peer_sent_bytes_total counter",
        'etcd_network_peer_sent_bytes_total{To="a"} 2',
        'etcd_network_peer_sent_bytes_total{To="b"} 1',
    ]


def test_what_several_actors_count_is_added_up() -> None:
    assert lines_of(*[figure("etcd_mvcc_range_total", 2)] * 3)[-1] == "etcd_mvcc_range_total 6"
    histogram = Histogram.of(FSYNC)
    histogram.observe(0.003)
    both = lines_of(*[histogram_figure(FSYNC, histogram)] * 2)
    assert both[-1] == f"{FSYNC}_count 2"
    assert both[-2] == f"{FSYNC}_sum 0.006"


def test_a_histogram_adds_its_buckets_up() -> None:
    histogram = Histogram.of(FSYNC)
    for value in (0.0005, 0.001, 0.0011, 100.0):
        histogram.observe(value)
    lines = lines_of(histogram_figure(FSYNC, histogram))
    assert lines[1] == f"# TYPE {FSYNC} histogram"
    assert lines[2:5] == [
        f'{FSYNC}_bucket{{le="0.001"}} 2',
        f'{FSYNC}_bucket{{le="0.002"}} 3',
        f'{FSYNC}_bucket{{le="0.004"}} 3',
    ]
    assert lines[-3:] == [
        f'{FSYNC}_bucket{{le="+Inf"}} 4',
        f"{FSYNC}_sum 100.0026",
        f"{FSYNC}_count 4",
    ]


def test_labels_are_escaped() -> None:
    line = lines_of(figure("etcd_server_version", 1, 'a"b\\c\nd'))[-1]
    assert line == r'etcd_server_version{server_version="a\"b\\c\nd"} 1'


def test_what_another_version_reports_is_left_out() -> None:
    assert exposition([Figure("etcd_no_such_thing", 1.0)]) == b"\n"


def test_numbers_can_be_read_back() -> None:
    for value in (0.0, 1.0, -1.0, 0.1, 1e-9, 2.5e14, 1e18, 123456789.125):
        assert float(number(value)) == value
    assert re.fullmatch(r"\d+", number(float(2**40)))
