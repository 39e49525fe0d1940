"""Figures are what their definitions say."""

from __future__ import annotations

import pytest

from zetcd.messages.codec import decoder_of, encode
from zetcd.messages.node import NodeFigures
from zetcd.metrics import Histogram, figure, histogram_figure


def test_a_name_that_is_not_defined_is_a_defect() -> None:
    with pytest.raises(KeyError):
        figure("etcd_no_such_thing", 1)


def test_labels_and_kinds_must_fit() -> None:
    with pytest.raises(AssertionError):
        figure("etcd_server_version", 1)
    with pytest.raises(AssertionError):
        figure("etcd_disk_wal_fsync_duration_seconds", 1)
    with pytest.raises(AssertionError):
        histogram_figure("etcd_disk_wal_fsync_duration_seconds", Histogram([1]))


def test_figures_can_be_sent_whatever_was_counted() -> None:
    histogram = Histogram.of("zetcd_wal_batch_entries")
    histogram.observe(3)
    for each in (
        figure("etcd_server_has_leader", value=True),
        figure("etcd_mvcc_put_total", 2**53),
        histogram_figure("zetcd_wal_batch_entries", histogram),
    ):
        message = NodeFigures(1, (each,))
        assert decoder_of(NodeFigures).decode(encode(message)) == message
