"""The table of flags holds every flag of etcd 3.6, with its default, and says what becomes of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from zetcd.config import Config
from zetcd.config.loading import config_from_table
from zetcd.config.rules import key_of
from zetcd.config.tree import SECTIONS
from zetcd.launcher.flag_document import document
from zetcd.launcher.flags import (
    ACCEPTED,
    EXPERIMENTAL_FLAGS,
    EXPERIMENTAL_GATES,
    EXPERIMENTAL_PREFIX,
    FLAGS,
    LEGACY_FLAGS,
    Flag,
    Kind,
    Treatment,
)
from zetcd.launcher.values import default_of, parse

ROOT = Path(__file__).parents[3]

#: etcd 3.6's flags with their defaults, one per line, typed in from its reference and not from the table.
ETCD_FLAGS = """
name default
data-dir
wal-dir
snapshot-count 10000
snapshot-catchup-entries 5000
max-snapshots 5
max-wals 5
heartbeat-interval 100
election-timeout 1000
initial-election-tick-advance true
listen-peer-urls http://localhost:2380
listen-client-urls http://localhost:2379
listen-client-http-urls
listen-metrics-urls
max-txn-ops 128
max-request-bytes 1572864
max-concurrent-streams 4294967295
grpc-keepalive-min-time 5s
grpc-keepalive-interval 2h
grpc-keepalive-timeout 20s
socket-reuse-port false
socket-reuse-address false
raft-read-timeout 5s
raft-write-timeout 5s
quota-backend-bytes 0
backend-bbolt-freelist-type map
backend-batch-interval 0
backend-batch-limit 0
memory-mlock false
max-learners 1
initial-advertise-peer-urls http://localhost:2380
initial-cluster default=http://localhost:2380
initial-cluster-state new
initial-cluster-token etcd-cluster
advertise-client-urls http://localhost:2379
discovery-token
discovery-endpoints
discovery-dial-timeout 2s
discovery-request-timeout 5s
discovery-keepalive-time 2s
discovery-keepalive-timeout 6s
discovery-insecure-transport true
discovery-insecure-skip-tls-verify false
discovery-cert
discovery-key
discovery-cacert
discovery-user
discovery-password
discovery-fallback exit
discovery-srv
discovery-srv-name
discovery
discovery-proxy
strict-reconfig-check true
pre-vote true
auto-compaction-retention 0
auto-compaction-mode periodic
v2-deprecation write-only
cert-file
key-file
client-cert-file
client-key-file
trusted-ca-file
client-crl-file
client-cert-auth false
client-cert-allowed-hostname
auto-tls false
peer-cert-file
peer-key-file
peer-client-cert-file
peer-client-key-file
peer-trusted-ca-file
peer-crl-file
peer-client-cert-auth false
peer-auto-tls false
peer-cert-allowed-cn
peer-cert-allowed-hostname
peer-skip-client-san-verification false
self-signed-cert-validity 1
cipher-suites
tls-min-version TLS1.2
tls-max-version
cors *
host-whitelist *
auth-token simple
bcrypt-cost 10
auth-token-ttl 300
enable-pprof false
metrics basic
enable-distributed-tracing false
distributed-tracing-address localhost:4317
distributed-tracing-service-name etcd
distributed-tracing-instance-id
distributed-tracing-sampling-rate 0
logger zap
log-outputs default
log-level info
log-format json
enable-log-rotation false
log-rotation-config-json
warning-apply-duration 100ms
warning-unary-request-duration 300ms
enable-grpc-gateway true
corrupt-check-time 0
compact-hash-check-time 1m
compaction-batch-limit 0
compaction-sleep-interval 0
watch-progress-notify-interval 0
downgrade-check-time 5s
bootstrap-defrag-threshold-megabytes 0
feature-gates
force-new-cluster false
unsafe-no-fsync false
config-file
version false
"""
ROWS = [
    (name, default)
    for name, _, default in (line.partition(" ") for line in ETCD_FLAGS.strip().splitlines())
]


@pytest.mark.parametrize(("name", "default"), ROWS)
def test_every_flag_of_etcd_is_in_the_table_with_its_default(name: str, default: str) -> None:
    flag = FLAGS[name]
    if name == "log-rotation-config-json":
        assert flag.default.startswith('{"maxsize": 100')
    else:
        assert default_of(flag) == (parse(flag, default) if default else _empty(flag))
    assert flag.treatment is Treatment.ACTED_ON or flag.note, "what is not acted on says why"


def _empty(flag: Flag) -> object:
    return () if flag.kind in (Kind.URLS, Kind.STRINGS) else ""


def test_the_table_has_no_flag_that_etcd_does_not_have() -> None:
    assert set(FLAGS) == {name for name, _ in ROWS}


def test_deprecated_and_forgotten_names_are_accepted() -> None:
    assert len(EXPERIMENTAL_FLAGS) + len(EXPERIMENTAL_GATES) == 23
    assert len(LEGACY_FLAGS) == 13
    names = [EXPERIMENTAL_PREFIX + name for name in (*EXPERIMENTAL_FLAGS, *EXPERIMENTAL_GATES)]
    assert set(names) | set(LEGACY_FLAGS) == set(ACCEPTED) - set(FLAGS)


@pytest.mark.parametrize(
    "flag", [flag for flag in FLAGS.values() if flag.key], ids=lambda flag: flag.name
)
def test_every_flag_that_is_acted_on_has_a_setting(flag: Flag) -> None:
    section, _, inner = flag.key.rpartition(".")
    keys = {key_of(name): name for name in SECTIONS}
    kind: type = SECTIONS[keys[section]] if section else Config
    assert inner.replace("-", "_") in {each.name for each in dataclasses.fields(kind)}


def test_the_document_is_made_from_the_table() -> None:
    assert (ROOT / "docs" / "etcd-flags.md").read_text() == document(), (
        "run python -m zetcd.launcher.flag_document > docs/etcd-flags.md"
    )


def test_etcds_defaults_are_a_configuration() -> None:
    assert config_from_table({}).name == FLAGS["name"].default
