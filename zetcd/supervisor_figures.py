"""Responsible for what the supervisor adds to /metrics: figures of processes, and the limits of the node."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterable

from zetcd import __version__
from zetcd.config import Config
from zetcd.messages.node import Figure
from zetcd.metrics import figure
from zetcd.node_status import ActorStatus


def node_figures(
    config: Config, actors: Iterable[ActorStatus], uptime_seconds: float
) -> tuple[Figure, ...]:
    """Return the figures of a node whose processes are ``actors``."""
    actors = tuple(actors)
    fds, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = sum(each.fds for each in actors)
    return (
        figure("process_cpu_seconds_total", sum(each.cpu_seconds for each in actors)),
        figure("process_resident_memory_bytes", sum(each.rss_bytes for each in actors)),
        figure("process_open_fds", used),
        figure("process_max_fds", fds),
        figure("process_start_time_seconds", round(time.time() - uptime_seconds, 2)),
        figure("os_fd_used", used),
        figure("os_fd_limit", fds),
        figure("etcd_server_quota_backend_bytes", config.quota_bytes() or 0),
        figure("zetcd_build_info", 1, __version__),
        *(each for actor in actors for each in _actor_figures(actor)),
    )


def _actor_figures(actor: ActorStatus) -> tuple[Figure, ...]:
    return (
        figure("zetcd_actor_cpu_seconds_total", actor.cpu_seconds, actor.actor),
        figure("zetcd_actor_resident_memory_bytes", actor.rss_bytes, actor.actor),
        figure("zetcd_actor_open_fds", actor.fds, actor.actor),
        figure("zetcd_actor_ready", actor.state == "ready", actor.actor),
        figure("zetcd_actor_restarts_total", actor.restarts, actor.actor),
    )
