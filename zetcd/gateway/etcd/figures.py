"""Responsible for what an etcd gateway adds to /metrics: calls by method, octets, health checks."""

from __future__ import annotations

from collections.abc import Iterable

from zetcd.errors import Code
from zetcd.gateway.etcd.endpoints import HealthFigures
from zetcd.gateway.grpc import HandlingTimes, Method
from zetcd.messages.node import Figure
from zetcd.metrics import figure, histogram_figure
from zetcd.version import API_MINOR

_TYPES = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}


def code_name(code: Code) -> str:
    """Return a status as gRPC for Go calls it."""
    words = code.name.split("_")
    return "OK" if code is Code.OK else "".join(word.capitalize() for word in words)


_CODE_NAMES = tuple(map(code_name, Code))


def _labels(method: Method) -> tuple[str, str, str]:
    service, _, name = method.path.removeprefix("/").rpartition("/")
    return _TYPES[method.client_streams, method.server_streams], service, name


def call_figures(methods: Iterable[Method], *, has_zeros: bool = False) -> tuple[Figure, ...]:
    """Return what was counted of each method; with zeros, every series there can be."""
    found: list[Figure] = []
    for method in methods:
        counts, labels = method.figures, _labels(method)
        if not (has_zeros or counts.started):
            continue
        if counts.times is not None:
            times = counts.times.histogram
            found.append(histogram_figure("grpc_server_handling_seconds", times, *labels))
        found += (
            figure("grpc_server_started_total", counts.started, *labels),
            figure("grpc_server_msg_received_total", counts.messages_received, *labels),
            figure("grpc_server_msg_sent_total", counts.messages_sent, *labels),
        )
        found += (
            figure("grpc_server_handled_total", count, *labels, name)
            for name, count in zip(_CODE_NAMES, counts.handled, strict=True)
            if has_zeros or count
        )
    return tuple(found)


def zero_call_figures(methods: Iterable[Method]) -> tuple[Figure, ...]:
    """Return every series of calls at 0, so that what never happened is 0 and not unknown."""
    unused: list[Method] = []
    for each in methods:
        method = Method(each.path, each.client_streams, each.server_streams)
        if each.figures.times is not None:
            method.figures.times = HandlingTimes(each.figures.times.clock)
        unused.append(method)
    return call_figures(unused, has_zeros=True)


def health_figures(health: HealthFigures) -> tuple[Figure, ...]:
    """Return how the checks came out."""
    return (
        figure("etcd_server_health_success", health.success),
        figure("etcd_server_health_failures", health.failures),
        *(
            figure("etcd_server_healthchecks_total", count, *labels)
            for labels, count in health.counts.items()
        ),
        *(
            figure("etcd_server_healthcheck", is_good, *labels)
            for labels, is_good in health.last.items()
        ),
    )


def identity_figures(
    server_version: str, member_id: int, *, has_leader: bool
) -> tuple[Figure, ...]:
    """Return what is said once for the whole member, by whoever serves /metrics."""
    cluster = (figure("etcd_cluster_version", 1, API_MINOR),) if has_leader else ()
    return (
        figure("etcd_server_version", 1, server_version),
        figure("etcd_server_id", 1, f"{member_id:x}"),
        *cluster,
    )
