"""Responsible for the whole configuration of one node: etcd's parameters and a section per actor.

Invariant: a `Config` never changes; it is read once, checked whole, and handed down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from zetcd.config.membership_id import cluster_id_of, member_id_of
from zetcd.config.rules import key_of, setting, write_section
from zetcd.config.sections import (
    GIB,
    KIB,
    MIB,
    ApplyConfig,
    GatewayConfig,
    RaftConfig,
    SnapshotConfig,
    SupervisorConfig,
    TransportSecurity,
    WalConfig,
    WatchConfig,
)
from zetcd.config.urls import is_secure, parse_initial_cluster
from zetcd.scalars import NodeID, Ticks

#: Bytes that ``quota-backend-bytes = 0`` stands for (etcd).
QUOTA_BYTES_DEFAULT = 2 * GIB
#: Bytes of the LMDB map when the quota is off; only address space, not memory or disk.
MAP_BYTES_WITHOUT_QUOTA = 256 * GIB


class InitialMember(NamedTuple):
    """A member that founded the cluster."""

    id: NodeID
    name: str
    #: Sorted.
    peer_urls: tuple[str, ...]


class MemberIdentity(NamedTuple):
    """Who a member is."""

    cluster_id: int
    member_id: NodeID


class PeerTunnel(NamedTuple):
    """Where the actors of a node give what goes to other members with TLS."""

    #: A port of 127.0.0.1 at which SOCKS5 is spoken.
    port: int
    #: Whoever uses it must know this; only processes of the node do.
    key: str
    #: The listening socket, which every process of the node inherits.
    descriptor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The configuration of one node.

    Each attribute is etcd's parameter of that name. `loading.load_config` fills in what an empty
    value stands for; a `Config()` made by hand still has the empty values.
    """

    # --- member ---------------------------------------------------------------------------

    #: Name for people; must be one of ``initial-cluster``.
    name: str = setting("default")
    #: Directory of everything durable; empty = ``<name>.zetcd``.
    data_dir: str = setting("")
    #: Directory of the log, best on a disk of its own; empty = ``<data-dir>/wal``.
    wal_dir: str = setting("")
    #: Directory of the sockets between actors; empty = ``<data-dir>/run`` if that is short enough.
    runtime_dir: str = setting("")
    #: Where peers connect to.
    listen_peer_urls: tuple[str, ...] = setting(("tcp://127.0.0.1:2380",))
    #: Where clients of the native protocol connect to.
    listen_native_client_urls: tuple[str, ...] = setting(("tcp://127.0.0.1:2382",))
    #: Listen for them elsewhere than on the loopback interface too. The native protocol is neither
    #: encrypted nor authenticated: whoever reaches the port may read and write everything.
    allow_clear_native_clients: bool = setting(False)
    #: Where clients of the etcd API connect to.
    listen_client_urls: tuple[str, ...] = setting(("http://127.0.0.1:2379",))
    #: HTTP/1.1 of the etcd API apart from gRPC; empty = on ``listen-client-urls``.
    listen_client_http_urls: tuple[str, ...] = setting(())
    #: Where /metrics, /health, /livez and /readyz are served as well, and nothing else.
    listen_metrics_urls: tuple[str, ...] = setting(())
    #: Whether the etcd API is served as JSON too, under ``/v3/``.
    enable_grpc_gateway: bool = setting(True)
    #: Origins of web pages that may call over HTTP; ``"*"`` = every one.
    cors: tuple[str, ...] = setting(("*",))
    #: Hosts that HTTP requests without TLS may name; ``"*"`` = every one.
    host_whitelist: tuple[str, ...] = setting(("*",))
    #: Serve ``/debug/vars``, and ``/debug/pprof``, which says how a process is profiled.
    enable_pprof: bool = setting(False)
    #: ``extensive`` adds to /metrics how long the calls of each method take.
    metrics: str = setting("basic", choices=("basic", "extensive"))
    #: Milliseconds between two heartbeats of a leader: about the round trip between members.
    heartbeat_interval: int = setting(100, "ms", low=1, high=10_000)
    #: Milliseconds without a leader before an election; at least 5 heartbeats, as in etcd.
    election_timeout: int = setting(1000, "ms", low=5, high=50_000)
    #: Whether a starting member may campaign before a whole election time-out has passed.
    initial_election_tick_advance: bool = setting(True)
    #: Ask whether an election could be won before raising the term.
    pre_vote: bool = setting(True)
    #: Applied entries between two checkpoints.
    snapshot_count: int = setting(10_000, "entries", low=1, high=100_000_000)
    #: Entries kept in the log behind a checkpoint, for slow followers.
    snapshot_catchup_entries: int = setting(5000, "entries", low=0, high=100_000_000)
    #: Bytes of keys, values and history; 0 = 2 GiB, negative = no limit.
    quota_backend_bytes: int = setting(0, "bytes", high=1 << 46)
    #: Bytes of one request (etcd: 1.5 MiB); more than 10 MiB makes elections unstable.
    max_request_bytes: int = setting(1536 * KIB, "bytes", low=1 * KIB, high=10 * MIB)
    #: Operations in one transaction.
    max_txn_ops: int = setting(128, "operations", low=1, high=65_536)
    #: Members that follow without a vote; each costs the leader as much as a voter.
    max_learners: int = setting(1, "members", low=1, high=64)

    #: Calls that one connection of the etcd API may have open.
    max_concurrent_streams: int = setting(2**32 - 1, "calls", low=1, high=2**32 - 1)
    #: A client of the etcd API may ping this often.
    grpc_keepalive_min_time: float = setting(
        5.0, "more pings end its connection", low=0, high=86_400, is_duration=True
    )
    #: Silence after which a client of the etcd API is pinged.
    grpc_keepalive_interval: float = setting(
        7200.0, "liveness", low=1, high=31_536_000, is_duration=True
    )
    #: How long its answer may then take.
    grpc_keepalive_timeout: float = setting(20.0, "liveness", low=1, high=86_400, is_duration=True)

    # --- clustering -----------------------------------------------------------------------

    #: Peer URLs as the others reach them; empty = ``listen-peer-urls``.
    initial_advertise_peer_urls: tuple[str, ...] = setting(())
    #: etcd API as clients reach it; empty = ``listen-client-urls``.
    advertise_client_urls: tuple[str, ...] = setting(())
    #: Native protocol as clients reach it; empty = ``listen-native-client-urls``.
    advertise_native_client_urls: tuple[str, ...] = setting(())
    #: ``name=url,name=url``: who founds the cluster; empty = this member alone.
    initial_cluster: str = setting("")
    #: ``new`` founds a cluster, ``existing`` joins one.
    initial_cluster_state: str = setting("new", choices=("new", "existing"))
    #: Part of all ids, so that clusters with equal URLs do not mix.
    initial_cluster_token: str = setting("etcd-cluster")
    #: Refuse membership changes that would lose the quorum.
    strict_reconfig_check: bool = setting(True)

    # --- compaction, watch --------------------------------------------------------------------

    #: How ``auto-compaction-retention`` is meant.
    auto_compaction_mode: str = setting("periodic", choices=("periodic", "revision"))
    #: History kept by automatic compaction; ``"0"`` = off. Revisions in mode ``revision``; otherwise a
    #: duration such as ``"1h30m"``, where a whole number is hours.
    auto_compaction_retention: str = setting("0", accepts_number=True)
    #: Revisions removed in one slice of a compaction.
    compaction_batch_limit: int = setting(1000, "revisions", low=1, high=1_000_000)
    #: Pause between two slices.
    compaction_sleep_interval: float = setting(0.01, "pause", low=0, high=60, is_duration=True)
    #: Silence after which a watcher that asked for it gets a progress notification.
    watch_progress_notify_interval: float = setting(
        600.0, "etcd's floor is 100ms", low=0.1, high=86_400, is_duration=True
    )

    #: How often the leader compares the members' histories by hash; ``"0s"`` = never (etcd's default).
    corrupt_check_time: float = setting(
        60.0, "a member that diverged must not serve for long", low=0, high=86_400, is_duration=True
    )

    # --- security: what the sections of TLS have in common ------------------------------------

    #: Cipher suites up to TLS 1.2, by Go's names; empty = those of OpenSSL's defaults.
    cipher_suites: tuple[str, ...] = setting(())
    #: Oldest version of TLS that is spoken.
    tls_min_version: str = setting("TLS1.2", choices=("TLS1.2", "TLS1.3"))
    #: Newest version of TLS that is spoken; empty = the newest there is.
    tls_max_version: str = setting("", choices=("", "TLS1.2", "TLS1.3"))
    #: Years for which certificates that ``auto-tls`` makes are valid.
    self_signed_cert_validity: int = setting(1, "years", low=1, high=100)

    # --- logging, unsafe ------------------------------------------------------------------

    #: ``native``, or ``zap``: lines of the shape and with the messages that etcd's have.
    logger: str = setting("native", choices=("native", "zap"))
    #: Least severe level that is logged.
    log_level: str = setting("info", choices=("debug", "info", "warn", "error"))
    #: One JSON object per line, or lines for people.
    log_format: str = setting("json", choices=("json", "console"))
    #: ``stderr``, ``stdout`` or paths of files.
    log_outputs: tuple[str, ...] = setting(("stderr",))
    #: Skip every fsync: a power loss then loses acknowledged writes. For tests only.
    unsafe_no_fsync: bool = setting(False)

    # --- a section per actor ----------------------------------------------------------------

    raft: RaftConfig = field(default_factory=RaftConfig)
    wal: WalConfig = field(default_factory=WalConfig)
    apply: ApplyConfig = field(default_factory=ApplyConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    snapshot: SnapshotConfig = field(default_factory=SnapshotConfig)
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    supervisor: SupervisorConfig = field(default_factory=SupervisorConfig)

    client_transport_security: TransportSecurity = field(default_factory=TransportSecurity)
    peer_transport_security: TransportSecurity = field(default_factory=TransportSecurity)

    #: Who this member is, if it has joined a running cluster; None = that follows from the settings.
    identity: MemberIdentity | None = None
    #: The way to other members with TLS, once the node runs; None = it has none.
    peer_tunnel: PeerTunnel | None = field(default=None, repr=False)

    # --- what follows from it -----------------------------------------------------------------

    def initial_members(self) -> tuple[InitialMember, ...]:
        """Return the founders of the cluster, sorted by id."""
        token = self.initial_cluster_token
        founders = parse_initial_cluster(self.initial_cluster).items()
        return tuple(
            sorted(
                InitialMember(member_id_of(urls, token), name, tuple(sorted(urls)))
                for name, urls in founders
            )
        )

    def member_id(self) -> NodeID:
        """Return the id of this member."""
        if self.identity is not None:
            return self.identity.member_id
        return member_id_of(self.initial_advertise_peer_urls, self.initial_cluster_token)

    def cluster_id(self) -> int:
        """Return the id of the cluster."""
        if self.identity is not None:
            return self.identity.cluster_id
        return cluster_id_of(member.id for member in self.initial_members())

    def has_peer_tls(self) -> bool:
        """Say whether this member knows, or may come to know, members that TLS leads to."""
        founders = parse_initial_cluster(self.initial_cluster).values()
        urls = [*self.listen_peer_urls, *self.initial_advertise_peer_urls]
        urls += [url for founder in founders for url in founder]
        return self.peer_transport_security.is_any_set or any(map(is_secure, urls))

    def raft_tick_seconds(self) -> float:
        """Return the length of one tick of raft's clock."""
        return self.heartbeat_interval / self.raft.ticks_per_heartbeat / 1000

    def election_ticks(self) -> Ticks:
        """Return the election time-out in ticks, rounded up."""
        return math.ceil(
            self.election_timeout * self.raft.ticks_per_heartbeat / self.heartbeat_interval
        )

    def unstable_ticks_max(self) -> Ticks:
        """Return how long a write may wait for the leader's own disk, in ticks."""
        return math.ceil(self.raft.unstable_seconds_max / self.raft_tick_seconds())

    def initial_election_ticks(self) -> Ticks:
        """Return how many ticks of the first election time-out count as passed at start.

        A lone member need not wait for anybody. One of several leaves a leader that is already
        there the time of two heartbeats to be heard.
        """
        if not self.initial_election_tick_advance:
            return 0
        is_alone = len(parse_initial_cluster(self.initial_cluster)) == 1
        grace = 1 if is_alone else 2 * self.raft.ticks_per_heartbeat
        return max(0, self.election_ticks() - grace)

    def store_dir(self) -> str:
        """Return the directory of the LMDB file, which apply writes and others read."""
        return f"{self.data_dir}/db"

    def snapshot_dir(self) -> str:
        """Return the directory of the checkpoints."""
        return f"{self.data_dir}/member/snap"

    def quota_bytes(self) -> int | None:
        """Return the quota; None = no limit."""
        if self.quota_backend_bytes < 0:
            return None
        return self.quota_backend_bytes or QUOTA_BYTES_DEFAULT

    def map_bytes(self) -> int:
        """Return the size of the LMDB map: quota and headroom, in whole MiB."""
        quota = self.quota_bytes()
        size = MAP_BYTES_WITHOUT_QUOTA if quota is None else quota + self.apply.map_headroom_bytes
        return -(-size // MIB) * MIB

    def request_timeout_seconds(self) -> float:
        """Return the longest a request may take (etcd: 5 s + 2 x election time-out)."""
        return self.gateway.request_timeout or 5.0 + 2 * self.election_timeout / 1000

    def lease_ttl_seconds_min(self) -> int:
        """Return the shortest TTL a lease may have (etcd: 1.5 x election time-out, rounded up)."""
        return math.ceil(1.5 * self.election_timeout / 1000)

    def to_toml(self, *, is_whole: bool = False) -> str:
        """Return the file that `load_config` reads as this configuration.

        Only what differs from a default is written, unless ``is_whole``.
        """
        blocks = [write_section(self, is_whole=is_whole)]
        for name in SECTIONS:
            lines = write_section(getattr(self, name), is_whole=is_whole)
            if lines:
                blocks.append([f"[{key_of(name)}]", *lines])
        return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


#: The sections by attribute, in the order in which they are written; in a file with hyphens.
SECTIONS = {
    "raft": RaftConfig,
    "wal": WalConfig,
    "apply": ApplyConfig,
    "watch": WatchConfig,
    "snapshot": SnapshotConfig,
    "gateway": GatewayConfig,
    "supervisor": SupervisorConfig,
    "client_transport_security": TransportSecurity,
    "peer_transport_security": TransportSecurity,
}
assert set(SECTIONS) < {each.name for each in fields(Config)}
