"""What an etcd gateway counts for /metrics."""

from __future__ import annotations

from tests.unit.metrics.values import value_of
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
