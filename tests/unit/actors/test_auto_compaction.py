"""The leader's snapshot actor proposes compactions; everybody samples; what is off stays off."""

from __future__ import annotations

from zetcd.actors.auto_compaction import AutoCompaction
from zetcd.config import parse_config
from zetcd.messages.base import Message
from zetcd.messages.codec import decoder_of
from zetcd.messages.kv import CompactionRequest
from zetcd.messages.node import ActorRole, LeaderInfo, ProposalBatch, Propose, Role
from zetcd.mvcc.state import StoreState, save_state
from zetcd.runtime.memory_backend import MemoryBackend

START = 10.0


def compaction(text: str, sent: list[Message]) -> AutoCompaction:
    def send(message: Message) -> bool:
        sent.append(message)
        return True

    return AutoCompaction(parse_config(text), 3, now=START, send_to_raft=send)


def backend_at(revision: int) -> MemoryBackend:
    backend = MemoryBackend()
    with backend.write() as transaction:
        save_state(transaction, StoreState(1, 1, revision))
    return backend


def test_the_leader_proposes_what_is_due() -> None:
    sent: list[Message] = []
    auto = compaction("auto-compaction-mode = 'revision'\nauto-compaction-retention = '10'", sent)
    auto.leader_info(LeaderInfo(2, 1, Role.LEADER))
    auto.advance(backend_at(100), START + 299)
    assert not sent
    auto.advance(backend_at(100), START + 301)
    (proposal,) = sent
    assert isinstance(proposal, Propose)
    batch = decoder_of(ProposalBatch).decode(proposal.data)
    assert batch.requests == (CompactionRequest(90),)
    assert (batch.origin.role, batch.origin.incarnation) == (ActorRole.SNAPSHOT, 3)
    assert auto.wake_at() > START + 600
    assert auto.facts() == (("auto_compactions", "1"),)


def test_a_follower_only_samples_and_waits_for_its_store() -> None:
    sent: list[Message] = []
    auto = compaction("auto-compaction-retention = '1m'", sent)
    auto.advance(None, START)
    assert START < auto.wake_at() < START + 1
    auto.leader_info(LeaderInfo(2, 1, Role.FOLLOWER))
    for second in range(1, 200):
        auto.advance(backend_at(second), START + second)
    assert not sent


def test_it_is_off_by_default() -> None:
    auto = compaction("", [])
    assert auto.wake_at() == float("inf")
    auto.advance(None, START + 1e9)
