"""Responsible for sending checkpoints to peers that lag behind, and for fetching one from the leader.

Part of the snapshot actor. What is sent is read in chunks, what is received is written in chunks, and verified
in slices: nothing here takes long. raft hears of a fetched checkpoint when it is verified, durable and
has its name; of a failed one, why. The leader hears of that and offers again, so nothing is tried for ever here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import structlog

from zetcd.config import Config
from zetcd.config.urls import is_secure, peer_endpoint
from zetcd.errors import CorruptCheckpoint
from zetcd.messages.base import Message
from zetcd.messages.raft import InstallSnapshot
from zetcd.messages.snapshot import (
    SnapshotChunk,
    SnapshotFetched,
    SnapshotRefused,
    SnapshotRequest,
    SnapshotServer,
)
from zetcd.runtime.checkpoint_files import CheckpointFiles, Verification
from zetcd.runtime.clock import Clock
from zetcd.runtime.files import File
from zetcd.runtime.incoming_checkpoint import IncomingCheckpoint
from zetcd.runtime.peer_routes import Channel, inbound_path
from zetcd.runtime.snapshot_socket import SnapshotFetcher, SnapshotListener
from zetcd.snapshot.checkpoint_format import CheckpointInfo, CheckpointName, name_of
from zetcd.snapshot.receiving import Receiver, ReceivingOptions
from zetcd.snapshot.sending import Due, Sender, SendingOptions

#: However low the rate, so many chunks leave in a second: a receiver takes silence for a dead connection.
_CHUNKS_PER_SECOND_MIN: Final = 4
#: Requests of one receiver that wait; its window is smaller.
_REQUESTS_MAX: Final = 64
#: Frames taken in one turn.
_FRAMES_PER_TURN_MAX: Final = 64
#: Seconds without a useful chunk after which a connection is made anew, and how often.
_RETRY_SECONDS: Final = 2.0
_RETRIES_MAX: Final = 5
#: Seconds after which a receiver that asks for nothing is forgotten: by then it has connected anew.
_IDLE_SECONDS: Final = 2.5 * _RETRY_SECONDS


def sending_options(config: Config) -> SendingOptions:
    """Return the limits of the sending half."""
    snapshot = config.snapshot
    rate = snapshot.send_bytes_per_second
    return SendingOptions(
        bytes_per_second=rate,
        chunk_bytes=min(snapshot.chunk_bytes, max(1, rate // _CHUNKS_PER_SECOND_MIN)),
        receivers_max=snapshot.receivers_max,
        requests_max=_REQUESTS_MAX,
        idle_seconds=_IDLE_SECONDS,
    )


def receiving_options(config: Config) -> ReceivingOptions:
    """Return identity and limits of the receiving half."""
    return ReceivingOptions(
        cluster_id=config.cluster_id(),
        node_id=config.member_id(),
        chunk_bytes=config.snapshot.chunk_bytes,
        requests_inflight_max=config.snapshot.requests_inflight_max,
        retry_seconds=_RETRY_SECONDS,
        retries_max=_RETRIES_MAX,
    )


def listen_url(config: Config) -> str:
    """Return where peers fetch: a port of its own, with TLS the one of ``listen-peer-urls``."""
    if _secure_url(config):
        return f"ipc://{inbound_path(config.runtime_dir, Channel.SNAPSHOT)}"
    host = peer_endpoint(config.listen_peer_urls[0]).rpartition(":")[0]
    return f"{host}:{config.snapshot.port}"


def _secure_url(config: Config) -> str:
    """Return the peer URL with TLS that others know of; empty = none."""
    if not any(map(is_secure, config.listen_peer_urls)):
        return ""
    return next(filter(is_secure, config.initial_advertise_peer_urls), "")


def advertised_urls(config: Config, bound: tuple[str, ...]) -> tuple[str, ...]:
    """Return where peers reach this member: the host they know for raft, the port that was bound."""
    secure = _secure_url(config)
    if secure:
        return (secure,)
    host = urlsplit(config.initial_advertise_peer_urls[0]).hostname or ""
    shown = f"[{host}]" if ":" in host else host
    return tuple(f"tcp://{shown}:{urlsplit(url).port}" for url in bound)


class _Present(NamedTuple):
    """A checkpoint that is here already and is offered."""

    offer: InstallSnapshot
    verification: Verification


class SnapshotTransfer:
    """Both halves: one transfer in, any number out."""

    def __init__(
        self,
        config: Config,
        files: CheckpointFiles,
        *,
        clock: Clock,
        listener: SnapshotListener,
        fetcher: SnapshotFetcher,
        send_to_raft: Callable[[Message], bool],
    ) -> None:
        """Wire both halves; nothing is under way."""
        self._config = config
        self._files = files
        self._listener = listener
        self._fetcher = fetcher
        self._send_to_raft = send_to_raft
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger()
        self._sender = Sender(sending_options(config), clock.now())
        #: What each receiver is being sent; the file stays readable if it is pruned meanwhile.
        self._open: dict[bytes, tuple[CheckpointInfo, File]] = {}
        self._receiver: Receiver | None = None
        self._incoming: IncomingCheckpoint | None = None
        #: What is offered and was here already, while it is verified.
        self._present: _Present | None = None
        #: Digest that what has been received must have, while it is verified; empty = not yet.
        self._verifying = b""
        self._began = 0.0
        self._sent_bytes = 0
        self._fetched_bytes = 0
        self._fetched_count = 0
        self._failed_count = 0

    def raft_started(self) -> None:
        """Tell a new raft where peers fetch from."""
        self._send_to_raft(SnapshotServer(advertised_urls(self._config, self._listener.urls)))

    # --- fetching ----------------------------------------------------------------------------------

    def fetch(self, offer: InstallSnapshot, now: float) -> None:
        """Fetch what a leader offers, unless it is here and whole; one at a time, the first one first."""
        if self._receiver is not None:
            # The same one, or another: what is on its way is nearer than what is not.
            self._receiver.offer = self._newer_offer(self._receiver.offer, offer)
        elif self._present is not None:
            self._present = self._present._replace(
                offer=self._newer_offer(self._present.offer, offer)
            )
        elif name_of(offer.snapshot) in self._files.names():
            self._examine(offer, now)
        else:
            self._begin_fetch(offer, now)

    def _begin_fetch(self, offer: InstallSnapshot, now: float) -> None:
        if not offer.source_urls:
            return
        name = name_of(offer.snapshot)
        self._incoming = IncomingCheckpoint(self._files, name)
        held = self._incoming.held
        self._receiver = Receiver(receiving_options(self._config), offer, held, now)
        self._began = now
        self._log.info(
            "fetching a snapshot",
            index=name.index,
            source=offer.source_urls[0],
            held_bytes=held.length,
        )

    def _examine(self, offer: InstallSnapshot, now: float) -> None:
        """Begin to verify what is here: raft would begin its log anew on the strength of it."""
        name = name_of(offer.snapshot)
        try:
            self._present = _Present(offer, self._files.verification(name))
        except (CorruptCheckpoint, FileNotFoundError) as error:
            self._fetch_instead(offer, error, now)

    def _advance_examination(self, present: _Present, now: float) -> None:
        try:
            if present.verification.step():
                return
        except CorruptCheckpoint as error:
            self._end_examination()
            self._fetch_instead(present.offer, error, now)
            return
        self._end_examination()
        self._send_to_raft(SnapshotFetched(present.offer))

    def _end_examination(self) -> None:
        if self._present is not None:
            self._present.verification.close()
            self._present = None

    def _fetch_instead(self, offer: InstallSnapshot, error: Exception, now: float) -> None:
        """Remove what is damaged and fetch it."""
        name = name_of(offer.snapshot)
        if isinstance(error, CorruptCheckpoint):
            self._log.error("a checkpoint is damaged", checkpoint=str(name), error=str(error))
            self._files.remove(name)
        self._begin_fetch(offer, now)

    @staticmethod
    def _newer_offer(current: InstallSnapshot, offer: InstallSnapshot) -> InstallSnapshot:
        """Return the offer to answer: the same snapshot may be offered again in a newer term."""
        return offer if offer.snapshot == current.snapshot else current

    def _advance_fetch(self, receiver: Receiver, incoming: IncomingCheckpoint, now: float) -> None:
        for answer in self._fetcher.receive(_FRAMES_PER_TURN_MAX):
            receiver.step(answer, now)
        ready = receiver.ready(now)
        if ready.is_restarting:
            incoming.restart()
        if ready.is_connecting:
            self._fetcher.connect(receiver.offer.source_urls[0])
        for received in ready.received:
            incoming.append(received)
            self._fetched_bytes += len(received.body)
        for request in ready.requests:
            self._fetcher.send(request)
        if ready.complete:
            self._verifying = ready.complete
        if ready.error:
            self._end_fetch(receiver, ready.error)
        elif self._verifying:
            self._verify(receiver, incoming, now)

    def _verify(self, receiver: Receiver, incoming: IncomingCheckpoint, now: float) -> None:
        try:
            if not incoming.verify(self._verifying):
                return
        except CorruptCheckpoint as error:
            self._log.error("a snapshot arrived damaged", error=str(error))
            self._verifying = b""
            receiver.content_is_wrong(now)
            return
        incoming.finish()
        self._fetched_count += 1
        self._log.info(
            "snapshot fetched",
            index=incoming.name.index,
            bytes=receiver.length_total,
            seconds=round(now - self._began, 3),
        )
        self._end_fetch(receiver, "")

    def _end_fetch(self, receiver: Receiver, error: str) -> None:
        if error:
            self._failed_count += 1
            self._log.warning(
                "snapshot not fetched", index=receiver.offer.snapshot.index, error=error
            )
        self._send_to_raft(SnapshotFetched(receiver.offer, error))
        self._stop_fetch()

    def _stop_fetch(self) -> None:
        self._fetcher.close()
        if self._incoming is not None:
            self._incoming.close()
        self._receiver = self._incoming = None
        self._verifying = b""

    # --- sending -----------------------------------------------------------------------------------

    def _advance_send(self, now: float) -> None:
        for receiver, request in self._listener.receive(_FRAMES_PER_TURN_MAX):
            self._sender.step(receiver, request, now)
        for due in self._sender.ready(now):
            self._answer(due)
        for receiver in self._sender.take_idle(now):
            self._close_file(receiver)

    def _answer(self, due: Due) -> None:
        request = due.request
        try:
            info, file = self._file_for(due.receiver, request)
            body = file.pread(due.length_max, request.offset)
        except (CorruptCheckpoint, FileNotFoundError, PermissionError) as error:
            self._close_file(due.receiver)
            reason = str(error)
            self._log.warning("refused to send a snapshot", index=request.index, reason=reason)
            self._listener.send(due.receiver, SnapshotRefused(request.index, request.term, reason))
            return
        chunk = SnapshotChunk(
            request.index,
            request.term,
            request.offset,
            info.trailer.file_bytes,
            info.digest,
            body,
        )
        if self._listener.send(due.receiver, chunk):
            self._sent_bytes += len(body)
        else:
            self._sender.forget(due.receiver)
            self._close_file(due.receiver)

    def _file_for(self, receiver: bytes, request: SnapshotRequest) -> tuple[CheckpointInfo, File]:
        """Return the open file that a receiver asks for.

        Raises:
            PermissionError: the receiver is of another cluster.
            FileNotFoundError: there is no such checkpoint (any more).
            CorruptCheckpoint: it is damaged.
        """
        if request.cluster_id != self._files.cluster_id:
            raise PermissionError(f"this is cluster {self._files.cluster_id:x}")
        name = CheckpointName(request.index, request.term)
        known = self._open.get(receiver)
        if known is not None and known[0].name == name:
            return known
        self._close_file(receiver)
        info = self._files.info(name)
        self._open[receiver] = info, self._files.open_for_reading(name)
        self._log.info(
            "sending a snapshot",
            to=f"{request.node_id:016x}",
            index=request.index,
            bytes=info.trailer.file_bytes,
            from_byte=request.offset,
        )
        return self._open[receiver]

    def _close_file(self, receiver: bytes) -> None:
        known = self._open.pop(receiver, None)
        if known is not None:
            known[1].close()

    # --- turns -------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Send and fetch what can be sent and fetched now."""
        self._advance_send(now)
        if self._present is not None:
            self._advance_examination(self._present, now)
        if self._receiver is not None and self._incoming is not None:
            self._advance_fetch(self._receiver, self._incoming, now)
        else:
            # Late answers of a transfer that is over.
            self._fetcher.receive(_FRAMES_PER_TURN_MAX)

    def wake_at(self) -> float:
        """Return when `advance` has something to do without input; infinity = never."""
        if self._verifying or self._present is not None:
            return 0.0
        fetch_at = float("inf") if self._receiver is None else self._receiver.wake_at()
        return min(self._sender.wake_at(), fetch_at)

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return what `zetcd status` shows of transfers; sorted."""
        return (
            ("snapshots_failed", str(self._failed_count)),
            ("snapshots_fetched", str(self._fetched_count)),
            ("snapshots_fetched_bytes", str(self._fetched_bytes)),
            ("snapshots_receivers", str(self._sender.receivers_count)),
            ("snapshots_sent_bytes", str(self._sent_bytes)),
        )

    def close(self) -> None:
        """Give up what is under way; what was received is kept for another try."""
        self._end_examination()
        self._stop_fetch()
        for receiver in list(self._open):
            self._close_file(receiver)
        self._listener.close()
