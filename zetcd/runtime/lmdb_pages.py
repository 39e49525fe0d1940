"""Responsible for the pages of an LMDB file: counting the free ones, finding the meta page of a transaction.

LMDB keeps the pages that were freed in a B+tree of its own: id of the transaction that freed them
→ list of page numbers, whose first word is their count. This reads that tree from the file, under
the protection of a read transaction (whose pages are not re-used while it is open). Layout of LMDB
0.9 on a little-endian 64-bit machine, sizes in bytes:

    page header (16)         page number 8 · pad 2 · flags 2 · lower 2 · upper 2
    node                     data size low 2, high 2 · flags 2 · key size 2 · key · data
    meta page, from byte 16  magic 4 · version 4 · address 8 · map size 8 · free tree 48 ·
                             main tree 48 · last page 8 · transaction id 8
    tree (48)                pad 4 · flags 2 · depth 2 · branch 8 · leaf 8 · overflow 8 ·
                             entries 8 · root 8
"""

from __future__ import annotations

import os
import struct
from typing import Final

_PAGE_HEADER_BYTES: Final = 16
_NODE_HEADER: Final = struct.Struct("<HHHH")
_WORD: Final = struct.Struct("<Q")
_MAGIC: Final = 0xBEEFC0DE
_NO_PAGE: Final = 2**64 - 1
_BRANCH_PAGE: Final = 0x01
_LEAF_PAGE: Final = 0x02
#: The node's data is the number of an overflow page.
_BIG_DATA: Final = 0x01
_FREE_ROOT_OFFSET: Final = _PAGE_HEADER_BYTES + 24 + 40
_TRANSACTION_OFFSET: Final = _PAGE_HEADER_BYTES + 24 + 48 + 48 + 8
#: Deeper than any tree of 2**64 pages.
_DEPTH_MAX: Final = 32


def find_meta(descriptor: int, transaction_id: int, page_bytes: int) -> bytes | None:
    """Return the meta page of the state that a read transaction sees, None if it is overwritten.

    Two commits later it is; a caller that has just begun the transaction begins another one.
    """
    for page_number in (0, 1):
        meta = os.pread(descriptor, page_bytes, page_number * page_bytes)
        (meta_transaction,) = _WORD.unpack_from(meta, _TRANSACTION_OFFSET)
        assert int.from_bytes(meta[16:20], "little") == _MAGIC, "not a meta page of LMDB"
        if meta_transaction == transaction_id:
            return meta
    return None


def last_page(meta: bytes) -> int:
    """Return the number of the last page of the state that ``meta`` describes."""
    (number,) = _WORD.unpack_from(meta, _TRANSACTION_OFFSET - _WORD.size)
    return int(number)


def meta_pages(meta: bytes) -> bytes:
    """Return the first two pages of a file that has the state of ``meta`` and no other."""
    return b"".join(_WORD.pack(number) + meta[_WORD.size :] for number in (0, 1))


def free_pages(descriptor: int, transaction_id: int, page_bytes: int) -> int:
    """Return how many pages of the file are free in the state that a read transaction sees.

    Args:
        descriptor: Of the file.
        transaction_id: Of a read transaction that is open; its id says which meta page counts.
        page_bytes: Size of a page.
    """
    meta = find_meta(descriptor, transaction_id, page_bytes)
    if meta is None:
        return 0
    (root,) = _WORD.unpack_from(meta, _FREE_ROOT_OFFSET)
    return _count(descriptor, root, page_bytes, _DEPTH_MAX)


def _count(descriptor: int, page_number: int, page_bytes: int, depth: int) -> int:
    """Return the sum of the list lengths in a subtree."""
    if page_number == _NO_PAGE:
        return 0
    assert depth > 0, "tree of free pages has a cycle"
    page = os.pread(descriptor, page_bytes, page_number * page_bytes)
    flags, lower = struct.unpack_from("<HH", page, 10)
    total = 0
    for position in range(_PAGE_HEADER_BYTES, lower, 2):
        (offset,) = struct.unpack_from("<H", page, position)
        low, high, node_flags, key_bytes = _NODE_HEADER.unpack_from(page, offset)
        data = offset + _NODE_HEADER.size + key_bytes
        if flags & _BRANCH_PAGE:
            # In a branch the flags are the highest bits of the child's page number.
            child = low | high << 16 | node_flags << 32
            total += _count(descriptor, child, page_bytes, depth - 1)
            continue
        assert flags & _LEAF_PAGE, "neither branch nor leaf"
        (word,) = _WORD.unpack_from(page, data)
        if node_flags & _BIG_DATA:
            big = os.pread(descriptor, 8, word * page_bytes + _PAGE_HEADER_BYTES)
            (word,) = _WORD.unpack(big)
        total += word
    return total
