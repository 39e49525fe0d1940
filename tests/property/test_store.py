"""The store, driven through the applier, against a list of all versions, on both backends."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from msgspec.structs import replace

from tests.property.store_model import Answer, StoreModel
from zetcd.apply import Applier, ApplierOptions, ApplyOutput, Identity, initialise
from zetcd.errors import DuplicateKey, ZetcdError
from zetcd.lease import Lessor
from zetcd.messages.client import ErrorBody, UnaryResponse
from zetcd.messages.cluster import Member
from zetcd.messages.codec import UnionDecoder, encode
from zetcd.messages.kv import (
    CompactionRequest,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    DeleteRangeResponse,
    EventType,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    SortOrder,
    SortTarget,
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.lease import LeaseGrantRequest, LeaseRevokeRequest
from zetcd.messages.node import ActorRole, Origin, Proposal, ProposalBatch
from zetcd.messages.raft import EntryType, LogEntry
from zetcd.mvcc import (
    HashKV,
    RangeCursor,
    StoreWriter,
    Table,
    View,
    execute_range,
    load_state,
    read_history,
)
from zetcd.mvcc.index_key import PLAIN_BYTES_MAX, index_key
from zetcd.mvcc.revision import unpack_key
from zetcd.mvcc.validation import check_txn
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.memory_backend import MemoryBackend

NODE_ID = 1
RESPONSES = UnionDecoder(UnaryResponse | ErrorBody)

#: Few keys, so that they meet; some differ only beyond what the index can hold.
LONG = b"L" * PLAIN_BYTES_MAX
KEYS = [
    b"a",
    b"a\0",
    b"b",
    b"\xff",
    LONG,
    *(LONG + tail for tail in (b"z", b"aa", b"b" * 99, b"c", b"d")),
]
assert sorted(KEYS, key=index_key) != sorted(KEYS), "the index must not be in order by itself"
ENDS = [b"", b"", b"\0", b"b", b"d", b"M", LONG + b"b", LONG + b"zz", b"a"]
VALUES = [b"", b"x", b"y", b"\0" * 600]


def one_of(choices: list[bytes]) -> st.SearchStrategy[bytes]:
    """Choose by number: the long ones would make every report unreadable."""
    return st.integers(0, len(choices) - 1).map(lambda position: choices[position])


keys = one_of(KEYS)
range_ends = one_of(ENDS)
values = one_of(VALUES)
leases = st.sampled_from([0, 0, 0, 7, 8, -9])
revisions = st.integers(-1, 30)
small = st.integers(-1, 12)
flags = st.booleans()

ranges = st.builds(
    RangeRequest,
    key=keys,
    range_end=range_ends,
    limit=st.integers(-1, 4),
    revision=st.one_of(st.just(0), revisions),
    sort_order=st.sampled_from(SortOrder),
    sort_target=st.sampled_from(SortTarget),
    keys_only=flags,
    count_only=flags,
    min_mod_revision=st.one_of(st.just(0), small),
    max_mod_revision=st.one_of(st.just(0), small),
    min_create_revision=st.one_of(st.just(0), small),
    max_create_revision=st.one_of(st.just(0), small),
)


@st.composite
def put_requests(draw: st.DrawFn) -> PutRequest:
    ignore_value, ignore_lease = draw(flags) and draw(flags), draw(flags) and draw(flags)
    return PutRequest(
        draw(keys),
        b"" if ignore_value else draw(values),
        0 if ignore_lease else draw(leases),
        draw(flags),
        ignore_value,
        ignore_lease,
    )


deletes = st.builds(DeleteRangeRequest, key=keys, range_end=range_ends, prev_kv=flags)


@st.composite
def compares(draw: st.DrawFn) -> Compare:
    target = draw(st.sampled_from(CompareTarget))
    operand: int | bytes = draw(values) if target == CompareTarget.VALUE else draw(small)
    result = draw(st.sampled_from(CompareResult))
    return Compare(result, target, draw(keys), operand, draw(range_ends))


operations = st.one_of(put_requests(), put_requests(), deletes, ranges)


def txns_of(children: st.SearchStrategy[Any]) -> st.SearchStrategy[TxnRequest]:
    branches = st.lists(children, max_size=3).map(tuple)
    conditions = st.lists(compares(), max_size=2).map(tuple)
    return st.builds(TxnRequest, compare=conditions, success=branches, failure=branches)


txns = txns_of(st.one_of(operations, txns_of(operations)))


def refusal_of(call: Callable[[], object]) -> int:
    """Return the number of the error that a call ends with; 0 = none."""
    try:
        call()
    except ZetcdError as error:
        return error.number
    return 0


class StoreMachine(RuleBasedStateMachine):
    """Rules do the same to the store and to the model and compare what comes back."""

    uses_lmdb = False

    def __init__(self) -> None:
        super().__init__()
        self.model = StoreModel()
        self.directory = tempfile.TemporaryDirectory()
        self.backend = self.open_backend()
        self.index = 0

    def open_backend(self) -> Any:
        if self.uses_lmdb:
            return LmdbBackend(Path(self.directory.name), map_bytes=1 << 26)
        return MemoryBackend()

    @initialize()
    def start(self) -> None:
        initialise(self.backend, Identity(1, NODE_ID), (Member(NODE_ID),))
        self.open_applier()

        # The machine is worth little while nearly every put names an unknown lease.
        for lease in (7, 8):
            self.grant(lease)

    def open_applier(self) -> None:
        self.applier = Applier(self.backend, Lessor(), ApplierOptions(NODE_ID))

    def teardown(self) -> None:
        if self.uses_lmdb:
            self.backend.close()
        self.directory.cleanup()

    # --- doing ---

    def apply(self, *requests: Proposal, node: int = NODE_ID) -> ApplyOutput:
        self.index += 1
        batch = ProposalBatch(Origin(node, ActorRole.GATEWAY, 0, 1), self.index, requests)
        entry = LogEntry(EntryType.NORMAL, 1, self.index, encode(batch))
        before = len(self.model.changes)
        output = self.applier.apply_entries((entry,), 0.0)
        self.events_before = before
        return output

    def ask(self, request: Proposal) -> Any:
        """Apply one request; return its response, or the number of its error."""
        output = self.apply(request)
        [(_, results, _)] = output.results
        response = RESPONSES.decode(bytes(results.bodies[0]))
        assert results.errors == ((0,) if isinstance(response, ErrorBody) else ())
        self.output = output
        return response.number if isinstance(response, ErrorBody) else response

    def check_events(self) -> None:
        """What watch is told is what the model changed."""
        told = [
            (each.revision, event.kv.key, event.kv if event.type is EventType.PUT else None)
            for each in self.output.revisions
            for event in each.events
        ]
        made = self.model.changes[self.events_before :]
        assert told == [(change.revision, change.key, change.kv) for change in made]

    def compare(self, response: Any, expected: object) -> None:
        if isinstance(response, PutResponse):
            assert response.prev_kv is None or response.prev_kv == expected
        elif isinstance(response, DeleteRangeResponse):
            assert isinstance(expected, list)
            assert response.deleted == len(expected)
            assert response.prev_kvs in ((), tuple(expected))
        elif isinstance(response, RangeResponse):
            assert isinstance(expected, Answer)
            assert Answer(response.kvs, response.more, response.count) == expected
        else:
            assert isinstance(response, TxnResponse)
            assert isinstance(expected, list)
            assert response.succeeded == expected[0]
            assert len(response.responses) == len(expected) - 1
            for each, its in zip(response.responses, expected[1:], strict=True):
                self.compare(each, its)

    # --- rules ---

    @rule(request=put_requests())
    def put(self, request: PutRequest) -> None:
        response = self.ask(request)
        refusal = refusal_of(lambda: self.model.check_put(request))
        if refusal:
            assert response == refusal
            return
        before = self.model.put(request)
        self.model.finish()
        assert response.prev_kv == (before if request.prev_kv else None)
        assert response.header.revision == self.model.current
        self.check_events()

    @rule(changes=st.lists(st.tuples(keys, st.one_of(st.none(), values)), min_size=4, max_size=10))
    def churn(self, changes: list[tuple[bytes, bytes | None]]) -> None:
        """Some history at once: what compaction, old revisions and hashes live on."""
        for key, value in changes:
            if value is None:
                self.delete(DeleteRangeRequest(key))
            else:
                self.put(PutRequest(key, value))

    @rule(request=deletes)
    def delete(self, request: DeleteRangeRequest) -> None:
        response = self.ask(request)
        gone = self.model.delete(request)
        self.model.finish()
        assert response.deleted == len(gone)
        assert response.prev_kvs == (tuple(gone) if request.prev_kv else ())
        assert response.header.revision == self.model.current
        self.check_events()

    @rule(request=txns, is_foreign=flags)
    def txn(self, request: TxnRequest, is_foreign: bool) -> None:
        response = None
        if is_foreign:
            # Nobody waits on this member: answers are skipped, changes are not.
            self.output = self.apply(request, node=NODE_ID + 1)
            assert self.output.results == []
        else:
            response = self.ask(request)
        resolved = self.model.resolve(request)
        refusal = refusal_of(lambda: check_txn(request))
        refusal = refusal or refusal_of(lambda: self.model.check_resolved(resolved))
        if refusal:
            assert response in (None, refusal)
            assert self.output.revisions == []
            return
        results = self.model.run_resolved(resolved)
        self.model.finish()
        if response is not None:
            assert response != DuplicateKey.number
            self.compare(response, results)
            assert response.header.revision == self.model.current
        self.check_events()

    @rule(request=ranges, ago=st.one_of(st.none(), st.integers(0, 4)))
    def range(self, request: RangeRequest, ago: int | None) -> None:
        if ago is not None:
            request = replace(request, revision=self.model.current - ago)
        with self.backend.read() as transaction:
            view = View(transaction)
            refusal = refusal_of(lambda: self.model.check_revision(request.revision))
            assert refusal_of(lambda: execute_range(view, request)) == refusal
            if refusal:
                return
            expected = self.model.range(request)
            response = execute_range(view, request)
            assert Answer(response.kvs, response.more, response.count) == expected
            assert response.header.revision == self.model.current
            if RangeCursor.can_read(request):
                assert self.read_chunks(view, request) == expected

    def read_chunks(self, view: View, request: RangeRequest) -> Answer:
        cursor = RangeCursor(request)
        kvs: list[Any] = []
        while True:
            chunk = cursor.next_chunk(view, keys_max=2, bytes_max=500)
            kvs += chunk.kvs
            if chunk.is_last:
                return Answer(tuple(kvs), chunk.more, chunk.count)

    @rule(ago=st.integers(-1, 4))
    def compact(self, ago: int) -> None:
        revision = self.model.current - ago
        response = self.ask(CompactionRequest(revision))
        refusal = refusal_of(lambda: self.model.compact(revision))
        if refusal:
            assert response == refusal
        else:
            assert self.output.compactions == [revision]

    @precondition(lambda self: self.applier.is_compacting)
    @rule(records_max=st.integers(1, 8))
    def remove_a_slice(self, records_max: int) -> None:
        hash_before = self.hash_kv(0)
        step = self.applier.compact_step(records_max)
        assert self.hash_kv(0) == hash_before
        if step.is_finished:
            self.check_survivors()

    @rule(ago=st.integers(0, 4), records_max=st.integers(1, 8), delete=flags)
    def compact_to_the_end(self, ago: int, records_max: int, delete: bool) -> None:
        if delete:
            # Tombstones at and just before the compact revision are where the rules differ.
            self.delete(DeleteRangeRequest(b"a", b"\0"))
        self.compact(ago)
        while self.applier.is_compacting:
            self.remove_a_slice(records_max)

    def check_survivors(self) -> None:
        """Exactly what compaction keeps is left, in both tables."""
        with self.backend.read() as transaction:
            records = transaction.table(Table.REV)
            left = [unpack_key(key) for key, _ in records.scan(b"", None)]
            assert transaction.table(Table.INDEX).count() == len(left)
        assert [main for main, _ in left] == [each.revision for each in self.model.survivors()]

    @rule(lease=st.sampled_from([7, 8, -9]))
    def grant(self, lease: int) -> None:
        response = self.ask(LeaseGrantRequest(60, lease))
        assert isinstance(response, int) == (lease in self.model.leases)
        self.model.leases[lease] = 60

    @rule(lease=st.sampled_from([7, 8, -9]))
    def revoke(self, lease: int) -> None:
        response = self.ask(LeaseRevokeRequest(lease))
        refusal = refusal_of(lambda: self.model.revoke(lease))
        if refusal:
            assert response == refusal
        else:
            assert response.header.revision == self.model.current
            self.check_events()

    @rule()
    def restart(self) -> None:
        if self.uses_lmdb:
            self.backend.close()
            self.backend = self.open_backend()
        self.open_applier()

    @rule(start=revisions, events_max=st.integers(1, 4))
    def history(self, start: int, events_max: int) -> None:
        with self.backend.read() as transaction:
            view = View(transaction)
            try:
                found = read_history(view, start, events_max=events_max, bytes_max=1000)
            except ZetcdError:
                assert start < self.model.compacted
                return
        told = [
            (each.revision, event.kv.key, event.kv if event.type is EventType.PUT else None)
            for each in found.revisions
            for event in each.events
        ]
        made = [
            (change.revision, change.key, change.kv)
            for change in self.model.changes
            if start <= change.revision < found.next_revision
        ]
        assert told == made
        assert found.next_revision > max(self.model.current, start) - 1 or made

    def hash_kv(self, revision: int, records_max: int = 3) -> tuple[int, int, int]:
        cursor = HashKV(revision)
        while True:
            with self.backend.read() as transaction:
                result = cursor.step(transaction, records_max=records_max)
            if result is not None:
                return result.hash, result.compact_revision, result.hash_revision

    # --- invariants ---

    @invariant()
    def state_is_consistent(self) -> None:
        self.applier.check()
        with self.backend.read() as transaction:
            state = load_state(transaction)
            assert state.current_revision == self.model.current
            assert state.compact_revision == self.model.compacted
            assert state.consistent_index == self.index

    @invariant()
    def leases_know_their_keys(self) -> None:
        with self.backend.write() as transaction:
            writer = StoreWriter(transaction, load_state(transaction))
            for lease in sorted(self.model.leases):
                assert writer.keys_of_lease(lease) == self.model.keys_of_lease(lease)


class LmdbStoreMachine(StoreMachine):
    """The same on LMDB, with real restarts."""

    uses_lmdb = True


TestStoreInMemory = StoreMachine.TestCase
TestStoreInLmdb = LmdbStoreMachine.TestCase
