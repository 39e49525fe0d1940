"""Responsible for the gateway process of the etcd API: sockets and the node around `EtcdGateway`.

A connection of the client port belongs to gRPC until its first octets say that it speaks HTTP/1.1; then
its socket is handed to the other server. Both servers fill the same turns.

The one actor on an event loop: asyncio's transports carry thousands of connections for less than a
poll loop of our own would cost. A turn is what it is elsewhere: messages of the node, calls of
clients, then everything the core wants sent. It runs whenever either side has something.

    sockets ─► servers ─ calls ─► take_calls ─┐
                                              ├─► turn: inbox, core, mailbox ─► servers ─► sockets
    mailbox ────── readable ────► take_turn ──┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import uvloop
import zmq

from zetcd.actors.actor import APPLY, RAFT, SNAPSHOT, SUPERVISOR, WATCH, Actor, Pollable
from zetcd.actors.entry import ActorSetting
from zetcd.actors.etcd_listening import EtcdListening, Listeners, bound_listeners
from zetcd.actors.gateway_actor import INBOX, Stores, gateway_options, neighbours, refusal_of
from zetcd.errors import InvariantViolation
from zetcd.gateway.etcd import EtcdGateway
from zetcd.gateway.etcd.gateway import message_bytes_max, transport_options
from zetcd.gateway.grpc_server import GrpcServer
from zetcd.gateway.http import HttpEvent, HttpOptions
from zetcd.gateway.http_server import HttpServer
from zetcd.messages.base import Message
from zetcd.messages.codec import encode
from zetcd.messages.node import (
    ActorGone,
    ChangeMember,
    Figure,
    MemberTable,
    Propose,
    Shutdown,
    SnapshotRead,
    StoreReplaced,
)
from zetcd.runtime.mailbox import Address
from zetcd.version import API_VERSION

#: The store is opened once apply has made it; asked for this often until then.
_STORE_RETRY_SECONDS: Final = 0.05
#: Share of the time given for draining that requests may still use.
_DRAIN_SHARE: Final = 0.5
#: How long connections may take to end after their goodbye.
_FAREWELL_SECONDS: Final = 0.05
#: A pipe of the node that was full is tried again.
_FLUSH_INTERVAL_SECONDS: Final = 0.005


class EtcdGatewayActor(Actor):
    """One gateway of the etcd API."""

    def __init__(
        self,
        setting: ActorSetting,
        *,
        core: EtcdGateway,
        listeners: Listeners,
        stores: Stores,
    ) -> None:
        """Wire the core."""
        super().__init__(setting.mailbox, setting.clock)
        self._config = setting.config
        self._core = core
        self._listeners = listeners
        self._stores = stores
        self._has_store = False
        #: Not before apply has said that the store is what it should be.
        self._open_store_at = float("inf")
        self._stop_at = float("inf")
        self._loop: asyncio.AbstractEventLoop
        self._server: GrpcServer
        self._http_server: HttpServer
        self._ended: asyncio.Future[None]
        self._renewal: asyncio.Task[None]
        self._timer: asyncio.Handle | None = None
        #: When the timer is due; uvloop's handles of timers that are due at once do not say.
        self._timer_at = float("inf")
        self._is_turn_due = False

    # --- the loop ---------------------------------------------------------------------------------

    def run(self, sources: Sequence[Pollable]) -> None:
        """Serve until the actor stops. Exceptions pass through."""
        (inbox,) = [source.inbox for source in sources]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(inbox))

    async def _serve(self, inbox: zmq.Socket[bytes]) -> None:
        loop = self._loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_loop_failure)
        self._ended = loop.create_future()
        await self._listen(loop)
        # ZeroMQ's descriptor tells of a change, not of a state: each turn looks until there is nothing left.
        descriptor = inbox.getsockopt(zmq.FD)
        assert isinstance(descriptor, int), "FD is a number"
        loop.add_reader(descriptor, self.take_turn)
        try:
            self.take_turn()
            await self._ended
            self._renewal.cancel()
            # Who comes now is told at once that nobody listens.
            self._listeners.close()
            await self._http_server.stop(_FAREWELL_SECONDS)
            await self._server.stop(_FAREWELL_SECONDS)
        finally:
            loop.remove_reader(descriptor)
            if self._timer is not None:
                self._timer.cancel()

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        calls, listeners = _Calls(self), self._listeners
        http = self._http_server = HttpServer(self._core.http, calls, loop=loop)
        # With a listener of its own, HTTP/1.1 is not served beside gRPC (etcd).
        take_over = None if listeners.http else http.adopt
        self._server = GrpcServer(self._core.transport, calls, loop=loop, take_over=take_over)
        listening = EtcdListening(self._config, listeners, self._server, http)
        await listening.open()
        self._renewal = loop.create_task(listening.renew_forever())
        self._renewal.add_done_callback(self._renewal_ended)

    def _renewal_ended(self, task: asyncio.Task[None]) -> None:
        """A failure there is a defect like any other."""
        failure = None if task.cancelled() else task.exception()
        if failure is not None and not self._ended.done():
            self._ended.set_exception(failure)

    def _on_loop_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End the process because of a defect; a socket's trouble is only its own."""
        failure = context.get("exception")
        if isinstance(failure, OSError) or self._ended.done():
            return
        self._ended.set_exception(failure or InvariantViolation(str(context.get("message"))))

    def take_calls(self, events: Sequence[HttpEvent]) -> None:
        """Hand what clients said to the core, and act on it."""
        now = self.clock.now()
        self._core.step_calls(events, now)
        wake_at = self._core.wake_at()
        if wake_at > now and not self._core.has_messages and not self.is_draining:
            # Mostly they wait for company: a turn would do nothing.
            self._flush()
            self._wake_in(min(wake_at, self._next_report) - now)
        else:
            # Asking the inbox costs two system calls, and its descriptor tells of what has come.
            self.act(now)
            self._end_turn()

    def take_turn(self) -> None:
        """Do a turn, then see to it that the next one comes in time."""
        self._is_turn_due = False
        self.turn()
        self._end_turn()

    def _end_turn(self) -> None:
        if not self.is_running:
            if not self._ended.done():
                self._ended.set_result(None)
            return
        self._flush()
        self._schedule()

    def _flush(self) -> None:
        """Write answers."""
        transport, http = self._core.transport, self._core.http
        if transport.has_output or transport.has_events:
            self._server.flush()
        if http.has_output or http.has_events:
            self._http_server.flush()

    def _schedule(self) -> None:
        now = self.clock.now()
        seconds = min(self.wait_seconds(now), self._next_report - now)
        if self.mailbox.has_backlog():
            seconds = min(seconds, _FLUSH_INTERVAL_SECONDS)
        if seconds <= 0 or self.mailbox.has_more:
            if not self._is_turn_due:
                self._is_turn_due = True
                self._loop.call_soon(self.take_turn)
            return
        self._wake_in(seconds)

    def _wake_in(self, seconds: float) -> None:
        """Have a turn after ``seconds`` at the latest."""
        due = self._loop.time() + seconds
        if self._timer is not None:
            # A timer that is early costs a turn, a new one for every turn costs more.
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._timer_due)

    def _timer_due(self) -> None:
        self._timer = None
        self.take_turn()

    # --- turns ------------------------------------------------------------------------------------

    def neighbour_started(self, neighbour: Address) -> None:
        """Resync with a new incarnation."""
        now = self.clock.now()
        if neighbour == RAFT:
            self._core.raft_restarted(now)
        elif neighbour == APPLY:
            self._core.apply_restarted()
            # As in the native gateway: apply may put a new file in the place of the old one, and
            # has done so, or not, when it sends its first message, the member table.
            self._close_store()
        elif neighbour == WATCH:
            self._core.watch_restarted()
        elif neighbour == SNAPSHOT:
            self._core.snapshot_restarted()

    def handle(self, sender: Address, message: Message, now: float) -> None:
        """Step the core with a message of raft, apply or watch."""
        del sender
        if type(message) is ActorGone:
            return
        if type(message) is StoreReplaced:
            self._close_store()
            self._open_store(now)
            return
        self._core.step_node(message, now)
        if type(message) is MemberTable and not self._has_store:
            self._open_store_at = now

    def advance(self, now: float) -> None:
        """Send everything that follows from this turn."""
        if not self._has_store and now >= self._open_store_at:
            self._open_store(now)
        self._perform(now)
        if self.is_draining and (self._core.is_idle or now >= self._stop_at):
            self._core.say_goodbye()
            self._perform(now)
            self.stop()

    def _perform(self, now: float) -> None:
        """Send what the core wants sent to the node; answers have gone to the transport."""
        to_raft, to_apply, to_watch, to_supervisor = self._core.ready(now)
        for asked in to_supervisor:
            # Whoever asked hears of it when nobody answers.
            self.mailbox.send(SUPERVISOR, asked)
        for message in to_raft:
            # Only a proposal needs to know: everything else is asked again if no answer comes.
            if self.mailbox.send_encoded(RAFT, encode(message)):
                continue
            if type(message) is Propose:
                self._core.refuse_proposal(message.batch_id, now)
            elif type(message) is ChangeMember:
                self._core.refuse_change(message.request_id, now)
        for question in to_apply:
            to = SNAPSHOT if type(question) is SnapshotRead else APPLY
            # A wait is asked again if no answer comes.
            if not self.mailbox.send_encoded(to, encode(question)):
                refusal = refusal_of(question)
                if refusal is not None:
                    self._core.step_node(refusal, now)
        is_watch_up = self.mailbox.incarnation_of(WATCH) != 0
        for request in to_watch:
            # A watch that is down is told all when it is back; one that is stuck would lose order.
            if not self.mailbox.send_encoded(WATCH, encode(request)) and is_watch_up:
                self._core.watch_overloaded()
                return

    def _open_store(self, now: float) -> None:
        backend = self._stores.open()
        if backend is None:
            self._open_store_at = now + _STORE_RETRY_SECONDS
            return
        self._has_store = True
        self._core.set_backend(backend)
        self.become_ready()

    def _close_store(self) -> None:
        self._core.set_backend(None)
        self._stores.close()
        self._has_store = False
        self._open_store_at = float("inf")

    def shut_down(self, request: Shutdown, now: float) -> None:
        """Take nothing new, answer what was taken, say goodbye to every client."""
        self.is_draining = True
        self._stop_at = now + request.drain_seconds * _DRAIN_SHARE
        self._core.drain()

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until the core or this actor has something to do."""
        wake_at = self._core.wake_at()
        if not self._has_store:
            wake_at = min(wake_at, self._open_store_at)
        if self.is_draining:
            wake_at = min(wake_at, self._stop_at)
        return max(0.0, wake_at - now)

    def figures(self) -> tuple[Figure, ...]:
        """Return calls, reads and proposals for /metrics."""
        return self._core.figures()

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return calls, connections and batches for `zetcd status`."""
        return tuple(sorted((key, str(value)) for key, value in self._core.facts().items()))

    def close(self) -> None:
        """Close the store and the listeners."""
        self._stores.close()
        self._listeners.close()


