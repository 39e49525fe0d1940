"""Responsible for what an invariant may look at, and for showing everything to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tests.simulation.world import Violation
from zetcd.apply import Applier
from zetcd.config import Config
from zetcd.messages.node import LeaderInfo
from zetcd.messages.raft import PeerMessage, SnapshotMetadata
from zetcd.messages.snapshot import CheckpointMarked
from zetcd.messages.storage import StorageAppend, StorageApply, WalState
from zetcd.runtime.log_storage import LogOptions
from zetcd.runtime.memory_backend import MemoryBackend
from zetcd.runtime.memory_files import MemoryFileSystem
from zetcd.scalars import NodeID


class Observed(Protocol):
    """A node, as the invariants see it."""

    name: str
    node_id: NodeID
    disk: MemoryFileSystem
    config: Config

    @property
    def store(self) -> MemoryBackend: ...

    def log_options(self) -> LogOptions: ...


class Invariant:
    """One property of a cluster; a subclass overrides what it needs to see and raises `Violation`."""

    def append(self, node: Observed, message: StorageAppend) -> None:
        """Raft asked its wal to make something durable."""

    def commit(self, node: Observed, message: StorageApply) -> None:
        """Raft told apply that entries are committed."""

    def leader(self, node: Observed, message: LeaderInfo) -> None:
        """Raft said who leads."""

    def recovered(self, node: Observed, message: WalState) -> None:
        """Wal told a new raft what it found."""

    def offered(self, node: Observed, snapshot: SnapshotMetadata) -> None:
        """A checkpoint was made, or fetched, and somebody was told to count on it."""

    def marked(self, node: Observed, message: CheckpointMarked) -> None:
        """Wal told that the mark of a checkpoint is durable, and from where on the log is still there."""

    def removed(self, node: Observed) -> None:
        """Files were removed, and nothing was synced since but perhaps their directory."""

    def sent(self, node: Observed, message: PeerMessage) -> None:
        """A raft message left a node."""

    def applied(self, node: Observed, applier: Applier) -> None:
        """Apply took a turn."""

    def acknowledged(self, origin: NodeID, batch: bytes) -> None:
        """A client was told the results of a batch."""

    def power_lost(self, nodes: Sequence[Observed]) -> None:
        """Imagine that power fails everywhere at this moment."""

    def finish(self, nodes: Sequence[Observed]) -> None:
        """The cluster has converged and rests."""


class Invariants(Invariant):
    """Shows everything to every invariant."""

    def __init__(self, invariants: Sequence[Invariant]) -> None:
        """Watch over ``invariants``, which are asked only for what they override."""
        self._all = tuple(invariants)
        self._append = [i.append for i in self._all if type(i).append is not Invariant.append]
        self._commit = [i.commit for i in self._all if type(i).commit is not Invariant.commit]
        self._sent = [i.sent for i in self._all if type(i).sent is not Invariant.sent]
        self._applied = [i.applied for i in self._all if type(i).applied is not Invariant.applied]

    def append(self, node: Observed, message: StorageAppend) -> None:
        for each in self._append:
            each(node, message)

    def commit(self, node: Observed, message: StorageApply) -> None:
        for each in self._commit:
            each(node, message)

    def sent(self, node: Observed, message: PeerMessage) -> None:
        for each in self._sent:
            each(node, message)

    def applied(self, node: Observed, applier: Applier) -> None:
        for each in self._applied:
            each(node, applier)

    def offered(self, node: Observed, snapshot: SnapshotMetadata) -> None:
        for each in self._all:
            each.offered(node, snapshot)

    def marked(self, node: Observed, message: CheckpointMarked) -> None:
        for each in self._all:
            each.marked(node, message)

    def removed(self, node: Observed) -> None:
        for each in self._all:
            each.removed(node)

    def leader(self, node: Observed, message: LeaderInfo) -> None:
        for each in self._all:
            each.leader(node, message)

    def recovered(self, node: Observed, message: WalState) -> None:
        for each in self._all:
            each.recovered(node, message)

    def acknowledged(self, origin: NodeID, batch: bytes) -> None:
        for each in self._all:
            each.acknowledged(origin, batch)

    def power_lost(self, nodes: Sequence[Observed]) -> None:
        for each in self._all:
            each.power_lost(nodes)

    def finish(self, nodes: Sequence[Observed]) -> None:
        for each in self._all:
            each.finish(nodes)


def require(holds: bool, name: str, text: str) -> None:
    """Raise the violation of the invariant ``name`` unless it holds."""
    if not holds:
        raise Violation(f"{name}: {text}")
