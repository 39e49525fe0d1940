"""Responsible for the gateway process: clients' frames in, answers out, around `NativeGateway`.

Order of one turn: messages of the node, frames of clients, then everything the core wants sent.
Clients and node have separate limits per turn, so that neither keeps the other waiting.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
import zmq

import zetcd
from zetcd.actors.actor import APPLY, RAFT, SNAPSHOT, SUPERVISOR, WATCH, Actor, Pollable
from zetcd.actors.entry import ActorSetting
from zetcd.config import Config
from zetcd.errors import NotCapable, PortInUse
from zetcd.gateway.native.gateway import NativeGateway
from zetcd.gateway.options import GatewayOptions
from zetcd.gateway.service import ToApply
from zetcd.gateway.urls import urls_of
from zetcd.messages.base import Message
from zetcd.messages.codec import UnionDecoder, encode
from zetcd.messages.node import (
    ActorGone,
    ApplyReached,
    ApplyResults,
    ChangeMember,
    ChangeMemberRefused,
    Defragment,
    Defragmented,
    Figure,
    Hello,
    LeaderAnswer,
    LeaderInfo,
    MemberChanged,
    MemberTable,
    NodeFigures,
    Propose,
    ProposeRefused,
    RaftStatus,
    ReadIndexResult,
    Shutdown,
    SnapshotPart,
    SnapshotRead,
    StoreReplaced,
    WatchDelivery,
)
from zetcd.runtime.client_socket import ClientSocket, SendResult, ZmqClientSocket
from zetcd.runtime.clock import Clock
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.mailbox import Address, Mailbox

_Inbox = (
    Hello
    | Shutdown
    | ActorGone
    | LeaderInfo
    | MemberTable
    | ApplyResults
    | ApplyReached
    | Defragmented
    | SnapshotPart
    | StoreReplaced
    | ProposeRefused
    | ReadIndexResult
    | LeaderAnswer
    | RaftStatus
    | WatchDelivery
    | ChangeMemberRefused
    | MemberChanged
    | NodeFigures
)
#: Decodes what a gateway may be sent.
INBOX: Final = UnionDecoder(_Inbox)

#: Frames of clients handled in one turn.
CLIENT_FRAMES_PER_TURN_MAX: Final = 512
#: The store is opened once apply has made it; asked for this often until then.
_STORE_RETRY_SECONDS: Final = 0.05
#: Share of the time given for draining that requests may still use.
_DRAIN_SHARE: Final = 0.5


def neighbours(config: Config, instance: int) -> tuple[Address, ...]:
    """Return whom a gateway talks to."""
    del config, instance
    return (SUPERVISOR, RAFT, APPLY, WATCH, SNAPSHOT)


def gateway_options(config: Config, address: Address, incarnation: int) -> GatewayOptions:
    """Return what the core is told of the configuration."""
    return GatewayOptions(
        cluster_id=config.cluster_id(),
        node_id=config.member_id(),
        member_name=config.name,
        server_version=zetcd.__version__,
        role=address.role,
        instance=address.instance,
        incarnation=incarnation,
        limits=config.gateway,
        request_bytes_max=config.max_request_bytes,
        txn_ops_max=config.max_txn_ops,
        quota_bytes=config.quota_bytes() or 0,
        lease_ttl_seconds_min=config.lease_ttl_seconds_min(),
        request_timeout_seconds=config.request_timeout_seconds(),
        wall_seconds=lambda: int(time.time()),
    )


def refusal_of(question: ToApply) -> Message | None:
    """Return the answer to a question that could not be sent, None if it is asked again anyway."""
    if type(question) is Defragment:
        return Defragmented(question.request_id, "apply is not there")
    if type(question) is SnapshotRead:
        return SnapshotPart(question.request_id, 0, failure="snapshot is not there")
    return None


class Stores:
    """Opens the store that apply writes; a new apply may have put a new file in its place."""

    def __init__(self, directory: Path, map_bytes: int) -> None:
        """Open nothing yet."""
        self._directory = directory
        self._map_bytes = map_bytes
        self._backend: LmdbBackend | None = None

    def open(self) -> LmdbBackend | None:
        """Return the store anew; None: apply has not made it yet."""
        self.close()
        try:
            self._backend = LmdbBackend(self._directory, map_bytes=self._map_bytes, readonly=True)
        except NotCapable:
            return None
        return self._backend

    def close(self) -> None:
        """Close the store."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None


