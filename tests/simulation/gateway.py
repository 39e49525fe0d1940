"""Responsible for what stands in the place of a node's gateway: it speaks its language to raft, apply, watch.

Reads and watch streams go through the gateway's own cores (`ReadRounds`, `WatchStream`); batches are made
here, so that a client knows which of its requests share one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.simulation.history import Operation, Outcome
from tests.simulation.invariants.invariant import Invariants
from tests.simulation.node import SimulatedNode
from tests.simulation.store import SimulatedStore
from tests.simulation.world import World
from zetcd.actors.actor import APPLY, RAFT, WATCH
from zetcd.gateway.native.watch_streams import WatchStream, outline_of
from zetcd.gateway.pending import Pending
from zetcd.gateway.read_rounds import ReadRounds
from zetcd.messages.base import Message
from zetcd.messages.client import ErrorBody, UnaryResponse
from zetcd.messages.codec import UnionDecoder, decoder_of, encode
from zetcd.messages.kv import RangeRequest
from zetcd.messages.lease import LeaseKeepAliveRequest, LeaseKeepAliveResponse
from zetcd.messages.node import (
    ActorRole,
    ApplyReached,
    ApplyResults,
    ApplyWait,
    Hello,
    LeaderAnswer,
    LeaderRequest,
    MemberTable,
    Origin,
    ProposalBatch,
    Propose,
    ProposeRefused,
    ReadIndexResult,
    WatchDelivery,
    WatchForward,
    WatchSessionClosed,
)
from zetcd.messages.raft import EntryType
from zetcd.messages.watch import WatchCreateRequest, WatchCredit, WatchProgressRequest
from zetcd.mvcc.range import execute_range
from zetcd.mvcc.state import load_state
from zetcd.mvcc.view import View
from zetcd.runtime.mailbox import MemoryMailbox
from zetcd.scalars import Index, LeaseID

_RESPONSE: Final = UnionDecoder(UnaryResponse | ErrorBody)
_ANSWERS: Final = decoder_of(tuple[LeaseKeepAliveResponse, ...])
_ALL_KEYS: Final = RangeRequest(b"\0", b"\0")
#: After which a read round is repeated, in seconds.
_RESEND_SECONDS: Final = 0.5

Finished = Callable[[Outcome], None]


@dataclass(slots=True, eq=False)
class _Read:
    """A linearizable read under way."""

    operation: Operation
    finished: Finished


@dataclass(slots=True, eq=False)
class WatchSession:
    """One client's session with one stream."""

    stream: WatchStream
    received: Callable[[bytes], None]
    lost: Callable[[], None]


