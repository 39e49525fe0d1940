"""Responsible for keeping the store's tables in sorted lists; implements `zetcd.mvcc.backend`.

For tests and for the simulator: pure Python, nothing on disk, the same results as LMDB. A
transaction that fails is undone. One thread: a read transaction must not overlap the write
transaction.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Self

from zetcd.mvcc.backend import (
    FIXED_VALUE_TABLES,
    KEY_BYTES_MAX,
    MULTI_VALUE_TABLES,
    BackendSize,
    Table,
)
from zetcd.mvcc.revision import ENTRY_BYTES


class MemoryTable:
    """One table: a sorted list of keys, and for each key a sorted list of values."""

    __slots__ = ("_has_many", "_is_fixed", "_keys", "_undo", "_values")

    def __init__(self, table: Table, undo: list[Callable[[], None]]) -> None:
        """Start empty; ``undo`` collects how to take changes back."""
        self._has_many = table in MULTI_VALUE_TABLES
        self._is_fixed = table in FIXED_VALUE_TABLES
        self._keys: list[bytes] = []
        self._values: dict[bytes, list[bytes]] = {}
        self._undo = undo

    def get(self, key: bytes) -> bytes | None:
        """See `ReadTable.get`."""
        values = self._values.get(key)
        return values[0] if values else None

    def get_many(self, keys: Sequence[bytes]) -> list[bytes]:
        """See `ReadTable.get_many`."""
        return [self._values[key][0] for key in keys]

    def scan(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """See `ReadTable.scan`."""
        low = bisect_left(self._keys, start)
        high = len(self._keys) if stop is None else bisect_left(self._keys, stop)
        for position in range(low, high):
            key = self._keys[position]
            yield key, self._values[key][0]

    def first_values(
        self, start: bytes, stop: bytes | None, keys_max: int
    ) -> tuple[list[bytes], bytes | None]:
        """See `ReadTable.first_values`."""
        items = list(islice(self.scan(start, stop), keys_max + 1))
        following = items[keys_max][0] if len(items) > keys_max else None
        return [value for _, value in items[:keys_max]], following

    def last_key(self) -> bytes | None:
        """See `ReadTable.last_key`."""
        return self._keys[-1] if self._keys else None

    def seek_value(self, key: bytes, value: bytes) -> bytes | None:
        """See `ReadTable.seek_value`."""
        values = self._values.get(key, [])
        position = bisect_left(values, value)
        return values[position] if position < len(values) else None

    def values(self, key: bytes) -> list[bytes]:
        """See `ReadTable.values`."""
        return list(self._values.get(key, ()))

    def count(self) -> int:
        """See `ReadTable.count`."""
        return sum(len(values) for values in self._values.values())

    def put(self, key: bytes, value: bytes) -> None:
        """See `WriteTable.put`."""
        assert not self._has_many, "put into a table with many values per key"
        self._replace(key, [value])

    def append(self, key: bytes, value: bytes) -> None:
        """See `WriteTable.append`."""
        assert not self._keys or key > self._keys[-1], "appended key is not the greatest"
        self.put(key, value)

    def add(self, key: bytes, value: bytes) -> None:
        """See `WriteTable.add`."""
        assert self._has_many, "add to a table with one value per key"
        assert len(value) <= KEY_BYTES_MAX
        assert not self._is_fixed or len(value) == ENTRY_BYTES
        values = self.values(key)
        if value not in values:
            insort(values, value)
            self._replace(key, values)

    def delete(self, key: bytes) -> bool:
        """See `WriteTable.delete`."""
        was_there = key in self._values
        self._replace(key, [])
        return was_there

    def discard(self, key: bytes, value: bytes) -> bool:
        """See `WriteTable.discard`."""
        values = self.values(key)
        if value not in values:
            return False
        values.remove(value)
        self._replace(key, values)
        return True

    def _replace(self, key: bytes, values: list[bytes]) -> None:
        """Set all values of a key (none = remove it) and remember how to take that back."""
        assert 0 < len(key) <= KEY_BYTES_MAX
        before = self._values.get(key, [])
        self._undo.append(lambda: self._set(key, before))
        self._set(key, values)

    def _set(self, key: bytes, values: list[bytes]) -> None:
        """Set all values of a key; none = remove it."""
        if values and key not in self._values:
            insort(self._keys, key)
        if values:
            self._values[key] = values
        elif self._values.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def used_bytes(self) -> int:
        """Return the bytes of keys and values."""
        return sum(len(key) + sum(map(len, values)) for key, values in self._values.items())


class MemoryBackend:
    """The tables of one member in memory."""

    def __init__(self) -> None:
        """Start empty."""
        self._undo: list[Callable[[], None]] = []
        self._tables = {table: MemoryTable(table, self._undo) for table in Table}
        self._readers = 0
        self._is_writing = False

    def read(self) -> MemoryTransaction:
        """Begin a read transaction."""
        assert not self._is_writing, "read while a write transaction is open"
        return MemoryTransaction(self, is_write=False)

    def write(self) -> MemoryTransaction:
        """Begin the write transaction."""
        assert not self._is_writing, "a write transaction is open already"
        assert self._readers == 0, "write while a read transaction is open"
        return MemoryTransaction(self, is_write=True)

    def size(self) -> BackendSize:
        """Return the bytes of keys and values; there is no file."""
        used = sum(self._tables[table].used_bytes() for table in Table)
        return BackendSize(used, used)

    def reader_check(self) -> int:
        """Return 0: readers in memory do not die on their own."""
        return 0

    @property
    def is_defragmenting(self) -> bool:
        """Never: there is no file."""
        return False

    def begin_defragmentation(self) -> None:
        """Refuse: there is no file."""
        raise OSError("a store in memory has no free pages")

    def defragment_step(self) -> str | None:
        """Never called."""
        raise AssertionError("there is no file")

    def sync(self) -> None:
        """Do nothing: there is no disk."""

    def observe_commits(self, observe: Callable[[float], None]) -> None:
        """Do nothing: a commit in memory takes no time worth knowing."""

    def close(self) -> None:
        """Do nothing: whoever keeps this object can open the same tables again."""
        assert not self._is_writing, "closed while a write transaction is open"

    def table(self, table: Table) -> MemoryTable:
        """Return one table."""
        return self._tables[table]

    def begin(self, *, is_write: bool) -> None:
        """Count a transaction in."""
        if is_write:
            self._is_writing = True
        else:
            self._readers += 1

    def end(self, *, is_write: bool, has_failed: bool) -> None:
        """Count a transaction out; a failed write is undone."""
        if not is_write:
            self._readers -= 1
            return
        if has_failed:
            while self._undo:
                self._undo.pop()()
        self._undo.clear()
        self._is_writing = False


class MemoryTransaction:
    """A read or write transaction."""

    __slots__ = ("_backend", "_is_write")

    def __init__(self, backend: MemoryBackend, *, is_write: bool) -> None:
        """Begin a transaction."""
        self._backend = backend
        self._is_write = is_write
        backend.begin(is_write=is_write)

    def table(self, table: Table) -> MemoryTable:
        """Return one table."""
        return self._backend.table(table)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._backend.end(is_write=self._is_write, has_failed=error is not None)
