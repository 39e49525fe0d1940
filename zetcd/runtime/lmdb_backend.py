"""Responsible for keeping the store's tables in LMDB; implements `zetcd.mvcc.backend`.

One process writes (apply); any number of others read through their own `LmdbBackend` of the same
directory, opened with ``readonly=True``. A process must not open the same directory twice.

LMDB never syncs here: the log is the truth, and `zetcd.runtime.lmdb_trust` decides whether the
file may be believed after a restart. Everything lives in one file, ``data.mdb``, each table a
named database.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self

import lmdb

from zetcd.errors import DiskFailed, InvariantViolation, NotCapable
from zetcd.mvcc.backend import (
    FIXED_VALUE_TABLES,
    MULTI_VALUE_TABLES,
    BackendSize,
    Table,
)
from zetcd.runtime.lmdb_pages import find_meta, free_pages, last_page, meta_pages

#: Readers at once at most: gateways, watch, snapshot and tools, each with one or two.
_READERS_MAX: Final = 126
#: Read transactions kept for re-use, so that beginning one costs no system call.
_SPARE_TRANSACTIONS: Final = 4
#: Times a transaction is begun in the hope of reading its meta page before two more commits.
_META_TRIES_MAX: Final = 1_000
#: A key and one of its values.
Pair = tuple[bytes, bytes]

_TABLE_NAMES: Final = tuple(table.name.lower().encode() for table in Table)


class LmdbBackend:
    """The tables of one member in one LMDB environment."""

    def __init__(
        self,
        directory: Path,
        *,
        map_bytes: int,
        readonly: bool = False,
        has_writer: bool = True,
        is_file: bool = False,
    ) -> None:
        """Open the tables, creating them unless ``readonly``.

        Args:
            directory: Where the file is, or the file itself if ``is_file``.
            map_bytes: Most that the file may hold.
            readonly: Do not write tables; the reader is still noted in LMDB's lock file.
            has_writer: False: nobody writes, so that the lock file is not needed and, with
                ``readonly``, nothing in the directory is touched.
            is_file: ``directory`` is the LMDB file, whatever it is called.

        Raises:
            NotCapable: read-only, and the writer has not created the tables yet, or has just put
                another file in their place; try again.
        """
        self._directory = directory
        self._readonly = readonly
        inode = inode_of(directory) if readonly else 0
        self._observe_commit: Callable[[float], None] | None = None
        try:
            self._environment = lmdb.open(
                str(directory),
                map_size=map_bytes,
                readonly=readonly,
                create=not readonly,
                mode=0o600,
                lock=has_writer,
                subdir=not is_file,
                sync=False,
                metasync=False,
                writemap=False,
                meminit=False,
                max_readers=_READERS_MAX,
                max_dbs=len(Table),
                max_spare_txns=_SPARE_TRANSACTIONS,
            )
        except lmdb.Error as error:
            # Looking for the file now would say nothing: the writer may just have made it.
            if readonly and error.code == errno.ENOENT:
                raise NotCapable("the store is not there yet") from error
            raise
        try:
            self._databases = tuple(self._open_table(table) for table in Table)
        except (lmdb.NotFoundError, lmdb.ReadonlyError) as error:
            self._environment.close()
            raise NotCapable("the store is not there yet") from error
        if readonly and inode_of(directory) != inode:
            # The file and its lock file may be those of two different stores.
            self._environment.close()
            raise NotCapable("the store has just been replaced")
        self._page_bytes = self._environment.stat()["psize"]
        # Kept open: a gateway whose clients have used up its descriptors must not fail here.
        file = directory if is_file else directory / "data.mdb"
        self._descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> LmdbReadTransaction:
        """Begin a read transaction."""
        return LmdbReadTransaction(self._environment.begin(), self._databases)

    def observe_commits(self, observe: Callable[[float], None]) -> None:
        """Have ``observe`` told how many seconds each commit takes."""
        self._observe_commit = observe

    def write(self) -> LmdbWriteTransaction:
        """Begin the write transaction."""
        transaction = self._environment.begin(write=True)
        return LmdbWriteTransaction(transaction, self._databases, self._observe_commit)

    def size(self) -> BackendSize:
        """Return the size of the file and of the pages in use."""
        with self._environment.begin() as transaction:
            pages = self._environment.info()["last_pgno"] + 1
            free = free_pages(self._descriptor, transaction.id(), self._page_bytes)
        file_bytes = os.fstat(self._descriptor).st_size
        return BackendSize(file_bytes, (pages - free) * self._page_bytes)

    def reader_check(self) -> int:
        """Free the slots of dead readers, whose pages could not be re-used; return their number."""
        return self._environment.reader_check()

    def sync(self) -> None:
        """Write every page to disk: before a clean stop only."""
        self._environment.sync(True)

    def copy(self, directory: Path) -> None:
        """Write a hot, compacted copy into an existing empty directory; blocks nobody else."""
        self._environment.copy(str(directory), compact=True)

    def begin_copy(self) -> LmdbCopy:
        """Begin to read a copy of the file as it is now, slice by slice; blocks nobody else."""
        return LmdbCopy(self._environment, self._directory / "data.mdb", self._page_bytes)

    def pairs_after(
        self, table: Table, last: Pair | None, *, pairs_max: int, bytes_max: int
    ) -> list[Pair]:
        """Return the pairs of a table that follow ``last`` (None: the first ones), in their order.

        At most ``pairs_max`` and, but for the last one, ``bytes_max``; fewer does not mean the end.
        """
        with self._environment.begin() as transaction:
            cursor = transaction.cursor(self._databases[table])
            if not (cursor.first() if last is None else _seek_after(cursor, table, last)):
                return []
            pairs: list[Pair] = []
            total = 0
            for pair in islice(cursor.iternext(True, True), pairs_max):
                pairs.append(pair)
                total += len(pair[0]) + len(pair[1])
                if total >= bytes_max:
                    break
            return pairs

    def append_pairs(self, table: Table, pairs: list[Pair]) -> None:
        """Add pairs that follow all that the table has, in a transaction of their own."""
        with self._environment.begin(write=True) as transaction:
            cursor = transaction.cursor(self._databases[table])
            consumed, _ = cursor.putmulti(pairs, dupdata=True, append=True)
            if consumed != len(pairs):
                raise InvariantViolation("appended pairs do not follow")

    def moved(self, directory: Path) -> None:
        """Note that the directory with the file has another name now."""
        self._directory = directory

    def close(self) -> None:
        """Close the environment, once or again; no transaction may be open."""
        self._environment.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open_table(self, table: Table) -> lmdb._Database:
        """Open or create one table."""
        if self._readonly:
            return self._environment.open_db(_TABLE_NAMES[table], create=False)
        return self._environment.open_db(
            _TABLE_NAMES[table],
            dupsort=table in MULTI_VALUE_TABLES,
            dupfixed=table in FIXED_VALUE_TABLES,
        )


def inode_of(directory: Path) -> int:
    """Return what identifies a directory whatever it is called; 0 = there is none."""
    try:
        return directory.stat().st_ino
    except FileNotFoundError:
        return 0


def _seek_after(cursor: lmdb.Cursor[bytes], table: Table, last: Pair) -> bool:
    """Move to the first pair after ``last``, which may have gone; False: there is none."""
    key, value = last
    if table in MULTI_VALUE_TABLES and cursor.set_range_dup(key, value):
        return cursor.next() if cursor.value() == value else True
    if not cursor.set_range(key):
        return False
    return cursor.next_nodup() if cursor.key() == key else True


class LmdbCopy:
    """A copy of an LMDB file as one read transaction sees it, in slices.

    LMDB never writes to a page that an open transaction can see. So the pages can be read from the file
    beside the writer, which does not notice; only the first two, which say where everything is, are
    made anew. (LMDB's own ways to copy are one call of any length; the compacting one of 0.9.36 crashes
    when a table of fixed-size duplicates has enough of them for one key.)

    Invariant: while the copy is open, pages that are freed are not re-used and the file grows.
    """

    def __init__(self, environment: lmdb.Environment, path: Path, page_bytes: int) -> None:
        """Fix the state to be copied."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        for _ in range(_META_TRIES_MAX):
            self._transaction = environment.begin()
            meta = find_meta(self._descriptor, self._transaction.id(), page_bytes)
            if meta is not None:
                break
            self._transaction.abort()
        else:
            os.close(self._descriptor)
            raise InvariantViolation("LMDB commits faster than a page is read")
        self._head = meta_pages(meta)
        #: Bytes of the copy. Pages at the end that were never written need not be there.
        self.bytes_total = min(
            os.fstat(self._descriptor).st_size, (last_page(meta) + 1) * page_bytes
        )

    def pread(self, size: int, offset: int) -> bytes:
        """Return up to ``size`` bytes of the copy from ``offset``."""
        size = min(size, self.bytes_total - offset)
        content = os.pread(self._descriptor, size, offset)
        if offset < len(self._head):
            return self._head[offset : offset + size] + content[len(self._head) - offset :]
        return content

    def close(self) -> None:
        """Let go of the state."""
        self._transaction.abort()
        os.close(self._descriptor)


