"""Responsible for file systems of our own: a small tmpfs, and an ext4 that can lose its power."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Final

#: ``_IOR('X', 125, __u32)``: the file system stops as if the machine had lost its power.
_EXT4_IOC_SHUTDOWN: Final = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125
#: Not even the journal is written out first.
_NO_LOG_FLUSH: Final = 2


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Mount:
    """A mounted file system; `close` unmounts it, whoever still uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)

    def close(self) -> None:
        """Unmount."""
        if os.path.ismount(self.path):
            _run("umount", "--lazy", str(self.path))


class Tmpfs(Mount):
    """A file system in memory, of a given size."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        super().__init__(path)
        _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "tmpfs", str(path))


class PowerDisk(Mount):
    """An ext4 in a file, which forgets on `cut_power` whatever was not synced."""

    def __init__(self, path: Path, image: Path, size_bytes: int) -> None:
        super().__init__(path)
        self._image = image
        with image.open("wb") as file:
            file.truncate(size_bytes)
        _run("mkfs.ext4", "-q", "-F", str(image))
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def cut_power(self) -> None:
        """Let every write fail from now on, and forget what is not on the disk yet."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(handle, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def restore_power(self) -> None:
        """Mount again what the disk holds; nobody may use the old mount any more."""
        _run("umount", str(self.path))
        self._mount()


def mount_missing() -> str:
    """Return what is missing for mounts; "" = nothing."""
    if os.geteuid() != 0:
        return "mounting needs root"
    with tempfile.TemporaryDirectory() as directory:
        try:
            mount = Tmpfs(Path(directory) / "probe", 1 << 20)
        except (OSError, subprocess.CalledProcessError) as error:
            return f"tmpfs cannot be mounted: {error}"
        mount.close()
    return ""


def power_missing() -> str:
    """Return what is missing for power losses; "" = nothing."""
    if os.geteuid() != 0:
        return "mounting needs root"
    if shutil.which("mkfs.ext4") is None:
        return "mkfs.ext4 is not installed"
    with tempfile.TemporaryDirectory() as directory:
        disk: PowerDisk | None = None
        try:
            disk = PowerDisk(Path(directory) / "probe", Path(directory) / "image", 8 << 20)
            disk.cut_power()
        except (OSError, subprocess.CalledProcessError) as error:
            return f"ext4 in a file cannot be mounted and shut down: {error}"
        finally:
            if disk is not None:
                disk.close()
    return ""