class Gateway:
    """The gateway of one node: keeps what is under way, by id."""

    def __init__(self, world: World, invariants: Invariants) -> None:
        self._world = world
        self._invariants = invariants
        self.node: SimulatedNode
        self._mailbox: MemoryMailbox | None = None
        self._next_id = 0
        self._batches: dict[int, tuple[Operation, Finished, bytes]] = {}
        self._rounds = ReadRounds(_RESEND_SECONDS)
        self._waits: list[tuple[Index, list[_Read]]] = []
        self._renewals: dict[int, Callable[[int], None]] = {}
        self._handlers: dict[type[Message], Callable[..., None]] = {
            ApplyResults: self._on_results,
            ProposeRefused: self._on_refused,
            ReadIndexResult: self._on_read_index,
            ApplyReached: self._on_reached,
            LeaderAnswer: self._on_answer,
            MemberTable: self._on_member_table,
            WatchDelivery: self._on_delivery,
        }
        self._sessions: dict[int, WatchSession] = {}
        #: The store, open for reading; None = not yet.
        self._store: SimulatedStore | None = None

    def connect(self, mailbox: MemoryMailbox) -> None:
        # As in a new process: only the incarnation tells its batches from those of the last one.
        self._mailbox = mailbox
        self._store = None
        self._next_id = 0
        self._rounds = ReadRounds(_RESEND_SECONDS)
        self._waits.clear()
        self._renewals.clear()

    def close(self) -> None:
        self._mailbox = None
        lost = [*self._batches.values()]
        self._batches.clear()
        self._lose_sessions([*self._sessions])
        for _, finished, _ in lost:
            finished(Outcome.UNKNOWN)

    def turn(self) -> None:
        assert self._mailbox is not None
        is_watch_new = False
        for sender, _, message in self._mailbox.receive(1_000):
            if type(message) is Hello:
                if sender == APPLY:
                    # It may put another file in the place of the one that is open.
                    self._store = None
                    self._ask_apply()
                elif sender == RAFT:
                    self._rounds.ask_again(self._world.now)
                elif sender == WATCH:
                    is_watch_new = True
                continue
            handler = self._handlers.get(type(message))
            if handler is not None:
                handler(message)
        if is_watch_new:
            # Once, even if two incarnations have said hello: only the newest one hears it.
            self._resume_sessions()
        self._ask_raft()

    def wait_seconds(self) -> float:
        return max(0.0, self._rounds.wake_at() - self._world.now)

    @property
    def is_alive(self) -> bool:
        """Whether anybody can connect."""
        return self._mailbox is not None

    # --- what clients ask for ---------------------------------------------------------------------

    def propose(self, operation: Operation, finished: Finished) -> None:
        """Propose a batch."""
        box, node = self._mailbox, self.node
        if box is None:
            finished(Outcome.REFUSED)
            return
        self._next_id += 1
        origin = Origin(node.node_id, ActorRole.GATEWAY, 0, box.incarnation)
        batch = encode(ProposalBatch(origin, self._next_id, operation.requests))
        self._batches[self._next_id] = (operation, finished, batch)
        if not box.send(RAFT, Propose(self._next_id, batch)):
            del self._batches[self._next_id]
            finished(Outcome.REFUSED)

    def propose_change(self, change: bytes) -> None:
        """Propose a change of the membership; whether it happened shows in the member table."""
        if self._mailbox is not None:
            self._next_id += 1
            self._mailbox.send(RAFT, Propose(self._next_id, change, EntryType.CONF_CHANGE))

    def read(self, operation: Operation, finished: Finished) -> None:
        """Read all keys, linearizably."""
        if not self.is_alive:
            finished(Outcome.REFUSED)
            return
        now = self._world.now
        read = _Read(operation, finished)
        # A round of which nobody waits any more is not asked for again.
        pending = Pending(read, 0, _ALL_KEYS, started=now, deadline=now + 2.0)
        self._rounds.add(pending)
        self._ask_raft()

    def renew(self, lease: LeaseID, renewed: Callable[[int], None]) -> None:
        """Keep a lease alive; ``renewed`` is told its TTL, if an answer comes."""
        box = self._mailbox
        self._next_id += 1
        question = encode((LeaseKeepAliveRequest(lease),))
        if box is not None:
            self._renewals[self._next_id] = renewed
            box.send(RAFT, LeaderRequest(self._next_id, question))

    def watch(self, session: int, create: WatchCreateRequest, watcher: WatchSession) -> None:
        """Open a session with one watcher."""
        box = self._mailbox
        if box is None:
            watcher.lost()
            return
        self._sessions[session] = watcher
        watcher.stream.creating.append(create)
        # A watch that is down is told when it is back.
        box.send(WATCH, WatchForward(session, create))

    def grant(self, session: int, credit: WatchCredit) -> None:
        """Let more be sent in a session."""
        known = self._sessions.get(session)
        if known is not None and self._mailbox is not None:
            known.stream.credit_messages += credit.messages
            known.stream.credit_bytes += credit.bytes
            self._mailbox.send(WATCH, WatchForward(session, credit))

    def ask_progress(self, session: int, request: WatchProgressRequest) -> None:
        """Ask how far a stream is."""
        if session in self._sessions and self._mailbox is not None:
            self._mailbox.send(WATCH, WatchForward(session, request))

    def leave(self, session: int) -> None:
        """Close a session."""
        known = self._sessions.pop(session, None)
        if known is not None and self._mailbox is not None:
            self._mailbox.send(WATCH, WatchSessionClosed(session))

    def _resume_sessions(self) -> None:
        """Bring every stream to a new incarnation of watch; those that cannot move must come back."""
        assert self._mailbox is not None
        stuck = [key for key, each in self._sessions.items() if not each.stream.can_move]
        for session, watcher in self._sessions.items():
            if session not in stuck:
                self._world.note("watch resumed", str(session))
                for message in watcher.stream.resume(session):
                    self._mailbox.send(WATCH, message)
        self._lose_sessions(stuck)

    def _lose_sessions(self, sessions: list[int]) -> None:
        """Tell watchers to come back."""
        for lost in [self._sessions.pop(session) for session in sessions]:
            lost.lost()

    # --- answers --------------------------------------------------------------------------------

    def _on_results(self, results: ApplyResults) -> None:
        waiting = self._batches.pop(results.batch_id, None)
        if waiting is None:
            return
        operation, finished, batch = waiting
        self._invariants.acknowledged(self.node.node_id, batch)
        operation.responses = tuple(_RESPONSE.decode(bytes(each)) for each in results.bodies)
        finished(Outcome.OK)

    def _on_refused(self, refused: ProposeRefused) -> None:
        waiting = self._batches.pop(refused.batch_id, None)
        if waiting is not None:
            waiting[1](Outcome.REFUSED)

    def _ask_raft(self) -> None:
        """Ask for the read round that is due, and come back when it is to be repeated."""
        assert self._mailbox is not None
        question = self._rounds.take(self._world.now)
        if question is not None:
            self._mailbox.send(RAFT, question)
            self.node.wake_gateway(self._rounds.wake_at())

    def _on_read_index(self, result: ReadIndexResult) -> None:
        confirmed = self._rounds.result(result, self._world.now)
        if confirmed is None:
            return
        index, pendings = confirmed
        reads = [each.owner for each in pendings if isinstance(each.owner, _Read)]
        if not self._read_store(index, reads):
            self._waits.append((index, reads))
            assert self._mailbox is not None
            self._mailbox.send(APPLY, ApplyWait(index))

    def _ask_apply(self) -> None:
        """Ask again: a new apply knows nothing of what its predecessor was asked."""
        assert self._mailbox is not None
        for index, _ in self._waits:
            self._mailbox.send(APPLY, ApplyWait(index))

    def _on_reached(self, reached: ApplyReached) -> None:
        del reached
        self._waits = [wait for wait in self._waits if not self._read_store(*wait)]

    def _on_member_table(self, table: MemberTable) -> None:
        """Open the store: by now apply has made of it what it is to be."""
        del table
        if self._store is None:
            self._store = self.node.open_store()
            self._waits = [wait for wait in self._waits if not self._read_store(*wait)]

    def _read_store(self, index: Index, reads: list[_Read]) -> bool:
        """Read, if the store has applied ``index``."""
        if self._store is None:
            return False
        with self._store.read() as transaction:
            if load_state(transaction).consistent_index < index:
                return False
            for read in reads:
                read.operation.read = execute_range(View(transaction), _ALL_KEYS, raft_term=0)
        for read in reads:
            read.finished(Outcome.OK)
        return True

    def _on_answer(self, answer: LeaderAnswer) -> None:
        renewed = self._renewals.pop(answer.request_id, None)
        if renewed is not None and not answer.error:
            renewed(_ANSWERS.decode(answer.body)[0].ttl)

    def _on_delivery(self, delivery: WatchDelivery) -> None:
        for _, body in delivery.bodies:
            watcher = self._sessions.get(delivery.session_id)
            if watcher is not None:
                watcher.stream.delivered(outline_of(body), len(body))
                watcher.received(body)
