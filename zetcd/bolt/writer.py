"""Responsible for writing a bbolt file in one go, from sorted keys, with memory for one page a level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from zetcd.bolt.layout import (
    BRANCH_ELEMENT,
    BRANCH_PAGE,
    BUCKET,
    BUCKET_FLAG,
    FREELIST_PAGE,
    LEAF_ELEMENT,
    LEAF_PAGE,
    MAGIC,
    PAGE,
    PAGE_BYTES,
    VERSION,
    Meta,
    encode_meta,
)

#: Bytes that are collected before they are written.
BUFFER_BYTES: Final = 256 * 1024
_FREELIST: Final = 2
_FIRST_PAGE: Final = 3
#: bbolt wants two children in every branch but the root.
_CHILDREN_MIN: Final = 2


@dataclass(slots=True)
class _Leaf:
    """The leaf that is being filled."""

    pairs: list[tuple[bytes, bytes, int]] = field(default_factory=list)
    size: int = PAGE.size


@dataclass(slots=True)
class _Branch:
    """The branch of one level that is being filled."""

    children: list[tuple[bytes, int]] = field(default_factory=list)
    size: int = PAGE.size


class BoltWriter:
    """Writes one file; buckets and keys must come in ascending order.

    Invariant: every page before ``_next_page`` is written or in the buffer, and reachable in the end.
    """

    def __init__(self, pwrite: Callable[[bytes, int], object]) -> None:
        """Write with ``pwrite(content, offset)``; the two meta pages come last."""
        self._pwrite = pwrite
        self._next_page = _FIRST_PAGE
        self._buffer = bytearray(PAGE.pack(_FREELIST, FREELIST_PAGE, 0, 0).ljust(PAGE_BYTES, b"\0"))
        self._buffer_offset = _FREELIST * PAGE_BYTES
        self._buckets: list[tuple[bytes, bytes, int]] = []
        self._name: bytes | None = None
        self._last_key: bytes | None = None
        self._leaf = _Leaf()
        self._levels: list[_Branch] = []

    def begin_bucket(self, name: bytes) -> None:
        """Begin the next bucket."""
        assert self._name is None, "buckets do not hold buckets"
        assert not self._buckets or self._buckets[-1][0] < name, "buckets must ascend"
        self._name = name
        self._begin_tree()

    def add(self, key: bytes, value: bytes) -> None:
        """Add the next pair of the open bucket."""
        assert self._name is not None, "no bucket is open"
        self._add(key, value, 0)

    def end_bucket(self) -> None:
        """End the open bucket."""
        assert self._name is not None, "no bucket is open"
        root = self._end_tree()
        if root:
            value = BUCKET.pack(root, 0)
        else:
            # An empty bucket is its own page, in its value.
            value = BUCKET.pack(0, 0) + PAGE.pack(0, LEAF_PAGE, 0, 0)
        self._buckets.append((self._name, value, BUCKET_FLAG))
        self._name = None

    def finish(self) -> int:
        """Write what is left, and the meta pages; return the bytes of the file."""
        assert self._name is None, "a bucket is open"
        self._begin_tree()
        for name, value, flags in self._buckets:
            self._add(name, value, flags)
        root = self._end_tree() or self._write_leaf(_Leaf())
        self._flush()
        for page_id in (0, 1):
            meta = Meta(MAGIC, VERSION, PAGE_BYTES, 0, root, 0, _FREELIST, self._next_page, page_id)
            self._pwrite(encode_meta(page_id, meta), page_id * PAGE_BYTES)
        return self._next_page * PAGE_BYTES

    # --- one tree -----------------------------------------------------------------------------------

    def _begin_tree(self) -> None:
        self._last_key = None
        self._leaf = _Leaf()
        self._levels = []

    def _add(self, key: bytes, value: bytes, flags: int) -> None:
        assert self._last_key is None or self._last_key < key, "keys must ascend"
        self._last_key = key
        size = LEAF_ELEMENT.size + len(key) + len(value)
        leaf = self._leaf
        if leaf.pairs and leaf.size + size > PAGE_BYTES:
            self._end_leaf()
            leaf = self._leaf
        leaf.pairs.append((key, value, flags))
        leaf.size += size

    def _end_leaf(self) -> None:
        leaf, self._leaf = self._leaf, _Leaf()
        self._add_child(0, leaf.pairs[0][0], self._write_leaf(leaf))

    def _add_child(self, level: int, first_key: bytes, page_id: int) -> None:
        if level == len(self._levels):
            self._levels.append(_Branch())
        branch = self._levels[level]
        size = BRANCH_ELEMENT.size + len(first_key)
        if branch.size + size > PAGE_BYTES and len(branch.children) > _CHILDREN_MIN:
            # The last child stays, so that the next branch has two at least.
            kept = branch.children.pop()
            self._end_branch(level)
            branch = self._levels[level]
            branch.children.append(kept)
            branch.size += BRANCH_ELEMENT.size + len(kept[0])
        branch.children.append((first_key, page_id))
        branch.size += size

    def _end_branch(self, level: int) -> None:
        branch, self._levels[level] = self._levels[level], _Branch()
        self._add_child(level + 1, branch.children[0][0], self._write_branch(branch))

    def _end_tree(self) -> int:
        """Write what is open, from the bottom up; return the root, 0 = the tree is empty."""
        if not self._levels:
            return self._write_leaf(self._leaf) if self._leaf.pairs else 0
        if self._leaf.pairs:
            self._end_leaf()
        level = 0
        while level + 1 < len(self._levels):
            self._end_branch(level)
            level += 1
        return self._write_branch(self._levels[level])

    # --- pages --------------------------------------------------------------------------------------

    def _write_leaf(self, leaf: _Leaf) -> int:
        elements, content = bytearray(), bytearray()
        position = LEAF_ELEMENT.size * len(leaf.pairs)
        for key, value, flags in leaf.pairs:
            elements += LEAF_ELEMENT.pack(flags, position + len(content), len(key), len(value))
            content += key
            content += value
            position -= LEAF_ELEMENT.size
        return self._write_page(LEAF_PAGE, len(leaf.pairs), bytes(elements + content))

    def _write_branch(self, branch: _Branch) -> int:
        elements, content = bytearray(), bytearray()
        position = BRANCH_ELEMENT.size * len(branch.children)
        for key, page_id in branch.children:
            elements += BRANCH_ELEMENT.pack(position + len(content), len(key), page_id)
            content += key
            position -= BRANCH_ELEMENT.size
        return self._write_page(BRANCH_PAGE, len(branch.children), bytes(elements + content))

    def _write_page(self, flags: int, count: int, body: bytes) -> int:
        page_id = self._next_page
        pages = -(-(PAGE.size + len(body)) // PAGE_BYTES)
        self._next_page += pages
        self._buffer += PAGE.pack(page_id, flags, count, pages - 1)
        self._buffer += body
        self._buffer += bytes(pages * PAGE_BYTES - PAGE.size - len(body))
        if len(self._buffer) >= BUFFER_BYTES:
            self._flush()
        return page_id

    def _flush(self) -> None:
        self._pwrite(bytes(self._buffer), self._buffer_offset)
        self._buffer_offset += len(self._buffer)
        self._buffer.clear()
