"""Responsible for a file system in memory that forgets what was not synced, for tests.

It keeps, beside the content that a running process sees, what the disk is sure to hold. A crash
mixes the two as a machine may: each page that was written and not synced is lost or kept on its
own, and of the changes of names that no sync of their directory has made durable a prefix is kept
(file systems journal names in order).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from typing import Final

from zetcd.runtime.files import File

#: Unit in which unsynced content is lost or kept.
PAGE_BYTES: Final = 4096


class _Node:
    """One file, whatever its name."""

    __slots__ = ("content", "durable", "page_bytes", "pages")

    def __init__(self, content: bytes = b"", page_bytes: int = PAGE_BYTES) -> None:
        #: What a reader sees.
        self.content = bytearray(content)
        #: What the disk is sure to hold.
        self.durable = bytearray(content)
        self.page_bytes = page_bytes
        #: Numbers of the pages in which the two may differ.
        self.pages: set[int] = set()

    def write(self, content: bytes, offset: int) -> None:
        """Write into memory."""
        if len(self.content) < offset:
            self.content.extend(bytes(offset - len(self.content)))
        self.content[offset : offset + len(content)] = content
        last = (offset + max(len(content), 1) - 1) // self.page_bytes
        self.pages.update(range(offset // self.page_bytes, last + 1))

    def sync(self) -> None:
        """Make what is in memory durable."""
        size = self.page_bytes
        self.durable.extend(bytes(len(self.content) - len(self.durable)))
        for page in sorted(self.pages):
            self.durable[page * size : (page + 1) * size] = self.content[
                page * size : (page + 1) * size
            ]
        self.pages.clear()

    def drop_cache(self) -> None:
        """Make a reader see what the disk holds, but for pages that wait to be written."""
        seen, size = self.content, self.page_bytes
        self.content = bytearray(self.durable.ljust(len(seen), b"\0"))
        for page in sorted(self.pages):
            self.content[page * size : (page + 1) * size] = seen[page * size : (page + 1) * size]

    def copy(self) -> _Node:
        """Return an independent copy."""
        other = _Node(bytes(self.content), self.page_bytes)
        other.durable = bytearray(self.durable)
        other.pages = set(self.pages)
        return other

    def after_crash(self, keeps: Callable[[int], bool]) -> _Node:
        """Return what is left; an unsynced page is new if ``keeps`` says so, else as it was."""
        left = bytearray(self.durable)
        for page in sorted(self.pages):
            if keeps(page):
                start, end = page * self.page_bytes, (page + 1) * self.page_bytes
                left.extend(bytes(max(0, min(end, len(self.content)) - len(left))))
                left[start:end] = self.content[start:end]
        return _Node(bytes(left), self.page_bytes)


class MemoryFile:
    """An open file of a `MemoryFileSystem`."""

    __slots__ = ("_is_read_only", "_node", "_system")

    def __init__(self, system: MemoryFileSystem, node: _Node, *, is_read_only: bool) -> None:
        """Open ``node``."""
        self._system = system
        self._node = node
        self._is_read_only = is_read_only

    def pwrite(self, content: bytes, offset: int) -> None:
        """Write into memory."""
        assert not self._is_read_only
        self._system.note("pwrite")
        self._node.write(content, offset)

    def pread(self, size: int, offset: int) -> bytes:
        """Return up to ``size`` bytes from ``offset``."""
        self._system.note("pread")
        return bytes(memoryview(self._node.content)[offset : offset + size])

    def fdatasync(self) -> None:
        """Make the content durable."""
        self._system.syncing = self._node
        self._system.note("fdatasync")
        self._system.syncing = None
        self._node.sync()

    def preallocate(self, size: int) -> None:
        """Extend with zeros."""
        self._system.note("preallocate")
        missing = size - len(self._node.content)
        if missing > 0:
            self._node.content.extend(bytes(missing))

    def drop_cache(self, offset: int = 0, size: int = 0) -> None:
        """Read again from the disk what does not wait to be written; here always the whole file."""
        del offset, size
        self._system.note("drop_cache")
        self._node.drop_cache()

    def size(self) -> int:
        """Return the bytes of the file."""
        return len(self._node.content)

    def close(self) -> None:
        """Release the lock, if this file is one."""
        self._system.unlock(self._node)


class MemoryFileSystem:
    """Files in memory. Paths are plain strings; directories exist once made."""

    def __init__(self, *, page_bytes: int = PAGE_BYTES) -> None:
        """Start empty.

        Args:
            page_bytes: unit of loss in a crash; 512 models single sectors.
        """
        self._page_bytes = page_bytes
        self._names: dict[str, _Node] = {}
        self._durable_names: dict[str, _Node] = {}
        #: Changes of names that are not durable: path and its new node, None = removed.
        self._changes: list[tuple[str, _Node | None]] = []
        self._locked: list[_Node] = []
        #: Number of calls so far, by kind.
        self.calls: dict[str, int] = {}
        #: Called with the kind before each call that touches the disk; may raise `OSError`.
        self.before_call: Callable[[str], None] | None = None
        #: Called after that: looks, and changes nothing.
        self.observer: Callable[[str], None] | None = None
        #: The file whose fdatasync is under way; only within `before_call`.
        self.syncing: _Node | None = None

    def note(self, kind: str) -> None:
        """Count a call, and let it fail if a test wants that."""
        self.calls[kind] = self.calls.get(kind, 0) + 1
        if self.before_call is not None:
            self.before_call(kind)
        if self.observer is not None:
            self.observer(kind)

    def fail_call(self, number: int, error: int = errno.EIO) -> None:
        """Let the ``number``-th call from now on and all later ones raise ``error``."""
        left = number

        def count_down(kind: str) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise OSError(error, f"injected failure of {kind}")

        self.before_call = count_down

    # --- FileSystem ------------------------------------------------------------------------------

    def make_directory(self, path: str) -> None:
        """Do nothing: every path is allowed."""

    def open(self, path: str, *, is_new: bool = False, is_read_only: bool = False) -> MemoryFile:
        """Open an existing file, or make a new one that must not exist."""
        self.note("open")
        if is_new:
            if path in self._names:
                raise FileExistsError(errno.EEXIST, "the file exists", path)
            self._rebind(path, _Node(page_bytes=self._page_bytes))
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return MemoryFile(self, self._names[path], is_read_only=is_read_only)

    def list_names(self, directory: str) -> list[str]:
        """Return the names in ``directory``, sorted."""
        self.note("list_names")
        prefix = directory + "/"
        return sorted(path[len(prefix) :] for path in self._names if path.startswith(prefix))

    def rename(self, old_path: str, new_path: str) -> None:
        """Rename a file."""
        self.note("rename")
        node = self._names[old_path]
        self._rebind(old_path, None)
        self._rebind(new_path, node)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        self.note("unlink")
        self._rebind(path, None)

    def sync_directory(self, path: str) -> None:
        """Make the names in ``path`` durable, and no others."""
        self.note("sync_directory")
        left: list[tuple[str, _Node | None]] = []
        for changed, node in self._changes:
            if changed.rpartition("/")[0] != path:
                left.append((changed, node))
            elif node is None:
                self._durable_names.pop(changed, None)
            else:
                self._durable_names[changed] = node
        self._changes = left

    def lock(self, path: str) -> File:
        """Take the lock; a second taker gets `BlockingIOError`."""
        self.note("lock")
        if path not in self._names:
            self._rebind(path, _Node(page_bytes=self._page_bytes))
        node = self._names[path]
        if any(node is each for each in self._locked):
            raise BlockingIOError(errno.EAGAIN, "the lock is taken", path)
        self._locked.append(node)
        return MemoryFile(self, node, is_read_only=True)

    # --- faults ----------------------------------------------------------------------------------

    def unlock(self, node: _Node) -> None:
        """Give a lock back; nothing happens if ``node`` is not one."""
        self._locked = [each for each in self._locked if each is not node]

    def unlock_all(self) -> None:
        """Give every lock back, as the kernel does for a process that was killed."""
        self._locked.clear()

    def _rebind(self, path: str, node: _Node | None) -> None:
        self._changes.append((path, node))
        if node is None:
            del self._names[path]
        else:
            self._names[path] = node

    def unsynced_pages(self) -> list[tuple[str, int]]:
        """Return (path, page number) of everything written and not synced, sorted."""
        return sorted((path, page) for path, node in self._names.items() for page in node.pages)

    def unsynced_names(self) -> int:
        """Return how many changes of names are not synced."""
        return len(self._changes)

    def crash(
        self,
        keeps_page: Callable[[str, int], bool],
        *,
        names_kept: int = 0,
        directory: str = "",
    ) -> MemoryFileSystem:
        """Return the file system that a new process finds after the power failed now.

        Args:
            keeps_page: whether an unsynced page, by path and page number, reached the disk.
            names_kept: how many of the unsynced changes of names reached it, oldest first.
            directory: return what is in it only; empty = everything.
        """
        names = dict(self._durable_names)
        for path, node in self._changes[:names_kept]:
            if node is None:
                names.pop(path, None)
            else:
                names[path] = node
        left = MemoryFileSystem(page_bytes=self._page_bytes)
        for path, node in names.items():
            if not directory or path.startswith(directory + "/"):
                left._names[path] = node.after_crash(partial(keeps_page, path))
        left._durable_names = dict(left._names)
        return left

    def forget_unsynced(self) -> None:
        """Do what Linux does when fdatasync fails: what was not written counts as clean from then on.

        It stays in the cache and is read from there, but the disk does not have it and never will. Called
        from `before_call`, it is about the file that is being synced, else about all.
        """
        for node in self._names.values() if self.syncing is None else (self.syncing,):
            node.pages.clear()

    def process_crash(self) -> MemoryFileSystem:
        """Return what a new process finds after this one was killed: all of it, still unsynced."""
        left = MemoryFileSystem(page_bytes=self._page_bytes)
        copies: dict[int, _Node] = {}

        def copied(node: _Node) -> _Node:
            return copies.setdefault(id(node), node.copy())

        left._names = {path: copied(node) for path, node in self._names.items()}
        left._durable_names = {path: copied(node) for path, node in self._durable_names.items()}
        left._changes = [(path, node and copied(node)) for path, node in self._changes]
        return left

    # --- for tests -------------------------------------------------------------------------------

    def content_of(self, path: str) -> bytes:
        """Return the content of a file."""
        return bytes(self._names[path].content)

    def replace_content(self, path: str, content: bytes) -> None:
        """Damage a file: durable at once."""
        self._names[path] = self._durable_names[path] = _Node(content, self._page_bytes)
