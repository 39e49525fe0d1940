"""Responsible for reading a bbolt file that may be damaged: whatever it says is checked before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from zetcd.bolt.layout import (
    BRANCH_ELEMENT,
    BRANCH_PAGE,
    BUCKET,
    BUCKET_FLAG,
    LEAF_ELEMENT,
    LEAF_PAGE,
    PAGE,
    Meta,
    decode_meta,
    other_version,
)
from zetcd.errors import CorruptSnapshot

#: Page sizes that a file may have.
_PAGE_BYTES_MIN: Final = 512
_PAGE_BYTES_MAX: Final = 64 * 1024
#: Bytes of one page with its overflow: etcd's requests are far smaller.
_RUN_BYTES_MAX: Final = 256 * 1024 * 1024
#: Deeper than any tree of such files.
_DEPTH_MAX: Final = 32
#: Pages before the first one of a tree.
_META_PAGES: Final = 2


class _Leaf(NamedTuple):
    """One element of a leaf."""

    key: bytes
    value: bytes
    flags: int


class BoltReader:
    """The buckets of one file.

    Every method raises `CorruptSnapshot` if what it reads contradicts itself.
    """

    def __init__(self, pread: Callable[[int, int], bytes], size: int) -> None:
        """Read with ``pread(size, offset)`` from a file of ``size`` bytes."""
        self._pread = pread
        self._size = size
        self.meta = self._find_meta()
        if self.meta.pages * self.meta.page_bytes > size:
            raise CorruptSnapshot(
                f"the file has {size} bytes, its meta page says "
                f"{self.meta.pages} pages of {self.meta.page_bytes}"
            )

    @property
    def data_bytes(self) -> int:
        """Bytes of all pages."""
        return self.meta.pages * self.meta.page_bytes

    def names(self) -> list[bytes]:
        """Return the names of the buckets, ascending."""
        return [element.key for element in self._walk(self.meta.root)]

    def bucket(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs of a bucket, ascending; nothing if there is no such bucket."""
        for element in self._walk(self.meta.root):
            if element.key == name:
                if not element.flags & BUCKET_FLAG:
                    raise CorruptSnapshot(f"{name!r} is no bucket")
                yield from self._pairs(element.value)
                return

    def get(self, name: bytes, key: bytes) -> bytes | None:
        """Return the value of ``key`` in a small bucket, which is read through."""
        return next((value for found, value in self.bucket(name) if found == key), None)

    # --- trees --------------------------------------------------------------------------------------

    def _pairs(self, bucket: bytes) -> Iterator[tuple[bytes, bytes]]:
        if len(bucket) < BUCKET.size:
            raise CorruptSnapshot("a bucket is cut off")
        root, _ = BUCKET.unpack_from(bucket)
        elements = (
            self._walk(root)
            if root
            else self._ascending(_leaf_elements(bucket[BUCKET.size :], "inline"))
        )
        for element in elements:
            if element.flags & BUCKET_FLAG:
                raise CorruptSnapshot("a bucket within a bucket")
            yield element.key, element.value

    def _walk(self, root: int) -> Iterator[_Leaf]:
        """Yield the elements of a tree, ascending."""
        return self._ascending(self._subtree(root, _DEPTH_MAX))

    @staticmethod
    def _ascending(elements: Iterator[_Leaf]) -> Iterator[_Leaf]:
        # What ascends visits no page twice: a cycle cannot go on for ever.
        last: bytes | None = None
        for element in elements:
            if last is not None and element.key <= last:
                raise CorruptSnapshot("keys do not ascend")
            last = element.key
            yield element

    def _subtree(self, page_id: int, depth: int) -> Iterator[_Leaf]:
        if not depth:
            raise CorruptSnapshot(f"a tree is deeper than {_DEPTH_MAX} pages")
        page = self._page(page_id)
        _, flags, count, _ = PAGE.unpack_from(page)
        where = f"page {page_id}"
        if flags & LEAF_PAGE:
            yield from _leaf_elements(page, where)
        elif flags & BRANCH_PAGE and count:
            for child in _branch_children(page, where):
                yield from self._subtree(child, depth - 1)
        else:
            raise CorruptSnapshot(f"{where} is neither branch nor leaf")

    # --- pages --------------------------------------------------------------------------------------

    def _find_meta(self) -> Meta:
        """Return the newer of the meta pages that are whole."""
        found: list[Meta] = []
        page_bytes = _PAGE_BYTES_MIN
        offsets = [0]
        while page_bytes <= _PAGE_BYTES_MAX:
            offsets.append(page_bytes)
            page_bytes *= 2
        for offset in offsets:
            meta = decode_meta(self._pread(_PAGE_BYTES_MIN, offset))
            if (
                meta is not None
                and _is_page_size(meta.page_bytes)
                and (offset in (0, meta.page_bytes))
            ):
                found.append(meta)
        if not found:
            version = other_version(self._pread(_PAGE_BYTES_MIN, 0))
            if version is not None:
                # bbolt's words.
                raise CorruptSnapshot(f"version mismatch: of bbolt's file format {version}")
            raise CorruptSnapshot("the file has no meta page of bbolt that is whole")
        return max(found, key=lambda meta: meta.transaction)

    def _page(self, page_id: int) -> bytes:
        """Return a page with its overflow."""
        meta = self.meta
        if not _META_PAGES <= page_id < meta.pages:
            raise CorruptSnapshot(f"page {page_id} of {meta.pages} is referred to")
        page = self._pread(meta.page_bytes, page_id * meta.page_bytes)
        if len(page) < meta.page_bytes:
            raise CorruptSnapshot(f"page {page_id} is cut off")
        own_id, _, _, overflow = PAGE.unpack_from(page)
        if own_id != page_id:
            raise CorruptSnapshot(f"page {page_id} says that it is page {own_id}")
        size = (overflow + 1) * meta.page_bytes
        if page_id + overflow >= meta.pages or size > _RUN_BYTES_MAX:
            raise CorruptSnapshot(f"page {page_id} has an overflow of {overflow} pages")
        if overflow:
            page = self._pread(size, page_id * meta.page_bytes)
            if len(page) < size:
                raise CorruptSnapshot(f"page {page_id} is cut off")
        return page


