"""Responsible for who is told what next: the synced, unsynced and victim groups, turn by turn.

The parts of a turn are free functions over the `Hub`, one module each: `request` (what clients
say), `hand_out` (batches to synced watchers), `catch_up` (the store's past to unsynced ones),
`progress`.

Must never wait, read a clock or hold a snapshot of the store beyond a turn.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from zetcd.messages.kv import ResponseHeader
from zetcd.messages.node import (
    EventBatch,
    LeaderInfo,
    RevisionEvents,
    WatchForward,
    WatchRegister,
    WatchSessionClosed,
)
from zetcd.scalars import Revision, Term
from zetcd.watch import catch_up, hand_out, progress, request
from zetcd.watch.history import History
from zetcd.watch.options import WatchOptions
from zetcd.watch.response import Chunk
from zetcd.watch.stream import Delivery, Gateway, Stream
from zetcd.watch.watcher import Watcher, WatcherState
from zetcd.watch.watcher_group import WatcherGroup


class RandomSource(Protocol):
    """Where the jitter of progress notifications comes from; `random.Random` is one."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


#: What a hub can be stepped with.
HubMessage = EventBatch | LeaderInfo | WatchForward | WatchRegister | WatchSessionClosed


class Hub:
    """The fan-out of one member. One turn: any number of `step`, then `ready` once.

    Invariants
        - A watcher of a stream is in exactly one group, the one its state names (`Watcher`).
        - ``queue`` holds exactly the revisions (``revision``, ``queue_revision``].
        - A stream with unsynced watchers is in ``runnable`` or ``woken``, or it cannot send events
          and is woken by credit (`WatchCredit`) or by room (`Gateway.waiting`).
    """

    def __init__(self, history: History, rng: RandomSource, options: WatchOptions) -> None:
        """Start without watchers, before the first revision; `resynchronise` gives the position."""
        self.history = history
        self.rng = rng
        self.options = options
        #: Every synced watcher has been given everything up to here.
        self.revision: Revision = 0
        self.raft_term: Term = 0
        self.queue: deque[RevisionEvents] = deque()
        self.queue_revision: Revision = 0
        self.queue_bytes = 0
        self.gateways: dict[int, Gateway] = {}
        self.synced = WatcherGroup()
        #: Streams with unsynced watchers that can be sent events, next first.
        self.runnable: dict[Stream, None] = {}
        #: No catch-up before this time: the store was behind.
        self.catch_up_due = 0.0
        #: Streams whose credit or room came back.
        self.woken: dict[Stream, None] = {}
        #: (since, watcher) of victims, oldest first; an entry whose time is not the watcher's is
        #: void.
        self.victims: deque[tuple[float, Watcher]] = deque()
        self.victim_bytes = 0
        #: Heap of (time, serial, watcher).
        self.progress_timers: list[tuple[float, int, Watcher]] = []
        self.timer_serial = 0
        #: Watchers with ``progress_notify``.
        self.progress_watchers_count = 0
        #: Streams that asked for progress in this turn.
        self.progress_requests: dict[Stream, None] = {}
        self.stale_due = 0.0
        #: The hub's revision when the store was last found ahead of it; -1 if it was not.
        self.stale_revision: Revision = -1

    # --- input ---------------------------------------------------------------------------------

    def step(self, message: HubMessage, *, gateway: int = 0, now: float = 0.0) -> None:
        """Take one message, from gateway number ``gateway``, at ``now`` seconds."""
        if type(message) is EventBatch:
            hand_out.enqueue(self, message)
        elif type(message) is WatchForward:
            request.handle_forward(self, self.gateway(gateway), message, now)
        elif type(message) is WatchRegister:
            request.handle_register(self, self.gateway(gateway), message, now)
        elif type(message) is WatchSessionClosed:
            request.close_session(self, self.gateway(gateway), message.session_id)
        elif type(message) is LeaderInfo:
            self.raft_term = max(self.raft_term, message.term)

    def gateway_started(self, gateway: int) -> None:
        """Forget everything of a gateway: a new incarnation begins without sessions."""
        known = self.gateways.pop(gateway, None)
        if known is not None:
            for session_id in list(known.sessions):
                request.close_session(self, known, session_id)

    def resynchronise(self) -> None:
        """Read on from the store: batches may be missing (start, or apply's new incarnation)."""
        hand_out.resynchronise(self, self.store_revision)

    def set_room(self, gateway: int, room_bytes: int) -> None:
        """Say how many bytes may be made for a gateway in this turn; 0 = it is stuck."""
        self.gateway(gateway).room_bytes = room_bytes

    # --- output --------------------------------------------------------------------------------

    def ready(self, now: float) -> list[Delivery]:
        """Do one turn's bounded work; return everything to deliver since the last time."""
        hand_out.check_stale(self, now)
        hand_out.retire_victims(self, now)
        self._wake_streams()
        hand_out.hand_out(self, now)
        catch_up.catch_up(self, now)
        progress.notify(self, now)
        deliveries: list[Delivery] = []
        for gateway in self.gateways.values():
            sessions, gateway.dirty = gateway.dirty, []
            for session in sessions:
                deliveries += session.take()
        return deliveries

    def next_timer(self, now: float) -> float | None:
        """Return when `ready` has work without further input; None = never."""
        if self.queue or self.woken:
            return now
        times: list[float] = []
        if self.runnable:
            times.append(max(now, self.catch_up_due))
        if any(gateway.waiting for gateway in self.gateways.values()):
            times.append(now + self.options.victim_retry_interval)
        if self.victims:
            times.append(self.victims[0][0] + self.options.victim_age_max)
        if self.progress_timers:
            times.append(self.progress_timers[0][0])
        return min(times, default=None)

    @property
    def watchers_count(self) -> dict[str, int]:
        """Watchers by group, in order of the group's name."""
        streams = list(self._streams())
        return {
            "synced": len(self.synced),
            "unsynced": sum(len(stream.unsynced) for stream in streams),
            "victim": sum(len(stream.victims) for stream in streams),
        }

    @property
    def streams_count(self) -> int:
        """Open streams."""
        return sum(1 for _ in self._streams())

    # --- what the parts of a turn share ----------------------------------------------------------

    @property
    def store_revision(self) -> Revision:
        """Newest revision known to exist."""
        return max(self.history.current_revision, self.queue_revision)

    def header(self, revision: Revision) -> ResponseHeader:
        """Return a response header."""
        return ResponseHeader(revision, self.raft_term)

    def gateway(self, number: int) -> Gateway:
        """Return the gateway with this number, known or new."""
        gateway = self.gateways.get(number)
        if gateway is None:
            gateway = self.gateways[number] = Gateway(number)
        return gateway

    def settle(self, watcher: Watcher) -> None:
        """Put a watcher that is in no group where its position belongs."""
        if watcher.next_revision > self.revision:
            watcher.state = WatcherState.SYNCED
            self.synced.add(watcher)
        else:
            self.make_unsynced(watcher)

    def make_unsynced(self, watcher: Watcher) -> None:
        """Let a watcher that is in no group wait for the store to be read."""
        watcher.state = WatcherState.UNSYNCED
        watcher.stream.unsynced[watcher] = None
        if watcher.stream.can_send_events():
            self.runnable[watcher.stream] = None

    def withhold(self, watcher: Watcher, chunks: tuple[Chunk, ...], now: float) -> None:
        """Let a watcher that is in no group wait with ``chunks``, or without if they are too many.

        ``pending_revision`` and ``next_revision`` must say where to go on without and with them.
        """
        size = sum(chunk.size for chunk in chunks)
        if self.victim_bytes + size > self.options.victim_bytes_max:
            watcher.next_revision = watcher.pending_revision
            self.make_unsynced(watcher)
            return
        watcher.state = WatcherState.VICTIM
        watcher.pending, watcher.pending_bytes, watcher.pending_since = chunks, size, now
        watcher.stream.victims[watcher] = None
        # If only the gateway's room is missing, this makes the stream wait for it.
        watcher.stream.has_credit()
        self.victim_bytes += size
        self.victims.append((now, watcher))

    def release(self, watcher: Watcher) -> None:
        """Take a victim out of its group, forgetting what was pending."""
        del watcher.stream.victims[watcher]
        self.victim_bytes -= watcher.pending_bytes
        watcher.pending, watcher.pending_bytes = (), 0

    def remove(self, watcher: Watcher) -> None:
        """Take a watcher out of its group and its stream."""
        if watcher.state is WatcherState.SYNCED:
            self.synced.remove(watcher)
        elif watcher.state is WatcherState.UNSYNCED:
            watcher.stream.unsynced.pop(watcher, None)
        else:
            self.release(watcher)
        del watcher.stream.watchers[watcher.watch_id]
        self.progress_watchers_count -= watcher.progress_notify

    def deliver(self, watcher: Watcher, chunks: tuple[Chunk, ...]) -> int:
        """Send as many chunks as the stream allows now; return how many."""
        stream = watcher.stream
        for sent, chunk in enumerate(chunks):
            if not stream.can_send_events():
                return sent
            stream.send(watcher.watch_id, chunk, self.options.delivery_bytes_max)
            watcher.had_events = True
        return len(chunks)

    def _wake_streams(self) -> None:
        for gateway in self.gateways.values():
            if gateway.room_bytes > 0 and gateway.waiting:
                waiting, gateway.waiting = gateway.waiting, {}
                self.woken.update(waiting)
        woken, self.woken = self.woken, {}
        for stream in woken:
            stream.flush_answers(self.options.delivery_bytes_max)
            self._retry_victims(stream)
            if stream.unsynced and stream.can_send_events():
                self.runnable[stream] = None

    def _retry_victims(self, stream: Stream) -> None:
        for watcher in list(stream.victims):
            chunks = watcher.pending
            sent = self.deliver(watcher, chunks)
            if sent < len(chunks):
                sent_bytes = sum(chunk.size for chunk in chunks[:sent])
                self.victim_bytes -= sent_bytes
                watcher.pending, watcher.pending_bytes = (
                    chunks[sent:],
                    watcher.pending_bytes - sent_bytes,
                )
                if sent:
                    watcher.pending_revision = chunks[sent - 1].revision + 1
                return
            self.release(watcher)
            self.settle(watcher)

    def _streams(self) -> list[Stream]:
        return [
            stream
            for gateway in self.gateways.values()
            for session in gateway.sessions.values()
            for stream in session.streams.values()
        ]

    # --- invariants ------------------------------------------------------------------------------

    def check(self) -> None:
        """Assert the invariants."""
        self.synced.check()
        queued = [item.revision for item in self.queue]
        assert queued == list(range(self.revision + 1, self.queue_revision + 1))
        streams = self._streams()
        watchers = [watcher for stream in streams for watcher in stream.watchers.values()]
        synced = [watcher for watcher in watchers if watcher.state is WatcherState.SYNCED]
        assert len(synced) == len(self.synced)
        assert all(watcher in self.synced for watcher in synced)
        assert self.victim_bytes == sum(watcher.pending_bytes for watcher in watchers)
        assert self.victim_bytes <= self.options.victim_bytes_max
        for stream in streams:
            self._check_stream(stream)

    def _check_stream(self, stream: Stream) -> None:
        watchers = stream.watchers.values()
        unsynced = [watcher for watcher in watchers if watcher.state is WatcherState.UNSYNCED]
        victims = [watcher for watcher in watchers if watcher.state is WatcherState.VICTIM]
        assert set(unsynced) == set(stream.unsynced)
        assert set(victims) == set(stream.victims)
        assert all(watcher.next_revision <= self.revision for watcher in unsynced)
        assert all(bool(watcher.pending) == (watcher in stream.victims) for watcher in watchers)
        if not (stream.answers or unsynced or victims):
            return
        can_go_on = stream in self.runnable or stream in self.woken
        is_out_of_credit = stream.credit_messages <= 0 or stream.credit_bytes <= 0
        assert can_go_on or is_out_of_credit or stream in stream.session.gateway.waiting
