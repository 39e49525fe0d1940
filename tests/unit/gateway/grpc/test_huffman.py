"""The Huffman code is the RFC's, in both directions of doubt."""

from __future__ import annotations

import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from zetcd.gateway.grpc.codes import ConnectionFault, ErrorCode
from zetcd.gateway.grpc.huffman import decode_huffman

encoder = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


def test_every_octet_alone_and_beside_every_other() -> None:
    for first in range(256):
        text = bytes((first,)) + bytes(range(256))
        assert decode_huffman(encoder.encode(text)) == text
        assert decode_huffman(encoder.encode(bytes((first,)))) == bytes((first,))


def test_example_of_the_rfc() -> None:
    # RFC 7541 C.4.1
    assert decode_huffman(bytes.fromhex("f1e3c2e5f23a6ba0ab90f4ff")) == b"www.example.com"


@pytest.mark.parametrize(
    "coded",
    [
        pytest.param("f1e3c2e5f23a6ba0ab90f4ffff", id="padding of more than seven bits"),
        pytest.param("f1e3c2e5f23a6ba0ab90f400", id="padding of zeros"),
        pytest.param("ffffffff", id="end of string"),
        pytest.param("f1ffffffffe3", id="end of string within"),
    ],
)
def test_wrong_ends_are_refused(coded: str) -> None:
    with pytest.raises(ConnectionFault) as caught:
        decode_huffman(bytes.fromhex(coded))
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR
