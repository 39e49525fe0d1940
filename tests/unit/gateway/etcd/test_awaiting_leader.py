"""What writes of the etcd API do while nobody leads: they wait, as in etcd."""

from __future__ import annotations

import pytest

from tests.unit.gateway.stage import NODE, TERM, options_of
from zetcd.errors import (
    NoLeader,
    RequestTooManyRequests,
    TimeoutDueToLeaderFail,
    ZetcdError,
)
from zetcd.gateway import batching
from zetcd.gateway.etcd.replies import EtcdReplies
from zetcd.gateway.pending import Pending
from zetcd.gateway.service import Service
from zetcd.messages.base import Message
from zetcd.messages.codec import decoder_of
from zetcd.messages.kv import PutRequest, RangeResponse
from zetcd.messages.node import LeaderInfo, ProposalBatch, Propose, ProposeRefused, Role

_decode_batch = decoder_of(ProposalBatch).decode
NOBODY = LeaderInfo(TERM, 0, Role.FOLLOWER)
SOMEBODY = LeaderInfo(TERM + 1, NODE + 1, Role.FOLLOWER)


class Writer:
    """A client that puts, on a clock of its own."""

    def __init__(self, info: LeaderInfo = NOBODY) -> None:
        self.now = 100.0
        self.replies = EtcdReplies()
        self.service = Service(options_of(), self.replies, awaits_leader=True)
        self.service.leader_info(info, self.now)
        self.errors: dict[int, ZetcdError] = {}
        self._last_id = 0

    def put(self, key: bytes) -> int:
        self._last_id += 1
        pending = Pending(
            self, self._last_id, PutRequest(key), started=self.now, deadline=self.now + 7
        )
        self.replies.open(pending)
        self.service.submit(pending, len(key))
        return self._last_id

    def turn(self, seconds: float = 0.0) -> list[tuple[int, list[bytes]]]:
        """Return the proposals that leave: batch and keys."""
        self.now += seconds
        self.service.advance(self.now)
        self.service.check()
        sent, self.service.to_raft = self.service.to_raft, []
        return [
            (each.batch_id, [put.key for put in _decode_batch(each.data).requests])  # type: ignore[union-attr]
            for each in sent
            if isinstance(each, Propose)
        ]

    def answered(self, pending: Pending, response: Message) -> None:
        raise AssertionError(f"{pending} was answered with {response}")

    def part(self, pending: Pending, part: RangeResponse) -> bool:
        raise AssertionError(f"{pending} was answered with {part}")

    def failed(self, pending: Pending, error: ZetcdError) -> None:
        self.errors[pending.request_id] = error


def test_a_put_without_a_leader_is_proposed_once_there_is_one() -> None:
    writer = Writer()
    writer.put(b"a")
    assert writer.turn() == []
    assert writer.turn(2) == []
    assert writer.service.wake_at() > writer.now + 1, "it does not look for a leader all the time"
    writer.service.leader_info(SOMEBODY, writer.now)
    assert [keys for _, keys in writer.turn()] == [[b"a"]]
    assert not writer.errors


def test_what_was_refused_for_want_of_a_leader_is_proposed_again_in_order() -> None:
    writer = Writer(SOMEBODY)
    writer.put(b"a")
    writer.put(b"b")
    [(batch_id, _)] = writer.turn()
    writer.service.refused(ProposeRefused(batch_id, NoLeader.number), writer.now)
    writer.put(b"c")
    assert writer.turn() == []
    assert writer.service.wake_at() == pytest.approx(writer.now + batching.AGAIN_SECONDS)
    [(again_id, keys)] = writer.turn(batching.AGAIN_SECONDS)
    assert again_id != batch_id
    assert keys == [b"a", b"b", b"c"]
    assert not writer.errors


def test_other_refusals_are_passed_on() -> None:
    writer = Writer(SOMEBODY)
    request_id = writer.put(b"a")
    [(batch_id, _)] = writer.turn()
    refusal = ProposeRefused(batch_id, RequestTooManyRequests.number)
    writer.service.refused(refusal, writer.now)
    assert isinstance(writer.errors[request_id], RequestTooManyRequests)


def test_who_waited_for_a_leader_in_vain_is_told_so_and_forgotten() -> None:
    writer = Writer(SOMEBODY)
    writer.service.leader_info(LeaderInfo(TERM + 1, 0, Role.FOLLOWER), writer.now)
    request_id = writer.put(b"a")
    writer.turn()
    writer.turn(7.1)
    error = writer.errors[request_id]
    assert isinstance(error, TimeoutDueToLeaderFail)
    assert writer.service.facts()["queued"] == 0
    writer.service.leader_info(LeaderInfo(TERM + 2, NODE + 1, Role.FOLLOWER), writer.now)
    assert writer.turn() == []


def test_a_member_that_stops_lets_nobody_wait_for_a_leader() -> None:
    writer = Writer()
    waiting = writer.put(b"a")
    writer.turn()
    writer.service.drain()
    assert isinstance(writer.errors[waiting], NoLeader)
    assert writer.turn() == []


def test_a_member_that_stops_passes_refusals_on() -> None:
    writer = Writer(SOMEBODY)
    request_id = writer.put(b"a")
    [(batch_id, _)] = writer.turn()
    writer.service.drain()
    writer.service.refused(ProposeRefused(batch_id, NoLeader.number), writer.now)
    assert isinstance(writer.errors[request_id], NoLeader)
