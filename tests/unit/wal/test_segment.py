"""Names and headers of segments."""

from __future__ import annotations

import pytest

from zetcd.errors import WalCorruption
from zetcd.wal.segment import (
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    decode_segment_header,
    parse_segment_name,
    segment_name,
)

HEADER = SegmentHeader(
    cluster_id=0xC1,
    member_id=0xA1,
    number=3,
    segment_bytes=64 * 1024 * 1024,
    first_index=0x1234,
    previous_term=7,
    first_sequence=99,
    salt=0x5A17,
    chain=0xCAFE,
)


def test_golden_bytes_of_a_segment_header() -> None:
    """The format must not drift: a change here needs a new format version."""
    encoded = HEADER.encode()
    assert len(encoded) == SEGMENT_HEADER_BYTES
    assert encoded.rstrip(b"\0").hex(" ", 8) == GOLDEN_HEADER


def test_a_header_round_trips() -> None:
    assert decode_segment_header(HEADER.encode(), HEADER.name) == HEADER


def test_the_seed_depends_on_every_field() -> None:
    changed = [HEADER._replace(**{name: 1}) for name in HEADER._fields]
    assert len({each.seed for each in [HEADER, *changed]}) == 1 + len(changed)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (0, "not the header of a zetcd log segment"),
        (8, "format version"),
        (20, "fails its checksum"),
        (85, "fails its checksum"),
        (300, "reserved part"),
    ],
)
def test_a_damaged_header_is_refused(at: int, reason: str) -> None:
    damaged = bytearray(HEADER.encode())
    damaged[at] ^= 0x10
    with pytest.raises(WalCorruption, match=reason):
        decode_segment_header(bytes(damaged), HEADER.name)


def test_a_short_file_is_refused() -> None:
    with pytest.raises(WalCorruption, match="fails its checksum"):
        decode_segment_header(HEADER.encode()[:50], HEADER.name)


def test_a_renamed_file_is_refused() -> None:
    with pytest.raises(WalCorruption, match="was renamed"):
        decode_segment_header(HEADER.encode(), segment_name(4, 0x1234))


def test_names_sort_in_log_order() -> None:
    names = [segment_name(number, 1 << number) for number in range(12)]
    assert names == sorted(names)
    assert names[3] == "00000003-0000000000000008.wal"
    assert [parse_segment_name(name) for name in names] == list(range(12))


@pytest.mark.parametrize(
    "name", ["next.tmp", "lock", "1-1.wal", "00000003-000000000000000G.wal", ""]
)
def test_other_names_are_not_segments(name: str) -> None:
    assert parse_segment_name(name) is None


GOLDEN_HEADER = (
    "7a6574636457414c 0000000100000200 00000000000000c1 00000000000000a1 "
    "0000000000000003 0000000004000000 0000000000001234 0000000000000007 "
    "0000000000000063 0000000000005a17 0000cafef96354ce"
)
