"""Responsible for what the store asks of whatever keeps its tables; must never know which it is.

Two kinds of table: a plain one maps a key to one value; a multi-value one maps a key to a sorted
set of values (LMDB's DUPSORT). `zetcd.runtime.lmdb_backend` keeps tables in LMDB, and
`zetcd.runtime.memory_backend` in sorted dictionaries, for tests and for the simulator.

Invariants
    - A transaction sees one state of all tables: the one at its begin plus, in a write transaction,
      its own changes.
    - There is at most one write transaction at a time; it is atomic.
    - Nobody holds a read transaction across a wait: its pages could not be reused meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self


class Table(IntEnum):
    """The tables of a member; ``zetcd.mvcc`` describes what the first three hold."""

    #: main revision, sub-revision → record of one change.
    REV = 0
    #: index key → one entry per revision of the key, newest first (multi-value).
    INDEX = 1
    #: lease id → index keys attached to it (multi-value).
    LEASE_KEYS = 2
    #: lease id → granted and remaining TTL.
    LEASE = 3
    #: member id → encoded `Member`.
    MEMBER = 4
    #: kind of alarm, member id → encoded `AlarmMember`.
    ALARM = 5
    #: Reserved for authentication.
    AUTH = 6
    #: Name → store state, membership, identity.
    META = 7


#: Tables whose keys have sorted sets of values.
MULTI_VALUE_TABLES: Final = frozenset({Table.INDEX, Table.LEASE_KEYS})
#: Of these, the ones whose values all have the same size.
FIXED_VALUE_TABLES: Final = frozenset({Table.INDEX})
#: Longest key of a table, and longest value of a multi-value table, in bytes (LMDB's limit).
KEY_BYTES_MAX: Final = 511


class ReadTable(Protocol):
    """One table as a transaction sees it."""

    def get(self, key: bytes) -> bytes | None:
        """Return the (first) value of ``key``, or None."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes]:
        """Return the (first) value of each key, all of which must exist."""

    def scan(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, first value) for each key in ``[start, stop)``, ascending; None = to the end.

        The table must not be changed while the iterator is in use.
        """

    def first_values(
        self, start: bytes, stop: bytes | None, keys_max: int
    ) -> tuple[list[bytes], bytes | None]:
        """Return what `scan` yields, without the keys and for ``keys_max`` of them at most.

        Counting asks for nothing else, and this costs a third of `scan`.

        Returns:
            The first value of each key, and the key that follows; None = none does in this range.
        """

    def last_key(self) -> bytes | None:
        """Return the greatest key, or None if the table is empty."""

    def seek_value(self, key: bytes, value: bytes) -> bytes | None:
        """Return the first value of ``key`` that is at least ``value``, or None (multi-value)."""

    def values(self, key: bytes) -> list[bytes]:
        """Return all values of ``key``, ascending (multi-value)."""

    def count(self) -> int:
        """Return the number of (key, value) pairs."""


class WriteTable(ReadTable, Protocol):
    """One table as a write transaction sees and changes it."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of ``key`` (plain)."""

    def append(self, key: bytes, value: bytes) -> None:
        """Set the value of ``key``, which must be greater than every key there is (plain)."""

    def add(self, key: bytes, value: bytes) -> None:
        """Add ``value`` to the values of ``key`` (multi-value)."""

    def delete(self, key: bytes) -> bool:
        """Remove ``key`` and all its values; return whether it was there."""

    def discard(self, key: bytes, value: bytes) -> bool:
        """Remove one value of ``key``; return whether it was there (multi-value)."""


class ReadTransaction(Protocol):
    """A view of all tables; a context manager that gives the view back."""

    def table(self, table: Table) -> ReadTable:
        """Return one table."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class WriteTransaction(Protocol):
    """The one writer; a context manager that commits, or discards everything after an exception."""

    def table(self, table: Table) -> WriteTable:
        """Return one table."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class BackendSize(NamedTuple):
    """How much room the tables take."""

    #: Size of the file.
    file_bytes: int
    #: Pages in use times the page size; what the quota counts.
    used_bytes: int


class Backend(Protocol):
    """The tables of one member."""

    def read(self) -> ReadTransaction:
        """Begin a read transaction; cheap enough for one per loop turn."""

    def write(self) -> WriteTransaction:
        """Begin the write transaction."""

    def size(self) -> BackendSize:
        """Return how much room the tables take."""
