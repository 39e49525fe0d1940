"""Responsible for giving an LMDB store's free pages back to the file system while it is written.

The tables are copied into a new file, pair by pair and slice by slice, in key order. Between slices the
writer goes on; whatever it changes in what is copied already is changed in the copy too:

    table REV     1 2 3 4 5 6 7 | 8 9 ...
                  copied: mirrored   not yet: will be copied as it is then

So the copy needs no pinned transaction, no journal and no catching up: when the last pair is copied, both
files hold the same. Then the directories change places:

    db → db.replaced-<n>    db.defragmented-<n> → db    whoever reads opens the store anew

A crash in between leaves no ``db``: the store is rebuilt from checkpoint and log, as after the death of the
operating system. Nothing is synced, for the same reason as ever: the log is the truth.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

import lmdb

from zetcd.errors import DiskFailed
from zetcd.mvcc.backend import BackendSize, Table
from zetcd.runtime import lmdb_trust
from zetcd.runtime.lmdb_backend import (
    LmdbBackend,
    LmdbReadTransaction,
    LmdbWriteTable,
    LmdbWriteTransaction,
    Pair,
)

#: Pairs and bytes of one slice: a few milliseconds.
SLICE_PAIRS_MAX: Final = 2_000
SLICE_BYTES_MAX: Final = 1024 * 1024
#: What stands between the name of the store's directory and a number, for the copy and for the old one.
_COPY_INFIX: Final = ".defragmented-"
_OLD_INFIX: Final = ".replaced-"


class Defragmentation:
    """The copy that is being made.

    Invariant: it holds exactly the pairs of the tables before ``_table`` and those of ``_table`` up to
    ``_last``, unless ``failure`` says why it is worth nothing.
    """

    def __init__(
        self, source: LmdbBackend, directory: Path, map_bytes: int, pairs_max: int
    ) -> None:
        """Copy ``source`` into ``directory``, which must not exist, ``pairs_max`` pairs at a time."""
        directory.mkdir(mode=0o700)
        self.directory = directory
        self.copy = LmdbBackend(directory, map_bytes=map_bytes)
        self._source = source
        self._pairs_max = pairs_max
        self._table = Table.REV
        self._last: Pair | None = None
        #: Why the copy was given up; empty = it was not.
        self.failure = ""
        self.is_complete = False

    def step(self) -> None:
        """Copy the next slice."""
        if self.failure or self.is_complete:
            return
        pairs = self._source.pairs_after(
            self._table, self._last, pairs_max=self._pairs_max, bytes_max=SLICE_BYTES_MAX
        )
        if pairs:
            try:
                self.copy.append_pairs(self._table, pairs)
            except (lmdb.Error, DiskFailed) as error:
                self.fail(error)
                return
            self._last = pairs[-1]
        elif self._table == max(Table):
            self.is_complete = True
        else:
            self._table, self._last = Table(self._table + 1), None

    def fail(self, error: Exception) -> None:
        """Give the copy up; the store goes on."""
        self.failure = self.failure or str(error)

    def covers(self, table: Table) -> bool:
        """Whether changes of ``table`` may concern the copy."""
        return table <= self._table and not self.failure

    def is_copied(self, table: Table, pair: Pair) -> bool:
        """Whether a pair, if it exists, is in the copy."""
        if table != self._table:
            return table < self._table
        return self._last is not None and pair <= self._last


class _MirroredTable(LmdbWriteTable):
    """A table of the store whose changes are made in the copy too."""

    __slots__ = ("_defragmentation", "_mirror", "_table")

    def __init__(
        self,
        original: LmdbWriteTable,
        mirror: LmdbWriteTable,
        table: Table,
        defragmentation: Defragmentation,
    ) -> None:
        super().__init__(original.transaction, original.database)
        self._mirror = mirror
        self._table = table
        self._defragmentation = defragmentation

    def put(self, key: bytes, value: bytes) -> None:
        super().put(key, value)
        # Of a plain table the key alone decides, whatever value was copied.
        if self._defragmentation.is_copied(self._table, (key, b"")):
            self._try(lambda: self._mirror.put(key, value))

    def append(self, key: bytes, value: bytes) -> None:
        super().append(key, value)
        if self._defragmentation.is_copied(self._table, (key, b"")):
            self._try(lambda: self._mirror.put(key, value))

    def add(self, key: bytes, value: bytes) -> None:
        super().add(key, value)
        if self._defragmentation.is_copied(self._table, (key, value)):
            self._try(lambda: self._mirror.add(key, value))

    def delete(self, key: bytes) -> bool:
        self._try(lambda: self._mirror.delete(key))
        return super().delete(key)

    def discard(self, key: bytes, value: bytes) -> bool:
        self._try(lambda: self._mirror.discard(key, value))
        return super().discard(key, value)

    def _try(self, change: Callable[[], object]) -> None:
        """Make a change in the copy; its failure concerns nobody else."""
        if self._defragmentation.failure:
            return
        try:
            change()
        except lmdb.Error as error:
            self._defragmentation.fail(error)


class _MirroredTransaction(LmdbWriteTransaction):
    """The write transaction of the store, with one of the copy beside it."""

    __slots__ = ("_defragmentation", "_mirror", "_mirrored")

    def __init__(self, original: LmdbWriteTransaction, defragmentation: Defragmentation) -> None:
        super().__init__(original.transaction, original.databases)
        self._defragmentation = defragmentation
        self._mirror = defragmentation.copy.write()
        self._mirrored: dict[Table, _MirroredTable] = {}

    def table(self, table: Table) -> LmdbWriteTable:
        if not self._defragmentation.covers(table):
            return super().table(table)
        found = self._mirrored.get(table)
        if found is None:
            found = self._mirrored[table] = _MirroredTable(
                super().table(table), self._mirror.table(table), table, self._defragmentation
            )
        return found

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._mirrored.clear()
        try:
            self._mirror.__exit__(kind, error, trace)
        except DiskFailed as failure:
            if error is None:
                self._defragmentation.fail(failure)
        super().__exit__(kind, error, trace)


class DefragmentableStore:
    """The store as its one writer has it: a backend whose file can be replaced under it."""

    def __init__(
        self,
        backend: LmdbBackend,
        directory: Path,
        map_bytes: int,
        *,
        slice_pairs_max: int = SLICE_PAIRS_MAX,
    ) -> None:
        """Take over ``backend``, which is open in ``directory``; remove what a crash has left."""
        self._backend = backend
        self._observe_commit: Callable[[float], None] | None = None
        self._directory = directory
        self._map_bytes = map_bytes
        self._slice_pairs_max = slice_pairs_max
        self._copies_count = 0
        self._defragmentation: Defragmentation | None = None
        for infix in (_COPY_INFIX, _OLD_INFIX):
            for left in sorted(directory.parent.glob(f"{directory.name}{infix}*")):
                shutil.rmtree(left)

    def observe_commits(self, observe: Callable[[float], None]) -> None:
        """Have ``observe`` told how many seconds each commit takes."""
        self._observe_commit = observe
        self._backend.observe_commits(observe)

    def read(self) -> LmdbReadTransaction:
        """Begin a read transaction."""
        return self._backend.read()

    def write(self) -> LmdbWriteTransaction:
        """Begin the write transaction."""
        running = self._defragmentation
        original = self._backend.write()
        if running is None or running.failure:
            return original
        return _MirroredTransaction(original, running)

    def size(self) -> BackendSize:
        """Return how much room the tables take."""
        return self._backend.size()

    def reader_check(self) -> int:
        """Free what dead readers hold; return their number."""
        return self._backend.reader_check()

    def sync(self) -> None:
        """Make everything durable."""
        self._backend.sync()

    def close(self) -> None:
        """Close the store; a copy that is being made is given up."""
        if self._defragmentation is not None:
            self._give_up(self._defragmentation)
        self._backend.close()

    # --- replacing the file -----------------------------------------------------------------------

    @property
    def is_defragmenting(self) -> bool:
        """A copy is being made: call `defragment_step` between transactions."""
        return self._defragmentation is not None

    def begin_defragmentation(self) -> None:
        """Begin to make a copy; one at a time.

        Raises:
            OSError: there is no room for its directory.
        """
        assert self._defragmentation is None
        self._copies_count += 1
        copy = self._path(_COPY_INFIX)
        self._defragmentation = Defragmentation(
            self._backend, copy, self._map_bytes, self._slice_pairs_max
        )

    def defragment_step(self) -> str | None:
        """Copy a slice; after the last one, put the copy in the store's place.

        Returns:
            None: it goes on. Empty: it is done, and every reader must open the store anew. Otherwise
            why it was given up; the store is as it was.
        """
        running = self._defragmentation
        assert running is not None
        running.step()
        if running.failure:
            self._give_up(running)
            return running.failure
        if not running.is_complete:
            return None
        try:
            self._switch(running)
        except OSError as error:
            self._give_up(running)
            return str(error)
        return ""

    def _switch(self, done: Defragmentation) -> None:
        """Let the directories change places; no transaction is open."""
        lmdb_trust.mark_open(done.directory, lmdb_trust.boot_id())
        old = self._path(_OLD_INFIX)
        self._directory.rename(old)
        try:
            done.directory.rename(self._directory)
        except OSError:
            old.rename(self._directory)
            raise
        self._defragmentation = None
        self._backend.close()
        self._backend = done.copy
        if self._observe_commit is not None:
            self._backend.observe_commits(self._observe_commit)
        self._backend.moved(self._directory)
        # Readers keep what they have open until they are told.
        shutil.rmtree(old, ignore_errors=True)

    def _give_up(self, running: Defragmentation) -> None:
        self._defragmentation = None
        running.copy.close()
        shutil.rmtree(running.directory, ignore_errors=True)

    def _path(self, infix: str) -> Path:
        name = f"{self._directory.name}{infix}{os.getpid()}-{self._copies_count}"
        return self._directory.with_name(name)
