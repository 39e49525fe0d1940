"""What stands around the tables in a checkpoint; every damaged byte of it is noticed."""

from __future__ import annotations

import pytest

from zetcd.errors import CorruptCheckpoint
from zetcd.messages.raft import ConfState, SnapshotMetadata
from zetcd.snapshot.checkpoint_format import (
    TRAILER_BYTES,
    CheckpointName,
    Description,
    Trailer,
    decode_description,
    decode_trailer,
    encode_description,
    encode_trailer,
    name_of,
    parse_name,
)

CLUSTER_ID = 0xC1
SNAPSHOT = SnapshotMetadata(0x1234, 7, ConfState((1, 2, 3), (4,)))
DESCRIPTION = Description(CLUSTER_ID, SNAPSHOT, revision=99, compact_revision=50)
NAME = CheckpointName(0x1234, 7)
TRAILER = Trailer(description_bytes=30, tables_bytes=8192, digest=bytes(range(32)))


def test_the_name_is_index_and_term_and_sorts_by_them() -> None:
    assert str(NAME) == "0000000000001234-0000000000000007.checkpoint"
    assert parse_name(str(NAME)) == NAME == name_of(SNAPSHOT)
    assert str(CheckpointName(9, 9)) < str(CheckpointName(10, 1))


@pytest.mark.parametrize(
    "name",
    ["", "own.partial", f"{NAME}.partial", str(NAME).upper(), f"incoming-{NAME}", "a-b.checkpoint"],
)
def test_nothing_else_is_taken_for_a_checkpoint(name: str) -> None:
    assert parse_name(name) is None


def test_the_description_survives_the_file() -> None:
    assert decode_description(encode_description(DESCRIPTION), NAME, CLUSTER_ID) == DESCRIPTION


def test_a_renamed_file_is_noticed() -> None:
    with pytest.raises(CorruptCheckpoint, match="renamed"):
        decode_description(encode_description(DESCRIPTION), CheckpointName(0x1235, 7), CLUSTER_ID)


def test_a_file_of_another_cluster_is_noticed() -> None:
    with pytest.raises(CorruptCheckpoint, match="cluster c1, this is c2"):
        decode_description(encode_description(DESCRIPTION), NAME, 0xC2)


def test_a_description_that_does_not_decode_is_damage() -> None:
    with pytest.raises(CorruptCheckpoint, match="does not decode"):
        decode_description(b"\xc1", NAME, CLUSTER_ID)


def test_the_trailer_says_how_long_the_file_is() -> None:
    packed = encode_trailer(TRAILER)
    assert len(packed) == TRAILER_BYTES
    assert decode_trailer(packed, 8192 + 30 + TRAILER_BYTES) == TRAILER


def test_a_file_that_was_cut_or_grew_is_noticed() -> None:
    packed = encode_trailer(TRAILER)
    for size in (TRAILER.file_bytes - 1, TRAILER.file_bytes + 1):
        with pytest.raises(CorruptCheckpoint, match="its trailer says"):
            decode_trailer(packed, size)
    with pytest.raises(CorruptCheckpoint, match="does not end with"):
        decode_trailer(packed[1:], TRAILER.file_bytes)


@pytest.mark.parametrize("position", range(TRAILER_BYTES))
def test_each_damaged_byte_of_the_trailer_is_noticed(position: int) -> None:
    packed = bytearray(encode_trailer(TRAILER))
    packed[position] ^= 0x10
    with pytest.raises(CorruptCheckpoint):
        decode_trailer(bytes(packed), TRAILER.file_bytes)