class GatewayActor(Actor):
    """One gateway of the native protocol."""

    def __init__(
        self,
        mailbox: Mailbox,
        clock: Clock,
        *,
        core: NativeGateway,
        socket: ClientSocket,
        stores: Stores,
    ) -> None:
        """Wire the core to its sockets and its store."""
        super().__init__(mailbox, clock)
        self._core = core
        self._socket = socket
        self._stores = stores
        self._has_store = False
        #: Not before apply has said that the store is what it should be.
        self._open_store_at = float("inf")
        self._stop_at = 0.0
        self._has_more_frames = False
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger()

    def neighbour_started(self, neighbour: Address) -> None:
        """Resync with a new incarnation."""
        now = self.clock.now()
        if neighbour == RAFT:
            self._core.raft_restarted(now)
        elif neighbour == APPLY:
            self._core.apply_restarted()
            # Apply may put a new file in the place of one it does not trust. It has done so, or
            # not, by the time it sends its first message: the member table.
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
        """Take clients' frames, then send everything that follows."""
        if not self._has_store and now >= self._open_store_at:
            self._open_store(now)
        core = self._core
        frames = self._socket.receive(CLIENT_FRAMES_PER_TURN_MAX)
        self._has_more_frames = len(frames) == CLIENT_FRAMES_PER_TURN_MAX
        for routing_id, frame in frames:
            core.step_client(routing_id, frame, now)
        self._perform(now)
        if self.is_draining and (core.is_idle or now >= self._stop_at):
            core.say_goodbye()
            self._perform(now)
            self.stop()

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

    def _perform(self, now: float) -> None:
        """Send what the core wants sent: first to the node, so that the cluster works meanwhile."""
        frames, to_raft, to_apply, to_watch = self._core.ready(now)
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
        for request in to_watch:
            if not self.mailbox.send_encoded(WATCH, encode(request)):
                self._watch_unreachable(request.session_id)
        self._send_frames(frames, now)

    def _watch_unreachable(self, session_id: int) -> None:
        """A watch that is down is told all when it is back; one that is stuck would lose order."""
        if self.mailbox.incarnation_of(WATCH) != 0:
            self._core.dismiss_session(session_id, "watch is overloaded")

    def _send_frames(self, frames: list[tuple[bytes, bytes]], now: float) -> None:
        send, failed = self._socket.send, self._core.send_failed
        full: set[bytes] = set()
        for routing_id, frame in frames:
            # Nothing may overtake a frame that its client's pipe did not take.
            result = SendResult.FULL if routing_id in full else send(routing_id, frame)
            if result is not SendResult.SENT:
                full.add(routing_id)
                failed(routing_id, frame, now, is_gone=result is SendResult.GONE)

    def shut_down(self, request: Shutdown, now: float) -> None:
        """Take nothing new, answer what was taken, say goodbye to every client."""
        self.is_draining = True
        self._stop_at = now + request.drain_seconds * _DRAIN_SHARE
        self._core.drain()

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until the core or this actor has something to do."""
        if self._has_more_frames:
            return 0.0
        wake_at = self._core.wake_at()
        if not self._has_store:
            wake_at = min(wake_at, self._open_store_at)
        if self.is_draining:
            wake_at = min(wake_at, self._stop_at)
        return max(0.0, wake_at - now)

    def figures(self) -> tuple[Figure, ...]:
        """Return reads and proposals for /metrics."""
        return self._core.figures()

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return sessions, requests and batches for `zetcd status`."""
        return tuple(sorted((key, str(value)) for key, value in self._core.facts().items()))

    def close(self) -> None:
        """Close the store and the socket, giving the goodbyes a moment to leave."""
        self._stores.close()
        self._socket.close(0 if self.is_running else 200)


def build(setting: ActorSetting) -> tuple[Actor, Sequence[Pollable]]:
    """Build a gateway from its configuration; binds its URLs."""
    config, mailbox = setting.config, setting.mailbox
    address = mailbox.address
    urls = urls_of(
        config.listen_native_client_urls, address.instance, config.gateway.native_processes
    )
    try:
        socket = ZmqClientSocket(
            setting.context,
            urls,
            frame_bytes_max=config.gateway.frame_bytes_max,
            handshake_seconds=config.gateway.handshake_timeout,
        )
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            raise PortInUse(f"one of {', '.join(urls)}") from error
        raise
    options = gateway_options(config, address, mailbox.incarnation)
    core = NativeGateway(options, setting.clock.now())
    stores = Stores(Path(config.store_dir()), config.map_bytes())
    actor = GatewayActor(mailbox, setting.clock, core=core, socket=socket, stores=stores)
    return actor, [socket]


__all__ = ["INBOX", "GatewayActor", "build", "neighbours"]
