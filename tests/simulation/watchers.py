"""Responsible for clients that watch all keys from the first revision on, across every reconnect."""

from __future__ import annotations

from typing import Final

from tests.simulation.gateway import Gateway, WatchSession
from tests.simulation.invariants.watch_order import WatchOrder
from tests.simulation.invariants.watch_progress import WatchProgress
from tests.simulation.world import World
from zetcd.gateway.native.watch_streams import WatchStream
from zetcd.messages.codec import decoder_of
from zetcd.messages.watch import (
    WatchCreateRequest,
    WatchCredit,
    WatchProgressRequest,
    WatchResponse,
)

_RESPONSE: Final = decoder_of(WatchResponse)
_STREAM: Final = 1


class Watcher:
    """One client; goes on by revision, at any member, whenever its session is lost."""

    def __init__(
        self,
        number: int,
        world: World,
        gateways: list[Gateway],
        invariants: tuple[WatchOrder, WatchProgress],
    ) -> None:
        self._number = number
        self._world = world
        self._gateways = gateways
        self._order, self._progress = invariants
        self._rng = world.rng(f"watcher {number}")
        self._gateway = self._rng.choice(gateways)
        self._sessions = 0
        self._sequence = 0
        #: Messages and bytes received, and not yet granted again.
        self._owed = 0
        self._owed_bytes = 0
        #: Everything before it was delivered.
        self.next_revision = 1
        #: Stays where it is, unless its session is lost.
        self.is_settled = False
        #: Seconds after which it gives back what it owes, at the latest: until then it may run out.
        self._grant_seconds = self._rng.choice((0.05, 0.3, 1.0))

    def settle(self) -> None:
        """Stay here from now on, and take everything as it comes."""
        self.is_settled = True
        self._grant(self._session)

    def start(self) -> None:
        """Connect, and move to another member now and then."""
        self._connect()
        self._world.after(self._rng.uniform(0.5, 3.0), self._move)

    def _move(self) -> None:
        if not self.is_settled:
            self._gateway.leave(self._session)
            self._gateway = self._rng.choice(self._gateways)
            self._sessions += 1
            # Sometimes long enough that what follows is compacted meanwhile.
            self._world.after(self._rng.choice((0.0, 0.0, 0.3, 1.5)), self._connect)
            self._world.after(self._rng.uniform(1.5, 4.0), self._move)

    @property
    def _session(self) -> int:
        return (self._number + 1) * 1_000_000 + self._sessions

    def _connect(self) -> None:
        """Open a new session; if that fails, try again soon."""
        self._sessions += 1
        self._sequence = 0
        self._owed = self._owed_bytes = 0
        session = self._session
        create = WatchCreateRequest(
            _STREAM, b"\0", b"\0", start_revision=self.next_revision, progress_notify=True
        )

        def received(body: bytes) -> None:
            if session == self._session:
                self._receive(body)

        def lost() -> None:
            if session == self._session:
                self._world.after(self._rng.uniform(0.01, 0.2), retry)

        def retry() -> None:
            if session == self._session:
                if not self._gateway.node.is_wanted:
                    self._gateway = self._rng.choice(self._gateways)
                self._connect()

        stream = WatchStream(_STREAM)
        stream.credit_messages, stream.credit_bytes = self._gateway.node.credit_initial
        watcher = WatchSession(stream, received, lost)
        self._gateway.watch(session, create, watcher)

    def _receive(self, body: bytes) -> None:
        response = _RESPONSE.decode(body)
        self._sequence += 1
        self._order.received(self._number, self._sequence, response)
        self._progress.received(self._number, self._sequence, response)
        if response.canceled:
            self._order.canceled(self._number, self.next_revision, response)
            self._world.note("compacted", f"watcher {self._number}")
            self.next_revision = response.compact_revision
            self._gateway.leave(self._session)
            self._connect()
            return
        if not response.created:
            self.next_revision = max(self.next_revision, response.header.revision + 1)
        # Not always at once: a watcher without credit falls behind and is caught up.
        self._owed += 1
        self._owed_bytes += len(body)
        session = self._session
        if self.is_settled or self._rng.random() < 0.3:
            self._grant(session)
        else:
            self._world.after(self._grant_seconds, lambda: self._grant(session))
        if self._rng.random() < 0.05:
            self._gateway.ask_progress(self._session, WatchProgressRequest(_STREAM))

    def _grant(self, session: int) -> None:
        """Give back the credit of everything received."""
        if session == self._session and self._owed:
            self._gateway.grant(session, WatchCredit(_STREAM, self._owed, self._owed_bytes))
            self._owed = self._owed_bytes = 0
