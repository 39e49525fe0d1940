"""The parts of a snapshot are put together, and compared with the digest at their end."""

from __future__ import annotations

import hashlib

import pytest

from zetcd.client.snapshot import saving
from zetcd.errors import CorruptSnapshot
from zetcd.messages.cluster import SnapshotReadRequest, SnapshotReadResponse
from zetcd.messages.kv import ResponseHeader

DATA = bytes(range(256)) * 10
WHOLE = DATA + hashlib.sha256(DATA).digest()


def saved(content: bytes, part_bytes: int) -> tuple[bytes, str]:
    written = bytearray()
    pieces = saving(written.extend)
    request = next(pieces)
    assert request == SnapshotReadRequest(0, 0)
    while True:
        blob = content[request.offset : request.offset + part_bytes]
        header = ResponseHeader(1, 1)
        try:
            request = pieces.send(SnapshotReadResponse(header, 5, len(content), blob, "3.6.0"))
        except StopIteration as end:
            return bytes(written), end.value
        assert request == SnapshotReadRequest(5, len(written))


@pytest.mark.parametrize("part_bytes", [1, 7, 32, 33, 1000, 10_000])
def test_parts_of_any_size_make_the_whole(part_bytes: int) -> None:
    assert saved(WHOLE, part_bytes) == (WHOLE, "3.6.0")


@pytest.mark.parametrize("position", [0, 1000, len(WHOLE) - 1])
def test_what_was_altered_on_the_way_is_noticed(position: int) -> None:
    altered = bytearray(WHOLE)
    altered[position] ^= 1
    with pytest.raises(CorruptSnapshot):
        saved(bytes(altered), 100)
