"""Responsible for names and headers of segments; must never know what a batch contains.

A header fills a sector of its own, so that no later write touches the sector it is in.
"""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple

import google_crc32c

from zetcd.errors import WalCorruption
from zetcd.scalars import Index, NodeID, Term

#: Smallest unit that a disk writes whole or not at all.
SECTOR_BYTES: Final = 512
#: Bytes of a segment header; the first batch starts here.
SEGMENT_HEADER_BYTES: Final = SECTOR_BYTES
#: Changes whenever bytes get a new meaning; other versions are refused.
FORMAT_VERSION: Final = 1
MAGIC: Final = b"zetcdWAL"

_FIELDS: Final = struct.Struct(">8sIIQQQQQQQQI")
_CRC: Final = struct.Struct(">I")
_NAME: Final = re.compile(r"([0-9]{8})-([0-9a-f]{16})\.wal", re.ASCII)


class SegmentHeader(NamedTuple):
    """What a segment says of itself and of the log before it."""

    cluster_id: int
    member_id: NodeID
    #: Position of the segment in the log, counted from 0.
    number: int
    #: Bytes of the whole file, header included.
    segment_bytes: int
    #: Index that the next new entry would have had when the segment was begun.
    first_index: Index
    #: Term of the entry before ``first_index``; 0 = there is none.
    previous_term: Term
    #: Sequence number of the segment's first batch.
    first_sequence: int
    #: Random; makes bytes that a client stores unable to pass for a batch of this segment.
    salt: int
    #: Checksum chain of the log at the end of the previous segment; 0 for the first.
    chain: int

    @property
    def name(self) -> str:
        """The file name."""
        return segment_name(self.number, self.first_index)

    @property
    def seed(self) -> int:
        """Initial value of the checksum of every batch header in this segment."""
        return int(google_crc32c.value(self._packed()))

    def _packed(self) -> bytes:
        return _FIELDS.pack(
            MAGIC,
            FORMAT_VERSION,
            SEGMENT_HEADER_BYTES,
            self.cluster_id,
            self.member_id,
            self.number,
            self.segment_bytes,
            self.first_index,
            self.previous_term,
            self.first_sequence,
            self.salt,
            self.chain,
        )

    def encode(self) -> bytes:
        """Return the header's `SEGMENT_HEADER_BYTES` bytes."""
        return (self._packed() + _CRC.pack(self.seed)).ljust(SEGMENT_HEADER_BYTES, b"\0")


def decode_segment_header(sector: bytes, name: str) -> SegmentHeader:
    """Return the header of the segment file ``name`` from its first sector.

    Raises:
        WalCorruption: the header is damaged, of another format version, or of another file.
    """
    sector = sector.ljust(SEGMENT_HEADER_BYTES, b"\0")
    magic, version, header_bytes, *fields = _FIELDS.unpack_from(sector)
    if magic != MAGIC:
        raise WalCorruption(
            f"segment {name}, offset 0: this is not the header of a zetcd log segment"
        )
    if version != FORMAT_VERSION:
        raise WalCorruption(
            f"segment {name}, offset 8: log format version {version} is not supported, "
            f"this program reads version {FORMAT_VERSION}; start the version of zetcd that wrote it"
        )
    (crc,) = _CRC.unpack_from(sector, _FIELDS.size)
    if crc != google_crc32c.value(sector[: _FIELDS.size]) or header_bytes != SEGMENT_HEADER_BYTES:
        raise WalCorruption(f"segment {name}, offset 0: the segment header fails its checksum")
    if any(sector[_FIELDS.size + _CRC.size :]):
        raise WalCorruption(
            f"segment {name}, offset 0: the reserved part of the header is not zero"
        )
    header = SegmentHeader(*fields)
    if header.name != name:
        raise WalCorruption(f"segment {name}, offset 0: the file was renamed, it is {header.name}")
    return header


def segment_name(number: int, first_index: Index) -> str:
    """Return the file name of a segment; names sort in log order."""
    return f"{number:08d}-{first_index:016x}.wal"


def parse_segment_name(name: str) -> int | None:
    """Return the number of the segment called ``name``, None if it is not a segment's name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None
