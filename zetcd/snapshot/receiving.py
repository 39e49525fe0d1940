"""Responsible for fetching one checkpoint from a peer, chunk by chunk; decides, and never touches a file or socket.

The receiver asks, the sender answers: so the receiver sets the pace, an answer that is lost is asked for
again, and a transfer that was interrupted goes on where it stopped. A few requests are always under way.
One connection keeps order, so what arrives is either the next chunk or of no use (go-back-n)::

    held            0 ──────────► 3 MiB                    asked, not here yet ──► 5 MiB        total 9 MiB
    arrives at      3 MiB: written, ask for one more       4 MiB: of no use, will come again

What has been received is worth keeping only if the rest comes from the same file. Every chunk names the
file by its digest; another digest means: begin anew. The same digest is compared with the content when all
is there, so neither a damaged chunk nor a damaged rest of an earlier try can get through.

Must never look into the bytes; what they are worth is decided by their digest alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from zetcd.messages.raft import InstallSnapshot
from zetcd.messages.snapshot import SnapshotChunk, SnapshotRefused, SnapshotRequest
from zetcd.scalars import NodeID


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivingOptions:
    """Identity and limits of a receiver."""

    cluster_id: int
    node_id: NodeID
    #: Bytes of one chunk.
    chunk_bytes: int
    #: Requests under way at the same time.
    requests_inflight_max: int
    #: Seconds without a useful chunk after which the connection is made anew.
    retry_seconds: float
    #: Connections in a row that brought nothing after which the transfer has failed.
    retries_max: int


class Held(NamedTuple):
    """The beginning of a checkpoint that an earlier try has left behind."""

    #: Of the file that it is the beginning of.
    digest: bytes
    length: int


#: Nothing is held.
NOTHING = Held(b"", 0)


class Received(NamedTuple):
    """A chunk to append to what is held."""

    digest: bytes
    offset: int
    body: bytes


class ReceiverReady(NamedTuple):
    """Everything to do since the last call, in this order."""

    #: Connect anew, dropping the old connection.
    is_connecting: bool = False
    #: What was held is of no use: empty the file.
    is_restarting: bool = False
    #: To append, in order.
    received: tuple[Received, ...] = ()
    #: To send.
    requests: tuple[SnapshotRequest, ...] = ()
    #: All of it is here: verify it against this digest.
    complete: bytes = b""
    #: Not empty: the transfer has failed.
    error: str = ""


class Receiver:
    """One transfer.

    Invariant: ``held.length <= asked``, and what lies between is asked for on this connection.
    """

    def __init__(
        self, options: ReceivingOptions, offer: InstallSnapshot, held: Held, now: float
    ) -> None:
        """Fetch what ``offer`` names, of which ``held`` is here already."""
        self.offer = offer
        self.held = held
        #: Bytes of the whole file; 0 = not known yet.
        self.length_total = 0
        self._options = options
        #: As many bytes as the sender gives at once, if that is less than the own limit.
        self._chunk_bytes = options.chunk_bytes
        self._asked = held.length
        self._retries = 0
        self._was_wrong = False
        self._next_retry = now
        self._is_connecting = False
        self._is_restarting = False
        self._received: list[Received] = []
        self._is_over = False
        self._complete = b""
        self._error = ""

    # --- input -----------------------------------------------------------------------------------

    def step(self, message: SnapshotChunk | SnapshotRefused, now: float) -> None:
        """Take an answer of the sender; what does not belong to this transfer is ignored."""
        snapshot = self.offer.snapshot
        if self._is_over or (message.index, message.term) != (snapshot.index, snapshot.term):
            return
        if isinstance(message, SnapshotRefused):
            self._fail(f"refused: {message.reason}")
        else:
            self._chunk(message, now)

    def _chunk(self, chunk: SnapshotChunk, now: float) -> None:
        if self.held.digest not in (b"", chunk.digest):
            # Another file than the one that was begun.
            self._restart()
            self._next_retry = now
            return
        if chunk.offset != self.held.length or not chunk.digest:
            return
        end = chunk.offset + len(chunk.body)
        if end > chunk.length_total or (not chunk.body and end < chunk.length_total):
            self._fail(f"a chunk of {len(chunk.body)} bytes at {chunk.offset} cannot be")
            return
        self.length_total = chunk.length_total
        self.held = Held(chunk.digest, end)
        self._asked = max(self._asked, end)
        if len(chunk.body) < self._chunk_bytes and end < chunk.length_total:
            # The sender's chunks are smaller: what else was asked for will not follow on this one.
            self._chunk_bytes = len(chunk.body)
            self._asked = end
        self._retries = 0
        self._next_retry = now + self._options.retry_seconds
        if chunk.body:
            self._received.append(Received(chunk.digest, chunk.offset, chunk.body))
        if end == chunk.length_total:
            self._is_over = True
            self._complete = chunk.digest

    def content_is_wrong(self, now: float) -> None:
        """Note that all was here and its digest is not what the sender says: begin anew, once.

        It may have been damaged here. If it is wrong twice, the sender's file is: asking for that one
        again only delays the newer one that the leader may have by then.
        """
        self._complete = b""
        self._restart()
        if self._was_wrong:
            self._fail("the content does not have the digest that the sender names")
            return
        self._was_wrong = True
        self._is_over = False
        self._next_retry = now

    def _restart(self) -> None:
        self.held = NOTHING
        self.length_total = 0
        self._received.clear()
        self._is_restarting = True

    def _fail(self, error: str) -> None:
        self._is_over = True
        self._error = error

    # --- turns -----------------------------------------------------------------------------------

    def ready(self, now: float) -> ReceiverReady:
        """Return everything to do since the last call."""
        if not self._is_over and now >= self._next_retry:
            self._connect(now)
        ready = ReceiverReady(
            self._is_connecting,
            self._is_restarting,
            tuple(self._received),
            () if self._is_over else tuple(self._requests()),
            self._complete,
            self._error,
        )
        self._is_connecting = self._is_restarting = False
        self._received.clear()
        self._complete, self._error = b"", ""
        return ready

    def _connect(self, now: float) -> None:
        if self._retries > self._options.retries_max:
            self._fail("the sender does not answer")
            return
        self._retries += 1
        self._next_retry = now + self._options.retry_seconds
        self._is_connecting = True
        self._asked = self.held.length

    def _requests(self) -> list[SnapshotRequest]:
        """Return requests until enough are under way; only one until the length is known."""
        options, snapshot, chunk_bytes = self._options, self.offer.snapshot, self._chunk_bytes
        inflight_max = options.requests_inflight_max if self.length_total else 1
        end = self.held.length + inflight_max * chunk_bytes
        if self.length_total:
            end = min(end, self.length_total)
        requests: list[SnapshotRequest] = []
        while self._asked < end:
            requests.append(
                SnapshotRequest(
                    options.cluster_id,
                    options.node_id,
                    snapshot.index,
                    snapshot.term,
                    self._asked,
                    min(chunk_bytes, end - self._asked),
                )
            )
            self._asked += requests[-1].length_max
        return requests

    def wake_at(self) -> float:
        """Return when `ready` has something to do without input; infinity = never."""
        return float("inf") if self._is_over else self._next_retry

    def check(self) -> None:
        """Assert the invariant."""
        assert self.held.length <= self._asked
        assert (self.held.digest == b"") == (self.held.length == 0 and not self.length_total)
