"""The leader compares all members' histories and has the alarm raised; what failed is not passed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from msgspec.structs import replace

from zetcd.actors.divergence_check import DivergenceCheck
from zetcd.actors.hash_jobs import BEHIND_PAUSE_SECONDS, FORGET_SECONDS, SLICE_RECORDS, HashJobs
from zetcd.apply import Applier, ApplierOptions, Identity, initialise
from zetcd.config import parse_config
from zetcd.lease import Lessor, LessorOptions
from zetcd.messages.base import Message
from zetcd.messages.cluster import AlarmAction, AlarmRequest, AlarmType, Member
from zetcd.messages.codec import decoder_of, encode
from zetcd.messages.kv import CompactionRequest, PutRequest
from zetcd.messages.node import (
    ActorRole,
    HashAnswer,
    HashProgress,
    HashQuery,
    LeaderInfo,
    Origin,
    Proposal,
    ProposalBatch,
    Propose,
    Role,
)
from zetcd.messages.raft import EntryType, LogEntry
from zetcd.mvcc.backend import Table
from zetcd.mvcc.revision import pack_key
from zetcd.runtime.clock import ManualClock
from zetcd.runtime.memory_backend import MemoryBackend

NAMES = ("a", "b", "c")
INITIAL = ",".join(f"{name}=tcp://127.0.0.1:{2380 + 10 * at}" for at, name in enumerate(NAMES))
TURN_SECONDS = 0.05


def config_text(at: int) -> str:
    port = 2380 + 10 * at
    return f"""
name = "{NAMES[at]}"
listen-peer-urls = ["tcp://127.0.0.1:{port}"]
listen-native-client-urls = ["tcp://127.0.0.1:{port + 2}"]
listen-client-urls = ["http://127.0.0.1:{port + 3}"]
initial-cluster = "{INITIAL}"
corrupt-check-time = "1s"
"""


class CheckedMember:
    """A member's store, and its side of the comparison; raft is played by the cluster."""

    def __init__(self, cluster: CheckedCluster, at: int) -> None:
        config = parse_config(config_text(at))
        self.id = config.member_id()
        self.backend = MemoryBackend()
        members = tuple(Member(each.id, each.name) for each in config.initial_members())
        initialise(self.backend, Identity(config.cluster_id(), self.id), members)
        self.applier = Applier(self.backend, Lessor(LessorOptions()), ApplierOptions(self.id))
        self.sent: list[Message] = []
        self.is_away = False
        self.check = DivergenceCheck(
            config, 5, clock=cluster.clock, rng=Random(at), send_to_raft=self._send
        )

    def _send(self, message: Message) -> bool:
        self.sent.append(message)
        return True

    def facts(self) -> dict[str, str]:
        return dict(self.check.facts())


