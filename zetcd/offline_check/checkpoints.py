"""Responsible for the checkpoints of a member: whether each is whole, and restoring one elsewhere."""

from __future__ import annotations

from pathlib import Path

from zetcd.errors import CorruptCheckpoint
from zetcd.offline_check.log_check import Progress
from zetcd.offline_check.plan import Base
from zetcd.offline_check.report import Part, Verdict
from zetcd.runtime.checkpoint_files import CheckpointFiles
from zetcd.runtime.files import OSFileSystem
from zetcd.scalars import Index
from zetcd.snapshot.checkpoint_format import CheckpointInfo, CheckpointName


class Checkpoints:
    """What lies in the directory of checkpoints; verified when made."""

    def __init__(self, directory: Path, cluster_id: int, progress: Progress) -> None:
        """Verify every checkpoint in ``directory``, which need not exist."""
        self._files = CheckpointFiles(OSFileSystem(), str(directory), cluster_id)
        self._progress = progress
        self._names: dict[Base, CheckpointName] = {}
        #: One for each checkpoint, oldest first.
        self.parts: tuple[Part, ...] = tuple(map(self._verified, self._files.names()))

    @property
    def bases(self) -> tuple[Base, ...]:
        """Those that are whole, oldest first."""
        return tuple(self._names)

    def restore(self, base: Base, directory: Path) -> None:
        """Make a store of a checkpoint in an empty directory.

        Raises:
            CorruptCheckpoint: it has changed since it was verified.
        """
        self._files.restore(self._names[base], str(directory))

    def _verified(self, name: CheckpointName) -> Part:
        title = f"checkpoint {name.index}"
        try:
            info = self._read(name)
        except CorruptCheckpoint as error:
            return Part(title, Verdict.CORRUPT, error.detail)
        snapshot = info.snapshot
        self._names[Base(snapshot.index, snapshot.term, str(name))] = name
        facts: dict[str, int | str] = {
            "index": snapshot.index,
            "term": snapshot.term,
            "revision": info.description.revision,
            "compact_revision": info.description.compact_revision,
            "bytes": info.trailer.file_bytes,
            "digest": info.digest.hex(),
        }
        summary = f"{info.trailer.file_bytes} bytes, revision {info.description.revision}"
        return Part(title, Verdict.OK, f"{summary}, digest verified", facts)

    def _read(self, name: CheckpointName) -> CheckpointInfo:
        info = self._files.info(name)
        done, total = 0, info.trailer.file_bytes
        verification = self._files.verification(name)
        try:
            while chunk := verification.step():
                done += len(chunk)
                self._progress("checkpoint bytes", done, total)
        finally:
            verification.close()
        return info

    def missing(self, mark: Index) -> tuple[Part, ...]:
        """Return what the log's newest mark promises (0 = nothing) and no file here keeps."""
        if not mark or any(base.index >= mark for base in self._names):
            return ()
        summary = f"the log is marked at index {mark}, but no whole checkpoint is from there on"
        return (Part(f"checkpoint {mark} or newer", Verdict.CORRUPT, summary),)
