"""What apply counts for /metrics."""

from __future__ import annotations

from tests.unit.metrics.values import count_of, value_of
from zetcd.actors.apply_figures import ApplyFigures
from zetcd.apply import Applier, ApplierOptions
from zetcd.apply.output import ApplyCounts
from zetcd.apply.tables import Identity, initialise
from zetcd.lease import Lessor
from zetcd.mvcc.backend import BackendSize
from zetcd.runtime.memory_backend import MemoryBackend


def test_counts_add_up() -> None:
    backend = MemoryBackend()
    initialise(backend, Identity(1, 2), ())
    applier = Applier(backend, Lessor(), ApplierOptions(2))
    figures = ApplyFigures()
    counts = ApplyCounts(
        requests=9,
        events=7,
        deletes=2,
        txns=3,
        leases_granted=4,
        leases_revoked=3,
        leases_expired=1,
    )
    figures.applied(counts, 0.05)
    figures.applied(counts, 0.2)
    figures.removed_records += 5
    figures.commit_seconds.observe(0.001)
    found = figures.figures(applier, BackendSize(4096, 1024))
    assert (figures.requests, figures.batches) == (18, 2)
    assert value_of(found, "etcd_mvcc_put_total") == 10
    assert value_of(found, "etcd_mvcc_delete_total") == 4
    assert value_of(found, "etcd_mvcc_txn_total") == 6
    assert value_of(found, "etcd_debugging_lease_granted_total") == 8
    assert value_of(found, "etcd_debugging_lease_revoked_total") == 6
    assert value_of(found, "etcd_debugging_server_lease_expired_total") == 2
    assert value_of(found, "etcd_server_slow_apply_total") == 1
    assert value_of(found, "etcd_debugging_mvcc_db_compaction_keys_total") == 5
    assert value_of(found, "etcd_mvcc_db_total_size_in_bytes") == 4096
    assert value_of(found, "etcd_mvcc_db_total_size_in_use_in_bytes") == 1024
    assert value_of(found, "etcd_debugging_mvcc_current_revision") == 1
    assert count_of(found, "etcd_disk_backend_commit_duration_seconds") == 1
    assert count_of(found, "zetcd_apply_batch_duration_seconds") == 2