class _Calls:
    """The application of the servers."""

    def __init__(self, actor: EtcdGatewayActor) -> None:
        self._actor = actor

    def handle(self, events: Sequence[HttpEvent], now: float) -> None:
        """Hand a batch of calls to the actor, whose clock is the node's."""
        del now
        self._actor.take_calls(events)


def build(setting: ActorSetting) -> tuple[Actor, Sequence[Pollable]]:
    """Build a gateway from its configuration; binds its URLs."""
    config, mailbox = setting.config, setting.mailbox
    listeners = bound_listeners(config)
    options = replace(
        gateway_options(config, mailbox.address, mailbox.incarnation), server_version=API_VERSION
    )
    http = HttpOptions(
        message_bytes_max=message_bytes_max(options),
        host_whitelist=config.host_whitelist,
        cors=config.cors,
        has_json_gateway=config.enable_grpc_gateway,
        has_debug=config.enable_pprof,
    )
    limits = replace(
        transport_options(options),
        streams_max=config.max_concurrent_streams,
        ping_interval_min=config.grpc_keepalive_min_time,
        keepalive_interval=config.grpc_keepalive_interval,
        keepalive_timeout=config.grpc_keepalive_timeout,
    )
    core = EtcdGateway(
        options,
        election_timeout_seconds=config.election_timeout / 1000,
        limits=limits,
        http=http,
        handling_clock=setting.clock.now if config.metrics == "extensive" else None,
    )
    stores = Stores(Path(config.store_dir()), config.map_bytes())
    actor = EtcdGatewayActor(setting, core=core, listeners=listeners, stores=stores)
    return actor, ()


__all__ = ["INBOX", "EtcdGatewayActor", "build", "neighbours"]
