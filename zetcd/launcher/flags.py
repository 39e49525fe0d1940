"""Responsible for the table of etcd's flags: what each takes, and what zetcd does about it.

A flag that is set to etcd's default asks for nothing, so only other values are warned of or refused.
What is dangerous to ignore is refused: security that is not there, a cluster other than the one meant.
`docs/etcd-flags.md` is made from this table (`zetcd.launcher.flag_document`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    """What the value of a flag is."""

    STRING = "text"
    BOOL = "true or false"
    #: Go's int, int64, uint and uint32.
    INT = "number"
    UINT = "number, not negative"
    UINT32 = "number below 2^32"
    DURATION = "duration"
    #: Comma-separated; checked to be URLs.
    URLS = "URLs"
    #: Comma-separated.
    STRINGS = "texts"


class Treatment(Enum):
    """What zetcd does about a flag."""

    ACTED_ON = "acted on"
    IGNORED = "ignored with a warning"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of etcd 3.6."""

    name: str
    kind: Kind
    #: etcd's own, as text.
    default: str
    section: str
    treatment: Treatment
    #: The setting of zetcd that takes the value as it is; empty = `translation` knows better.
    key: str = ""
    #: What becomes of it, or why it is ignored or refused.
    note: str = ""
    choices: tuple[str, ...] = ()


class _Table:
    """Collects the flags of one section."""

    def __init__(self) -> None:
        self.flags: list[Flag] = []
        self.section = ""

    def acted(
        self,
        name: str,
        kind: Kind,
        default: str = "",
        *,
        key: str | None = None,
        note: str = "",
        choices: tuple[str, ...] = (),
    ) -> None:
        treatment = Treatment.ACTED_ON
        where = name if key is None else key
        self.flags.append(Flag(name, kind, default, self.section, treatment, where, note, choices))

    def ignored(
        self, name: str, kind: Kind, default: str, note: str, choices: tuple[str, ...] = ()
    ) -> None:
        self.flags.append(
            Flag(name, kind, default, self.section, Treatment.IGNORED, "", note, choices)
        )

    def refused(
        self, name: str, kind: Kind, default: str, note: str, choices: tuple[str, ...] = ()
    ) -> None:
        self.flags.append(
            Flag(name, kind, default, self.section, Treatment.REFUSED, "", note, choices)
        )


_STRING, _BOOL, _INT, _UINT = Kind.STRING, Kind.BOOL, Kind.INT, Kind.UINT
_DURATION, _URLS, _STRINGS = Kind.DURATION, Kind.URLS, Kind.STRINGS

_NO_DISCOVERY: Final = "no discovery service is asked: the members would not find each other"
_NO_BBOLT: Final = "about bbolt; zetcd keeps its store in LMDB"
_NO_TRACING: Final = "nothing is traced"
_CLIENT: Final = "client-transport-security."
_PEER: Final = "peer-transport-security."


def _member(table: _Table) -> None:
    table.section = "Member"
    table.acted("name", _STRING, "default")
    table.acted("data-dir", _STRING, note="default <name>.etcd")
    table.acted("wal-dir", _STRING)
    table.acted("snapshot-count", _UINT, "10000")
    table.acted("snapshot-catchup-entries", _UINT, "5000")
    table.ignored(
        "max-snapshots", _UINT, "5", "checkpoints kept are zetcd's [snapshot] checkpoints-kept"
    )
    table.ignored("max-wals", _UINT, "5", "log files are removed once two checkpoints cover them")
    table.acted("heartbeat-interval", _UINT, "100")
    table.acted("election-timeout", _UINT, "1000")
    table.acted("initial-election-tick-advance", _BOOL, "true")
    table.acted(
        "listen-peer-urls",
        _URLS,
        "http://localhost:2380",
        note="members talk ZeroMQ there, with https in TLS: all members of a cluster must be zetcd",
    )
    table.acted("listen-client-urls", _URLS, "http://localhost:2379")
    table.acted("listen-client-http-urls", _URLS)
    table.acted("listen-metrics-urls", _URLS)
    table.acted("max-txn-ops", _UINT, "128")
    table.acted("max-request-bytes", _UINT, "1572864", note="at most 10 MiB")
    table.acted("max-concurrent-streams", Kind.UINT32, "4294967295")
    table.acted("grpc-keepalive-min-time", _DURATION, "5s")
    table.acted("grpc-keepalive-interval", _DURATION, "2h0m0s")
    table.acted("grpc-keepalive-timeout", _DURATION, "20s")
    table.ignored("socket-reuse-port", _BOOL, "false", "one member per port")
    table.ignored("socket-reuse-address", _BOOL, "false", "listeners always have SO_REUSEADDR")
    table.ignored(
        "raft-read-timeout", _DURATION, "5s", "a dead link is noticed by heartbeats, in 3 s"
    )
    table.ignored(
        "raft-write-timeout", _DURATION, "5s", "a dead link is noticed by heartbeats, in 3 s"
    )
    table.acted("quota-backend-bytes", _INT, "0")
    table.ignored("backend-bbolt-freelist-type", _STRING, "map", _NO_BBOLT)
    table.ignored("backend-batch-interval", _DURATION, "0s", _NO_BBOLT)
    table.ignored("backend-batch-limit", _INT, "0", _NO_BBOLT)
    table.ignored("memory-mlock", _BOOL, "false", "pages may be swapped out")
    table.acted("max-learners", _INT, "1")


