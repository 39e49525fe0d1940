"""Meta pages and their checksum."""

from __future__ import annotations

import pytest

from zetcd.bolt.layout import MAGIC, PAGE_BYTES, VERSION, Meta, decode_meta, encode_meta, fnv1a

META = Meta(MAGIC, VERSION, PAGE_BYTES, 0, 3, 0, 2, 4, 1)


def test_the_checksum_is_fnv_1a() -> None:
    assert [fnv1a(text) for text in (b"", b"a", b"foobar")] == [
        0xCBF29CE484222325,
        0xAF63DC4C8601EC8C,
        0x85944171F73967E8,
    ]


def test_a_meta_page_is_what_bbolt_expects_byte_by_byte() -> None:
    page = encode_meta(1, META)
    assert len(page) == PAGE_BYTES
    assert page[:16].hex() == "01000000000000000400000000000000"
    assert page[16:32].hex() == "edda0ced020000000010000000000000"
    assert decode_meta(page) == META


@pytest.mark.parametrize("position", [16, 20, 24, 32, 60, 72, 79])
def test_a_changed_byte_is_noticed(position: int) -> None:
    page = bytearray(encode_meta(0, META))
    page[position] ^= 0x40
    assert decode_meta(bytes(page)) is None


def test_what_is_too_short_is_no_meta_page() -> None:
    assert decode_meta(encode_meta(0, META)[:79]) is None
