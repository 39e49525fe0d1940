"""Stores with a history, and their way through a snapshot file."""

from __future__ import annotations

from tests.unit.bolt.files import reader_of
from zetcd.apply import Applier, ApplierOptions, Identity, initialise
from zetcd.etcd_snapshot import Export, Import, ImportOptions
from zetcd.lease import Lessor
from zetcd.messages.cluster import AlarmAction, AlarmRequest, AlarmType, Member
from zetcd.messages.codec import encode
from zetcd.messages.kv import CompactionRequest, DeleteRangeRequest, PutRequest, TxnRequest
from zetcd.messages.lease import LeaseGrantRequest, LeaseRevokeRequest
from zetcd.messages.node import ActorRole, Origin, Proposal, ProposalBatch
from zetcd.messages.raft import EntryType, LogEntry
from zetcd.mvcc.backend import MULTI_VALUE_TABLES, Table
from zetcd.mvcc.state import StoreState
from zetcd.runtime.memory_backend import MemoryBackend

MEMBERS = (Member(0xA1, "a", ("tcp://127.0.0.1:1",), ("http://127.0.0.1:2",)),)


class History:
    """A state machine that executes requests one entry each."""

    def __init__(self) -> None:
        self.backend = MemoryBackend()
        initialise(self.backend, Identity(1, 0xA1), MEMBERS)
        self.applier = Applier(self.backend, Lessor(), ApplierOptions(0xA1))

    def do(self, *requests: Proposal) -> None:
        for request in requests:
            batch = ProposalBatch(Origin(0xA1, ActorRole.GATEWAY, 0, 1), 1, (request,))
            index = self.applier.state.consistent_index + 1
            entry = LogEntry(EntryType.NORMAL, 3, index, encode(batch))
            self.applier.apply_entries([entry], 0.0)

    def compact(self) -> None:
        while self.applier.is_compacting:
            self.applier.compact_step(7)


def sample() -> History:
    """Return a store with everything in it."""
    history = History()
    history.do(
        LeaseGrantRequest(60, 5),
        LeaseGrantRequest(90, 2**63 - 1),
        LeaseGrantRequest(30, 9),
        PutRequest(b"a", b"1", lease=5),
        PutRequest(b"b", b"2", lease=9),
        PutRequest(b"a", b"3", lease=2**63 - 1),
        PutRequest(b"long" * 400, b"x" * 9_000),
        TxnRequest((), (PutRequest(b"t1", b""), PutRequest(b"t2"), DeleteRangeRequest(b"a"))),
        PutRequest(b"a", b"again", lease=5),
        LeaseRevokeRequest(9),
        *(PutRequest(b"many%03d" % number, b"v") for number in range(200)),
        DeleteRangeRequest(b"many", b"many05"),
        AlarmRequest(AlarmAction.ACTIVATE, 0xA1, AlarmType.NOSPACE),
    )
    return history


def exported(history: History) -> bytes:
    file = bytearray()

    def pwrite(content: bytes, offset: int) -> None:
        file.extend(bytes(max(0, offset + len(content) - len(file))))
        file[offset : offset + len(content)] = content

    with history.backend.read() as transaction:
        export = Export(transaction, pwrite)
        while (size := export.step()) is None:
            pass
    assert size == len(file)
    return bytes(file)


def imported(
    content: bytes, options: ImportOptions | None = None
) -> tuple[MemoryBackend, StoreState]:
    backend = MemoryBackend()
    importing = Import(reader_of(content), backend, options or ImportOptions())
    while (state := importing.step()) is None:
        pass
    return backend, state


def contents(backend: MemoryBackend, *tables: Table) -> dict[Table, list[object]]:
    with backend.read() as transaction:
        return {
            table: [
                (
                    key,
                    transaction.table(table).values(key) if table in MULTI_VALUE_TABLES else value,
                )
                for key, value in transaction.table(table).scan(b"", None)
            ]
            for table in tables
        }


def compacted(history: History, revision: int) -> History:
    history.do(CompactionRequest(revision))
    return history
