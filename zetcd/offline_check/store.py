"""Responsible for opening a member's store for reading without touching anything beside it.

A damaged LMDB file does not raise errors only: LMDB maps it into memory, so a wrong page number or
a file that was cut short can end the process. Hence a process of its own reads everything once
before this one does.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import lmdb

from zetcd.errors import NotCapable
from zetcd.mvcc.backend import MULTI_VALUE_TABLES, Table
from zetcd.runtime.lmdb_backend import LmdbBackend

#: LMDB takes what the file itself says if that is more.
_MAP_BYTES: Final = 1024 * 1024
_DAMAGED: Final = 3


def open_store(directory: Path) -> LmdbBackend:
    """Open the store of a stopped member; LMDB's lock file is not used.

    Raises:
        NotCapable: there is none.
        lmdb.Error: the file is damaged.
    """
    return LmdbBackend(directory, map_bytes=_MAP_BYTES, readonly=True, has_writer=False)


def read_everything(directory: Path) -> int:
    """Read every key and value of every table; return the bytes read."""
    backend = open_store(directory)
    size = 0
    try:
        with backend.read() as transaction:
            for table in Table:
                opened = transaction.table(table)
                for key, value in opened.scan(b"", None):
                    values = opened.values(key) if table in MULTI_VALUE_TABLES else [value]
                    size += len(key) + sum(map(len, values))
    finally:
        backend.close()
    return size


def probe(directory: Path) -> str:
    """Return what is wrong with the file, empty if every page of it can be read."""
    command = [sys.executable, "-m", "zetcd.offline_check.store", str(directory)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return f"the file is damaged: reading it ended the reader with {name}"
    lines = done.stderr.strip().splitlines()
    return f"the file is damaged: {lines[-1] if lines else 'it cannot be read'}"


def _main(directory: str) -> int:
    try:
        read_everything(Path(directory))
    except (lmdb.Error, NotCapable) as error:
        sys.stderr.write(f"{error}\n")
        return _DAMAGED
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
