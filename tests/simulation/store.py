"""Responsible for the store of a simulated member: the file that LMDB keeps, and its tables while they live.

LMDB without syncs, as zetcd uses it: what a process has written is there for the next one, but after a
power loss the file holds what was synced or restored last, or less. So the tables live here as long as
the machine does, and as long as nobody puts another file in their place; the file itself, on the simulated
disk, says which tables it is and holds what a sync has written to it.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import lmdb
import msgspec

from tests.simulation.disk import Killed
from tests.simulation.invariants.invariant import require
from zetcd.apply.tables import load_conf_state
from zetcd.messages.raft import SnapshotMetadata
from zetcd.mvcc.backend import Table
from zetcd.mvcc.state import load_state
from zetcd.runtime.checkpoint_files import TABLES_NAME, TablesDescription
from zetcd.runtime.files import FileSystem
from zetcd.runtime.memory_backend import MemoryBackend, MemoryTransaction

#: Begin of a file: bytes of the tables that follow.
_LENGTH: Final = struct.Struct(">Q")
#: Behind them, in the file of a store that somebody writes, or has written and synced: which one it is.
_SIGN: Final = struct.Struct(">4sQ")
_WRITTEN: Final = b"LIVE"
_SYNCED: Final = b"SYNC"
_DECODER: Final = msgspec.msgpack.Decoder(dict[int, list[tuple[bytes, list[bytes]]]])


class SimulatedStore(MemoryBackend):
    """What LMDB promises without syncs: a transaction of a process that dies is there whole or not at all."""

    def __init__(self) -> None:
        super().__init__()
        #: Write transactions after which, or in which, the writer dies; 0 = it does not.
        self.kill_after = 0
        #: It dies before the transaction ends, which is then lost.
        self.is_killed_within = False
        #: Where the file is; None: it has none yet.
        self.home: tuple[FileSystem, str] | None = None
        self.number = 0

    def write(self) -> MemoryTransaction:
        if self.kill_after == 1 and not self.is_killed_within:
            # The one before this was the last that the process ended.
            self._die()
        return super().write()

    def end(self, *, is_write: bool, has_failed: bool) -> None:
        if not is_write or has_failed or not self.kill_after:
            super().end(is_write=is_write, has_failed=has_failed)
            return
        if self.kill_after == 1:
            super().end(is_write=True, has_failed=True)
            self._die()
        self.kill_after -= 1
        super().end(is_write=True, has_failed=False)

    def _die(self) -> None:
        self.kill_after = 0
        raise Killed("write transaction")

    def sync(self) -> None:
        """Write all tables to the file and make them durable."""
        assert self.home is not None, "synced before it was opened"
        files, path = self.home
        try:
            file = files.open(path)
            file.pwrite(packed_tables(self) + _SIGN.pack(_SYNCED, self.number), 0)
            file.fdatasync()
            file.close()
        except OSError as error:
            raise lmdb.DiskError(str(error)) from error


def packed_tables(store: MemoryBackend) -> bytes:
    """Return all tables in one piece."""
    content = {
        int(table): [(key, store.table(table)._values[key]) for key in store.table(table)._keys]
        for table in Table
    }
    packed = msgspec.msgpack.encode(content)
    return _LENGTH.pack(len(packed)) + packed


def unpack_tables(content: bytes, store: MemoryBackend) -> None:
    """Fill an empty store with what `packed_tables` has made.

    Raises:
        msgspec.MsgspecError, struct.error: it is damaged.
    """
    (length,) = _LENGTH.unpack_from(content)
    for number, rows in _DECODER.decode(content[_LENGTH.size : _LENGTH.size + length]).items():
        table = store.table(Table(number))
        table._values.update(rows)
        table._keys.extend(key for key, _ in rows)


class StoreFile:
    """The file of one member, and the tables that live in it."""

    def __init__(self) -> None:
        #: What processes of this boot have written; nothing durable.
        self.living = SimulatedStore()
        self._number = 0

    def open(self, files: FileSystem, directory: Path) -> SimulatedStore:
        """Open the file for writing, as apply does; whose tables live goes on with those."""
        path = f"{directory}/{TABLES_NAME}"
        is_new = TABLES_NAME not in files.list_names(str(directory))
        file = files.open(path, is_new=is_new)
        content = file.pread(file.size(), 0)
        end = _LENGTH.size + _LENGTH.unpack_from(content)[0] if content else 0
        sign = content[end : end + _SIGN.size]
        if sign[4:] != self._sign()[4:]:
            require(sign[:4] != _WRITTEN, "store believed", f"{path} has lost what was not synced")
            self._number += 1
            kill_after, self.living = self.living.kill_after, SimulatedStore()
            self.living.kill_after = kill_after
            if content:
                unpack_tables(content, self.living)
            else:
                content = packed_tables(self.living)
                end = len(content)
        file.pwrite(content[:end] + self._sign(), 0)
        file.close()
        self.living.home, self.living.number = (files, path), self._number
        return self.living

    def _sign(self) -> bytes:
        return _SIGN.pack(_WRITTEN, self._number)

    def lose_power(self) -> None:
        """Forget what was in the cache only."""
        self._number += 1
        self.living = SimulatedStore()

    @property
    def is_there(self) -> bool:
        """Whether somebody has opened it since the machine was started."""
        return self.living.home is not None


class StoreCopy:
    """The bytes of a store at one moment, as long as the store stays open."""

    def __init__(self, source: StoreSource) -> None:
        self._source = source
        self._content = packed_tables(source.store)
        self.bytes_total = len(self._content)

    def pread(self, size: int, offset: int) -> bytes:
        content = self._content[offset : offset + size]
        # The pages of a store that was closed are used again while they are copied.
        return content if self._source.is_open else bytes(len(content))

    def close(self) -> None:
        """Let go of it."""


class StoreSource:
    """A store that was opened for reading, of which checkpoints are made."""

    def __init__(self, store: SimulatedStore, files: FileSystem) -> None:
        self.store = store
        self._files = files
        self.is_open = True

    def read(self) -> MemoryTransaction:
        return self.store.read()

    def copy_bytes(self) -> int:
        # None, so that short runs make many checkpoints.
        return 0

    def begin_copy(self) -> StoreCopy:
        return StoreCopy(self)

    def describe(self, path: str) -> TablesDescription:
        file = self._files.open(path, is_read_only=True)
        content = file.pread(file.size(), 0)
        file.close()
        return described(content)

    def close(self) -> None:
        self.is_open = False


def described(content: bytes) -> TablesDescription:
    """Return what packed tables say of themselves."""
    store = MemoryBackend()
    unpack_tables(content, store)
    with store.read() as transaction:
        state = load_state(transaction)
        return TablesDescription(
            SnapshotMetadata(
                state.consistent_index, state.applied_term, load_conf_state(transaction)
            ),
            state.current_revision,
            state.compact_revision,
        )
