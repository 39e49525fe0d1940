"""Responsible for the lines of the log that tools wait for in etcd's; pure.

They are written beside zetcd's own where the configuration says ``logger = "zap"``.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from zetcd import __version__
from zetcd.config import Config
from zetcd.config.urls import is_secure


class Line(NamedTuple):
    """A message and its fields."""

    message: str
    fields: Mapping[str, object]


_INSECURE: Final = "serving client traffic insecurely; this is strongly discouraged!"
_SECURE: Final = "serving client traffic securely"


def _urls(config: Config) -> dict[str, object]:
    return {
        "initial-advertise-peer-urls": config.initial_advertise_peer_urls,
        "listen-peer-urls": config.listen_peer_urls,
        "advertise-client-urls": config.advertise_client_urls,
        "listen-client-urls": config.listen_client_urls,
    }


def starting(config: Config, *, is_initialized: bool) -> Iterator[Line]:
    """Yield what etcd says before it starts."""
    yield Line("configuring peer listeners", {"listen-peer-urls": config.listen_peer_urls})
    yield Line("configuring client listeners", {"listen-client-urls": config.listen_client_urls})
    yield Line(
        "starting an etcd server",
        {
            "zetcd-version": __version__,
            "python-version": platform.python_version(),
            "member-initialized": is_initialized,
            "name": config.name,
            "data-dir": config.data_dir,
            "wal-dir": config.wal_dir,
            "heartbeat-interval": f"{config.heartbeat_interval}ms",
            "election-timeout": f"{config.election_timeout}ms",
            "initial-election-tick-advance": config.initial_election_tick_advance,
            "snapshot-count": config.snapshot_count,
            "snapshot-catchup-entries": config.snapshot_catchup_entries,
            **_urls(config),
            "initial-cluster": config.initial_cluster,
            "initial-cluster-state": config.initial_cluster_state,
            "initial-cluster-token": config.initial_cluster_token,
            "quota-backend-bytes": config.quota_bytes() or 0,
            "max-request-bytes": config.max_request_bytes,
            "max-concurrent-streams": config.max_concurrent_streams,
            "pre-vote": config.pre_vote,
        },
    )


def ready(config: Config) -> Iterator[Line]:
    """Yield what etcd says when clients are served."""
    yield Line(
        "now serving peer/client/metrics",
        {"local-member-id": f"{config.member_id():x}", **_urls(config)},
    )
    for _ in config.listen_client_urls:
        yield Line("ready to serve client requests", {})
    for url in config.listen_client_urls:
        _, _, address = url.partition("://")
        message = _SECURE if is_secure(url) else _INSECURE
        yield Line(message, {"traffic": "grpc+http", "address": address})


def _closing_fields(config: Config) -> dict[str, object]:
    return {
        "name": config.name,
        "data-dir": config.data_dir,
        "advertise-peer-urls": config.initial_advertise_peer_urls,
        "advertise-client-urls": config.advertise_client_urls,
    }


def closing(config: Config) -> Line:
    """Return what etcd says when it begins to stop."""
    return Line("closing etcd server", _closing_fields(config))


def closed(config: Config) -> Line:
    """Return what etcd says when it has stopped."""
    return Line("closed etcd server", _closing_fields(config))
