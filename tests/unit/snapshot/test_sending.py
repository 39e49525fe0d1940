"""Sending checkpoints: the rate, turns, bounds, receivers that go away."""

from __future__ import annotations

from dataclasses import replace

from zetcd.messages.snapshot import SnapshotRequest
from zetcd.snapshot.sending import Sender, SendingOptions

OPTIONS = SendingOptions(
    bytes_per_second=40, chunk_bytes=10, receivers_max=2, requests_max=3, idle_seconds=30.0
)
A, B, C = b"a", b"b", b"c"


def request(offset: int, length: int = 10, node_id: int = 3) -> SnapshotRequest:
    return SnapshotRequest(7, node_id, 100, 4, offset, length)


def sent(sender: Sender, now: float) -> list[tuple[bytes, int]]:
    due = sender.ready(now)
    sender.check()
    return [(each.receiver, each.request.offset) for each in due]


def test_receivers_take_turns() -> None:
    sender = Sender(OPTIONS, 0.0)
    for offset in (0, 10, 20):
        sender.step(A, request(offset, node_id=ord(A)), 0.0)
    sender.step(B, request(0, node_id=ord(B)), 0.0)
    assert sent(sender, 0.0) == [(A, 0), (B, 0), (A, 10), (A, 20)]


def test_the_rate_is_kept() -> None:
    sender = Sender(OPTIONS, 0.0)
    times: list[float] = []
    now = 0.0
    while now <= 10.0:
        sender.step(A, request(0, node_id=ord(A)), now)
        times += [now for _ in sent(sender, now)]
        now = max(now, min(sender.wake_at(), now + 0.01)) + 1e-9
    for second in range(10):
        # A second's worth may have been saved up before.
        assert 10 * sum(second <= at < second + 1 for at in times) <= 2 * 40
    assert 380 <= 10 * len(times) <= 440


def test_nothing_leaves_before_there_is_room_and_it_wakes_up_then() -> None:
    sender = Sender(OPTIONS, 0.0)
    for receiver in (A, B):
        for offset in (0, 10, 20):
            sender.step(receiver, request(offset, node_id=ord(receiver)), 0.0)
    assert len(sent(sender, 0.0)) == 4
    assert sender.wake_at() == 0.25
    assert sent(sender, 0.2) == []
    assert len(sent(sender, 0.25)) == 1
    assert sender.wake_at() == 0.5


def test_a_chunk_larger_than_a_second_s_worth_is_sent_nevertheless() -> None:
    sender = Sender(replace(OPTIONS, bytes_per_second=4), 0.0)
    sender.step(A, request(0, node_id=ord(A)), 0.0)
    assert sent(sender, 0.0) == []
    assert sent(sender, sender.wake_at()) == [(A, 0)]


def test_a_receiver_does_not_decide_how_large_a_chunk_is() -> None:
    sender = Sender(OPTIONS, 0.0)
    sender.step(A, request(0, 1 << 40, node_id=ord(A)), 0.0)
    sender.step(B, request(0, -1, node_id=ord(B)), 0.0)
    assert [due.length_max for due in sender.ready(0.0)] == [10, 1]


def test_too_many_requests_and_receivers_are_dropped() -> None:
    sender = Sender(OPTIONS, 0.0)
    for offset in range(5):
        sender.step(A, request(offset, node_id=ord(A)), 0.0)
    sender.step(B, request(0, node_id=ord(B)), 0.0)
    sender.step(C, request(0, node_id=ord(C)), 0.0)
    assert (sender.dropped_count, sender.receivers_count) == (3, 2)
    assert sorted(sent(sender, 0.0)) == [(A, 0), (A, 1), (A, 2), (B, 0)]


def test_a_receiver_that_asks_for_nothing_is_forgotten() -> None:
    sender = Sender(OPTIONS, 0.0)
    sender.step(A, request(0, node_id=ord(A)), 0.0)
    sender.step(B, request(0, node_id=ord(B)), 5.0)
    sent(sender, 5.0)
    assert sender.take_idle(29.9) == []
    assert sender.wake_at() == 30.0
    assert sender.take_idle(30.0) == [A]
    sender.step(C, request(0, node_id=ord(C)), 31.0)
    assert sender.receivers_count == 2


def test_a_receiver_that_is_gone_is_forgotten_with_its_requests() -> None:
    sender = Sender(OPTIONS, 0.0)
    sender.step(A, request(0, node_id=ord(A)), 0.0)
    sender.forget(A)
    sender.forget(A)
    assert sent(sender, 0.0) == []
    assert sender.wake_at() == float("inf")


def test_a_member_that_connects_anew_takes_the_place_of_its_dead_connections() -> None:
    sender = Sender(OPTIONS, 0.0)
    sender.step(A, request(0, node_id=1), 0.0)
    for number in range(20):
        sender.step(b"%d" % number, request(number, node_id=2), 0.0)
        sender.check()
    assert sender.dropped_count == 0
    assert sender.receivers_count == 2
    assert sent(sender, 0.0) == [(A, 0), (b"19", 19)]
    # Their files are closed.
    assert sender.take_idle(0.0) == [b"%d" % number for number in range(19)]
    assert sender.take_idle(0.0) == []
