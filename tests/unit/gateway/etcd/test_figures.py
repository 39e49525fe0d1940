"""What an etcd gateway counts for /metrics."""

from __future__ import annotations

from tests.unit.metrics.values import count_of, value_of
from zetcd.errors import Code
from zetcd.gateway.etcd.endpoints import HealthFigures
from zetcd.gateway.etcd.figures import (
    call_figures,
    code_name,
    health_figures,
    identity_figures,
    zero_call_figures,
)
from zetcd.gateway.etcd.methods import etcd_methods
from zetcd.metrics import exposition
from zetcd.runtime.clock import ManualClock


def test_codes_have_the_names_of_go() -> None:
    assert [code_name(each) for each in (Code.OK, Code.CANCELED, Code.INVALID_ARGUMENT)] == [
        "OK",
        "Canceled",
        "InvalidArgument",
    ]


def test_calls_by_method_and_status() -> None:
    methods = etcd_methods()
    put = methods["/etcdserverpb.KV/Put"]
    put.figures.started = 3
    put.figures.handled[Code.OK] = 2
    found = call_figures(methods.values())
    labels = ("unary", "etcdserverpb.KV", "Put")
    assert value_of(found, "grpc_server_started_total", *labels) == 3
    assert value_of(found, "grpc_server_handled_total", *labels, "OK") == 2
    assert {each.labels[:3] for each in found} == {labels}, "what was never called is not reported"


def test_every_series_is_there_from_the_start() -> None:
    methods = etcd_methods()
    zeros = zero_call_figures(methods.values())
    assert len(zeros) == len(methods) * (3 + len(Code))
    assert all(each.value == 0 for each in zeros)
    text = exposition(zeros).decode()
    watch = 'grpc_type="bidi_stream",grpc_service="etcdserverpb.Watch",grpc_method="Watch"'
    assert f"grpc_server_started_total{{{watch}}} 0" in text
    assert f'grpc_server_handled_total{{{watch},grpc_code="Unavailable"}} 0' in text


def test_times_are_reported_where_they_are_measured() -> None:
    methods = etcd_methods()
    put = methods["/etcdserverpb.KV/Put"]
    name, labels = "grpc_server_handling_seconds", ("unary", "etcdserverpb.KV", "Put")
    put.figures.started = 1
    assert name not in {each.name for each in call_figures(methods.values())}
    clock = ManualClock()
    methods = etcd_methods(clock.now)
    put = methods["/etcdserverpb.KV/Put"]
    began_at = put.figures.begin()
    clock.advance(0.03)
    put.figures.end(Code.OK, began_at)
    found = call_figures(methods.values())
    assert (value_of(found, name, *labels), count_of(found, name, *labels)) == (0.03, 1)
    lines = exposition(found).decode()
    braces = 'grpc_type="unary",grpc_service="etcdserverpb.KV",grpc_method="Put"'
    assert f'{name}_bucket{{{braces},le="0.025"}} 0' in lines
    assert f'{name}_bucket{{{braces},le="0.05"}} 1' in lines
    zeros = zero_call_figures(methods.values())
    assert count_of(zeros, name, *labels) == 0
    assert sum(each.name == name for each in zeros) == len(methods)


def test_health() -> None:
    health = HealthFigures(success=2, failures=1)
    health.note("readyz", "non_learner", is_good=False)
    found = health_figures(health)
    assert value_of(found, "etcd_server_health_success") == 2
    assert value_of(found, "etcd_server_health_failures") == 1
    assert value_of(found, "etcd_server_healthcheck", "readyz", "non_learner") == 0
    counted = value_of(found, "etcd_server_healthchecks_total", "readyz", "non_learner", "error")
    assert counted == 1


def test_identity() -> None:
    found = identity_figures("3.6.14", 0xAB, has_leader=True)
    assert value_of(found, "etcd_server_version", "3.6.14") == 1
    assert value_of(found, "etcd_cluster_version", "3.6") == 1
    assert value_of(found, "etcd_server_id", "ab") == 1
    assert len(identity_figures("3.6.14", 1, has_leader=False)) == 2
