"""Responsible for header blocks: decoding a peer's (RFC 7541), and packing our own without state.

What we send never enters the peer's dynamic table: literals without indexing and entries of the
static table mean the same whatever the table's size. So header blocks of answers are constants.

Invariants:
    - `table_bytes` is the size of the dynamic table as RFC 7541 §4.1 counts it, and never above
      `_table_bytes_max`, which is never above what we agreed to.
"""

from __future__ import annotations

from typing import Final

from zetcd.gateway.grpc.codes import ConnectionFault, ErrorCode
from zetcd.gateway.grpc.huffman import decode_huffman

#: Name and value. Not written as a pair: compiled, pairs are copied, and a block of a few octets may name
#: a large entry of the table thousands of times.
Field = tuple[bytes, ...]

#: SETTINGS_HEADER_TABLE_SIZE; we leave it at its default.
TABLE_BYTES_AGREED: Final = 4096
#: What an entry costs beside its octets.
ENTRY_OVERHEAD_BYTES: Final = 32
#: Octets of one integer; five hold 28 bits and more than any length we accept.
_INTEGER_OCTETS_MAX: Final = 5

_STATIC_NAMES: Final = (
    b":authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|"
    b":status 200|:status 204|:status 206|:status 304|:status 400|:status 404|:status 500|"
    b"accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept|"
    b"access-control-allow-origin|age|allow|authorization|cache-control|content-disposition|"
    b"content-encoding|content-language|content-length|content-location|content-range|content-type|"
    b"cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|"
    b"if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|"
    b"proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|"
    b"strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
)


def _static_table() -> list[Field]:
    """Return RFC 7541 Appendix A; index 0 is unused there."""
    table: list[Field] = [(b"", b"")]
    for row in _STATIC_NAMES.split(b"|"):
        name, _, value = row.partition(b" ")
        table.append((name, value))
    return table


_STATIC: Final = _static_table()
_STATIC_LAST: Final = 61
assert len(_STATIC) == _STATIC_LAST + 1


def _fault(reason: str) -> ConnectionFault:
    return ConnectionFault(ErrorCode.COMPRESSION_ERROR, reason)


class HeaderDecoder:
    """One direction's dynamic table, and the decoding of blocks against it."""

    __slots__ = ("_table", "_table_bytes_max", "has_changed", "table_bytes")

    def __init__(self) -> None:
        """Start with an empty table of the agreed size."""
        #: Oldest entry first, so that inserting is appending.
        self._table: list[Field] = []
        self._table_bytes_max = TABLE_BYTES_AGREED
        self.table_bytes = 0
        #: Whether the last block touched the table: the same octets may then mean something else.
        self.has_changed = False

    def decode(self, block: bytes) -> list[Field]:
        """Return the fields of a whole block.

        Raises:
            ConnectionFault: COMPRESSION_ERROR; both tables can no longer be known to be equal.
        """
        self.has_changed = False
        try:
            return self._decode(block)
        except IndexError:
            raise _fault("a header block is cut short or names an unknown entry") from None

    def _decode(self, block: bytes) -> list[Field]:
        # Inlined on purpose: a block of a call with a deadline takes about 5 us this way.
        fields: list[Field] = []
        position, end = 0, len(block)
        while position < end:
            octet = block[position]
            position += 1
            if octet >= 0x80:
                index = octet & 0x7F
                if index == 0x7F:
                    index, position = _integer(block, position, 0x7F)
                fields.append(self._entry(index))
                continue
            if octet & 0xE0 == 0x20:
                if fields:
                    raise _fault("a table size update after a header")
                size = octet & 0x1F
                if size == 0x1F:
                    size, position = _integer(block, position, 0x1F)
                self._resize(size)
                continue
            is_indexed = octet >= 0x40
            mask = 0x3F if is_indexed else 0x0F
            index = octet & mask
            if index == mask:
                index, position = _integer(block, position, mask)
            if index:
                name = self._entry(index)[0]
            else:
                name, position = _string(block, position)
            value, position = _string(block, position)
            fields.append((name, value))
            if is_indexed:
                self._insert((name, value))
        return fields

    def _entry(self, index: int) -> Field:
        if index > _STATIC_LAST:
            # The newest entry is the last one; beyond the oldest, the list itself objects.
            return self._table[_STATIC_LAST - index]
        if index == 0:
            raise _fault("index 0")
        return _STATIC[index]

    def _insert(self, field: Field) -> None:
        self.has_changed = True
        self._table.append(field)
        self.table_bytes += len(field[0]) + len(field[1]) + ENTRY_OVERHEAD_BYTES
        if self.table_bytes > self._table_bytes_max:
            self._evict()

    def _resize(self, size: int) -> None:
        if size > TABLE_BYTES_AGREED:
            raise _fault("a table larger than agreed")
        self.has_changed = True
        self._table_bytes_max = size
        self._evict()

    def _evict(self) -> None:
        """Drop the oldest entries until the rest fits; an entry that is too large empties all."""
        count = 0
        for name, value in self._table:
            if self.table_bytes <= self._table_bytes_max:
                break
            self.table_bytes -= len(name) + len(value) + ENTRY_OVERHEAD_BYTES
            count += 1
        del self._table[:count]


def _integer(block: bytes, position: int, prefix: int) -> tuple[int, int]:
    """Return an integer whose prefix was full, and where it ends (RFC 7541 §5.1)."""
    value, shift = prefix, 0
    for _ in range(_INTEGER_OCTETS_MAX):
        octet = block[position]
        position += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, position
        shift += 7
    raise _fault("an integer of too many octets")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    """Return a string literal and where it ends (RFC 7541 §5.2)."""
    octet = block[position]
    position += 1
    length = octet & 0x7F
    if length == 0x7F:
        length, position = _integer(block, position, 0x7F)
    end = position + length
    if end > len(block):
        raise _fault("a string longer than its block")
    literal = block[position:end]
    return (decode_huffman(literal) if octet & 0x80 else literal), end


# --- our own blocks -----------------------------------------------------------------------------

_STATUS_INDEXED: Final = {200: b"\x88", 400: b"\x8c", 404: b"\x8d"}
_STATUS_NAME_INDEX: Final = 8


def _pack_string(text: bytes) -> bytes:
    length = len(text)
    if length < 0x7F:
        return bytes((length,)) + text
    octets = bytearray((0x7F,))
    length -= 0x7F
    while length >= 0x80:
        octets.append(length & 0x7F | 0x80)
        length >>= 7
    octets.append(length)
    return bytes(octets) + text


def pack_status(status: int) -> bytes:
    """Return the ``:status`` field of a block."""
    indexed = _STATUS_INDEXED.get(status)
    return indexed or bytes((_STATUS_NAME_INDEX,)) + _pack_string(b"%d" % status)


def pack_field(name: bytes, value: bytes) -> bytes:
    """Return any other field: a literal that never enters the peer's table."""
    return b"\x00" + _pack_string(name) + _pack_string(value)