def _clustering(table: _Table) -> None:
    table.section = "Clustering"
    table.acted("initial-advertise-peer-urls", _URLS, "http://localhost:2380")
    table.acted("initial-cluster", _STRING, "default=http://localhost:2380")
    table.acted("initial-cluster-state", _STRING, "new", choices=("new", "existing"))
    table.acted("initial-cluster-token", _STRING, "etcd-cluster")
    table.acted("advertise-client-urls", _URLS, "http://localhost:2379")
    for name in (
        "discovery-token",
        "discovery-srv",
        "discovery-srv-name",
        "discovery",
        "discovery-proxy",
    ):
        table.refused(name, _STRING, "", _NO_DISCOVERY)
    table.refused("discovery-endpoints", _STRINGS, "", _NO_DISCOVERY)
    for name, default in (
        ("discovery-dial-timeout", "2s"),
        ("discovery-request-timeout", "5s"),
        ("discovery-keepalive-time", "2s"),
        ("discovery-keepalive-timeout", "6s"),
    ):
        table.ignored(name, _DURATION, default, "no discovery service is asked")
    table.ignored("discovery-insecure-transport", _BOOL, "true", "no discovery service is asked")
    table.ignored(
        "discovery-insecure-skip-tls-verify", _BOOL, "false", "no discovery service is asked"
    )
    for name in ("cert", "key", "cacert", "user", "password"):
        table.ignored(f"discovery-{name}", _STRING, "", "no discovery service is asked")
    table.refused(
        "discovery-fallback", _STRING, "exit", "there is no v2 proxy", choices=("exit", "proxy")
    )
    table.acted("strict-reconfig-check", _BOOL, "true")
    table.acted("pre-vote", _BOOL, "true")
    table.acted("auto-compaction-retention", _STRING, "0")
    table.acted("auto-compaction-mode", _STRING, "periodic")
    table.ignored(
        "v2-deprecation",
        _STRING,
        "write-only",
        "there is no v2 store",
        choices=("write-only", "write-only-drop-data", "gone"),
    )


def _security(table: _Table) -> None:
    table.section = "Security"
    for name in ("cert-file", "key-file"):
        table.acted(name, _STRING, key=_CLIENT + name, note="read again when it changes")
    for name in ("client-cert-file", "client-key-file"):
        table.ignored(name, _STRING, "", "zetcd makes no connection to its own client port")
    table.acted(
        "trusted-ca-file",
        _STRING,
        key=_CLIENT + "trusted-ca-file",
        note="clients need a certificate",
    )
    table.acted("client-crl-file", _STRING, key=_CLIENT + "client-crl-file")
    table.acted("client-cert-auth", _BOOL, "false", key=_CLIENT + "client-cert-auth")
    table.acted("client-cert-allowed-hostname", _STRINGS, key=_CLIENT + "allowed-hostname")
    table.acted("auto-tls", _BOOL, "false", key=_CLIENT + "auto-tls")
    for name in ("cert-file", "key-file", "client-cert-file", "client-key-file"):
        table.acted(f"peer-{name}", _STRING, key=_PEER + name, note="read again when it changes")
    table.acted(
        "peer-trusted-ca-file",
        _STRING,
        key=_PEER + "trusted-ca-file",
        note="members need a certificate",
    )
    table.acted("peer-crl-file", _STRING, key=_PEER + "client-crl-file")
    for name in ("client-cert-auth", "auto-tls", "skip-client-san-verification"):
        table.acted(f"peer-{name}", _BOOL, "false", key=_PEER + name)
    for name in ("cn", "hostname"):
        table.acted(f"peer-cert-allowed-{name}", _STRINGS, key=f"{_PEER}allowed-{name}")
    table.acted("self-signed-cert-validity", _UINT, "1", note="years")
    table.acted("cipher-suites", _STRINGS, note="Go's names; up to TLS 1.2")
    table.acted("tls-min-version", _STRING, "TLS1.2")
    table.acted("tls-max-version", _STRING)
    table.acted("cors", _STRINGS, "*")
    table.acted("host-whitelist", _STRINGS, "*")
    table.section = "Auth"
    table.ignored("auth-token", _STRING, "simple", "there are no users yet")
    table.ignored("bcrypt-cost", _UINT, "10", "there are no users yet")
    table.ignored("auth-token-ttl", _UINT, "300", "there are no users yet")


