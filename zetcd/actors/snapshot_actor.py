"""Responsible for a member's bulk work that must hold up nobody: checkpoints, snapshots, comparisons.

Beside these it compacts history as ``auto-compaction-retention`` says.
Reads the store in transactions beside apply, which alone writes it. Whatever it does is done in
slices: it answers its neighbours in between. It may wait for a disk, though, as wal does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from zetcd.actors.actor import (
    APPLY,
    GATEWAY_ROLES,
    RAFT,
    SUPERVISOR,
    WAL,
    Actor,
    Pollable,
    gateway_addresses,
)
from zetcd.actors.auto_compaction import AutoCompaction
from zetcd.actors.backups import Backups
from zetcd.actors.checkpointer import (
    PAUSES,
    Checkpointer,
    CheckpointPauses,
    CheckpointStore,
)
from zetcd.actors.divergence_check import DivergenceCheck
from zetcd.actors.entry import ActorSetting
from zetcd.actors.snapshot_transfer import SnapshotTransfer, listen_url
from zetcd.config import Config
from zetcd.errors import NotCapable
from zetcd.messages.base import Message
from zetcd.messages.codec import UnionDecoder
from zetcd.messages.node import (
    ActorGone,
    Figure,
    HashAnswer,
    HashQuery,
    Hello,
    LeaderInfo,
    MemberTable,
    ProposeRefused,
    Shutdown,
    SnapshotRead,
    StoreReplaced,
)
from zetcd.messages.snapshot import CheckpointMarked, LogSize, SnapshotFetch
from zetcd.metrics import histogram_figure
from zetcd.mvcc.backend import Backend
from zetcd.runtime.checkpoint_files import CheckpointFiles
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.lmdb_checkpoint import LmdbSource
from zetcd.runtime.mailbox import Address
from zetcd.runtime.peer_routes import PeerRoutes
from zetcd.runtime.snapshot_socket import (
    SnapshotFetcher,
    SnapshotListener,
    ZmqSnapshotFetcher,
    ZmqSnapshotListener,
)

_Inbox = (
    Hello
    | Shutdown
    | ActorGone
    | LeaderInfo
    | MemberTable
    | HashQuery
    | HashAnswer
    | ProposeRefused
    | LogSize
    | CheckpointMarked
    | SnapshotFetch
    | SnapshotRead
    | StoreReplaced
)
#: Decodes what this actor may receive.
INBOX: Final = UnionDecoder(_Inbox)


def neighbours(config: Config, instance: int) -> tuple[Address, ...]:
    """Return the actors that snapshot talks to."""
    del instance
    return (SUPERVISOR, RAFT, WAL, APPLY, *gateway_addresses(config))


class OpenedStore(NamedTuple):
    """The store, open for reading."""

    backend: Backend
    #: The same, as the checkpointer sees it.
    source: CheckpointStore
    close: Callable[[], None]


class SnapshotActor(Actor):
    """Drives one `Checkpointer`, one `SnapshotTransfer` and one `DivergenceCheck`."""

    def __init__(  # noqa: PLR0913 - one each for what it uses
        self,
        setting: ActorSetting,
        rng: Random,
        files: CheckpointFiles,
        *,
        open_store: Callable[[], OpenedStore | None],
        listener: SnapshotListener,
        fetcher: SnapshotFetcher,
        pauses: CheckpointPauses = PAUSES,
    ) -> None:
        """Start without a store: apply may be about to make it anew.

        Args:
            setting: Of this process.
            rng: Spreads comparisons in time.
            files: The checkpoints.
            open_store: Returns None as long as there is no store.
            listener: Where peers ask for checkpoints.
            fetcher: Asks peers for them.
            pauses: Between the steps of checkpoints.
        """
        super().__init__(setting.mailbox, setting.clock)
        self._open_store = open_store
        self._store: OpenedStore | None = None
        self._check = DivergenceCheck(
            setting.config,
            setting.mailbox.incarnation,
            clock=setting.clock,
            rng=rng,
            send_to_raft=lambda message: self.mailbox.send(RAFT, message),
        )
        self._compaction = AutoCompaction(
            setting.config,
            setting.mailbox.incarnation,
            now=setting.clock.now(),
            send_to_raft=lambda message: self.mailbox.send(RAFT, message),
        )
        self._checkpointer = Checkpointer(
            setting.config,
            files,
            clock=setting.clock,
            send_to_wal=lambda message: self.mailbox.send(WAL, message),
            pauses=pauses,
        )
        self._transfer = SnapshotTransfer(
            setting.config,
            files,
            clock=setting.clock,
            listener=listener,
            fetcher=fetcher,
            send_to_raft=lambda message: self.mailbox.send(RAFT, message),
        )
        self._backups = Backups(
            files.filesystem,
            files.directory,
            first_id=setting.mailbox.incarnation << 16,
            map_bytes=setting.config.map_bytes(),
            send=self.mailbox.send,
        )
        self.is_ready = True

    def neighbour_started(self, neighbour: Address) -> None:
        """Let go of a store that a new apply may replace."""
        if neighbour == APPLY:
            self._close_store()
        elif neighbour == WAL:
            self._checkpointer.wal_started()
        elif neighbour == RAFT:
            self._transfer.raft_started()
        elif neighbour.role in GATEWAY_ROLES:
            self._backups.forget(neighbour)

    def handle(self, sender: Address, message: Message, now: float) -> None:
        """Take one message in."""
        if isinstance(message, LeaderInfo):
            self._check.leader_info(message, now)
            self._compaction.leader_info(message)
        elif isinstance(message, HashQuery):
            self._check.query(message, now)
        elif isinstance(message, HashAnswer):
            self._check.answer(message, now)
        elif isinstance(message, LogSize):
            self._checkpointer.log_size(message)
        elif isinstance(message, SnapshotFetch):
            self._transfer.fetch(message.offer, now)
        elif isinstance(message, CheckpointMarked):
            self._checkpointer.marked(message)
        elif isinstance(message, SnapshotRead):
            source = None if self._store is None else self._store.source
            self._backups.read(sender, message, source, now)
        elif isinstance(message, StoreReplaced):
            self._close_store()
            self._store = self._open_store()
        elif isinstance(message, MemberTable) and self._store is None:
            # Its first message: by now apply has replaced the file, if it did not believe it. If there is
            # none, the next table says that there is one.
            self._store = self._open_store()

    def advance(self, now: float) -> None:
        """Do one slice of whatever is to be done."""
        backend, source = (None, None) if self._store is None else self._store[:2]
        self._check.advance(backend, now)
        self._compaction.advance(backend, now)
        self._checkpointer.advance(source, now)
        self._backups.advance(now)
        self._transfer.advance(now)

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until the next slice or timer."""
        wake_at = min(
            self._backups.wake_at(),
            self._check.wake_at(),
            self._checkpointer.wake_at(),
            self._compaction.wake_at(),
            self._transfer.wake_at(),
        )
        return max(0.0, wake_at - now)

    def _close_store(self) -> None:
        if self._store is not None:
            self._backups.store_closed("the store is in another file now; try again")
            self._checkpointer.store_closes()
            self._store.close()
            self._store = None

    def figures(self) -> tuple[Figure, ...]:
        """Return checkpoints for /metrics."""
        return (
            histogram_figure(
                "etcd_debugging_snap_save_total_duration_seconds", self._checkpointer.seconds
            ),
        )

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return checkpoints, transfers and comparisons for `zetcd status`."""
        return tuple(
            sorted(
                (
                    *self._backups.facts(),
                    *self._check.facts(),
                    *self._checkpointer.facts(),
                    *self._compaction.facts(),
                    *self._transfer.facts(),
                )
            )
        )

    def close(self) -> None:
        """Give up what is under way and close the store."""
        self._backups.close()
        self._checkpointer.close()
        self._transfer.close()
        self._close_store()


def build(setting: ActorSetting) -> tuple[Actor, Sequence[Pollable]]:
    """Remove what an earlier process left half-written, and build the actor."""
    config = setting.config
    files = CheckpointFiles(OSFileSystem(), config.snapshot_dir(), config.cluster_id())
    files.prepare()
    rng = Random()  # noqa: S311 - spreads comparisons in time, protects no secret
    listener = ZmqSnapshotListener(setting.context, (listen_url(config),))
    fetcher = ZmqSnapshotFetcher(
        setting.context, config.snapshot.chunk_bytes, PeerRoutes.of(config)
    )

    def open_store() -> OpenedStore | None:
        map_bytes = config.map_bytes()
        try:
            backend = LmdbBackend(Path(config.store_dir()), map_bytes=map_bytes, readonly=True)
        except NotCapable:
            return None
        return OpenedStore(backend, LmdbSource(backend, map_bytes=map_bytes), backend.close)

    actor = SnapshotActor(
        setting, rng, files, open_store=open_store, listener=listener, fetcher=fetcher
    )
    return actor, (listener, fetcher)