def _is_page_size(size: int) -> bool:
    return _PAGE_BYTES_MIN <= size <= _PAGE_BYTES_MAX and size & (size - 1) == 0


def _leaf_elements(page: bytes, where: str) -> Iterator[_Leaf]:
    """Yield the elements of a leaf."""
    if len(page) < PAGE.size:
        raise CorruptSnapshot(f"{where} is cut off")
    _, flags, count, _ = PAGE.unpack_from(page)
    if not flags & LEAF_PAGE or PAGE.size + count * LEAF_ELEMENT.size > len(page):
        raise CorruptSnapshot(f"{where} is no leaf of {count} elements")
    for position in range(count):
        offset = PAGE.size + position * LEAF_ELEMENT.size
        element_flags, start, key_size, value_size = LEAF_ELEMENT.unpack_from(page, offset)
        start += offset
        if start + key_size + value_size > len(page):
            raise CorruptSnapshot(f"{where}: element {position} ends behind the page")
        middle = start + key_size
        yield _Leaf(page[start:middle], page[middle : middle + value_size], element_flags)


def _branch_children(page: bytes, where: str) -> Iterator[int]:
    """Yield the children of a branch."""
    _, _, count, _ = PAGE.unpack_from(page)
    if PAGE.size + count * BRANCH_ELEMENT.size > len(page):
        raise CorruptSnapshot(f"{where} is no branch of {count} elements")
    for position in range(count):
        _, _, child = BRANCH_ELEMENT.unpack_from(page, PAGE.size + position * BRANCH_ELEMENT.size)
        yield int(child)
