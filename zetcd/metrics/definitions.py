"""Responsible for the list of metrics: names, types, labels and buckets, etcd's where etcd has them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    """Type of a metric, as Prometheus calls it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    #: Upper bounds of the buckets of a histogram, without infinity.
    buckets: tuple[float, ...] = ()


def exponential(start: float, factor: float, count: int) -> tuple[float, ...]:
    """Return bounds that grow by a factor; rounded, so that 0.1 * 2 is 0.2."""
    return tuple(float(f"{start * factor**power:.6g}") for power in range(count))


def _counter(name: str, text: str, *labels: str) -> Definition:
    return Definition(name, Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Definition:
    return Definition(name, Kind.GAUGE, text, labels)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Definition:
    return Definition(name, Kind.HISTOGRAM, text, labels, buckets)


_DISK: Final = exponential(0.001, 2, 14)
_ROUND_TRIP: Final = exponential(0.0001, 2, 16)
#: The ones of every client library of Prometheus; etcd leaves them as they are.
_USUAL: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_GRPC: Final = ("grpc_type", "grpc_service", "grpc_method")

# fmt: off
_TABLE: Final = (
    # raft
    _gauge("etcd_server_has_leader", "Whether a leader is known: 1 or 0."),
    _gauge("etcd_server_is_leader", "Whether this member leads: 1 or 0."),
    _gauge("etcd_server_is_learner", "Whether this member has no vote: 1 or 0."),
    _counter("etcd_server_leader_changes_seen_total", "Leaders that this member has seen come."),
    _gauge("etcd_server_proposals_committed_total", "Index of the last entry known to be committed."),
    _counter("etcd_server_heartbeat_send_failures_total", "Heartbeats that found no room to be sent."),
    _counter("etcd_server_read_indexes_failed_total", "Linearizable reads whose round failed."),
    _gauge("etcd_network_active_peers", "Whether a peer was heard of lately: 1 or 0.", "Local", "Remote"),
    _gauge("etcd_network_known_peers", "Members, this one too: 1.", "Local", "Remote"),
    _counter("etcd_network_peer_sent_bytes_total", "Bytes of raft's messages sent to a peer.", "To"),
    _counter("etcd_network_peer_received_bytes_total", "Bytes received from a peer.", "From"),
    _counter("etcd_network_peer_sent_failures_total", "Messages to a peer that found no room.", "To"),
    _histogram("etcd_network_peer_round_trip_time_seconds", "From a heartbeat to its answer.", _ROUND_TRIP, "To"),
    # wal
    _histogram("etcd_disk_wal_fsync_duration_seconds", "Time of one fdatasync of the log.", _DISK),
    _histogram("etcd_disk_wal_write_duration_seconds", "Time of one write to the log, without its fdatasync.", _DISK),
    _gauge("etcd_disk_wal_write_bytes_total", "Bytes written to the log."),
    # apply
    _gauge("etcd_server_proposals_applied_total", "Index of the last entry applied."),
    _counter("etcd_server_slow_apply_total", "Batches that took longer than 100 ms to apply."),
    _gauge("etcd_mvcc_db_total_size_in_bytes", "Bytes of the store's file."),
    _gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of the store's pages in use."),
    _counter("etcd_mvcc_put_total", "Keys put."),
    _counter("etcd_mvcc_delete_total", "Keys deleted."),
    _counter("etcd_mvcc_txn_total", "Transactions executed."),
    _gauge("etcd_debugging_mvcc_current_revision", "Current revision of the store."),
    _gauge("etcd_debugging_mvcc_compact_revision", "Revision of the last compaction."),
    _counter("etcd_debugging_mvcc_db_compaction_keys_total", "Records of history removed by compactions."),
    _gauge("etcd_debugging_server_alarms", "Alarms that are on: 1.", "server_id", "alarm_type"),
    _histogram("etcd_disk_backend_commit_duration_seconds", "Time of one commit of LMDB, without sync.", _DISK),
    _counter("etcd_debugging_lease_granted_total", "Leases granted."),
    _counter("etcd_debugging_lease_revoked_total", "Leases revoked, expired ones included."),
    _counter("etcd_debugging_lease_renewed_total", "Leases renewed; at the leader."),
    _counter("etcd_debugging_server_lease_expired_total", "Leases that expired."),
    # gateways
    _counter("etcd_mvcc_range_total", "Ranges read, those within transactions aside."),
    _gauge("etcd_server_proposals_pending", "Proposals without a result."),
    _counter("etcd_server_proposals_failed_total", "Proposals that were refused or whose outcome is not known."),
    _counter("etcd_server_slow_read_indexes_total", "Read rounds that had to be asked again."),
    _counter("etcd_network_client_grpc_received_bytes_total", "Bytes received from clients over gRPC."),
    _counter("etcd_network_client_grpc_sent_bytes_total", "Bytes sent to clients over gRPC."),
    _counter("grpc_server_started_total", "Calls begun.", *_GRPC),
    _counter("grpc_server_handled_total", "Calls ended, by status.", *_GRPC, "grpc_code"),
    _histogram("grpc_server_handling_seconds", "Time of calls; with metrics = extensive only.", _USUAL, *_GRPC),
    _counter("grpc_server_msg_received_total", "Messages received.", *_GRPC),
    _counter("grpc_server_msg_sent_total", "Messages sent.", *_GRPC),
    _counter("etcd_server_health_success", "Health checks that succeeded."),
    _counter("etcd_server_health_failures", "Health checks that failed."),
    _gauge("etcd_server_healthcheck", "Last result of a check: 1 or 0.", "type", "name"),
    _counter("etcd_server_healthchecks_total", "Checks by result.", "type", "name", "status"),
    # watch
    _gauge("etcd_debugging_mvcc_watcher_total", "Watchers."),
    _gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams."),
    _gauge("etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind."),
    # snapshot
    _histogram("etcd_debugging_snap_save_total_duration_seconds", "Time of one checkpoint.", _DISK),
    # supervisor
    _gauge("etcd_server_version", "Version of the etcd API that is served: 1.", "server_version"),
    _gauge("etcd_cluster_version", "Version of the cluster: 1.", "cluster_version"),
    _gauge("etcd_server_id", "Id of this member: 1.", "server_id"),
    _gauge("etcd_server_quota_backend_bytes", "Bytes that the store may use."),
    _gauge("os_fd_limit", "Descriptors that a process of the node may have."),
    _gauge("os_fd_used", "Descriptors of all processes of the node."),
    _counter("process_cpu_seconds_total", "CPU time of all processes of the node."),
    _gauge("process_resident_memory_bytes", "Resident memory of all processes of the node, summed."),
    _gauge("process_open_fds", "Descriptors of all processes of the node."),
    _gauge("process_max_fds", "Descriptors that a process of the node may have."),
    _gauge("process_start_time_seconds", "When the node started, in seconds since 1970."),
    # zetcd's own
    _gauge("zetcd_build_info", "Version of zetcd: 1.", "version"),
    _counter("zetcd_actor_cpu_seconds_total", "CPU time of an actor's process.", "actor"),
    _gauge("zetcd_actor_resident_memory_bytes", "Resident memory of an actor's process.", "actor"),
    _gauge("zetcd_actor_open_fds", "Descriptors of an actor's process.", "actor"),
    _gauge("zetcd_actor_ready", "Whether an actor does its work: 1 or 0.", "actor"),
    _counter("zetcd_actor_restarts_total", "Times that an actor was started again.", "actor"),
    _histogram("zetcd_raft_tick_lateness_seconds", "How late raft's clock was.", exponential(0.0005, 2, 14)),
    _gauge("zetcd_raft_fit_to_lead", "Whether this member could do a leader's work: 1 or 0."),
    _histogram("zetcd_wal_batch_entries", "Entries of one write to the log.", exponential(1, 2, 13)),
    _histogram("zetcd_apply_batch_duration_seconds", "Time to apply one batch of entries.", exponential(0.0001, 2, 16)),
    _gauge("zetcd_gateway_connections", "Connections of clients.", "protocol"),
    _counter("zetcd_gateway_batches_total", "Proposals made of clients' requests."),
    _counter("zetcd_gateway_read_rounds_total", "Rounds of linearizable reads."),
)
# fmt: on

#: By name, in the order in which they are served.
DEFINITIONS: Final = {each.name: each for each in sorted(_TABLE, key=lambda each: each.name)}
