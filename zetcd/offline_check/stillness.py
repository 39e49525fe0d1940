"""Responsible for what is checked and for keeping it still meanwhile.

Takes the locks of the supervisor and of the log in shared mode, on files that exist: nothing is
made or written, several checks may run side by side, and a member cannot start meanwhile.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from zetcd.config import Config
from zetcd.errors import DataDirMismatch
from zetcd.runtime.log_storage import LOCK_NAME


class MemberPaths(NamedTuple):
    """The directories of one member."""

    data_dir: Path
    wal_dir: Path
    store_dir: Path
    checkpoint_dir: Path

    @classmethod
    def of_config(cls, config: Config) -> MemberPaths:
        """Return the directories that a configuration names."""
        data_dir = Path(config.data_dir)
        return cls(
            data_dir, Path(config.wal_dir), Path(config.store_dir()), data_dir / "member" / "snap"
        )

    @classmethod
    def of_data_dir(cls, data_dir: Path) -> MemberPaths:
        """Return the directories of a member that runs with the defaults below ``data_dir``."""
        return cls(data_dir, data_dir / "wal", data_dir / "db", data_dir / "member" / "snap")


@contextmanager
def held_still(paths: MemberPaths) -> Iterator[None]:
    """Keep the member from starting.

    Raises:
        DataDirMismatch: it runs, or there is no log.
        OSError: the directory cannot be read.
    """
    if not paths.wal_dir.is_dir():
        raise DataDirMismatch(f"there is no log in {paths.wal_dir}")
    with ExitStack() as stack:
        for lock in (paths.data_dir / LOCK_NAME, paths.wal_dir / LOCK_NAME):
            if not lock.exists():
                continue
            descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataDirMismatch(
                    f"{lock.parent} is in use by a running member; stop it first, or check a copy"
                ) from None
        yield
