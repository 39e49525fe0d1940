"""Responsible for the bytes of a lease id as the key of a table."""

from __future__ import annotations

import struct
from typing import Final

from zetcd.mvcc.backend import ReadTransaction, Table, WriteTransaction
from zetcd.scalars import LeaseID

_LEASE: Final = struct.Struct(">q")

#: ``pack_lease(lease_id)`` is the key of a lease in the tables LEASE and LEASE_KEYS.
pack_lease = _LEASE.pack


def unpack_lease(key: bytes) -> LeaseID:
    """Return the lease id of a key."""
    lease: int = _LEASE.unpack(key)[0]
    return lease


def places_of_lease(transaction: ReadTransaction | WriteTransaction, lease: LeaseID) -> list[bytes]:
    """Return the index keys of the keys attached to a lease."""
    return transaction.table(Table.LEASE_KEYS).values(pack_lease(lease))
