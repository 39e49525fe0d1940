"""Responsible for the bytes around the tables in a checkpoint file; must never open a file.

    LMDB data file | description (MessagePack) | trailer (64 bytes)

The trailer is found from the end of the file and says where everything else is. Its digest covers
every byte before it, so it also names the content: equal digest, equal checkpoint.
Byte by byte: docs/checkpoint-format.md.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

import google_crc32c

from zetcd.errors import CorruptCheckpoint
from zetcd.messages.base import Message
from zetcd.messages.codec import DECODE_ERRORS, decoder_of, encode
from zetcd.messages.raft import SnapshotMetadata
from zetcd.scalars import Index, Revision, Term

#: Changes whenever bytes get a new meaning; other versions are refused.
FORMAT_VERSION: Final = 1
MAGIC: Final = b"zetcdCKP"
#: Bytes of the trailer, the last of the file.
TRAILER_BYTES: Final = 64
#: Bytes of a SHA-256.
DIGEST_BYTES: Final = 32
#: A description needs 16 bytes for each member and some more; this is beyond any cluster.
DESCRIPTION_BYTES_MAX: Final = 64 * 1024
#: End of the name of a file that is not a checkpoint yet.
PARTIAL_SUFFIX: Final = ".partial"
#: Start of the name of a partial file that a peer is sending; it survives a restart.
INCOMING_PREFIX: Final = "incoming-"

_TRAILER: Final = struct.Struct(">8sIIQ32sI")
_CRC: Final = struct.Struct(">I")
_NAME: Final = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.checkpoint", re.ASCII)


class Description(Message, frozen=True):
    """What a checkpoint says of the tables in it."""

    cluster_id: int
    #: Last applied entry, and the membership there.
    snapshot: SnapshotMetadata
    #: Current revision of the store.
    revision: Revision
    #: History before it is not readable; 0 = never compacted.
    compact_revision: Revision


_decode_description: Final = decoder_of(Description).decode


@dataclass(frozen=True, slots=True, order=True)
class CheckpointName:
    """What the name of a checkpoint file says; sorts by index."""

    index: Index
    term: Term

    def __str__(self) -> str:
        """Return the file name."""
        return f"{self.index:016x}-{self.term:016x}.checkpoint"


class Trailer(NamedTuple):
    """The last `TRAILER_BYTES` of a checkpoint."""

    description_bytes: int
    #: Bytes of the LMDB file, which the checkpoint begins with.
    tables_bytes: int
    #: SHA-256 of everything before the trailer.
    digest: bytes

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole file."""
        return self.tables_bytes + self.description_bytes + TRAILER_BYTES


class CheckpointInfo(NamedTuple):
    """A checkpoint as its own description and trailer show it; verified only if somebody did."""

    name: CheckpointName
    description: Description
    trailer: Trailer

    @property
    def snapshot(self) -> SnapshotMetadata:
        """Where in the log it stands, and the membership there."""
        return self.description.snapshot

    @property
    def digest(self) -> bytes:
        """Names the content."""
        return self.trailer.digest


def parse_name(name: str) -> CheckpointName | None:
    """Return what the file name of a checkpoint says, None if it is not one."""
    match = _NAME.fullmatch(name)
    return CheckpointName(int(match[1], 16), int(match[2], 16)) if match else None


def name_of(snapshot: SnapshotMetadata) -> CheckpointName:
    """Return the name of the checkpoint at a point of the log."""
    return CheckpointName(snapshot.index, snapshot.term)


def encode_description(description: Description) -> bytes:
    """Return the bytes that follow the tables."""
    return encode(description)


def encode_trailer(trailer: Trailer) -> bytes:
    """Return the last `TRAILER_BYTES` of the file."""
    fields = _TRAILER.pack(
        MAGIC,
        FORMAT_VERSION,
        trailer.description_bytes,
        trailer.tables_bytes,
        trailer.digest,
        0,
    )
    return fields + _CRC.pack(google_crc32c.value(fields))


def decode_trailer(packed: bytes, file_bytes: int) -> Trailer:
    """Return the trailer of a file of ``file_bytes`` whose last bytes are ``packed``.

    Raises:
        CorruptCheckpoint: these are not the last bytes of a whole checkpoint.
    """
    if len(packed) != TRAILER_BYTES or packed[: len(MAGIC)] != MAGIC:
        raise CorruptCheckpoint("the file does not end with the trailer of a checkpoint")
    _, version, description_bytes, tables_bytes, digest, reserved = _TRAILER.unpack_from(packed)
    (crc,) = _CRC.unpack_from(packed, _TRAILER.size)
    if crc != google_crc32c.value(packed[: _TRAILER.size]):
        raise CorruptCheckpoint("the trailer fails its checksum")
    if version != FORMAT_VERSION or reserved:
        raise CorruptCheckpoint(
            f"checkpoint format version {version} is not supported, this program reads "
            f"version {FORMAT_VERSION}"
        )
    trailer = Trailer(description_bytes, tables_bytes, digest)
    if trailer.file_bytes != file_bytes or description_bytes > DESCRIPTION_BYTES_MAX:
        raise CorruptCheckpoint(
            f"the file has {file_bytes} bytes, its trailer says {trailer.file_bytes}"
        )
    return trailer


def decode_description(packed: bytes, name: CheckpointName, cluster_id: int) -> Description:
    """Return the description of the checkpoint file called ``name``.

    Raises:
        CorruptCheckpoint: it does not decode, or the file is not what its name says.
    """
    try:
        description = _decode_description(packed)
    except DECODE_ERRORS as error:
        raise CorruptCheckpoint(f"the description does not decode: {error}") from None
    if name_of(description.snapshot) != name:
        raise CorruptCheckpoint(f"the file was renamed, it is {name_of(description.snapshot)}")
    if description.cluster_id != cluster_id:
        raise CorruptCheckpoint(
            f"the checkpoint is of cluster {description.cluster_id:x}, this is {cluster_id:x}"
        )
    return description
