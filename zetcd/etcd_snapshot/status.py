"""Responsible for what can be said of a snapshot file without restoring it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

import google_crc32c

from zetcd.bolt import BoltReader
from zetcd.errors import Compacted, CorruptSnapshot, FutureRev
from zetcd.etcd_snapshot import buckets
from zetcd.etcd_snapshot.buckets import decode_revision
from zetcd.etcd_snapshot.protobuf import decode_key_value
from zetcd.scalars import Revision

#: Pairs are hashed together up to so many bytes: a call of the hash costs more than a small pair.
_CHUNK_BYTES: Final = 64 * 1024


class SnapshotStatus(NamedTuple):
    """What ``etcdutl snapshot status`` shows."""

    #: CRC-32C of all names, keys and values.
    hash: int
    revision: Revision
    #: Keys that are not deleted.
    total_key: int
    #: Bytes of all pages.
    total_size: int
    #: Version of the buckets; empty before etcd 3.6.
    version: str


class SnapshotHash(NamedTuple):
    """What ``etcdutl hashkv`` shows."""

    hash: int
    hash_revision: Revision
    compact_revision: Revision


class _Crc:
    """CRC-32C of many small pieces."""

    def __init__(self) -> None:
        self._crc = 0
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._pieces.append(piece)
            self._size += len(piece)
        if self._size >= _CHUNK_BYTES:
            self.value()

    def value(self) -> int:
        self._crc = google_crc32c.extend(self._crc, b"".join(self._pieces))
        self._pieces.clear()
        self._size = 0
        return self._crc


def status_of(reader: BoltReader) -> SnapshotStatus:
    """Read a whole file and say what it holds.

    Raises:
        CorruptSnapshot: it is damaged.
    """
    crc = _Crc()
    revision = 0
    # Short hashes of the keys: names of any length, and a collision in 2**64 costs a count of one.
    live: set[bytes] = set()
    for name in reader.names():
        crc.add(name)
        for key, value in reader.bucket(name):
            crc.add(key, value)
            if name == buckets.KEY:
                revision, _, is_tombstone = decode_revision(key)
                place = blake2b(decode_key_value(value).key, digest_size=8).digest()
                (live.discard if is_tombstone else live.add)(place)
    version = reader.get(buckets.META, buckets.STORAGE_VERSION) or b""
    return SnapshotStatus(
        crc.value(), revision, len(live), reader.data_bytes, version.decode("ascii", "replace")
    )


def hash_kv(reader: BoltReader, revision: Revision = 0) -> SnapshotHash:
    """Return etcd's HashKV of a file up to a revision; 0 = the latest.

    Raises:
        CorruptSnapshot: the file is damaged, or a compaction of it is not finished.
        FutureRev, Compacted: it does not have that revision.
    """
    compacted = [
        reader.get(buckets.META, key) or buckets.encode_revision(0)
        for key in (buckets.SCHEDULED_COMPACT, buckets.FINISHED_COMPACT)
    ]
    scheduled, finished = (decode_revision(each).main for each in compacted)
    if scheduled != finished:
        raise CorruptSnapshot(
            f"a compaction at revision {scheduled} is not finished; restore the file to hash it"
        )
    if 0 < revision < finished:
        raise Compacted
    latest, changed = _changes_since(reader, finished, revision)
    latest = max(latest, finished, 1)
    if revision > latest:
        raise FutureRev
    return SnapshotHash(
        _hash_records(reader, finished, revision or latest, changed),
        revision or latest,
        finished or -1,
    )


def _changes_since(
    reader: BoltReader, compact_revision: Revision, revision: Revision
) -> tuple[Revision, dict[bytes, bool]]:
    """Return the latest revision, and of each key that has changed since the compaction whether it is deleted."""
    latest = 0
    changed: dict[bytes, bool] = {}
    for key, value in reader.bucket(buckets.KEY):
        latest, _, is_tombstone = decode_revision(key)
        if latest > compact_revision and not 0 < revision < latest:
            changed[_place(value)] = is_tombstone
    return latest, changed


def _hash_records(
    reader: BoltReader,
    compact_revision: Revision,
    revision: Revision,
    changed: Mapping[bytes, bool],
) -> int:
    """Hash the records up to ``revision``.

    As etcd does: of those that the compaction has left, only the ones that are still the newest of their
    keys at ``revision`` count, unless no key is left at all.
    """
    counted, everything = _Crc(), _Crc()
    has_live = not all(changed.values())
    for crc in (counted, everything):
        crc.add(buckets.KEY)
    for key, value in reader.bucket(buckets.KEY):
        main, _, is_tombstone = decode_revision(key)
        if main > revision:
            break
        everything.add(key, value)
        is_kept = not is_tombstone and (main > compact_revision or _place(value) not in changed)
        has_live = has_live or (is_kept and main <= compact_revision)
        if main > compact_revision or is_kept:
            counted.add(key, value)
    return counted.value() if compact_revision and has_live else everything.value()


def _place(value: bytes) -> bytes:
    """Return a short name of a record's key."""
    return blake2b(decode_key_value(value).key, digest_size=16).digest()
