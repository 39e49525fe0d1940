"""Responsible for the settings of each actor: every queue, batch and retry has its limit here.

Each setting states its unit and the reason for its default. `Seconds` are plain numbers where the
key ends in ``-seconds``, and texts such as ``"5m"`` where etcd has a duration of that name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zetcd.config.rules import setting

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftConfig:
    """``[raft]``: consensus. Everything held in memory is bounded, in messages and in bytes."""

    #: Ticks per heartbeat interval: the grain of raft's clock and of the spread of elections.
    ticks_per_heartbeat: int = setting(5, "grain of raft's clock", low=1, high=100)
    #: Bytes of entries in one append to a peer (etcd: 1 MiB): one write of the network, no burst.
    append_bytes_max: int = setting(1 * MIB, "bytes", low=4 * KIB, high=16 * MIB)
    #: Appends that one peer may leave unanswered (etcd: 512): answers wait for its disk, and its
    #: clients for what comes after them, so this is seconds of a slow disk.
    inflight_messages_max: int = setting(8192, "messages", low=1, high=65_536)
    #: Bytes of entries that one peer may leave unanswered; bounds what a slow follower costs.
    inflight_bytes_max: int = setting(64 * MIB, "bytes", low=64 * KIB, high=1 * GIB)
    #: Bytes of entries the leader takes in before they are committed; beyond it, it refuses.
    uncommitted_bytes_max: int = setting(64 * MIB, "bytes", low=1 * MIB, high=4 * GIB)
    #: Bytes of entries not durable on the leader's own disk; beyond it, it hands leadership over.
    unstable_bytes_max: int = setting(64 * MIB, "bytes", low=1 * MIB, high=4 * GIB)
    #: Writes not durable on the leader's own disk, as many as the pipe to wal surely holds.
    unstable_writes_max: int = setting(8192, "writes", low=16, high=16_384)
    #: How long a write may wait for the leader's own disk. Below it a slow disk costs nothing: the
    #: leader commits through its followers. Beyond it, it hands leadership over.
    unstable_seconds_max: float = setting(
        10.0, "s; twice the slowest fdatasync that is put up with", low=0.5, high=600
    )
    #: Bytes of durable entries kept in memory for followers close behind; older ones come from wal.
    log_tail_bytes_max: int = setting(64 * MIB, "bytes", low=0, high=4 * GIB)
    #: Bytes of entries handed to apply at once: a bounded turn there.
    apply_bytes_max: int = setting(4 * MIB, "bytes", low=64 * KIB, high=64 * MIB)
    #: Bytes of entries handed to apply and not yet applied.
    applying_bytes_max: int = setting(32 * MIB, "bytes", low=64 * KIB, high=1 * GIB)
    #: Linearizable reads that may wait for their round, in rounds.
    reads_waiting_max: int = setting(4096, "read rounds", low=1, high=1_000_000)
    #: Messages handled before effects are done; bounds how late a heartbeat can be.
    messages_per_turn_max: int = setting(256, "messages", low=1, high=65_536)
    #: Bytes of one frame between peers; holds an append whose last entry overshoots its limit.
    peer_frame_bytes_max: int = setting(16 * MIB, "bytes", low=64 * KIB, high=256 * MIB)
    #: Niceness of the raft process: before its siblings where the operating system allows it.
    nice: int = setting(-5, "niceness", low=-20, high=19)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalConfig:
    """``[wal]``: the log on disk."""

    #: Bytes of one preallocated segment (etcd: 64 MB).
    segment_bytes: int = setting(64 * MIB, "bytes", low=64 * KIB, high=1 * GIB)
    #: Bytes written with one pwrite and one fdatasync: what arrives while a disk takes seconds for
    #: one must fit into the next, or the log falls behind for good.
    batch_bytes_max: int = setting(32 * MIB, "bytes", low=64 * KIB, high=64 * MIB)
    #: Bytes of entries in one answer to raft's log read.
    read_bytes_max: int = setting(1 * MIB, "bytes", low=4 * KIB, high=64 * MIB)
    #: Milliseconds every fdatasync takes longer; for tests of slow disks only.
    test_fdatasync_delay_ms: int = setting(0, "ms", low=0, high=60_000)
    #: The disk becomes slow only this long after the start: a member can win an election before.
    test_fdatasync_delay_after: float = setting(
        0.0, "for tests of slow disks only", low=0, high=3600, is_duration=True
    )
    #: A file with the milliseconds that every fdatasync takes longer, read before each; none = 0. For
    #: tests in which a disk becomes slow, and quick again, while its member runs.
    test_fdatasync_delay_file: str = setting("")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyConfig:
    """``[apply]``: the state machine and the lessor."""

    #: Log entries executed in one LMDB transaction.
    batch_entries_max: int = setting(256, "entries", low=1, high=10_000)
    #: Bytes of the LMDB map beyond the quota, for copies of pages and for compaction itself.
    map_headroom_bytes: int = setting(1 * GIB, "bytes", low=16 * MIB, high=1024 * GIB)
    #: Entries between committed and applied beyond which writers are refused (etcd: 5000).
    lag_entries_max: int = setting(5000, "entries", low=1, high=1_000_000)
    #: How often remaining TTLs go through the log (etcd: 5 minutes).
    lease_checkpoint_interval: float = setting(
        300.0, "keeps remaining TTLs across leaders", low=0.1, high=86_400, is_duration=True
    )
    #: Leases in one checkpoint (etcd: 1000).
    lease_checkpoint_leases_max: int = setting(1000, "leases", low=1, high=100_000)
    #: Expired leases revoked in a second (etcd: 1000), so that writes go on meanwhile.
    lease_revokes_per_second_max: int = setting(1000, "leases/s", low=1, high=1_000_000)
    #: How often the leader looks for expired leases (etcd: 500 ms).
    lease_expiry_interval: float = setting(
        0.5, "how late an expiry may be", low=0.01, high=60, is_duration=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchConfig:
    """``[watch]``: fan-out of events. A client that does not grant credit costs itself only."""

    #: Messages of credit that a client may have open on one stream.
    credit_messages_max: int = setting(65_536, "messages", low=1, high=1 << 30)
    #: Bytes of credit that a client may have open on one stream.
    credit_bytes_max: int = setting(64 * MIB, "bytes", low=64 * KIB, high=4 * GIB)
    #: Unsynced watchers caught up in one round (etcd: 512).
    sync_watchers_max: int = setting(512, "watchers", low=1, high=100_000)
    #: Revisions read for them in one round (etcd: 1000).
    sync_revisions_max: int = setting(1000, "revisions", low=1, high=100_000)
    #: Pause between two rounds (etcd: 100 ms).
    sync_interval: float = setting(0.1, "pause", low=0.001, high=10, is_duration=True)
    #: Pause before a delivery that did not fit is tried again (etcd: 10 ms).
    victim_retry_interval: float = setting(0.01, "pause", low=0.001, high=10, is_duration=True)
    #: Bytes of events that may wait for one gateway.
    queue_bytes_max: int = setting(64 * MIB, "bytes", low=1 * MIB, high=4 * GIB)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """``[gateway]``: clients, of the native protocol and of the etcd API."""

    #: Gateway processes of the native protocol; more than one pays when there are cores to spare;
    #: 0 = the member does not serve it.
    native_processes: int = setting(1, "processes", low=0, high=16)
    #: Gateway processes of the etcd API, which share its port; 0 = the member does not serve it.
    etcd_processes: int = setting(1, "processes", low=0, high=16)
    #: Requests in one proposal.
    batch_requests_max: int = setting(256, "requests", low=1, high=10_000)
    #: Bytes of requests in one proposal; one larger request still goes, alone.
    batch_bytes_max: int = setting(1 * MIB, "bytes", low=4 * KIB, high=16 * MIB)
    #: Proposals without a result; while they are out, requests gather into bigger batches.
    batches_inflight_max: int = setting(4, "proposals", low=1, high=1024)
    #: Sessions at the same time, about 30 kB each.
    sessions_max: int = setting(10_000, "sessions", low=1, high=1_000_000)
    #: Requests of all sessions that wait for an answer.
    pending_requests_max: int = setting(20_000, "requests", low=1, high=1_000_000)
    #: Requests of one session that wait for an answer.
    session_requests_max: int = setting(4096, "requests", low=1, high=1_000_000)
    #: Watches of one session.
    session_watches_max: int = setting(10_000, "watches", low=1, high=1_000_000)
    #: Bytes of one frame from a client; holds a request of ``max-request-bytes``.
    frame_bytes_max: int = setting(2 * MIB, "bytes", low=4 * KIB, high=64 * MIB)
    #: Longest a request may take; 0 = 5 s + 2 x election-timeout, as etcd.
    request_timeout: float = setting(0.0, "0 = as etcd", low=0, high=3600, is_duration=True)
    #: Silence after which a side pings.
    ping_interval: float = setting(2.0, "liveness", low=0.05, high=600, is_duration=True)
    #: Ping intervals of silence after which a session is dead.
    dead_after_missed: int = setting(3, "ping intervals", low=1, high=100)
    #: Time a new connection has for ZeroMQ's handshake.
    handshake_timeout: float = setting(5.0, "seconds", low=0.05, high=600, is_duration=True)
    #: Bytes of one part of a streamed range response.
    fragment_bytes: int = setting(1 * MIB, "bytes", low=4 * KIB, high=16 * MIB)
    #: Transactions within transactions.
    txn_depth_max: int = setting(16, "levels", low=1, high=64)
    #: A read index without an answer is asked again (etcd: 500 ms).
    read_retry_interval: float = setting(0.5, "pause", low=0.01, high=60, is_duration=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotConfig:
    """``[snapshot]``: checkpoints, and snapshots sent to peers. Slow bulk work, never in a hurry."""

    #: Least bytes of log between two checkpoints, whatever ``snapshot-count`` says. It is also never
    #: less than half of what a copy of the store has, so that log and checkpoints together write at most
    #: three times the bytes of the log.
    log_bytes_min: int = setting(64 * MIB, "bytes; bounds what is written", low=0, high=64 * GIB)
    #: Bytes of log after which a checkpoint is due before ``snapshot-count`` entries: large entries
    #: must not make the log, and a restart that replays it, endless.
    log_bytes_max: int = setting(1 * GIB, "bytes; bounds a replay", low=64 * KIB, high=1024 * GIB)
    #: Checkpoints kept that the log has marked, and the log above the oldest of them; the second is for
    #: the case that the first is damaged.
    checkpoints_kept: int = setting(2, "files", low=1, high=100)
    #: Bytes of log kept for nobody but a member that is being sent a snapshot; beyond it the log goes,
    #: and that member has to be sent another one.
    log_held_bytes_max: int = setting(
        4 * GIB, "bytes; bounds the log", low=1 * MIB, high=1024 * GIB
    )
    #: Bytes of a checkpoint sent to the disk in a second: the log on the same disk goes first.
    write_bytes_per_second: int = setting(64 * MIB, "bytes/s", low=1 * MIB, high=64 * GIB)
    #: Port on which peers fetch snapshots, on the host of the first of ``listen-peer-urls``. They are
    #: told which one it is.
    port: int = setting(0, "port; 0 = chosen by the system", low=0, high=65_535)
    #: Bytes of snapshots sent to peers in a second, all together: heartbeats share the network.
    send_bytes_per_second: int = setting(64 * MIB, "bytes/s", low=64 * KIB, high=64 * GIB)
    #: Bytes of one chunk of a snapshot.
    chunk_bytes: int = setting(1 * MIB, "bytes", low=4 * KIB, high=16 * MIB)
    #: Chunks that a receiver has asked for and not got: covers the round trip, bounds the memory.
    requests_inflight_max: int = setting(8, "requests", low=1, high=64)
    #: Peers that fetch at the same time.
    receivers_max: int = setting(16, "peers", low=1, high=1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorConfig:
    """``[supervisor]``: when actors are restarted, and when the member gives up."""

    #: Deaths within the window after which the member stops.
    restarts_max: int = setting(5, "deaths", low=0, high=1000)
    #: The window.
    restart_window_seconds: float = setting(30.0, "s", low=0.1, high=3600)
    #: Pause before the first restart; doubles with each further one in the window.
    restart_pause_seconds: float = setting(0.05, "s", low=0, high=60)
    #: Longest pause before a restart.
    restart_pause_seconds_max: float = setting(2.0, "s", low=0, high=600)
    #: Time from SIGTERM until what still runs is killed.
    drain_seconds: float = setting(1.5, "s", low=0, high=600)
    #: Time an actor has to become ready before it counts as failed to start.
    start_seconds_max: float = setting(
        60.0, "s; recovery reads the whole log", low=0.5, high=86_400
    )
    #: An actor without a report for this long is killed and restarted.
    silent_seconds_max: float = setting(5.0, "s; a stuck actor is replaced", low=1, high=3600)
    #: The same for wal, which cannot report while a slow disk syncs: a member whose disk takes ten
    #: seconds still has its vote and serves reads. Not while its process is stopped (SIGSTOP).
    wal_silent_seconds_max: float = setting(30.0, "s; a slow disk is no death", low=1, high=3600)
    #: The same for snapshot, which cannot report while a slow disk takes a checkpoint.
    snapshot_silent_seconds_max: float = setting(
        300.0, "s; a slow disk is no death", low=1, high=3600
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSecurity:
    """``[client-transport-security]`` and ``[peer-transport-security]``: TLS, with etcd's names.

    Files are read again when they change.
    """

    #: Certificate chain of this member, PEM.
    cert_file: str = setting("")
    #: Its private key, PEM, without a password.
    key_file: str = setting("")
    #: Certificate for connections to other members; empty = ``cert-file``.
    client_cert_file: str = setting("")
    #: Its private key; empty = ``key-file``.
    client_key_file: str = setting("")
    #: Demand a certificate of whoever connects.
    client_cert_auth: bool = setting(False)
    #: Authorities that those certificates must come from, PEM; demands a certificate too, as in etcd.
    trusted_ca_file: str = setting("")
    #: Certificates that were revoked, PEM or DER.
    client_crl_file: str = setting("")
    #: Make a certificate of our own: encrypts, proves nothing.
    auto_tls: bool = setting(False)
    #: Common names of certificates that may connect; empty = any.
    allowed_cn: tuple[str, ...] = setting(())
    #: Host names, one of which a certificate that connects must be for; empty = any.
    allowed_hostname: tuple[str, ...] = setting(())
    #: Do not ask whether a certificate is for the address it comes from.
    skip_client_san_verification: bool = setting(False)

    @property
    def is_any_set(self) -> bool:
        """Say whether anything here differs from its default."""
        return self != TransportSecurity()