def _observation(table: _Table) -> None:
    table.section = "Profiling and monitoring"
    table.acted("enable-pprof", _BOOL, "false", note="serves /debug/vars; there are no profiles")
    table.acted("metrics", _STRING, "basic", note="basic or extensive")
    table.ignored("enable-distributed-tracing", _BOOL, "false", _NO_TRACING)
    table.ignored("distributed-tracing-address", _STRING, "localhost:4317", _NO_TRACING)
    table.ignored("distributed-tracing-service-name", _STRING, "etcd", _NO_TRACING)
    table.ignored("distributed-tracing-instance-id", _STRING, "", _NO_TRACING)
    table.ignored("distributed-tracing-sampling-rate", _INT, "0", _NO_TRACING)
    table.section = "Logging"
    table.acted("logger", _STRING, "zap", note="only zap")
    table.acted(
        "log-outputs",
        _STRINGS,
        "default",
        note="default, stderr, stdout, files; systemd/journal = stderr, which systemd journals",
    )
    table.acted("log-level", _STRING, "info")
    table.acted("log-format", _STRING, "json")
    table.ignored("enable-log-rotation", _BOOL, "false", "log files grow; rotate them from outside")
    table.ignored(
        "log-rotation-config-json",
        _STRING,
        '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}',
        "log files grow; rotate them from outside",
    )
    table.ignored("warning-apply-duration", _DURATION, "100ms", "nothing is said of slow applies")
    table.ignored(
        "warning-unary-request-duration", _DURATION, "300ms", "nothing is said of slow requests"
    )


def _rest(table: _Table) -> None:
    table.section = "Gateway"
    table.acted("enable-grpc-gateway", _BOOL, "true")
    table.section = "Integrity, compaction and the rest"
    table.acted("corrupt-check-time", _DURATION, "0s", note="zetcd's default is one minute")
    table.ignored(
        "compact-hash-check-time",
        _DURATION,
        "1m0s",
        "see corrupt-check-time: hashes of the history",
    )
    table.acted("compaction-batch-limit", _INT, "0", note="0 = 1000")
    table.acted("compaction-sleep-interval", _DURATION, "0s", note="0 = 10ms")
    table.acted("watch-progress-notify-interval", _DURATION, "0s", note="0 = 10m")
    table.ignored("downgrade-check-time", _DURATION, "5s", "there is nothing to downgrade to")
    table.ignored(
        "bootstrap-defrag-threshold-megabytes", _UINT, "0", "nothing is defragmented at the start"
    )
    table.acted("feature-gates", _STRING, key="", note="see below")
    table.section = "Unsafe"
    table.refused("force-new-cluster", _BOOL, "false", "this member would not be alone, as asked")
    table.acted("unsafe-no-fsync", _BOOL, "false")
    table.section = "Other"
    table.acted("config-file", _STRING, key="", note="YAML; flags and variables are then ignored")
    table.acted("version", _BOOL, "false", key="")


#: Flags of long ago that etcd still accepts and ignores.
LEGACY_FLAGS: Final = (
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-heartbeat-interval",
    "peer-election-timeout",
    "retry-interval",
    "snapshot",
    "v",
    "vv",
)

#: Deprecated ``experimental-`` flags that have a flag of the same name without it.
EXPERIMENTAL_FLAGS: Final = (
    "bootstrap-defrag-threshold-megabytes",
    "compact-hash-check-time",
    "compaction-batch-limit",
    "compaction-sleep-interval",
    "corrupt-check-time",
    "distributed-tracing-address",
    "distributed-tracing-instance-id",
    "distributed-tracing-sampling-rate",
    "distributed-tracing-service-name",
    "downgrade-check-time",
    "enable-distributed-tracing",
    "memory-mlock",
    "peer-skip-client-san-verification",
    "snapshot-catchup-entries",
    "warning-apply-duration",
    "warning-unary-request-duration",
    "watch-progress-notify-interval",
)

#: Deprecated ``experimental-`` flags that are a feature gate now.
EXPERIMENTAL_GATES: Final = {
    "compact-hash-check-enabled": "CompactHashCheck",
    "enable-lease-checkpoint": "LeaseCheckpoint",
    "enable-lease-checkpoint-persist": "LeaseCheckpointPersist",
    "initial-corrupt-check": "InitialCorruptCheck",
    "stop-grpc-service-on-defrag": "StopGRPCServiceOnDefrag",
    "txn-mode-write-with-shared-buffer": "TxnModeWriteWithSharedBuffer",
}

EXPERIMENTAL_PREFIX: Final = "experimental-"


def _build() -> dict[str, Flag]:
    table = _Table()
    for add in (_member, _clustering, _security, _observation, _rest):
        add(table)
    found = {flag.name: flag for flag in table.flags}
    assert len(found) == len(table.flags), "a flag is listed twice"
    return found


#: Every flag, by name, in the order of the sections.
FLAGS: Final = _build()


def _with_aliases() -> dict[str, Flag]:
    flags = dict(FLAGS)
    for name in EXPERIMENTAL_FLAGS:
        flags[EXPERIMENTAL_PREFIX + name] = FLAGS[name]
    for name in EXPERIMENTAL_GATES:
        alias = EXPERIMENTAL_PREFIX + name
        flags[alias] = Flag(alias, Kind.BOOL, "false", "", Treatment.ACTED_ON, "", "a feature gate")
    for name in LEGACY_FLAGS:
        flags[name] = Flag(
            name, Kind.STRING, "", "", Treatment.IGNORED, "", "has no meaning any more"
        )
    return flags


#: Every name that etcd accepts, aliases included.
ACCEPTED: Final = _with_aliases()
