"""Header blocks mean to us what they mean to the `hpack` package, over whole connections."""

from __future__ import annotations

import random
from typing import Final

import hpack
import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import example, given
from hypothesis import strategies as st

from zetcd.gateway.grpc.codes import ConnectionFault
from zetcd.gateway.grpc.head import Head, Method
from zetcd.gateway.grpc.hpack import Field, HeaderDecoder
from zetcd.gateway.grpc.huffman import decode_huffman
from zetcd.gateway.grpc.routes import HeadReader, Route, RouteReader

_HUFFMAN: Final = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
_METHOD: Final = Method("/t.T/Unary")

# Few names and values, so that entries repeat, and some of which few fit into a table.
names = st.sampled_from([b"a", b"grpc-x", b":path", b"te", b"user-agent", b"n" * 60, b"n" * 700])
values = st.one_of(
    st.sampled_from([b"", b"v", b"trailers", b"w" * 300, b"w" * 2000, b"w" * 4000]),
    st.binary(max_size=20),
)


class Blocks:
    """Representations of RFC 7541 §6, as octets."""

    @staticmethod
    def integer(value: int, prefix_bits: int, first: int) -> bytes:
        limit = (1 << prefix_bits) - 1
        if value < limit:
            return bytes((first | value,))
        octets = bytearray((first | limit,))
        value -= limit
        while value >= 0x80:
            octets.append(value & 0x7F | 0x80)
            value >>= 7
        octets.append(value)
        return bytes(octets)

    @classmethod
    def string(cls, text: bytes, *, is_huffman: bool) -> bytes:
        coded = _HUFFMAN.encode(text) if is_huffman else text
        return cls.integer(len(coded), 7, 0x80 if is_huffman else 0) + coded


@st.composite
def representations(draw: st.DrawFn) -> bytes:
    """Return one field's representation; indices beyond the table are rare and wanted."""
    kind = draw(st.sampled_from(["indexed", "indexed", "insert", "insert", "literal", "never"]))
    index = draw(st.one_of(st.integers(1, 61), st.integers(62, 68), st.integers(62, 130)))
    if kind == "indexed":
        return Blocks.integer(index, 7, 0x80)
    bits, first = {"insert": (6, 0x40), "literal": (4, 0x00), "never": (4, 0x10)}[kind]
    is_huffman = draw(st.booleans())
    value = Blocks.string(draw(values), is_huffman=is_huffman)
    if draw(st.booleans()):
        return Blocks.integer(min(index, 63), bits, first) + value
    return (
        Blocks.integer(0, bits, first) + Blocks.string(draw(names), is_huffman=is_huffman) + value
    )


@st.composite
def blocks(draw: st.DrawFn) -> bytes:
    """Return a block, now and then with a new size of the table first."""
    sizes = draw(st.lists(st.sampled_from([0, 33, 200, 1000, 4096, 5000]), max_size=2))
    if draw(st.integers(0, 3)):
        sizes = []
    resize = b"".join(Blocks.integer(size, 5, 0x20) for size in sizes)
    return resize + b"".join(draw(st.lists(representations(), max_size=6)))


def library_decoder() -> hpack.Decoder:
    decoder = hpack.Decoder(max_header_list_size=2**30)
    decoder.max_allowed_table_size = 4096
    return decoder


def decode_with_library(decoder: hpack.Decoder, block: bytes) -> list[Field] | None:
    """Return what the library makes of a block; None: an error."""
    try:
        return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
    except hpack.HPACKError:
        return None


@given(st.lists(blocks(), min_size=1, max_size=30))
def test_random_blocks_decode_alike(sequence: list[bytes]) -> None:
    ours, theirs = HeaderDecoder(), library_decoder()
    for block in sequence:
        expected = decode_with_library(theirs, block)
        try:
            found = ours.decode(block)
        except ConnectionFault:
            assert expected is None
            return
        assert found == expected
        assert ours.table_bytes == theirs.header_table._current_size


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(names, values, st.booleans()), max_size=6),
            st.booleans(),
            st.sampled_from([None, None, None, 0, 100, 4096]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_what_the_library_encodes_is_decoded(
    sequence: list[tuple[list[tuple[bytes, bytes, bool]], bool, int | None]],
) -> None:
    encoder, decoder = hpack.Encoder(), HeaderDecoder()
    for fields, is_huffman, size in sequence:
        if size is not None:
            encoder.header_table_size = size
        tuples = [
            (hpack.NeverIndexedHeaderTuple if is_sensitive else hpack.HeaderTuple)(name, value)
            for name, value, is_sensitive in fields
        ]
        block = encoder.encode(tuples, huffman=is_huffman)
        assert decoder.decode(block) == [(name, value) for name, value, _ in fields]


@given(st.binary(max_size=60))
@example(b"\x82\x40\x80")
def test_any_octets_decode_alike(block: bytes) -> None:
    expected = decode_with_library(library_decoder(), block)
    try:
        assert HeaderDecoder().decode(block) == expected
    except ConnectionFault:
        assert expected is None


@given(st.binary(max_size=200))
def test_huffman_is_undone(text: bytes) -> None:
    assert decode_huffman(_HUFFMAN.encode(text)) == text


class FieldReader(HeadReader):
    """Heads that are nothing but their fields, so that they can be compared."""

    def __init__(self) -> None:
        super().__init__({}, 2**30)

    def read(self, fields: list[Field]) -> Route:
        named = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in fields)
        return Head(_METHOD, named, ""), None


#: Blocks that mean something else after each other: insertions, references, sizes of the table.
_TELLING: Final = [
    b"\x40\x01a\x011",
    b"\x40\x01a\x012",
    b"\x40\x01b" + Blocks.string(b"w" * 2000, is_huffman=False),
    b"\xbe",
    b"\xbe\xbf",
    b"\x7e\x013",
    b"\x0f\x2f\x01n",
    b"\x82",
    b"\x20\x3f\xe1\x1f\x82",
    b"\x3f\x40\x82",
    b"\x3f\xe1\x1f",
]


def compare_with_cache(sequence: list[bytes]) -> int:
    """Read blocks with and without a cache until one is refused; return how many were read."""
    routes, decoder = RouteReader(FieldReader()), HeaderDecoder()
    for count, block in enumerate(sequence):
        try:
            expected = decoder.decode(block)
        except ConnectionFault:
            with pytest.raises(ConnectionFault):
                routes.read(block)
            return count
        head, _ = routes.read(block)
        assert isinstance(head, Head)
        assert list(head.metadata) == [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in expected
        ]
    return len(sequence)


@given(st.lists(blocks(), max_size=3), st.data())
def test_the_cache_of_blocks_never_shows(pool: list[bytes], data: st.DataObject) -> None:
    """The same few blocks again and again, with and without a cache."""
    blocks_again = st.lists(st.sampled_from(_TELLING + pool), max_size=60)
    compare_with_cache(_TELLING[:2] + data.draw(blocks_again))


def test_thousands_of_blocks_decode_alike_with_a_cache_and_without() -> None:
    rng = random.Random(11)
    count = 0
    while count < 5_000:
        sequence = _TELLING[:2] + rng.choices(_TELLING, k=80)
        read = compare_with_cache(sequence)
        ours, theirs = HeaderDecoder(), library_decoder()
        for block in sequence[:read]:
            assert ours.decode(block) == decode_with_library(theirs, block)
        count += read
