"""Whatever counts on a checkpoint finds it after a power loss, and the log goes on where the newest one ends."""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.invariants.durable_member import (
    durable_checkpoint,
    durable_log,
    newest_checkpoint,
)
from tests.simulation.invariants.invariant import Invariant, Observed, require
from zetcd.messages.raft import SnapshotMetadata
from zetcd.messages.snapshot import CheckpointMarked
from zetcd.snapshot.checkpoint_format import name_of

_NAME = "checkpoints durable"


class CheckpointsDurable(Invariant):
    """Reads the disk of whoever makes, fetches or marks a checkpoint as a power loss would leave it."""

    def offered(self, node: Observed, snapshot: SnapshotMetadata) -> None:
        require(
            durable_checkpoint(node, name_of(snapshot)) is not None,
            _NAME,
            f"{node.name} counts on the checkpoint at {snapshot.index}, which is not on its disk",
        )

    def marked(self, node: Observed, message: CheckpointMarked) -> None:
        del message
        _can_restart(node)

    def removed(self, node: Observed) -> None:
        _can_restart(node)

    def power_lost(self, nodes: Sequence[Observed]) -> None:
        for node in nodes:
            _can_restart(node)


def _can_restart(node: Observed) -> None:
    log = durable_log(node)
    if not log.mark.index:
        return
    newest = newest_checkpoint(node)
    index = 0 if newest is None else newest.snapshot.index
    require(
        index >= log.mark.index and log.first_index <= index + 1,
        _NAME,
        f"{node.name} has marked {log.mark.index} and its log begins at {log.first_index}, but its newest "
        f"checkpoint is at {index}",
    )
