"""Fetching a checkpoint: the window, resumption, other files, silence, refusals."""

from __future__ import annotations

import pytest

from zetcd.messages.raft import ConfState, InstallSnapshot, SnapshotMetadata
from zetcd.messages.snapshot import SnapshotChunk, SnapshotRefused, SnapshotRequest
from zetcd.snapshot.receiving import NOTHING, Held, Receiver, ReceiverReady, ReceivingOptions

OPTIONS = ReceivingOptions(
    cluster_id=7,
    node_id=3,
    chunk_bytes=10,
    requests_inflight_max=3,
    retry_seconds=2.0,
    retries_max=2,
)
OFFER = InstallSnapshot(1, 3, 5, SnapshotMetadata(100, 4, ConfState((1, 2, 3))), ("tcp://leader",))
CONTENT = bytes(range(95))
DIGEST = b"d" * 32


def chunk(offset: int, length: int = 10, digest: bytes = DIGEST) -> SnapshotChunk:
    return SnapshotChunk(100, 4, offset, len(CONTENT), digest, CONTENT[offset : offset + length])


def receiver(held: Held = NOTHING) -> Receiver:
    return Receiver(OPTIONS, OFFER, held, 50.0)


def offsets(ready: ReceiverReady) -> list[tuple[int, int]]:
    return [(request.offset, request.length_max) for request in ready.requests]


def test_it_connects_and_asks_for_one_chunk_until_it_knows_how_many_there_are() -> None:
    first = receiver().ready(50.0)
    assert first.is_connecting
    assert first.requests == (SnapshotRequest(7, 3, 100, 4, 0, 10),)


def test_a_window_of_requests_is_under_way() -> None:
    fetch = receiver()
    fetch.ready(50.0)
    fetch.step(chunk(0), 50.1)
    ready = fetch.ready(50.1)
    assert [(each.offset, each.body) for each in ready.received] == [(0, CONTENT[:10])]
    assert offsets(ready) == [(10, 10), (20, 10), (30, 10)]
    fetch.step(chunk(10), 50.2)
    assert offsets(fetch.ready(50.2)) == [(40, 10)]
    fetch.check()


def test_the_last_chunk_completes_it() -> None:
    fetch = receiver()
    got = b""
    ready = fetch.ready(50.0)
    while not ready.complete:
        for request in ready.requests:
            fetch.step(chunk(request.offset, request.length_max), 50.0)
        ready = fetch.ready(50.0)
        got += b"".join(each.body for each in ready.received)
    assert got == CONTENT
    assert ready.complete == DIGEST
    assert fetch.wake_at() == float("inf")
    assert fetch.ready(99.0) == ReceiverReady()


def test_what_an_earlier_try_has_left_is_not_fetched_again() -> None:
    fetch = receiver(Held(DIGEST, 90))
    assert offsets(fetch.ready(50.0)) == [(90, 10)]
    fetch.step(chunk(90), 50.0)
    assert fetch.ready(50.0).complete == DIGEST


def test_a_whole_file_that_was_left_is_completed_by_an_empty_chunk() -> None:
    fetch = receiver(Held(DIGEST, 95))
    assert offsets(fetch.ready(50.0)) == [(95, 10)]
    fetch.step(chunk(95), 50.0)
    ready = fetch.ready(50.0)
    assert (ready.complete, ready.received) == (DIGEST, ())


def test_what_belongs_to_another_file_is_thrown_away() -> None:
    fetch = receiver(Held(b"old" + bytes(29), 50))
    fetch.ready(50.0)
    fetch.step(chunk(50), 50.0)
    ready = fetch.ready(50.0)
    assert (ready.is_restarting, ready.received, offsets(ready)) == (True, (), [(0, 10)])
    fetch.step(chunk(0), 50.0)
    assert fetch.ready(50.0).received


@pytest.mark.parametrize(
    "stray",
    [
        chunk(20),
        chunk(0, digest=b""),
        SnapshotChunk(99, 4, 0, 95, DIGEST, b"x"),
        SnapshotRefused(99, 4, "another one"),
    ],
)
def test_what_does_not_come_next_is_ignored(stray: SnapshotChunk | SnapshotRefused) -> None:
    fetch = receiver()
    fetch.ready(50.0)
    fetch.step(stray, 50.0)
    assert fetch.ready(50.0) == ReceiverReady()


def test_silence_makes_a_new_connection_and_asks_again_from_what_is_held() -> None:
    fetch = receiver()
    fetch.ready(50.0)
    fetch.step(chunk(0), 51.0)
    fetch.ready(51.0)
    assert fetch.wake_at() == 53.0
    assert fetch.ready(52.9) == ReceiverReady()
    again = fetch.ready(53.0)
    assert again.is_connecting
    assert offsets(again) == [(10, 10), (20, 10), (30, 10)]


def test_a_sender_that_never_answers_is_given_up() -> None:
    fetch = receiver()
    connected = 0
    now = 50.0
    while not (ready := fetch.ready(now)).error:
        connected += ready.is_connecting
        now = fetch.wake_at()
    assert connected == 1 + OPTIONS.retries_max
    assert ready.error == "the sender does not answer"
    assert ready.requests == ()


def test_a_useful_chunk_renews_the_patience() -> None:
    fetch = receiver()
    now = 50.0
    for offset in range(0, 50, 10):
        for _ in range(OPTIONS.retries_max):
            fetch.ready(now)
            now = fetch.wake_at()
        fetch.step(chunk(offset), now)
    assert fetch.ready(now).error == ""


def test_a_refusal_ends_it() -> None:
    fetch = receiver()
    fetch.ready(50.0)
    fetch.step(SnapshotRefused(100, 4, "pruned"), 50.0)
    assert fetch.ready(50.0) == ReceiverReady(error="refused: pruned")


@pytest.mark.parametrize(
    "impossible",
    [
        SnapshotChunk(100, 4, 0, 5, DIGEST, b"longer than all"),
        SnapshotChunk(100, 4, 0, 95, DIGEST, b""),
    ],
)
def test_a_chunk_that_cannot_be_ends_it(impossible: SnapshotChunk) -> None:
    fetch = receiver()
    fetch.ready(50.0)
    fetch.step(impossible, 50.0)
    assert "cannot be" in fetch.ready(50.0).error


def test_wrong_content_begins_anew_once_and_is_given_up_then() -> None:
    fetch = receiver(Held(DIGEST, 95))
    errors = []
    for _ in range(2):
        fetch.ready(50.0)
        fetch.step(chunk(fetch.held.length, 95), 50.0)
        while not fetch.ready(50.0).complete:
            fetch.step(chunk(fetch.held.length, 95), 50.0)
        fetch.content_is_wrong(50.0)
        ready = fetch.ready(50.0)
        errors.append(ready.error)
        if not ready.error:
            assert ready.is_restarting
            assert offsets(ready) == [(0, 10)]
    assert "digest" in errors[-1]


def test_a_sender_with_smaller_chunks_is_asked_for_those() -> None:
    """Its configuration, or its rate, may allow for less; waiting for more would never end."""
    fetch = receiver()
    fetch.ready(50.0)
    fetch.step(chunk(0, 4), 50.1)
    ready = fetch.ready(50.1)
    assert offsets(ready) == [(4, 4), (8, 4), (12, 4)]
    assert not ready.is_connecting
    fetch.step(chunk(4, 4), 50.2)
    assert offsets(fetch.ready(50.2)) == [(16, 4)]
    fetch.check()
