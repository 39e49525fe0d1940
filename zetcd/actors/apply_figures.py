"""Responsible for what apply adds to /metrics."""

from __future__ import annotations

from zetcd.apply import Applier
from zetcd.apply.output import ApplyCounts
from zetcd.messages.node import Figure
from zetcd.metrics import Histogram, figure, histogram_figure
from zetcd.mvcc.backend import BackendSize

#: A batch that takes longer is slow (etcd: warning-apply-duration).
SLOW_APPLY_SECONDS = 0.1

_BATCH_SECONDS = "zetcd_apply_batch_duration_seconds"
_COMMIT_SECONDS = "etcd_disk_backend_commit_duration_seconds"


class ApplyFigures:
    """Counts of one apply actor."""

    def __init__(self) -> None:
        """Start at 0."""
        self.requests = 0
        self.batches = 0
        self.removed_records = 0
        self.commit_seconds = Histogram.of(_COMMIT_SECONDS)
        self._batch_seconds = Histogram.of(_BATCH_SECONDS)
        self._slow = 0
        self._puts = self._deletes = self._txns = 0
        self._granted = self._revoked = self._expired = 0

    def applied(self, counts: ApplyCounts, seconds: float) -> None:
        """Count a batch of entries."""
        self.batches += 1
        self._batch_seconds.observe(seconds)
        self._slow += seconds > SLOW_APPLY_SECONDS
        self.requests += counts.requests
        self._puts += counts.events - counts.deletes
        self._deletes += counts.deletes
        self._txns += counts.txns
        self._granted += counts.leases_granted
        self._revoked += counts.leases_revoked
        self._expired += counts.leases_expired

    def figures(self, applier: Applier, size: BackendSize) -> tuple[Figure, ...]:
        """Return everything counted, and where the store stands."""
        state = applier.state
        return (
            figure("etcd_server_proposals_applied_total", state.consistent_index),
            figure("etcd_server_slow_apply_total", self._slow),
            figure("etcd_mvcc_db_total_size_in_bytes", size.file_bytes),
            figure("etcd_mvcc_db_total_size_in_use_in_bytes", size.used_bytes),
            figure("etcd_mvcc_put_total", self._puts),
            figure("etcd_mvcc_delete_total", self._deletes),
            figure("etcd_mvcc_txn_total", self._txns),
            figure("etcd_debugging_mvcc_current_revision", state.current_revision),
            figure("etcd_debugging_mvcc_compact_revision", max(0, state.compact_revision)),
            figure("etcd_debugging_mvcc_db_compaction_keys_total", self.removed_records),
            figure("etcd_debugging_lease_granted_total", self._granted),
            figure("etcd_debugging_lease_revoked_total", self._revoked),
            figure("etcd_debugging_lease_renewed_total", applier.lessor.renewed_count),
            figure("etcd_debugging_server_lease_expired_total", self._expired),
            histogram_figure(_COMMIT_SECONDS, self.commit_seconds),
            histogram_figure(_BATCH_SECONDS, self._batch_seconds),
            *(
                figure("etcd_debugging_server_alarms", 1, f"{each.member_id:x}", each.alarm.name)
                for each in applier.alarms.listed()
            ),
        )
