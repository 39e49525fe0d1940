"""Responsible for the store that apply starts with: the one on disk, a restored checkpoint, or an empty one.

    LMDB file trusted?      yes: use it as it is; it says itself how far it is
                            no:  newest checkpoint whose digest is right, an older one if that is
                                 damaged, else an empty store; the log is replayed from there
    checkpoint demanded?    one at the demanded index or above, or the member refuses to start

A checkpoint may be newer than the local log. That is the same as an apply that was ahead of the log when
the process ended: the missing entries come from the leader, and those applied already are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from zetcd.apply import Identity, adopt
from zetcd.config import Config
from zetcd.errors import CorruptCheckpoint, NothingToRestore
from zetcd.mvcc.backend import Backend
from zetcd.runtime import lmdb_trust
from zetcd.runtime.checkpoint_files import CheckpointFiles
from zetcd.runtime.files import FileSystem, OSFileSystem
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.scalars import Index
from zetcd.snapshot.checkpoint_format import CheckpointName


class OpenTables(Backend, Protocol):
    """Tables in a file that was opened."""

    def close(self) -> None:
        """Close the file; no transaction may be open."""


_Tables = TypeVar("_Tables", bound=OpenTables)


def open_store(config: Config) -> LmdbBackend:
    """Open the store for writing; nobody else may write it.

    Raises:
        NothingToRestore: a checkpoint is needed, and there is none that is whole.
        lmdb.Error: LMDB could not open the file.
    """

    def open_tables(directory: Path) -> LmdbBackend:
        return LmdbBackend(directory, map_bytes=config.map_bytes())

    return open_tables_of(config, OSFileSystem(), lmdb_trust.boot_id(), open_tables)


def open_tables_of(
    config: Config, files: FileSystem, boot: str, open_tables: Callable[[Path], _Tables]
) -> _Tables:
    """Bring the store's file into the state that may be believed, and open it with ``open_tables``.

    Raises:
        NothingToRestore: a checkpoint is needed, and there is none that is whole.
    """
    directory = Path(config.store_dir())
    restored: list[CheckpointName] = []

    def restore(target: Path, least_index: Index) -> None:
        name = restore_checkpoint(config, files, target, least_index)
        if name is None:
            return
        restored.append(name)
        # It may have been made by another member. Before anybody vouches for the file: a process that dies
        # in between must not leave one that the next process believes and that is not this member's.
        tables = open_tables(target)
        try:
            adopt(tables, Identity(config.cluster_id(), config.member_id()))
        finally:
            tables.close()

    is_trusted = lmdb_trust.open_directory(directory, boot, restore, files)
    backend = open_tables(directory)
    structlog.get_logger().info(
        "store opened",
        is_trusted=is_trusted,
        checkpoint=str(restored[0]) if restored else "",
    )
    return backend


def restore_checkpoint(
    config: Config, filesystem: FileSystem, directory: Path, least_index: Index
) -> CheckpointName | None:
    """Put the newest whole checkpoint into an empty store directory.

    Returns:
        Its name; None if there is none and none is needed (``least_index`` is 0).

    Raises:
        NothingToRestore: none at ``least_index`` or above is whole.
    """
    log = structlog.get_logger()
    files = CheckpointFiles(filesystem, config.snapshot_dir(), config.cluster_id())
    names = [name for name in files.names() if name.index >= least_index]
    for name in reversed(names):
        try:
            files.restore(name, str(directory))
        except CorruptCheckpoint as error:
            log.error("a checkpoint is damaged", checkpoint=str(name), error=str(error))
        except FileNotFoundError:
            # A newer one has taken its place.
            continue
        else:
            return name
    if least_index:
        raise NothingToRestore(_how_to_rejoin(config, least_index, len(names)))
    return None


def _how_to_rejoin(config: Config, least_index: Index, damaged_count: int) -> str:
    found = f"{damaged_count} of them damaged" if damaged_count else "there is none"
    return (
        f"the log begins behind index {least_index}, so a checkpoint at that index or above is needed "
        f"in {config.snapshot_dir()}, and {found}. This member cannot go on. To re-join: remove member "
        f"{config.member_id():x} from the cluster, move its data directory away, and add the member "
        f"again with an empty data directory"
    )