class LmdbReadTable:
    """One table in a transaction; its one cursor is re-used for every look-up."""

    __slots__ = ("_cursor", "database", "transaction")

    def __init__(self, transaction: lmdb.Transaction[bytes], database: lmdb._Database) -> None:
        """Look at ``database`` in ``transaction``."""
        self.transaction = transaction
        self.database = database
        self._cursor = transaction.cursor(database)

    def get(self, key: bytes) -> bytes | None:
        """See `ReadTable.get`."""
        return self._cursor.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes]:
        """See `ReadTable.get_many`."""
        found = self._cursor.getmulti(keys)
        assert len(found) == len(keys), "a key that must exist does not"
        return [value for _, value in found]

    def scan(self, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """See `ReadTable.scan`; has a cursor of its own."""
        cursor = self.transaction.cursor(self.database)
        if not cursor.set_range(start):
            return iter(())
        # For a plain table this is the same as iternext.
        items = cursor.iternext_nodup(True, True)
        return items if stop is None else _until(items, stop)

    def first_values(
        self, start: bytes, stop: bytes | None, keys_max: int
    ) -> tuple[list[bytes], bytes | None]:
        """See `ReadTable.first_values`."""
        cursor = self._cursor
        if not cursor.set_range(start):
            return [], None
        values = list(islice(cursor.iternext_nodup(False, True), keys_max))
        # The cursor stands on the last one, or on nothing behind the end of the table.
        has_next = len(values) == keys_max and cursor.next_nodup()
        if stop is None:
            return values, cursor.key() if has_next else None
        if has_next and cursor.key() < stop:
            return values, cursor.key()
        if has_next and cursor.prev_nodup() and cursor.key() < stop:
            return values, None
        # The range ends among them.
        return [value for _, value in islice(self.scan(start, stop), keys_max)], None

    def last_key(self) -> bytes | None:
        """See `ReadTable.last_key`."""
        return self._cursor.key() if self._cursor.last() else None

    def seek_value(self, key: bytes, value: bytes) -> bytes | None:
        """See `ReadTable.seek_value`."""
        return self._cursor.value() if self._cursor.set_range_dup(key, value) else None

    def values(self, key: bytes) -> list[bytes]:
        """See `ReadTable.values`."""
        if not self._cursor.set_key(key):
            return []
        return list(self._cursor.iternext_dup())

    def count(self) -> int:
        """See `ReadTable.count`."""
        return self.transaction.stat(self.database)["entries"]


class LmdbWriteTable(LmdbReadTable):
    """One table in the write transaction."""

    __slots__ = ()

    def put(self, key: bytes, value: bytes) -> None:
        """See `WriteTable.put`."""
        self._cursor.put(key, value)

    def append(self, key: bytes, value: bytes) -> None:
        """See `WriteTable.append`."""
        # Positional: keywords cost a quarter of the call. dupdata, overwrite, append.
        if not self._cursor.put(key, value, True, True, True):
            raise InvariantViolation("appended key is not the greatest")

    def add(self, key: bytes, value: bytes) -> None:
        """See `WriteTable.add`."""
        self._cursor.put(key, value)

    def delete(self, key: bytes) -> bool:
        """See `WriteTable.delete`."""
        if not self._cursor.set_key(key):
            return False
        return self._cursor.delete(True)

    def discard(self, key: bytes, value: bytes) -> bool:
        """See `WriteTable.discard`."""
        return self._cursor.set_key_dup(key, value) and self._cursor.delete()


class LmdbReadTransaction:
    """A view of all tables."""

    __slots__ = ("_databases", "_tables", "_transaction")

    def __init__(
        self, transaction: lmdb.Transaction[bytes], databases: tuple[lmdb._Database, ...]
    ) -> None:
        """Wrap a transaction of LMDB."""
        self._transaction = transaction
        self._databases = databases
        self._tables: dict[Table, LmdbReadTable] = {}

    def table(self, table: Table) -> LmdbReadTable:
        """Return one table; opened at first use."""
        opened = self._tables.get(table)
        if opened is None:
            opened = self._tables[table] = LmdbReadTable(self._transaction, self._databases[table])
        return opened

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tables.clear()
        self._transaction.abort()


class LmdbWriteTransaction:
    """The one writer."""

    __slots__ = ("_observe_commit", "_tables", "databases", "transaction")

    def __init__(
        self,
        transaction: lmdb.Transaction[bytes],
        databases: tuple[lmdb._Database, ...],
        observe_commit: Callable[[float], None] | None = None,
    ) -> None:
        """Wrap a write transaction of LMDB."""
        self._observe_commit = observe_commit
        self.transaction = transaction
        self.databases = databases
        self._tables: dict[Table, LmdbWriteTable] = {}

    def table(self, table: Table) -> LmdbWriteTable:
        """Return one table; opened at first use."""
        opened = self._tables.get(table)
        if opened is None:
            opened = self._tables[table] = LmdbWriteTable(self.transaction, self.databases[table])
        return opened

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tables.clear()
        if isinstance(error, lmdb.Error):
            self.transaction.abort()
            _raise_disk_failed(error)
        if error is not None:
            self.transaction.abort()
            return
        began = time.monotonic()
        try:
            self.transaction.commit()
        except lmdb.Error as failure:
            _raise_disk_failed(failure)
        if self._observe_commit is not None:
            self._observe_commit(time.monotonic() - began)


def _until(items: Iterator[tuple[bytes, bytes]], stop: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield items whose key is before ``stop``."""
    for item in items:
        if item[0] >= stop:
            return
        yield item


def _raise_disk_failed(error: lmdb.Error) -> NoReturn:
    """End a transaction that LMDB could not write: never retried, the member stops."""
    raise DiskFailed(f"LMDB: {error}") from error
