"""A damaged file is refused or read right; it never raises anything else, and never takes for ever."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.bolt.files import everything, reader_of, written
from zetcd.bolt.layout import PAGE_BYTES, encode_meta
from zetcd.errors import CorruptSnapshot

PAIRS = [(b"%05d" % number, b"v" * (number % 90)) for number in range(400)]
WHOLE = written({b"empty": [], b"key": PAIRS, b"one": [(b"big", bytes(20_000))]})
EXPECTED = everything(WHOLE)


@given(st.integers(0, len(WHOLE) * 8 - 1))
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_raises_nothing_but_corruption(bit: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(CorruptSnapshot):
        everything(bytes(damaged))


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(max_size=9)), max_size=4))
@settings(max_examples=200, deadline=None)
def test_scribbles_raise_nothing_but_corruption(scribbles: list[tuple[int, bytes]]) -> None:
    damaged = bytearray(WHOLE)
    for position, content in scribbles:
        damaged[position : position + len(content)] = content
    with contextlib.suppress(CorruptSnapshot):
        everything(bytes(damaged))


@given(st.integers(0, len(WHOLE) - 1))
@settings(max_examples=100, deadline=None)
def test_a_file_that_is_cut_is_refused(size: int) -> None:
    with pytest.raises(CorruptSnapshot):
        reader_of(WHOLE[:size])


def test_one_meta_page_is_enough_and_none_is_not() -> None:
    for page in (0, 1):
        start = page * PAGE_BYTES
        damaged = WHOLE[:start] + bytes(PAGE_BYTES) + WHOLE[start + PAGE_BYTES :]
        assert everything(damaged) == EXPECTED
    with pytest.raises(CorruptSnapshot, match="no meta page"):
        reader_of(bytes(2 * PAGE_BYTES) + WHOLE[2 * PAGE_BYTES :])


def test_the_newer_meta_page_counts() -> None:
    reader = reader_of(WHOLE)
    older = reader.meta._replace(transaction=0, root=3)
    assert everything(encode_meta(0, older) + WHOLE[PAGE_BYTES:]) == EXPECTED


def test_a_tree_that_contains_itself_is_refused() -> None:
    reader = reader_of(WHOLE)
    for page in range(3, reader.meta.pages):
        looped = bytearray(WHOLE)
        start = page * PAGE_BYTES
        # A branch whose only child is itself.
        looped[start + 8 : start + 12] = (1).to_bytes(2, "little") + (1).to_bytes(2, "little")
        looped[start + 16 : start + 32] = bytes(8) + page.to_bytes(8, "little")
        with contextlib.suppress(CorruptSnapshot):
            everything(bytes(looped))


def test_single_values_and_missing_buckets() -> None:
    reader = reader_of(WHOLE)
    assert reader.get(b"key", b"00001") == b"v"
    assert reader.get(b"key", b"none") is None
    assert list(reader.bucket(b"none")) == []


def test_a_file_of_another_version_is_named_so() -> None:
    other = reader_of(WHOLE).meta._replace(version=3)
    file = encode_meta(0, other) + encode_meta(1, other) + WHOLE[2 * PAGE_BYTES :]
    with pytest.raises(CorruptSnapshot, match="version mismatch: of bbolt's file format 3"):
        reader_of(file)
