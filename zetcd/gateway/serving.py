"""Responsible for reading: answers from the store, in bounded slices, big ones in parts.

Reads come here once they may be served: serializable ones at once, linearizable ones with the index
that must be applied first. Each turn opens one view of the store for all of them.

Invariants
    - No view outlives a turn: its pages could not be reused meanwhile. What is not finished goes on
      in the next turn at the revision it began with.
    - A turn reads about `TURN_COST_MAX`, then the rest waits: reads never starve writes.
    - A client that does not read its answers holds up nobody else, and is read for no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

from zetcd.apply.alarms import load_alarms
from zetcd.apply.tables import load_leases
from zetcd.errors import ZetcdError
from zetcd.gateway.options import GatewayOptions
from zetcd.gateway.pending import Pending, Replies
from zetcd.messages.base import Message
from zetcd.messages.cluster import (
    AlarmMember,
    AlarmRequest,
    AlarmResponse,
    AlarmType,
    HashKVRequest,
)
from zetcd.messages.kv import (
    KeyValue,
    RangeRequest,
    RangeResponse,
    ResponseHeader,
    TxnRequest,
)
from zetcd.messages.lease import LeaseLeasesRequest, LeaseLeasesResponse
from zetcd.messages.node import ApplyWait
from zetcd.mvcc.backend import Backend, ReadTransaction
from zetcd.mvcc.hash import HashKV
from zetcd.mvcc.range import COUNT_STEP_KEYS_MAX, ListCounts, RangeCursor, execute_range
from zetcd.mvcc.state import load_state
from zetcd.mvcc.txn import execute_read_txn
from zetcd.mvcc.view import View
from zetcd.scalars import Index, LeaseID, Revision, Term

#: Work of one turn, in keys (about 2 µs each): a few milliseconds.
TURN_COST_MAX: Final = 4_000
#: Cost of a read beside its keys.
_READ_COST: Final = 4
#: Bytes that cost as much as one key.
_BYTES_PER_COST: Final = 1_024
#: Keys of the first chunk of a range; doubled while chunks are small, so that large values stay
#: cheap.
_CHUNK_KEYS_FIRST: Final = 64
_CHUNK_KEYS_MAX: Final = 2_048
#: Counting a key costs a fraction of reading it.
_COUNTED_KEYS_PER_COST: Final = 16
#: Records hashed in one slice.
_HASH_RECORDS: Final = 1_000
#: An answer that found the client's window full is tried again.
_RETRY_SECONDS: Final = 0.01


class _Slice(NamedTuple):
    """What one step of an answer produced."""

    #: Work done, in keys.
    cost: int
    #: Response, or part of one; None: nothing to send yet.
    response: Message | None = None
    is_last: bool = False


class _Turn:
    """What the reads of one turn share, valid until its end; answers that take several find a fresh one."""

    __slots__ = ("term", "transaction", "view")

    def __init__(self) -> None:
        self.term: Term = 0
        self.transaction: ReadTransaction
        self.view: View


#: An answer in slices: each step finds a fresh view in its `_Turn`.
_Slices = Iterator[_Slice]


@dataclass(slots=True)
class _Wait:
    """Reads that need an index to be applied."""

    index: Index
    pendings: list[Pending]
    #: Only apply's message will do, not the state of the store.
    needs_message: bool
    is_asked: bool = False


@dataclass(slots=True)
class _Answer:
    """An answer that takes more than one step."""

    pending: Pending
    slices: _Slices
    #: A part that the client was not ready to take.
    part: RangeResponse | None = None
    retry_at: float = 0.0


class ReadServer:
    """The reads of one gateway that may be answered, or wait for apply; see the module."""

    def __init__(self, options: GatewayOptions, replies: Replies) -> None:
        """Start idle and without a store."""
        self._backend: Backend | None = None
        self._replies = replies
        self._fragment_bytes = options.limits.fragment_bytes
        self._stall_seconds = options.dead_after_seconds
        self._turn = _Turn()
        self._list_counts = ListCounts()
        self._ready: deque[Pending] = deque()
        self._answers: deque[_Answer] = deque()
        self._waits: list[_Wait] = []
        #: Figures for status.
        self.served_count = 0
        self.ranges_count = 0
        self._starters: dict[type[Message], Callable[[Message], _Slices]] = {
            RangeRequest: self._range,
            TxnRequest: self._txn,
            HashKVRequest: self._hash_kv,
            LeaseLeasesRequest: self._leases,
            AlarmRequest: self._alarms,
        }

    def set_backend(self, backend: Backend | None) -> None:
        """Read from this store from now on; None: there is none, reads wait."""
        self._backend = backend
        self._list_counts = ListCounts()

    # --- what may be read -------------------------------------------------------------------------

    def add(self, pending: Pending) -> None:
        """Serve a read from whatever state the store is in."""
        self._ready.append(pending)

    def wait_for(self, index: Index, pendings: list[Pending]) -> None:
        """Serve reads once ``index`` is applied."""
        if pendings:
            self._waits.append(_Wait(index, pendings, needs_message=False))

    def wait_for_message(self, index: Index, pendings: list[Pending]) -> None:
        """Return ``pendings`` from `reached` once apply itself says that ``index`` is applied."""
        self._waits.append(_Wait(index, pendings, needs_message=True))

    def reached(self, index: Index) -> list[Pending]:
        """Note that ``index`` is applied; returns who waited for this message itself."""
        waiting, told = [], []
        for wait in self._waits:
            if wait.index > index:
                waiting.append(wait)
            elif wait.needs_message:
                told.extend(wait.pendings)
            else:
                self._ready.extend(wait.pendings)
        self._waits = waiting
        return told

    def take_waits(self) -> list[ApplyWait]:
        """Return what apply must be asked for now."""
        asks: list[ApplyWait] = []
        for wait in self._waits:
            if not wait.is_asked:
                wait.is_asked = True
                asks.append(ApplyWait(wait.index))
        return asks

    def apply_restarted(self) -> None:
        """Ask again: a new apply knows nothing of what its predecessor was asked."""
        for wait in self._waits:
            wait.is_asked = False

    def waits_for_apply(self, pending: Pending) -> bool:
        """Whether the read has its index and only waits for apply."""
        return any(pending in wait.pendings for wait in self._waits)

    # --- reading ----------------------------------------------------------------------------------

    def serve(self, now: float, term: Term) -> None:
        """Read for one turn."""
        has_new_wait = any(not wait.is_asked and not wait.needs_message for wait in self._waits)
        if self._backend is None or not (self._ready or has_new_wait or self._has_due_answer(now)):
            return
        with self._backend.read() as transaction:
            turn = self._turn
            turn.term, turn.transaction, turn.view = term, transaction, View(transaction)
            self._release(turn.view.state.consistent_index)
            # Half of the turn for answers already begun, so that neither kind starves the other.
            cost = self._go_on(now, TURN_COST_MAX // 2)
            while self._ready and cost < TURN_COST_MAX:
                pending = self._ready.popleft()
                if pending.is_open:
                    cost += self._start(pending, now)
            self._go_on(now, TURN_COST_MAX - cost)

    def _release(self, consistent_index: Index) -> None:
        """Let reads go on whose index the store already has."""
        waiting: list[_Wait] = []
        for wait in self._waits:
            if wait.index <= consistent_index and not wait.needs_message:
                self._ready.extend(wait.pendings)
            else:
                waiting.append(wait)
        self._waits = waiting

    def _has_due_answer(self, now: float) -> bool:
        return any(answer.retry_at <= now for answer in self._answers)

    def _start(self, pending: Pending, now: float) -> int:
        """Begin a read, and mostly end it; returns its cost."""
        self.served_count += 1
        request = pending.request
        self.ranges_count += type(request) is RangeRequest
        if (
            type(request) is RangeRequest
            and not request.range_end
            and self._replies.can_take(pending)
        ):
            return self._get(pending, request)
        answer = _Answer(pending, self._starters[type(request)](request))
        return _READ_COST + self._step(answer, now)

    def _get(self, pending: Pending, request: RangeRequest) -> int:
        """Answer a read of one key; by far the most frequent one."""
        turn = self._turn
        try:
            response = execute_range(turn.view, request, raft_term=turn.term)
        except ZetcdError as error:
            self._replies.fail(pending, error)
            return _READ_COST
        self._replies.answer(pending, response)
        value_bytes = len(response.kvs[0].value) if response.kvs else 0
        return _READ_COST + value_bytes // _BYTES_PER_COST

    def _go_on(self, now: float, cost_max: int) -> int:
        """Go on with the answers that are due, a slice each in turn; returns the cost."""
        cost = blocked = 0
        while cost < cost_max and blocked < len(self._answers):
            answer = self._answers.popleft()
            if answer.retry_at > now:
                self._answers.append(answer)
                blocked += 1
            elif answer.pending.is_open:
                cost += self._step(answer, now)
        return cost

    def _step(self, answer: _Answer, now: float) -> int:
        """Send or read one slice of an answer; it joins the queue again if more follows."""
        pending = answer.pending
        cost = 1
        if not self._replies.can_take(pending):
            answer.retry_at = now + _RETRY_SECONDS
            self._answers.append(answer)
            return cost
        if answer.part is None:
            try:
                cost, response, is_last = next(answer.slices)
            except ZetcdError as error:
                self._replies.fail(pending, error)
                return cost
            if is_last:
                assert response is not None
                self._replies.answer(pending, response)
                return cost
            # Only ranges come in parts.
            answer.part = cast(RangeResponse | None, response)
        if answer.part is not None:
            if self._replies.answer_part(pending, answer.part):
                answer.part = None
                answer.retry_at = now
                # Once it has begun, an answer may take as long as its client keeps reading.
                pending.deadline = max(pending.deadline, now + self._stall_seconds)
            else:
                answer.retry_at = now + _RETRY_SECONDS
        self._answers.append(answer)
        return cost

    # --- the kinds of answer ----------------------------------------------------------------------

    def _range(self, message: Message) -> _Slices:
        request = cast(RangeRequest, message)
        if RangeCursor.can_read(request):
            return self._range_in_chunks(request)
        return self._range_at_once(request)

    def _range_in_chunks(self, request: RangeRequest) -> _Slices:
        """Read a range in key order, a chunk at a time, at the revision of the first one."""
        turn = self._turn
        # What is current now stays current for the whole answer, as if it had been read at once.
        header = ResponseHeader(turn.view.state.current_revision, turn.term)
        cursor = RangeCursor(request, self._list_counts)
        keys_max, size = _CHUNK_KEYS_FIRST, 0
        kvs: list[KeyValue] = []
        while True:
            chunk = cursor.next_chunk(
                turn.view, keys_max=keys_max, bytes_max=self._fragment_bytes - size
            )
            chunk_bytes = sum([len(kv.key) + len(kv.value) for kv in chunk.kvs])
            kvs.extend(chunk.kvs)
            size += chunk_bytes
            cost = len(chunk.kvs) + chunk_bytes // _BYTES_PER_COST
            if not chunk.kvs and not chunk.is_last:
                cost += COUNT_STEP_KEYS_MAX // _COUNTED_KEYS_PER_COST
            if chunk.is_last:
                response = RangeResponse(header, tuple(kvs), chunk.more, chunk.count)
                yield _Slice(cost, response, is_last=True)
                return
            if size >= self._fragment_bytes // 2:
                yield _Slice(cost, RangeResponse(header, tuple(kvs)))
                kvs, size = [], 0
            else:
                yield _Slice(cost)
            if chunk_bytes < self._fragment_bytes // 8:
                keys_max = min(keys_max * 2, _CHUNK_KEYS_MAX)

    def _range_at_once(self, request: RangeRequest) -> _Slices:
        """Read a range that must be sorted or filtered whole, and send it in parts if it is big."""
        turn = self._turn
        whole = execute_range(turn.view, request, raft_term=turn.term)
        cost = len(whole.kvs) or 1
        kvs: list[KeyValue] = []
        size = 0
        for kv in whole.kvs:
            if size >= self._fragment_bytes // 2:
                yield _Slice(cost, RangeResponse(whole.header, tuple(kvs)))
                kvs, size, cost = [], 0, 1
            kvs.append(kv)
            size += len(kv.key) + len(kv.value)
        rest = RangeResponse(whole.header, tuple(kvs), whole.more, whole.count)
        yield _Slice(cost, rest, is_last=True)

    def _txn(self, message: Message) -> _Slices:
        """Execute a read-only transaction; all of it must see one state, so it is one step."""
        turn = self._turn
        response = execute_read_txn(turn.view, cast(TxnRequest, message), raft_term=turn.term)
        cost = sum(
            [len(each.kvs) if isinstance(each, RangeResponse) else 1 for each in response.responses]
        )
        yield _Slice(cost, response, is_last=True)

    def _hash_kv(self, message: Message) -> _Slices:
        """Hash the history a slice at a time."""
        turn = self._turn
        hash_kv = HashKV(cast(HashKVRequest, message).revision)
        while True:
            result = hash_kv.step(turn.transaction, records_max=_HASH_RECORDS)
            if result is not None:
                yield _Slice(_HASH_RECORDS, result.response(turn.term), is_last=True)
                return
            yield _Slice(_HASH_RECORDS)

    def _leases(self, message: Message) -> _Slices:
        """List the leases; one small record each, so that one step is enough."""
        turn = self._turn
        leases = list_leases(turn.transaction)
        header = ResponseHeader(turn.view.state.current_revision, turn.term)
        response = LeaseLeasesResponse(header, leases)
        yield _Slice(len(leases), response, is_last=True)

    def _alarms(self, message: Message) -> _Slices:
        """List the alarms; there are never more than two for each member."""
        wanted = cast(AlarmRequest, message).alarm
        turn = self._turn
        alarms = [
            each for each in load_alarms(turn.transaction) if wanted in (AlarmType.NONE, each.alarm)
        ]
        header = ResponseHeader(turn.view.state.current_revision, turn.term)
        yield _Slice(1, AlarmResponse(header, tuple(alarms)), is_last=True)

    def alarms(self) -> tuple[AlarmMember, ...]:
        """Return the alarms that are on in the store as it is here."""
        if self._backend is None:
            return ()
        with self._backend.read() as transaction:
            return load_alarms(transaction)

    def current_revision(self) -> Revision:
        """Return the current revision of the store."""
        if self._backend is None:
            return 0
        with self._backend.read() as transaction:
            return load_state(transaction).current_revision

    def wake_at(self) -> float:
        """Return when `serve` has something to do, infinity = never without input."""
        if self._backend is None:
            return float("inf")
        if self._ready:
            return 0.0
        if not self._answers:
            return float("inf")
        return min(answer.retry_at for answer in self._answers)


def list_leases(transaction: ReadTransaction) -> tuple[LeaseID, ...]:
    """Return the ids of all leases, sorted by granted TTL, then id."""
    leases = [(lease.granted_ttl, lease.id) for lease in load_leases(transaction)]
    return tuple([lease_id for _, lease_id in sorted(leases)])