class CheckedCluster:
    """Three members; carries what they say to each other, and their proposals into the log."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.members = [CheckedMember(self, at) for at in range(3)]
        self.index = 0
        #: Alarms proposed.
        self.alarms: list[AlarmRequest] = []
        self.apply(*(PutRequest(b"k%d" % at, b"v") for at in range(20)))

    def apply(self, *requests: Proposal) -> None:
        self.index += 1
        batch = ProposalBatch(Origin(0, ActorRole.GATEWAY, 0, 1), self.index, requests)
        entry = LogEntry(EntryType.NORMAL, 1, self.index, encode(batch))
        for member in self.members:
            if not member.is_away:
                member.applier.apply_entries([entry], 0.0)

    def lead(self, leader: int) -> None:
        for at, member in enumerate(self.members):
            role = Role.LEADER if at == leader else Role.FOLLOWER
            info = LeaderInfo(1, self.members[leader].id, role)
            member.check.leader_info(info, self.clock.now())

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds / TURN_SECONDS)):
            self.clock.advance(TURN_SECONDS)
            for member in self.members:
                if not member.is_away:
                    member.check.advance(member.backend, self.clock.now())
                    self._carry(member)

    def _carry(self, member: CheckedMember) -> None:
        sent, member.sent = member.sent, []
        for message in sent:
            if isinstance(message, Propose):
                batch = decoder_of(ProposalBatch).decode(message.data)
                self.alarms += [each for each in batch.requests if isinstance(each, AlarmRequest)]
                self.apply(*batch.requests)
                continue
            assert isinstance(message, HashQuery | HashAnswer)
            assert message.sender == member.id
            (target,) = (each for each in self.members if each.id == message.to)
            if target.is_away:
                continue
            if isinstance(message, HashQuery):
                target.check.query(message, self.clock.now())
                self._carry(target)
            else:
                target.check.answer(message, self.clock.now())


@pytest.fixture
def cluster() -> Iterator[CheckedCluster]:
    cluster = CheckedCluster()
    yield cluster
    for member in cluster.members:
        member.applier.check()


def tamper(member: CheckedMember) -> None:
    with member.backend.write() as transaction:
        record = transaction.table(Table.REV).get(pack_key(9, 0))
        assert record is not None
        transaction.table(Table.REV).put(pack_key(9, 0), record[:-1] + b"!")


def test_equal_members_pass_round_after_round(cluster: CheckedCluster) -> None:
    cluster.lead(0)
    cluster.run(10)
    facts = cluster.members[0].facts()
    assert int(facts["checks_passed"]) >= 6
    assert (facts["checks_failed"], facts["checks_different"]) == ("0", "0")
    assert facts["checks_last"] == "passed at revision 21, 3 members"
    assert cluster.members[1].facts()["checks_last"] == "by the leader"
    assert cluster.alarms == []


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_a_member_that_differs_is_named_also_the_leader(
    cluster: CheckedCluster, wrong: int
) -> None:
    tamper(cluster.members[wrong])
    cluster.lead(0)
    cluster.run(6)
    suspect = cluster.members[wrong].id
    # Proposed once: from then on the store shows it.
    assert cluster.alarms == [AlarmRequest(AlarmAction.ACTIVATE, suspect, AlarmType.CORRUPT)]
    facts = cluster.members[0].facts()
    assert int(facts["checks_different"]) >= 2
    assert facts["checks_last"] == f"DIFFERENT at revision 21, member {suspect:016x}"


def test_an_alarm_that_was_turned_off_is_raised_again_while_its_cause_lasts(
    cluster: CheckedCluster,
) -> None:
    tamper(cluster.members[1])
    cluster.lead(0)
    cluster.run(3)
    (alarm,) = cluster.alarms
    cluster.apply(AlarmRequest(AlarmAction.DEACTIVATE, alarm.member_id, alarm.alarm))
    cluster.run(3)
    assert cluster.alarms == [alarm, alarm]


def test_a_member_that_is_away_makes_the_round_fail_and_not_pass(cluster: CheckedCluster) -> None:
    cluster.members[2].is_away = True
    cluster.lead(0)
    cluster.run(20)
    facts = cluster.members[0].facts()
    assert (facts["checks_passed"], facts["checks_failed"]) == ("0", "1")
    assert f"{cluster.members[2].id:016x}: it did not answer" in facts["checks_last"]
    assert cluster.alarms == []


def test_two_that_differ_while_the_third_is_away_name_nobody(cluster: CheckedCluster) -> None:
    tamper(cluster.members[1])
    cluster.members[2].is_away = True
    cluster.lead(0)
    cluster.run(20)
    assert [alarm.member_id for alarm in cluster.alarms] == [0]


def test_a_member_behind_is_waited_for(cluster: CheckedCluster) -> None:
    behind = cluster.members[2]
    behind.is_away = True
    cluster.apply(PutRequest(b"late"))
    behind.is_away = False
    cluster.lead(0)
    cluster.run(5)
    assert cluster.members[0].facts()["checks_passed"] == "0"
    batch = ProposalBatch(Origin(0, ActorRole.GATEWAY, 0, 1), 2, (PutRequest(b"late"),))
    behind.applier.apply_entries([LogEntry(EntryType.NORMAL, 1, 2, encode(batch))], 0.0)
    cluster.run(3)
    assert int(cluster.members[0].facts()["checks_passed"]) >= 1


def test_a_compaction_in_between_is_no_difference(cluster: CheckedCluster) -> None:
    cluster.lead(0)
    for revision in range(2, 20):
        cluster.run(0.7)
        cluster.apply(CompactionRequest(revision))
    facts = cluster.members[0].facts()
    assert int(facts["checks_passed"]) >= 3
    assert facts["checks_different"] == "0"


def test_who_does_not_lead_any_more_drops_its_round(cluster: CheckedCluster) -> None:
    tamper(cluster.members[1])
    cluster.members[2].is_away = True
    cluster.lead(0)
    cluster.run(3)
    cluster.lead(1)
    cluster.members[2].is_away = False
    cluster.run(5)
    assert cluster.members[0].facts()["checks_last"] == "by the leader"
    assert [alarm.member_id for alarm in cluster.alarms] == [cluster.members[1].id]


# --- the hashes themselves -----------------------------------------------------------------------


def query(round_id: int = 1, sender: int = 8, revision: int = 21) -> HashQuery:
    return HashQuery(sender, 9, round_id, revision)


def test_a_hash_is_computed_in_slices_with_rests(cluster: CheckedCluster) -> None:
    cluster.apply(*(PutRequest(b"more") for _ in range(3 * SLICE_RECORDS)))
    backend, clock = cluster.members[0].backend, cluster.clock
    jobs = HashJobs(clock)
    assert jobs.wake_at() == float("inf")
    asked = query(revision=21 + 3 * SLICE_RECORDS)
    assert jobs.ask(asked, clock.now()).progress is HashProgress.WORKING
    slices, final = 0, None
    while final is None:
        final = jobs.advance(backend, clock.now())
        slices += 1
        assert slices < 10
    assert slices == 4
    assert final.progress is HashProgress.DONE
    assert jobs.ask(asked, clock.now()) == final
    assert jobs.wake_at() == float("inf")


def test_a_revision_that_is_not_there_yet_or_not_any_more(cluster: CheckedCluster) -> None:
    backend, clock = cluster.members[0].backend, cluster.clock
    jobs = HashJobs(clock)
    jobs.ask(query(revision=22), clock.now())
    assert jobs.advance(backend, clock.now()) is None
    assert jobs.ask(query(revision=22), clock.now()).progress is HashProgress.BEHIND
    assert jobs.wake_at() == clock.now() + BEHIND_PAUSE_SECONDS
    cluster.apply(PutRequest(b"late"), CompactionRequest(20))
    jobs.ask(query(2, revision=5), clock.now())
    clock.advance(1.0)
    final = jobs.advance(backend, clock.now())
    assert final is not None
    assert final.progress is HashProgress.COMPACTED


def test_a_new_question_replaces_the_old_one_and_others_go_on(cluster: CheckedCluster) -> None:
    backend, clock = cluster.members[0].backend, cluster.clock
    jobs = HashJobs(clock)
    first = query()
    jobs.ask(first, clock.now())
    jobs.ask(replace(first, round_id=2), clock.now())
    jobs.ask(query(sender=7), clock.now())
    finals = []
    for _ in range(5):
        final = jobs.advance(backend, clock.now())
        finals += [] if final is None else [(final.to, final.round_id)]
    assert sorted(finals) == [(7, 1), (8, 2)]


def test_who_stops_asking_is_forgotten(cluster: CheckedCluster) -> None:
    clock = cluster.clock
    jobs = HashJobs(clock)
    jobs.ask(query(revision=99), clock.now())
    clock.advance(FORGET_SECONDS + 1)
    jobs.advance(cluster.members[0].backend, clock.now())
    assert jobs.wake_at() == float("inf")
