"""A checkpoint is the state machine at its index: term, revision, membership, tables of a store that never failed."""

from __future__ import annotations

from tests.simulation.invariants.durable_member import checkpoint_files
from tests.simulation.invariants.invariant import Invariant, Observed, require
from tests.simulation.invariants.reference import Reference
from tests.simulation.store import described
from zetcd.errors import CorruptCheckpoint
from zetcd.messages.raft import SnapshotMetadata
from zetcd.snapshot.checkpoint_format import name_of

_NAME = "checkpoints true"


class CheckpointsTrue(Invariant):
    """Compares what a checkpoint and the tables in it say with the reference; the tables themselves are
    compared when they have been restored (`state_machine_safety`)."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference

    def offered(self, node: Observed, snapshot: SnapshotMetadata) -> None:
        files, name = checkpoint_files(node), name_of(snapshot)
        try:
            info = files.verify(name)
        except (FileNotFoundError, CorruptCheckpoint):
            # Another invariant's concern.
            return
        index = snapshot.index
        term, revision, conf_state = self._reference.at(index)
        tables = described(files.open_for_reading(name).pread(info.trailer.tables_bytes, 0))
        wanted = SnapshotMetadata(index, term, conf_state)
        for what, found in (
            ("announced", snapshot),
            ("described", info.snapshot),
            ("in the tables", tables.snapshot),
        ):
            require(
                found == wanted,
                _NAME,
                f"the checkpoint of {node.name} should be at {wanted}, {what} is {found}",
            )
        require(
            revision == info.description.revision == tables.revision,
            _NAME,
            f"the checkpoint of {node.name} at {index} says revision {info.description.revision}, its "
            f"tables {tables.revision}; it is {revision}",
        )
