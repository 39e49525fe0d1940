"""The defaults agree with etcd's figures and with each other."""

from __future__ import annotations

from zetcd.watch.options import WatchOptions


def test_defaults() -> None:
    options = WatchOptions()
    assert options.sync_watchers_max == 512
    assert options.sync_revisions_max == 1000
    assert options.progress_interval == 600
    # A round must fit into the queue, or every resync would end in another one.
    assert options.sync_bytes_max <= options.queue_bytes_max
