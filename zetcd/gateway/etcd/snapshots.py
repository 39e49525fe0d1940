"""Responsible for Maintenance.Snapshot: a saved file as a stream of blobs, as etcd sends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.etcd.recipes import Emit, Scene, Steps
from zetcd.gateway.etcd.responses import Responses
from zetcd.messages.cluster import SnapshotReadRequest, SnapshotReadResponse

#: Bytes of one blob (etcd).
BLOB_BYTES: Final = 32 * 1024
#: The digest at the end is a blob of its own.
_DIGEST_BYTES: Final = 32


def snapshot(request: pb.SnapshotRequest, responses: Responses, scene: Scene) -> Steps:
    """Send the database in blobs, then its SHA-256."""
    del request, scene
    offset, snapshot_id = 0, 0
    while True:
        part = cast(SnapshotReadResponse, (yield SnapshotReadRequest(snapshot_id, offset)))
        for blob, remaining in _blobs(part, offset):
            message = pb.SnapshotResponse(
                header=responses.header_message(part.header),
                remaining_bytes=remaining,
                blob=blob,
                version=part.version,
            )
            yield Emit(message.SerializeToString())
        offset += len(part.blob)
        snapshot_id = part.id
        if offset >= part.total_bytes:
            return None


def _blobs(part: SnapshotReadResponse, offset: int) -> Iterator[tuple[bytes, int]]:
    """Yield the blobs of a part that begins at ``offset``, each with what is left behind it."""
    data_bytes = part.total_bytes - _DIGEST_BYTES
    data_end = min(len(part.blob), data_bytes - offset)
    for start in range(0, data_end, BLOB_BYTES):
        blob = part.blob[start : min(start + BLOB_BYTES, data_end)]
        yield blob, data_bytes - offset - start - len(blob)
    digest = part.blob[max(data_end, 0) :]
    if digest:
        yield digest, 0
