"""etcd's snapshot file: our tables as etcd's buckets and back, so that people can move both ways. Pure.

How it works
    `Export` writes the tables as one bbolt file, bucket by bucket, a slice of records a step: what
    ``etcdutl snapshot restore`` reads. `Import` reads such a file, ours or etcd's, into empty tables.
    ``Status`` says of a file what ``etcdutl snapshot status`` says.

        our table          etcd's bucket
        rev                key        8-byte main, "_", 8-byte sub, "t" for a tombstone → KeyValue
        meta: state        meta       consistent_index, term, confState, storageVersion, compact revisions
        lease              lease      id → Lease
        alarm              alarm      AlarmMember →
        member             members    id in hex → JSON
        index, lease_keys  no bucket: they follow from the records; etcd keeps them in memory

    A saved file ends with the SHA-256 of everything before it, so its size is 32 more than a multiple of 512.

Worked example: put a=1 (revision 2), delete a (3), put b=2 (4)

    ::

        key   0000000000000002_0000000000000000    key "a" create 2 mod 2 version 1 value "1"
              0000000000000003_0000000000000000t   key "a"
              0000000000000004_0000000000000000    key "b" create 4 mod 4 version 1 value "2"

Not implemented
    Users and roles (their buckets are empty in what is written; a file that has authentication enabled is refused).
    A compaction of etcd's that was under way goes on after the import, as etcd's own would.
"""

from zetcd.etcd_snapshot.exporting import Export
from zetcd.etcd_snapshot.importing import Import, ImportOptions
from zetcd.etcd_snapshot.status import SnapshotStatus, hash_kv, status_of

__all__ = ["Export", "Import", "ImportOptions", "SnapshotStatus", "hash_kv", "status_of"]
