"""What is written is read again, whatever its size; pages are as bbolt wants them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.bolt.files import everything, reader_of, written
from zetcd.bolt.layout import BRANCH_PAGE, LEAF_PAGE, PAGE, PAGE_BYTES

SMALL = st.binary(max_size=40)
PAIRS = st.dictionaries(
    st.binary(min_size=1, max_size=600) | SMALL.filter(bool),
    SMALL | st.integers(0, 9_000).map(bytes),
    max_size=60,
).map(lambda pairs: sorted(pairs.items()))


@given(st.dictionaries(st.binary(min_size=1, max_size=12), PAIRS, max_size=5))
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read(buckets: dict[bytes, list[tuple[bytes, bytes]]]) -> None:
    ordered = dict(sorted(buckets.items()))
    assert everything(written(ordered)) == ordered


def test_a_large_tree_has_branches_with_two_children_at_least() -> None:
    # Long keys make flat branches: three levels of them.
    pairs = [(b"%06d" % number + bytes(500), b"v" * 900) for number in range(600)]
    content = written({b"key": pairs})
    assert everything(content) == {b"key": pairs}
    branches, leaves = 0, 0
    page_id = 3
    while page_id * PAGE_BYTES < len(content):
        own_id, flags, count, overflow = PAGE.unpack_from(content, page_id * PAGE_BYTES)
        assert own_id == page_id
        if flags == BRANCH_PAGE:
            branches += 1
            assert count >= 2
        else:
            assert flags == LEAF_PAGE
            leaves += 1
        page_id += overflow + 1
    assert branches > 50
    assert leaves > 200


def test_the_smallest_file_byte_by_byte() -> None:
    content = written({b"a": [(b"k", b"v")]})
    assert len(content) == 5 * PAGE_BYTES
    freelist, leaf, root = (content[each * PAGE_BYTES :][:64] for each in (2, 3, 4))
    assert freelist[:16] == struct.pack("<QHHI", 2, 0x10, 0, 0)
    assert leaf[:34] == struct.pack("<QHHI", 3, 2, 1, 0) + struct.pack("<IIII", 0, 16, 1, 1) + b"kv"
    assert root[:33] == struct.pack("<QHHI", 4, 2, 1, 0) + struct.pack("<IIII", 1, 16, 1, 16) + b"a"
    assert root[33:49] == struct.pack("<QQ", 3, 0)


def test_an_empty_bucket_and_a_file_without_any() -> None:
    assert everything(written({b"a": [], b"b": []})) == {b"a": [], b"b": []}
    assert everything(written({})) == {}
    assert reader_of(written({})).data_bytes == 4 * PAGE_BYTES


@pytest.mark.parametrize("keys", [(b"b", b"a"), (b"a", b"a")])
def test_keys_must_ascend(keys: tuple[bytes, bytes]) -> None:
    with pytest.raises(AssertionError):
        written({b"x": [(key, b"") for key in keys]})
