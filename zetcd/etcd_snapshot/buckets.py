"""Responsible for the names of etcd's buckets and keys, and for how revisions are written there."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from zetcd.errors import CorruptSnapshot
from zetcd.scalars import Revision

KEY: Final = b"key"
META: Final = b"meta"
LEASE: Final = b"lease"
ALARM: Final = b"alarm"
CLUSTER: Final = b"cluster"
MEMBERS: Final = b"members"
MEMBERS_REMOVED: Final = b"members_removed"
AUTH: Final = b"auth"
AUTH_USERS: Final = b"authUsers"
AUTH_ROLES: Final = b"authRoles"

CONSISTENT_INDEX: Final = b"consistent_index"
TERM: Final = b"term"
CONF_STATE: Final = b"confState"
STORAGE_VERSION: Final = b"storageVersion"
SCHEDULED_COMPACT: Final = b"scheduledCompactRev"
FINISHED_COMPACT: Final = b"finishedCompactRev"
CLUSTER_VERSION: Final = b"clusterVersion"
AUTH_ENABLED: Final = b"authEnabled"

#: Bytes of the digest at the end of a saved file, and what the rest is a multiple of.
DIGEST_BYTES: Final = 32
SECTOR_BYTES: Final = 512

_REVISION: Final = struct.Struct(">QcQ")
_TOMBSTONE: Final = b"t"
_SEPARATOR: Final = b"_"
#: What etcd holds revisions in.
_REVISION_MAX: Final = 2**63 - 1
_SUB_MAX: Final = 2**32 - 1


class BucketRevision(NamedTuple):
    """The key of a record in bucket KEY."""

    main: Revision
    sub: int
    is_tombstone: bool = False


def encode_revision(main: Revision, sub: int = 0, *, is_tombstone: bool = False) -> bytes:
    """Return the key of a record."""
    return _REVISION.pack(main, _SEPARATOR, sub) + (_TOMBSTONE if is_tombstone else b"")


def decode_revision(key: bytes) -> BucketRevision:
    """Return what the key of a record says.

    Raises:
        CorruptSnapshot: it is no such key.
    """
    tail = key[_REVISION.size :]
    if len(key) < _REVISION.size or tail not in (b"", _TOMBSTONE):
        raise CorruptSnapshot(f"{key!r} is no revision")
    main, separator, sub = _REVISION.unpack_from(key)
    if separator != _SEPARATOR or main > _REVISION_MAX or sub > _SUB_MAX:
        raise CorruptSnapshot(f"{key!r} is no revision")
    return BucketRevision(main, sub, bool(tail))
