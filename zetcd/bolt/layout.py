"""Responsible for where the numbers are in a page of bbolt. All are little endian.

    page (16)          id 8 · flags 2 · count 2 · overflow 4; then ``count`` elements, then their bytes
    branch element     position 4 · key size 4 · page id 8
    leaf element       flags 4 · position 4 · key size 4 · value size 4
    meta, from byte 16 magic 4 · version 4 · page size 4 · flags 4 · root page 8 · root sequence 8 ·
                       freelist page 8 · pages 8 · transaction id 8 · checksum 8
    bucket, a value    root page 8 · sequence 8; root page 0: the page itself follows

A position counts from its element. A page with ``overflow`` goes on in so many pages behind it.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

#: Bytes of a page that the writer makes; the reader takes what the file says.
PAGE_BYTES: Final = 4096
MAGIC: Final = 0xED0CDAED
VERSION: Final = 2

BRANCH_PAGE: Final = 0x01
LEAF_PAGE: Final = 0x02
META_PAGE: Final = 0x04
FREELIST_PAGE: Final = 0x10
#: The value of a leaf element is a bucket.
BUCKET_FLAG: Final = 0x01

PAGE: Final = struct.Struct("<QHHI")
BRANCH_ELEMENT: Final = struct.Struct("<IIQ")
LEAF_ELEMENT: Final = struct.Struct("<IIII")
META: Final = struct.Struct("<IIIIQQQQQ")
CHECKSUM: Final = struct.Struct("<Q")
BUCKET: Final = struct.Struct("<QQ")

_FNV_OFFSET: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3
_MASK: Final = 2**64 - 1


class Meta(NamedTuple):
    """A meta page, decoded."""

    magic: int
    version: int
    page_bytes: int
    flags: int
    root: int
    sequence: int
    freelist: int
    #: Number of pages, one more than the highest page in use.
    pages: int
    transaction: int


def fnv1a(content: bytes) -> int:
    """Return the 64-bit FNV-1a of ``content``.

    >>> hex(fnv1a(b"a"))
    '0xaf63dc4c8601ec8c'
    """
    value = _FNV_OFFSET
    for byte in content:
        value = (value ^ byte) * _FNV_PRIME & _MASK
    return value


def encode_meta(page_id: int, meta: Meta) -> bytes:
    """Return a whole meta page."""
    fields = META.pack(*meta)
    page = PAGE.pack(page_id, META_PAGE, 0, 0) + fields + CHECKSUM.pack(fnv1a(fields))
    return page.ljust(meta.page_bytes, b"\0")


def decode_meta(page: bytes) -> Meta | None:
    """Return what a meta page says, None if it is not one of `VERSION` or fails its checksum."""
    meta = _whole_meta(page)
    return meta if meta is not None and meta.version == VERSION else None


def other_version(page: bytes) -> int | None:
    """Return the version of a meta page that is whole and not of `VERSION`; None: it is none such."""
    meta = _whole_meta(page)
    return meta.version if meta is not None and meta.version != VERSION else None


def _whole_meta(page: bytes) -> Meta | None:
    """Return what a meta page of any version says, None if it is not one or fails its checksum."""
    if len(page) < PAGE.size + META.size + CHECKSUM.size:
        return None
    fields = page[PAGE.size : PAGE.size + META.size]
    (checksum,) = CHECKSUM.unpack_from(page, PAGE.size + META.size)
    meta = Meta(*META.unpack(fields))
    return meta if meta.magic == MAGIC and checksum == fnv1a(fields) else None
