"""Responsible for connecting the log on disk to raft: group commit, then the attached responses.

The only actor that waits for fdatasync. What raft has sent until then becomes one batch: one
pwrite, one fdatasync. Then the responses leave: those for other members straight from here, which
spares a follower's answer the way through raft; those for raft itself together. Must never look into
entries or responses, and never try again after a failed write: the error ends the process, and with
it raft, which must not go on with what may not be durable.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from zetcd.actors.actor import RAFT, SNAPSHOT, SUPERVISOR, Actor, Pollable
from zetcd.actors.entry import ActorSetting
from zetcd.actors.log_release import DEFAULT_RELEASE, LogReleaser, ReleaseOptions
from zetcd.config import Config, WalConfig
from zetcd.messages.base import Message
from zetcd.messages.cluster import Member
from zetcd.messages.codec import UnionDecoder, encode
from zetcd.messages.node import ActorGone, Figure, Hello, LeaderInfo, MemberTable, Shutdown
from zetcd.messages.raft import HardState, PeerMessage, SnapshotMetadata
from zetcd.messages.snapshot import (
    CheckpointMark,
    CheckpointMarked,
    CheckpointsKept,
    LogRelease,
    LogSize,
)
from zetcd.messages.storage import (
    Appended,
    LivenessAnswer,
    LivenessQuery,
    LogRead,
    LogReadResp,
    StorageAppend,
)
from zetcd.metrics import Histogram, figure, histogram_figure
from zetcd.raft.membership import bootstrap_entries
from zetcd.runtime.clock import Clock
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.log_storage import TAIL_BYTES, LogOptions, LogStorage, open_log
from zetcd.runtime.mailbox import Address, Mailbox
from zetcd.runtime.peer_routes import PeerRoutes
from zetcd.runtime.peer_socket import PeerSender, ZmqPeerSender
from zetcd.scalars import Index, NodeID

_Inbox = (
    StorageAppend
    | LogRead
    | LivenessQuery
    | CheckpointMark
    | CheckpointsKept
    | LogRelease
    | LeaderInfo
    | MemberTable
    | Hello
    | Shutdown
    | ActorGone
)
#: Decodes what wal may receive.
INBOX: Final = UnionDecoder(_Inbox)

#: Bytes that an entry needs beside its data, at most.
_ENTRY_OVERHEAD_BYTES: Final = 32
#: A follower's raft does not wait for its own disk: it hears of so many batches, or so much time, at
#: once.
_HELD_BATCHES_MAX: Final = 64
_HELD_SECONDS: Final = 0.01
#: What has come while the disk was busy, which may be seconds, is one batch: were it more, each of
#: them would take as long again, and the log would never catch up. Holds all that raft hands out.
_MESSAGES_PER_TURN_MAX: Final = 32_768
#: Seconds between two reports of the log's size to snapshot.
_LOG_SIZE_SECONDS: Final = 1.0
#: Samples kept for the fdatasync figures shown in status.
_SAMPLES_MAX: Final = 1_024


def neighbours(config: Config, instance: int) -> tuple[Address, ...]:
    """Return the actors that wal talks to."""
    del config, instance
    return (SUPERVISOR, RAFT, SNAPSHOT)


def build(setting: ActorSetting) -> tuple[Actor, Sequence[Pollable]]:
    """Recover the log (or found it, at the first start of a new cluster) and build the actor."""
    config = setting.config
    log = structlog.get_logger()
    if config.unsafe_no_fsync:
        log.warning("unsafe-no-fsync is on: a power loss loses acknowledged writes")
    started = setting.clock.now()
    storage = open_log(
        OSFileSystem(),
        config.wal_dir,
        LogOptions(
            cluster_id=config.cluster_id(),
            member_id=config.member_id(),
            segment_bytes=config.wal.segment_bytes,
            tail_bytes=min(config.raft.log_tail_bytes_max, TAIL_BYTES),
            unsafe_no_fsync=config.unsafe_no_fsync,
        ),
    )
    if storage.is_pristine and config.initial_cluster_state == "new":
        storage.append([founding_append(config)])
    log.info(
        "log recovered",
        term=storage.hard_state.term,
        commit=storage.hard_state.commit,
        last_index=storage.last_index,
        segments=storage.segments_count,
        torn_bytes_cut=storage.cut_bytes,
        seconds=round(setting.clock.now() - started, 3),
    )
    sender = ZmqPeerSender(
        setting.context,
        cluster_id=config.cluster_id(),
        node_id=config.member_id(),
        routes=PeerRoutes.of(config),
    )
    return WalActor(
        setting.mailbox,
        setting.clock,
        storage,
        config.wal,
        node_id=config.member_id(),
        sender=sender,
        release=ReleaseOptions.of(config),
    ), ()


def founding_append(config: Config) -> StorageAppend:
    """Return the log that every founder of a cluster starts with: one added member per entry.

    All founders write the same entries, so they count as committed from the start, as in etcd.
    """
    founders = config.initial_members()
    entries = bootstrap_entries([Member(each.id, each.name, each.peer_urls) for each in founders])
    return StorageAppend(entries, HardState(term=1, vote=0, commit=len(entries)))


class WalActor(Actor):
    """Serves raft, and notes for snapshot which checkpoints count.

    Invariants:
        - Responses leave in the order in which their `StorageAppend` came, each after all that came
          before it is durable.
        - A segment goes only when a mark above everything in it is durable, and neither a kept checkpoint
          nor a member that is being sent a snapshot needs it (`log_release`).
    """

    def __init__(  # noqa: PLR0913 - one each for what it serves
        self,
        mailbox: Mailbox,
        clock: Clock,
        storage: LogStorage,
        config: WalConfig,
        *,
        node_id: NodeID,
        sender: PeerSender,
        release: ReleaseOptions = DEFAULT_RELEASE,
    ) -> None:
        """Serve a recovered log; the actor closes it and the sender.

        Args:
            mailbox: Of this actor.
            clock: For figures and intervals.
            storage: The log.
            config: Limits.
            node_id: Of this member.
            sender: Takes answers for other members.
            release: What of the log is kept.
        """
        super().__init__(mailbox, clock)
        self._node_id = node_id
        self._sender = sender
        #: Responses for raft of so many batches that it has not been told of, and when it is.
        self._held: list[PeerMessage] = []
        self._held_batches = 0
        self._held_entries = 0
        self._tell_at = 0.0
        self._storage = storage
        self._releaser = LogReleaser(storage, release)
        #: A checkpoint to be marked as soon as the log has reached it.
        self._mark: SnapshotMetadata | None = None
        #: Newest mark that raft and snapshot were told of; a new process tells them again.
        self._told_mark: Index = 0
        self._next_log_size = 0.0
        self._config = config
        self.messages_per_turn_max = _MESSAGES_PER_TURN_MAX
        self._slow_from = clock.now() + config.test_fdatasync_delay_after
        #: Received and not yet handled, in order.
        self._pending: deque[StorageAppend | LogRead] = deque()
        self._fsync_us_last = 0
        self._fsync_us: deque[int] = deque(maxlen=_SAMPLES_MAX)
        self._batch_entries: deque[int] = deque(maxlen=_SAMPLES_MAX)
        self._fsync_seconds = Histogram.of("etcd_disk_wal_fsync_duration_seconds")
        self._write_seconds = Histogram.of("etcd_disk_wal_write_duration_seconds")
        self._entries_of_batches = Histogram.of("zetcd_wal_batch_entries")
        self._sent_bytes: dict[NodeID, int] = {}
        self.is_ready = True

    def neighbour_started(self, neighbour: Address) -> None:
        """Tell a new raft what the log holds; what its predecessor left was never acknowledged."""
        if neighbour == RAFT:
            self._pending.clear()
            self._releaser.raft_started()
            self._held.clear()
            self._held_batches = self._held_entries = 0
            self.mailbox.send(RAFT, self._storage.state())
        elif neighbour == SNAPSHOT:
            self._mark = None
            self._next_log_size = 0.0

    def handle(self, sender: Address, message: Message, now: float) -> None:
        """Take what raft and snapshot sent; everybody else has nothing to say to a log."""
        del sender, now
        if type(message) is StorageAppend or type(message) is LogRead:
            self._pending.append(message)
        elif type(message) is LivenessQuery:
            self._reply(LivenessAnswer(os.getpid()))
        elif type(message) is CheckpointMark:
            self._mark = message.snapshot
        elif type(message) is CheckpointsKept:
            self._releaser.checkpoints_kept(message.index)
        elif type(message) is LogRelease:
            self._releaser.raft_releases(message.index)
        elif type(message) is MemberTable:
            self._sender.set_peers({member.id: member.peer_urls for member in message.members})

    def advance(self, now: float) -> None:
        """Make one batch durable, release its responses, then answer the reads among it."""
        group, reads = self._take_group()
        if self._mark is not None:
            # First, so that whether the log has reached it is judged by what is already durable.
            group = [*self._take_mark(self._mark), *group]
        if group:
            self._commit(group)
        for read in reads:
            self._answer(read)
        if self._held_batches and now >= self._tell_at:
            self._tell_raft()
        if self._storage.snapshot.index > self._told_mark:
            self._tell_mark()
        if self._releaser.is_due and self._releaser.step():
            # raft must not offer what is gone.
            self.mailbox.send(RAFT, self._marked())
        if now >= self._next_log_size:
            self._tell_log_size(now)

    def wait_seconds(self, now: float) -> float:
        """Return 0 while anything is left to do."""
        if self._pending or self._releaser.is_due:
            return 0.0
        due = min(self._tell_at, self._next_log_size) if self._held_batches else self._next_log_size
        return min(max(0.0, due - now), super().wait_seconds(now))

    def _take_group(self) -> tuple[list[StorageAppend], list[LogRead]]:
        """Take appends up to the size of a batch, at least one, and the reads between them.

        A read is answered after the appends that came with it: what it finds is at most newer.
        """
        group: list[StorageAppend] = []
        reads: list[LogRead] = []
        size = 0
        while self._pending:
            message = self._pending[0]
            if type(message) is LogRead:
                reads.append(message)
            elif type(message) is StorageAppend:
                size += sum(len(entry.data) + _ENTRY_OVERHEAD_BYTES for entry in message.entries)
                if group and size > self._config.batch_bytes_max:
                    break
                group.append(message)
            self._pending.popleft()
        return group, reads

    def _commit(self, group: Sequence[StorageAppend]) -> None:
        """Make ``group`` durable with one pwrite and one fdatasync; then release its responses."""
        fsync_us = 0
        entries_count = sum(len(append.entries) for append in group)
        began = self.clock.now()
        if self._storage.write(group):
            started = self.clock.now()
            self._write_seconds.observe(started - began)
            delay_seconds = self._test_delay_seconds(started)
            if delay_seconds:
                time.sleep(delay_seconds)
            self._storage.sync()
            fsync_us = int((self.clock.now() - started) * 1_000_000)
            self._fsync_us.append(fsync_us)
            self._fsync_seconds.observe(fsync_us / 1_000_000)
            self._batch_entries.append(entries_count)
            self._entries_of_batches.observe(entries_count)
        self._fsync_us_last = fsync_us
        self._held_entries += entries_count
        if self._release(group):
            self._tell_raft()

    def _test_delay_seconds(self, now: float) -> float:
        """Return how much longer this fdatasync is to take; more than 0 in tests of slow disks only."""
        config, delay_ms = self._config, 0
        if now >= self._slow_from:
            delay_ms = config.test_fdatasync_delay_ms
        if config.test_fdatasync_delay_file:
            with contextlib.suppress(FileNotFoundError):
                delay_ms += int(Path(config.test_fdatasync_delay_file).read_text() or "0")
        return delay_ms / 1000

    # --- checkpoints -----------------------------------------------------------------------------

    def _take_mark(self, snapshot: SnapshotMetadata) -> list[StorageAppend]:
        """Return the mark of a checkpoint as something to append, if the log has come so far.

        Apply may be ahead of this log, which may even hold an entry at that index that is about to be
        replaced. The mark then waits: it says that the log may go below it, which must be there first.
        """
        if snapshot.index <= self._storage.snapshot.index:
            self._mark = None
            return []
        if self._storage.term_of(snapshot.index) != snapshot.term:
            return []
        self._mark = None
        return [StorageAppend(snapshot=snapshot)]

    def _tell_mark(self) -> None:
        """Tell raft and snapshot of a durable mark: what each of them can do without now goes when they say so."""
        self._told_mark = self._storage.snapshot.index
        self._next_log_size = 0.0
        for each in (RAFT, SNAPSHOT):
            self.mailbox.send(each, self._marked())

    def _marked(self) -> CheckpointMarked:
        return CheckpointMarked(self._storage.snapshot, self._storage.start_index)

    def _tell_log_size(self, now: float) -> None:
        self._next_log_size = now + _LOG_SIZE_SECONDS
        storage = self._storage
        size = LogSize(storage.last_index, storage.snapshot.index, storage.bytes_since_mark)
        self.mailbox.send(SNAPSHOT, size)

    # --- responses -------------------------------------------------------------------------------

    def _release(self, group: Sequence[StorageAppend]) -> bool:
        """Send the responses for peers, hold those for raft; return whether raft is to be told now.

        A message that bears an answer for another member is a follower's: its raft needs the news for
        its books only. Everything else is waited for: the leader counts itself, a candidate its vote.
        """
        is_urgent = False
        # A mark is no concern of raft's, which may not be there yet.
        asked = [append for append in group if append.responses]
        if not asked:
            return False
        if not self._held_batches:
            self._tell_at = self.clock.now() + _HELD_SECONDS
        for append in asked:
            is_sent = False
            for response in append.responses:
                if response.to != self._node_id and self._send_to_peer(response):
                    is_sent = True
                else:
                    self._held.append(response)
            is_urgent = is_urgent or not is_sent
        self._held_batches += 1
        return is_urgent or self._held_batches >= _HELD_BATCHES_MAX

    def _send_to_peer(self, response: PeerMessage) -> bool:
        body = encode(response)
        is_sent = self._sender.send(response.to, body)
        if is_sent:
            self._sent_bytes[response.to] = self._sent_bytes.get(response.to, 0) + len(body)
        return is_sent

    def _tell_raft(self) -> None:
        """Hand raft the responses held for it."""
        self._reply(Appended(tuple(self._held), self._fsync_us_last, self._held_entries))
        self._held = []
        self._held_batches = self._held_entries = 0

    def _answer(self, read: LogRead) -> None:
        bytes_max = min(read.bytes_max, self._config.read_bytes_max)
        entries = self._storage.read(read.low, read.high, bytes_max)
        self._reply(LogReadResp(read.target, read.low, entries))

    def _reply(self, message: Appended | LogReadResp | LivenessAnswer) -> None:
        sent = self.mailbox.send(RAFT, message)
        assert sent, "raft does not take the answers of its log"

    def shut_down(self, request: Shutdown, now: float) -> None:
        """Finish what was accepted and stop."""
        del request
        self.is_draining = True
        while self._pending:
            self.advance(now)
        if self._held_batches:
            self._tell_raft()
        self.stop()

    def close(self) -> None:
        """Close the log; called also after a failure, so nothing is written here."""
        self._storage.close()
        self._sender.close()

    def figures(self) -> tuple[Figure, ...]:
        """Return writes and fdatasyncs for /metrics."""
        return (
            histogram_figure("etcd_disk_wal_fsync_duration_seconds", self._fsync_seconds),
            histogram_figure("etcd_disk_wal_write_duration_seconds", self._write_seconds),
            histogram_figure("zetcd_wal_batch_entries", self._entries_of_batches),
            figure("etcd_disk_wal_write_bytes_total", self._storage.written_bytes),
            *(
                figure("etcd_network_peer_sent_bytes_total", count, f"{node_id:x}")
                for node_id, count in self._sent_bytes.items()
            ),
        )

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return the log's size and the figures of the last fdatasyncs."""
        storage = self._storage
        times = sorted(self._fsync_us) or [0]
        sizes = self._batch_entries or [0]
        return (
            ("batch_entries_mean", f"{sum(sizes) / len(sizes):.1f}"),
            ("first_index", str(storage.first_index)),
            ("fsync_us_max", str(times[-1])),
            ("fsync_us_p50", str(times[len(times) // 2])),
            ("fsync_us_p99", str(times[len(times) * 99 // 100])),
            ("last_index", str(storage.last_index)),
            ("log_bytes", str(storage.log_bytes)),
            ("marked_index", str(storage.snapshot.index)),
            ("pending", str(len(self._pending))),
            ("release_index", str(self._releaser.index)),
            ("segments", str(storage.segments_count)),
        )
