"""Responsible for reading etcd's buckets into our tables; the file may be damaged, or of another kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from zetcd.apply.tables import save_lease
from zetcd.bolt import BoltReader
from zetcd.errors import CorruptSnapshot, NotImplementedYet
from zetcd.etcd_snapshot import buckets
from zetcd.etcd_snapshot.buckets import BucketRevision, decode_revision
from zetcd.etcd_snapshot.protobuf import StoredKeyValue, decode_key_value, decode_lease
from zetcd.lease import Lease
from zetcd.mvcc.backend import Backend, Table, WriteTransaction
from zetcd.mvcc.index_key import index_key
from zetcd.mvcc.lease_key import pack_lease
from zetcd.mvcc.record import lease_of, pack_header
from zetcd.mvcc.revision import (
    ENTRY_FLAGS,
    HAS_LEASE,
    TOMBSTONE,
    entry_of,
    pack_key,
    record_key_of,
)
from zetcd.mvcc.state import StoreState
from zetcd.scalars import Revision

#: Records of one step, which is one transaction.
STEP_RECORDS: Final = 2_000
_REVISION_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What is changed on the way."""

    #: Added to the latest revision, so that clients with caches see no revision twice.
    bump_revision: int = 0
    #: Compact at the bumped revision, so that watches of old revisions are told.
    mark_compacted: bool = False


class Import:
    """One file that is being read into empty tables; `step` until it returns the state.

    Alarms and members are left out: both are of the cluster that was.
    """

    def __init__(self, reader: BoltReader, backend: Backend, options: ImportOptions) -> None:
        """Read from ``reader``.

        Raises:
            CorruptSnapshot: the file is damaged.
            NotImplementedYet: it has authentication enabled.
        """
        self._reader = reader
        self._backend = backend
        self._options = options
        self._last = BucketRevision(0, 0)
        if reader.get(buckets.AUTH, buckets.AUTH_ENABLED) == b"\x01":
            raise NotImplementedYet("the file has authentication enabled; users and roles")
        self._steps = self._run()

    def step(self) -> StoreState | None:
        """Read the next records; return the state of the store, which is not saved, at the end."""
        return next(self._steps)

    def _run(self) -> Iterator[StoreState | None]:
        with self._backend.write() as transaction:
            for key, value in self._reader.bucket(buckets.LEASE):
                lease = decode_lease(value)
                if lease.ttl < 0 or int.from_bytes(key, "big", signed=True) != lease.id:
                    raise CorruptSnapshot(f"lease {key!r} has another id in its record")
                save_lease(transaction, Lease(lease.id, lease.ttl, max(lease.remaining_ttl, 0)))
        yield None
        records = self._reader.bucket(buckets.KEY)
        is_last = False
        while not is_last:
            with self._backend.write() as transaction:
                count = 0
                for key, value in islice(records, STEP_RECORDS):
                    self._add(transaction, decode_revision(key), decode_key_value(value))
                    count += 1
            is_last = count < STEP_RECORDS
            yield None
        yield self._state()

    def _add(
        self, transaction: WriteTransaction, revision: BucketRevision, kv: StoredKeyValue
    ) -> None:
        """Add a record, its index entry, and what it changes about leases."""
        main, sub, is_tombstone = revision
        if not kv.key:
            # What etcdutl leaves where it has raised the revision.
            self._last = revision
            return
        if not is_tombstone and (
            kv.mod_revision != main
            or not 0 < kv.create_revision <= main
            or not 0 < kv.version <= _REVISION_MAX
        ):
            raise CorruptSnapshot(f"revision {main} has a record of revision {kv.mod_revision}")
        self._last = revision
        place = index_key(kv.key)
        lease_keys = transaction.table(Table.LEASE_KEYS)
        index, rev = transaction.table(Table.INDEX), transaction.table(Table.REV)
        before = index.get(place)
        if before is not None and before[ENTRY_FLAGS] & HAS_LEASE:
            record = rev.get(record_key_of(before))
            assert record is not None, "index entry without its record"
            lease_keys.discard(pack_lease(lease_of(record)), place)
        # A lease that is gone keeps its keys, if any are left: as in etcd nothing ends them.
        lease = 0 if is_tombstone else kv.lease
        flags = TOMBSTONE if is_tombstone else HAS_LEASE if lease else 0
        create_revision, version = (0, 0) if is_tombstone else (kv.create_revision, kv.version)
        header = pack_header(create_revision, version, lease, flags, len(kv.key))
        rev.append(pack_key(main, sub), header + kv.key + (b"" if is_tombstone else kv.value))
        index.add(place, entry_of(main, sub, create_revision, version, flags))
        if lease:
            lease_keys.add(pack_lease(lease), place)

    def _state(self) -> StoreState:
        """Return where the store stands; log indices are the caller's."""
        scheduled = self._compact_revision(buckets.SCHEDULED_COMPACT)
        finished = self._compact_revision(buckets.FINISHED_COMPACT)
        current = max(1, self._last.main, scheduled, finished)
        compact = max(scheduled, finished)
        if current + self._options.bump_revision > _REVISION_MAX:
            raise CorruptSnapshot(f"revision {current} cannot be raised so far")
        current += self._options.bump_revision
        if self._options.mark_compacted:
            compact = current
        return StoreState(
            current_revision=current,
            compact_revision=compact,
            compact_finished_revision=min(finished, compact),
            compact_next_main=finished,
        )

    def _compact_revision(self, key: bytes) -> Revision:
        packed = self._reader.get(buckets.META, key)
        return 0 if packed is None else decode_revision(packed).main
