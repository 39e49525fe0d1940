"""Header blocks: the RFC's examples, the table's limits, and what must be refused."""

from __future__ import annotations

import hpack
import pytest

from zetcd.gateway.grpc.codes import ConnectionFault, ErrorCode
from zetcd.gateway.grpc.hpack import HeaderDecoder, pack_field, pack_status


def test_requests_of_the_rfc_with_huffman() -> None:
    # RFC 7541 C.4
    decoder = HeaderDecoder()
    common = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")]
    authority = (b":authority", b"www.example.com")
    first = decoder.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff"))
    assert first == [*common, authority]
    second = decoder.decode(bytes.fromhex("828684be5886a8eb10649cbf"))
    assert second == [*common, authority, (b"cache-control", b"no-cache")]
    third = decoder.decode(bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"))
    assert third == [
        *((b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/index.html")),
        *(authority, (b"custom-key", b"custom-value")),
    ]
    assert decoder.table_bytes == 164


def test_an_entry_larger_than_the_table_empties_it() -> None:
    decoder = HeaderDecoder()
    decoder.decode(b"\x40" + pack_field(b"a", b"b")[1:])
    assert decoder.table_bytes == 34
    decoder.decode(b"\x40" + pack_field(b"a", b"b" * 5000)[1:])
    assert decoder.table_bytes == 0


def test_a_size_update_evicts_the_oldest() -> None:
    decoder = HeaderDecoder()
    for value in (b"1", b"2", b"3"):
        decoder.decode(b"\x40" + pack_field(b"a", value)[1:])
    decoder.decode(b"\x3f" + bytes((70 - 31,)))
    assert decoder.table_bytes == 68
    assert decoder.decode(b"\xbe\xbf") == [(b"a", b"3"), (b"a", b"2")]


@pytest.mark.parametrize(
    "block",
    [
        pytest.param("80", id="index 0"),
        pytest.param("be", id="entry beyond an empty table"),
        pytest.param("ff", id="integer cut short"),
        pytest.param("ffffffffffffff7f", id="integer without end"),
        pytest.param("0003616263", id="value missing"),
        pytest.param("00ff01", id="string longer than its block"),
        pytest.param("823f00", id="size update after a field"),
        pytest.param("3fe2ff7f", id="table larger than agreed"),
        pytest.param("40", id="nothing after the first octet"),
    ],
)
def test_bad_blocks_are_compression_errors(block: str) -> None:
    with pytest.raises(ConnectionFault) as caught:
        HeaderDecoder().decode(bytes.fromhex(block))
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 254, 255, 5000])
def test_own_fields_are_read_by_others(length: int) -> None:
    block = pack_status(200) + pack_status(415) + pack_field(b"x-name", b"v" * length)
    assert hpack.Decoder().decode(block, raw=True) == [
        *((b":status", b"200"), (b":status", b"415"), (b"x-name", b"v" * length)),
    ]


def test_many_references_to_a_large_entry_cost_no_memory_of_their_own() -> None:
    decoder = HeaderDecoder()
    decoder.decode(b"\x40" + pack_field(b"a", b"b" * 4000)[1:])
    fields = decoder.decode(b"\xbe" * 30_000)
    assert len({id(field) for field in fields}) == 1
