"""Responsible for putting the parts of a snapshot together, whatever client asks for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from typing import Final

from zetcd.errors import CorruptSnapshot
from zetcd.messages.cluster import SnapshotReadRequest, SnapshotReadResponse

_DIGEST_BYTES: Final = 32


def saving(
    write: Callable[[bytes], object],
) -> Generator[SnapshotReadRequest, SnapshotReadResponse, str]:
    """Yield the requests and take the responses; return the version of what was written.

    Raises:
        CorruptSnapshot: what arrived is not what was sent.
    """
    digest = hashlib.sha256()
    offset, snapshot_id, tail = 0, 0, b""
    while True:
        part = yield SnapshotReadRequest(snapshot_id, offset)
        write(part.blob)
        tail += part.blob
        digest.update(tail[:-_DIGEST_BYTES])
        tail = tail[-_DIGEST_BYTES:]
        offset += len(part.blob)
        snapshot_id = part.id
        if offset >= part.total_bytes:
            break
    if digest.digest() != tail:
        raise CorruptSnapshot("what arrived does not have the digest that it ends with")
    return part.version
