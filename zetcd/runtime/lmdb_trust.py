"""Responsible for deciding whether the LMDB file on disk may be believed after a restart.

LMDB runs without sync: the log is the truth and LMDB its cache. The file is whole after a clean stop
and after the death of a process (the kernel still has every page), but not after the death of the
operating system. A marker file beside it says which boot of the machine wrote it last:

    "clean"      the file was synced and closed; any boot may believe it
    a boot id    a process had it open in that boot; only the same boot may believe it
    "restore <index>"   nobody may believe it: it lacks what the log no longer holds and must be
                 rebuilt from a checkpoint at that index or above
    missing      nobody vouches for it

The marker is durable before the first page may change, and after the last page of a restored
checkpoint is there, so no crash leaves a marker that lies.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from zetcd.runtime.files import FileSystem, OSFileSystem
from zetcd.scalars import Index

_MARKER: Final = "trust"
_CLEAN: Final = "clean"
_RESTORE: Final = "restore"
_BOOT_ID_FILE: Final = "/proc/sys/kernel/random/boot_id"
#: More than any marker has.
_MARKER_BYTES_MAX: Final = 256
_OS_FILES: Final = OSFileSystem()


def boot_id() -> str:
    """Return the id of the current boot of this machine."""
    return Path(_BOOT_ID_FILE).read_text(encoding="ascii").strip()


def open_directory(
    directory: Path,
    boot: str,
    restore: Callable[[Path, Index], None] | None = None,
    files: FileSystem = _OS_FILES,
) -> bool:
    """Prepare ``directory`` for LMDB and mark it as open in ``boot``.

    Args:
        directory: Where the file is.
        boot: The current boot.
        restore: Puts a checkpoint into the emptied directory, if there is one; is given the least
            index that it must have, 0 = any will do, and so does none.
        files: Where the directory is.

    Returns:
        Whether what was in it may be believed; if not, it has been discarded, and the log must be
        replayed from the restored checkpoint on, or from its beginning.
    """
    trusted = is_trusted(directory, boot, files)
    if not trusted:
        index = required_index(directory, files)
        # Everything but the marker: what it demands must outlive a crash before it is met.
        _clear(directory, files)
        if restore is not None:
            restore(directory, index)
    _write(directory, boot, files)
    return trusted


def demand_checkpoint(directory: Path, index: Index, files: FileSystem = _OS_FILES) -> None:
    """Let the next start discard the file and restore a checkpoint at ``index`` or above; durable."""
    _write(directory, f"{_RESTORE} {index}", files)


def distrust(directory: Path, files: FileSystem = _OS_FILES) -> None:
    """Let the next start discard the file: what was to be synced may be lost, and the kernel calls it clean."""
    _write(directory, f"{_RESTORE} 0", files)


def required_index(directory: Path, files: FileSystem = _OS_FILES) -> Index:
    """Return the index that a checkpoint must have to take the file's place; 0 = any will do."""
    words = (_read(directory, files) or "").split()
    return int(words[1]) if words[:1] == [_RESTORE] else 0


def is_trusted(directory: Path, boot: str, files: FileSystem = _OS_FILES) -> bool:
    """Return whether what is in ``directory`` may be believed in ``boot``; changes nothing."""
    return _read(directory, files) in (_CLEAN, boot)


def mark_clean(directory: Path, files: FileSystem = _OS_FILES) -> None:
    """Vouch for the file; only after it has been synced and with no writer left."""
    _write(directory, _CLEAN, files)


def mark_open(directory: Path, boot: str) -> None:
    """Let the same boot believe a file that holds what the believed one beside it holds.

    Not synced: after the death of the operating system nobody believes it anyway, marker or not.
    """
    (directory / _MARKER).write_text(boot, encoding="ascii")


def _clear(directory: Path, files: FileSystem) -> None:
    """Remove everything but the marker; make the directory if there is none."""
    try:
        names = files.list_names(str(directory))
    except FileNotFoundError:
        files.make_directory(str(directory))
        return
    for name in names:
        if name != _MARKER:
            files.unlink(str(directory / name))


def _read(directory: Path, files: FileSystem) -> str | None:
    """Return what the marker says, None if there is none."""
    try:
        file = files.open(str(directory / _MARKER), is_read_only=True)
    except FileNotFoundError:
        return None
    try:
        return file.pread(_MARKER_BYTES_MAX, 0).decode("ascii")
    finally:
        file.close()


def _write(directory: Path, text: str, files: FileSystem) -> None:
    """Replace the marker durably: file, rename, directory."""
    name = f"{_MARKER}.new"
    if name in files.list_names(str(directory)):
        # Whoever began to write it was interrupted.
        files.unlink(str(directory / name))
    file = files.open(str(directory / name), is_new=True)
    try:
        file.pwrite(text.encode("ascii"), 0)
        file.fdatasync()
    finally:
        file.close()
    files.rename(str(directory / name), str(directory / _MARKER))
    files.sync_directory(str(directory))
