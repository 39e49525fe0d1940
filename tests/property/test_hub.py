"""The hub against the dumbest model: every watcher is owed every event of its range from its start on.

Batches arrive, are late, are lost; clients create, cancel, ask, run out of credit and come back; the store is
compacted; apply and watch restart; gateways get stuck. Whatever happens, what a watcher received is
at every moment exactly what it is owed up to the header's revision, and in the end it has everything,
or was told that its history was compacted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit.watch.stage import Stage
from zetcd.messages.kv import Event, EventType
from zetcd.messages.node import RevisionEvents, WatchResume, WatchSessionClosed
from zetcd.messages.watch import (
    WatchCancelRequest,
    WatchCreateRequest,
    WatchCredit,
    WatchFilter,
    WatchProgressRequest,
    WatchResponse,
)
from zetcd.watch import watched_range

#: Few of each, so that what is drawn concerns each other.
KEYS = st.sampled_from([b"a", b"ab", b"b"])
ENDS = st.sampled_from([b"\0", b"\0", b"", b"b", b"c"])
CHANGES = st.lists(
    st.tuples(KEYS, st.one_of(st.none(), st.binary(max_size=40))),
    min_size=1,
    max_size=3,
    unique_by=lambda change: change[0],
)
SESSIONS = st.sampled_from([1, 1, 1, 2])
STREAMS = st.sampled_from([1, 1, 2])
Key = tuple[int, int, int]


@dataclass(eq=False)
class Owed:
    """One watcher as its client sees it."""

    request: WatchCreateRequest
    #: Revision of the store when the client asked.
    asked_at: int
    start: int = 0
    #: Complete up to here.
    seen: int = 0
    #: A fragmented response is being received.
    is_partial: bool = False
    is_canceling: bool = False
    events: list[Event] = field(default_factory=list)


@dataclass(eq=False)
class Client:
    """One stream as its client sees it."""

    creating: list[Owed] = field(default_factory=list)
    watchers: dict[int, Owed] = field(default_factory=dict)


class HubMachine(RuleBasedStateMachine):
    """The stage, and what each client is owed."""

    def __init__(self) -> None:
        super().__init__()
        self.clients: dict[Key, Client] = {}
        self.held: list[RevisionEvents] = []

    @initialize(
        revisions_max=st.integers(1, 5),
        watchers_max=st.integers(1, 4),
        sync_bytes_max=st.sampled_from([1, 200, 10_000]),
        victim_bytes_max=st.sampled_from([0, 200, 10_000]),
        queue_bytes_max=st.sampled_from([100, 10_000]),
        delivery_bytes_max=st.sampled_from([1, 10_000]),
    )
    def begin(self, **options: int) -> None:
        self.stage = Stage(
            sync_revisions_max=options["revisions_max"],
            sync_watchers_max=options["watchers_max"],
            sync_bytes_max=options["sync_bytes_max"],
            victim_bytes_max=options["victim_bytes_max"],
            queue_bytes_max=options["queue_bytes_max"],
            delivery_bytes_max=options["delivery_bytes_max"],
            fragment_bytes=150,
            progress_interval=1.0,
        )
        # Begin in the middle of things: some history, and watchers of all of it.
        for number in range(4):
            self.stage.put(b"a", b"%d" % number)
        for start, prev_kv in ((0, True), (2, False)):
            request = WatchCreateRequest(1, b"", start_revision=start, prev_kv=prev_kv)
            client = self.clients.setdefault((0, 1, 1), Client())
            client.creating.append(Owed(request, self.stage.store.current_revision))
            self.stage.say(request)

    # --- the store -----------------------------------------------------------------------------

    @rule(changes=CHANGES, fate=st.sampled_from(["sent", "sent", "sent", "held", "lost"]))
    def commit(self, changes: list[tuple[bytes, bytes | None]], fate: str) -> None:
        item = self.stage.store.commit(*changes)
        if item is None or fate == "lost":
            return
        self.held.append(item)
        if fate == "sent":
            self.deliver()

    @rule()
    def deliver(self) -> None:
        held, self.held = self.held, []
        for item in held:
            self.stage.hub.step(self.stage.store.batch(item))

    @rule(back=st.integers(0, 6))
    def compact(self, back: int) -> None:
        store = self.stage.store
        store.compact_revision = max(store.compact_revision, store.current_revision - back)

    @rule()
    def apply_restarts(self) -> None:
        self.held.clear()
        self.stage.hub.resynchronise()

    # --- clients -------------------------------------------------------------------------------

    @rule(
        session_id=SESSIONS,
        stream_id=STREAMS,
        key=KEYS,
        end=ENDS,
        start=st.one_of(st.just(0), st.integers(1, 12)),
        flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
        filters=st.sampled_from([(), (), (WatchFilter.NOPUT,), (WatchFilter.NODELETE,)]),
    )
    def create(
        self,
        session_id: int,
        stream_id: int,
        key: bytes,
        end: bytes,
        start: int,
        flags: tuple[bool, bool, bool],
        filters: tuple[WatchFilter, ...],
    ) -> None:
        prev_kv, fragment, progress_notify = flags
        request = WatchCreateRequest(
            stream_id,
            key,
            end,
            start_revision=start,
            progress_notify=progress_notify,
            filters=filters,
            prev_kv=prev_kv,
            fragment=fragment,
        )
        client = self.clients.setdefault((0, session_id, stream_id), Client())
        client.creating.append(Owed(request, self.stage.store.current_revision))
        self.stage.say(request, session_id=session_id)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        places = [
            (key, watch_id)
            for key, client in self.clients.items()
            for watch_id, owed in client.watchers.items()
            if not owed.is_canceling
        ]
        if places:
            (_, session_id, stream_id), watch_id = data.draw(st.sampled_from(places))
            self.clients[0, session_id, stream_id].watchers[watch_id].is_canceling = True
            self.stage.say(WatchCancelRequest(stream_id, watch_id), session_id=session_id)

    @rule(session_id=SESSIONS, stream_id=STREAMS)
    def ask_progress(self, session_id: int, stream_id: int) -> None:
        self.stage.say(WatchProgressRequest(stream_id), session_id=session_id)

    @rule(session_id=SESSIONS, stream_id=STREAMS, messages=st.integers(0, 2))
    def stop_reading(self, session_id: int, stream_id: int, messages: int) -> None:
        # What the hub has already allowed itself to send is sent.
        self.stage.turn()
        self._take()
        for session in self.stage.hub.gateway(0).sessions.values():
            for stream in session.streams.values():
                if (session.session_id, stream.stream_id) == (session_id, stream_id):
                    left = min(messages, stream.credit_messages)
                    stream.credit_messages = left
                    self.stage.credit[0, session_id, stream_id][0] = left

    @rule(session_id=SESSIONS, stream_id=STREAMS, messages=st.integers(0, 5))
    def grant(self, session_id: int, stream_id: int, messages: int) -> None:
        if (0, session_id, stream_id) in self.clients:
            self.stage.say(WatchCredit(stream_id, messages, 10_000), session_id=session_id)

    @rule(session_id=SESSIONS)
    def leave(self, session_id: int) -> None:
        self.stage.hub.step(WatchSessionClosed(session_id))
        for key in [key for key in self.clients if key[1] == session_id]:
            self._forget(key)

    def _forget(self, key: Key) -> None:
        del self.clients[key]
        self.stage.received.pop(key, None)
        self.stage.credit.pop(key, None)

    # --- the node ------------------------------------------------------------------------------

    @rule()
    def toggle_gateway(self) -> None:
        self.stage.stuck_gateways ^= {0}

    @rule(seconds=st.sampled_from([0.0, 0.0, 0.3, 1.1]))
    def turn(self, seconds: float) -> None:
        self.stage.now += seconds
        self.stage.turn()
        self._take()

    @rule()
    def watch_restarts(self) -> None:
        """What the gateway does: registers what it knows, then says again what was never answered."""
        self.stage.new_hub()
        self.held.clear()
        for (gateway, session_id, stream_id), client in self.clients.items():
            resumes = [
                WatchResume(owed.request, watch_id, max(owed.start, owed.seen + 1))
                for watch_id, owed in client.watchers.items()
            ]
            self.stage.register(session_id, stream_id, resumes, gateway=gateway)
            for watch_id, owed in client.watchers.items():
                if owed.is_canceling:
                    self.stage.say(WatchCancelRequest(stream_id, watch_id), session_id=session_id)
            for owed in client.creating:
                self.stage.say(owed.request, session_id=session_id)

    # --- what the clients see ------------------------------------------------------------------

    def _take(self) -> None:
        fresh, self.stage.fresh = self.stage.fresh, []
        for key, response in fresh:
            if key in self.clients:
                self._receive(self.clients[key], response)

    def _receive(self, client: Client, response: WatchResponse) -> None:
        if response.created:
            self._created(client, response)
        elif response.canceled:
            owed = client.watchers.pop(response.watch_id)
            if response.compact_revision:
                assert response.header.revision == 0
                assert max(owed.start, owed.seen + 1) < response.compact_revision
                assert response.compact_revision <= self.stage.store.compact_revision
            else:
                assert owed.is_canceling
        elif response.watch_id == -1:
            assert client.watchers
            assert not response.events
            for owed in client.watchers.values():
                self._complete(owed, response.header.revision)
        else:
            owed = client.watchers[response.watch_id]
            assert bool(response.events) or owed.request.progress_notify
            assert owed.request.fragment or not response.fragment
            owed.events += response.events
            owed.is_partial = response.fragment
            if not response.fragment:
                self._complete(owed, response.header.revision)

    def _created(self, client: Client, response: WatchResponse) -> None:
        owed = client.creating.pop(0)
        if watched_range(owed.request.key, owed.request.range_end).is_empty:
            assert response.canceled
            assert response.watch_id == -1
            return
        assert not response.canceled
        assert response.watch_id not in client.watchers
        assert response.header.revision >= owed.asked_at
        owed.start = owed.request.start_revision or response.header.revision + 1
        owed.seen = owed.start - 1
        client.watchers[response.watch_id] = owed

    def _complete(self, owed: Owed, revision: int) -> None:
        """Everything up to ``revision`` was received: exactly that, in order, each once."""
        assert revision >= owed.request.start_revision
        self._check_events(owed, revision)
        owed.seen = max(owed.seen, revision)

    def _check_events(self, owed: Owed, revision: int) -> None:
        assert not owed.is_partial
        expected = self._expected(owed, revision)
        plain = [Event(event.type, event.kv) for event in owed.events]
        assert plain == expected
        for event in owed.events:
            self._check_prev(owed, event)

    def _expected(self, owed: Owed, revision: int) -> list[Event]:
        key_range = watched_range(owed.request.key, owed.request.range_end)
        unwanted = {WatchFilter.NOPUT: EventType.PUT, WatchFilter.NODELETE: EventType.DELETE}
        dropped = {unwanted[each] for each in owed.request.filters}
        return [
            event
            for item in self.stage.store.history
            if owed.start <= item.revision <= revision
            for event in item.events
            if key_range.contains(event.kv.key) and event.type not in dropped
        ]

    def _check_prev(self, owed: Owed, event: Event) -> None:
        if not owed.request.prev_kv:
            assert event.prev_kv is None
            return
        before, store = event.kv.mod_revision - 1, self.stage.store
        compact_revision, store.compact_revision = store.compact_revision, 0
        was = store.get_at(event.kv.key, before)
        store.compact_revision = compact_revision
        # Absent is right if that revision was compacted when the event was sent.
        assert event.prev_kv == was or (event.prev_kv is None and before < compact_revision)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "stage"):
            self.stage.hub.check()

    def teardown(self) -> None:
        """Everything recovers: now each watcher must get all it is owed."""
        if not hasattr(self, "stage"):
            return
        self.stage.stuck_gateways.clear()
        for _, session_id, stream_id in list(self.clients):
            credit = WatchCredit(stream_id, 50_000, 1 << 25)
            self.stage.say(credit, session_id=session_id)
        # Batches that were lost are noticed at the latest by the check for stale ones.
        for _ in range(3):
            self.stage.advance(1.0)
            self._take()
        for client in self.clients.values():
            assert not client.creating
            for owed in client.watchers.values():
                assert not owed.is_canceling
                self._check_events(owed, self.stage.store.current_revision)


TestHub = HubMachine.TestCase
