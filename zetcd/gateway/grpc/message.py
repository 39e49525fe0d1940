"""Responsible for gRPC's length-prefixed messages: taken out of DATA, decompressed, limited."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from zetcd.errors import Code
from zetcd.gateway.grpc.codes import Status

#: Compressed flag and length.
PREFIX: Final = struct.Struct(">BI")
PREFIX_BYTES: Final = 5
#: Window bits that make zlib expect gzip's header.
_GZIP: Final = 16 + zlib.MAX_WBITS


class BadMessage(Exception):
    """A message that ends its call."""

    def __init__(self, code: Code, text: str) -> None:
        """Keep the status of the call."""
        super().__init__(text)
        self.status = Status(code, text)


def take_message(assembly: bytearray, bytes_max: int, *, is_gzip: bool) -> bytes | None:
    """Remove and return the first message of ``assembly``; None: it is not complete.

    Raises:
        BadMessage: too large (known as soon as its prefix is), or compressed as not agreed.
    """
    if len(assembly) < PREFIX_BYTES:
        return None
    flag, length = PREFIX.unpack_from(assembly)
    if length > bytes_max:
        raise BadMessage(
            Code.RESOURCE_EXHAUSTED,
            f"grpc: received message larger than max ({length} vs. {bytes_max})",
        )
    end = PREFIX_BYTES + length
    if len(assembly) < end:
        return None
    message = bytes(assembly[PREFIX_BYTES:end])
    del assembly[:end]
    return _decompress(message, bytes_max, is_gzip=is_gzip) if _is_compressed(flag) else message


def _is_compressed(flag: int) -> bool:
    if flag > 1:
        raise BadMessage(Code.INTERNAL, f"grpc: received unexpected payload format {flag}")
    return flag == 1


def _decompress(message: bytes, bytes_max: int, *, is_gzip: bool) -> bytes:
    if not is_gzip:
        raise BadMessage(Code.INTERNAL, "grpc: compressed flag set with identity or empty encoding")
    inflater = zlib.decompressobj(_GZIP)
    try:
        # One octet more than allowed shows that there would be more.
        plain = inflater.decompress(message, bytes_max + 1)
    except zlib.error as error:
        raise BadMessage(
            Code.INTERNAL, f"grpc: failed to decompress the received message: {error}"
        ) from None
    if len(plain) > bytes_max:
        raise BadMessage(
            Code.RESOURCE_EXHAUSTED,
            f"grpc: received message after decompression larger than max {bytes_max}",
        )
    if not inflater.eof or inflater.unused_data:
        raise BadMessage(
            Code.INTERNAL, "grpc: failed to decompress the received message: not one gzip member"
        )
    return plain
