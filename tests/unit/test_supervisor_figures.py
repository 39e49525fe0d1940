"""Figures of processes for /metrics."""

from __future__ import annotations

import time

from tests.unit.metrics.values import value_of
from zetcd import __version__
from zetcd.config import Config
from zetcd.node_status import ActorStatus
from zetcd.supervisor_figures import node_figures


def test_processes_are_shown_alone_and_together() -> None:
    actors = (
        ActorStatus("raft-0", state="ready", cpu_seconds=1.5, rss_bytes=10, fds=3, restarts=2),
        ActorStatus("wal-0", state="starting", cpu_seconds=0.5, rss_bytes=20, fds=4),
    )
    found = node_figures(Config(), actors, uptime_seconds=100.0)
    assert value_of(found, "process_cpu_seconds_total") == 2.0
    assert value_of(found, "process_resident_memory_bytes") == 30
    assert value_of(found, "process_open_fds") == value_of(found, "os_fd_used") == 7
    assert value_of(found, "os_fd_limit") == value_of(found, "process_max_fds") > 7
    assert abs(value_of(found, "process_start_time_seconds") - (time.time() - 100)) < 60
    assert value_of(found, "zetcd_build_info", __version__) == 1
    assert value_of(found, "etcd_server_quota_backend_bytes") == 2 * 1024**3
    assert value_of(found, "zetcd_actor_restarts_total", "raft-0") == 2
    assert value_of(found, "zetcd_actor_ready", "raft-0") == 1
    assert value_of(found, "zetcd_actor_ready", "wal-0") == 0
    assert value_of(found, "zetcd_actor_cpu_seconds_total", "wal-0") == 0.5
    assert value_of(found, "zetcd_actor_resident_memory_bytes", "wal-0") == 20
    assert value_of(found, "zetcd_actor_open_fds", "wal-0") == 4
