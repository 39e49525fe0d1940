"""Any checkpoint arrives whole, whatever is lost, repeated, held up or belongs to another file.

The model of a sender is the content itself: it answers each request with a slice of it.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zetcd.messages.raft import ConfState, InstallSnapshot, SnapshotMetadata
from zetcd.messages.snapshot import SnapshotChunk, SnapshotRequest
from zetcd.snapshot.receiving import NOTHING, Held, Receiver, ReceivingOptions

OFFER = InstallSnapshot(1, 3, 5, SnapshotMetadata(100, 4, ConfState((1, 2, 3))), ("tcp://leader",))
OPTIONS = ReceivingOptions(
    cluster_id=7,
    node_id=3,
    chunk_bytes=7,
    requests_inflight_max=4,
    retry_seconds=2.0,
    retries_max=10_000,
)
DIGEST = b"d" * 32


def answer(request: SnapshotRequest, content: bytes) -> SnapshotChunk:
    body = content[request.offset : request.offset + request.length_max]
    return SnapshotChunk(100, 4, request.offset, len(content), DIGEST, body)


@given(
    content=st.binary(min_size=1, max_size=120),
    held_length=st.integers(0, 120),
    is_other_file=st.booleans(),
    data=st.data(),
)
def test_it_arrives_whole(
    content: bytes, held_length: int, is_other_file: bool, data: st.DataObject
) -> None:
    length = min(held_length, len(content))
    file = content[:length]
    if is_other_file:
        file = bytes(length)
    held = Held(b"o" * 32 if is_other_file else DIGEST, length) if length else NOTHING
    fetch = Receiver(OPTIONS, OFFER, held, 0.0)
    now = 0.0
    wire: list[SnapshotChunk] = []
    for _ in range(2_000):
        ready = fetch.ready(now)
        fetch.check()
        if ready.is_connecting:
            wire.clear()
        if ready.is_restarting:
            file = b""
        for received in ready.received:
            assert received.offset == len(file)
            file += received.body
        if ready.complete:
            assert (ready.complete, file) == (DIGEST, content)
            return
        assert not ready.error
        for request in ready.requests:
            assert 0 <= request.offset <= len(content)
            wire.append(answer(request, content))
        fate = data.draw(st.sampled_from(("deliver", "deliver", "deliver", "lose", "repeat")))
        if not wire or fate == "lose":
            wire[:1] = []
            now = fetch.wake_at()
            continue
        chunk = wire[0] if fate == "repeat" else wire.pop(0)
        fetch.step(chunk, now)
    raise AssertionError("it does not end")
