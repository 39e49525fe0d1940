"""Responsible for a raft actor's dealings with other members that are not raft's: who, where, and who not.

    links follow the member table, and what members say of themselves    `PeerTable`
    a member that is not heard is told where this one is, now and then   `PeerIntroduction`
    who was removed is not listened to, and told so                      `PeerRejected`
    a node that is about to join asks who the members are                `MembersQuery`

Must never wait, and never answer more often than its intervals say: anybody can send frames.
"""

from __future__ import annotations

from typing import Final

import structlog

from zetcd.config import Config
from zetcd.errors import MemberRemoved
from zetcd.membership import PeerTable
from zetcd.messages.cluster import Member
from zetcd.messages.codec import DECODE_ERRORS, UnionDecoder, encode
from zetcd.messages.node import (
    MembersAnswer,
    MembersQuery,
    MemberTable,
    PeerIntroduction,
    PeerJoin,
    PeerRejected,
)
from zetcd.runtime.peer_socket import KIND_CONTROL, KIND_JOIN, PeerLinks
from zetcd.scalars import Index, NodeID
from zetcd.version import API_VERSION

_JOIN_DECODER: Final = UnionDecoder(PeerJoin)

#: What peers do wrong is logged at most this often: they go on doing it with every heartbeat.
_COMPLAINT_INTERVAL_SECONDS: Final = 5.0
#: A member that was not heard for so long is told where this one is, again and again.
_INTRODUCTION_INTERVAL_SECONDS: Final = 1.0
#: Who was removed is told so at most this often.
_REJECTION_INTERVAL_SECONDS: Final = 0.5
#: Who is removed is told the last commit again and again for so long, and so often: with it, that it was.
_FAREWELL_SECONDS: Final = 0.8
_FAREWELL_INTERVAL_SECONDS: Final = 0.1
#: Nodes that want to join are answered at most this often, all together.
_ANSWER_INTERVAL_SECONDS: Final = 0.1
#: Senders remembered beside the members.
_SENDERS_MAX: Final = 64


class Peers:
    """The other members, as one raft actor deals with them."""

    def __init__(self, config: Config, links: PeerLinks, now: float) -> None:
        """Know nobody but through ``links``."""
        self._config = config
        self._links = links
        self._node_id: NodeID = config.member_id()
        self._log = structlog.get_logger()
        self.table = PeerTable()
        #: When each sender was heard last.
        self.heard_at: dict[NodeID, float] = {}
        #: Ids of those who were removed.
        self.removed: frozenset[NodeID] = frozenset()
        #: The newest word of a commit alone to each peer, encoded.
        self.last_news: dict[NodeID, bytes] = {}
        #: Who was removed lately, and until when it is a peer all the same.
        self._leaving: dict[NodeID, tuple[Member, float]] = {}
        self._next_farewell = now
        self._next_introduction = now + _INTRODUCTION_INTERVAL_SECONDS
        self._next_rejection = now
        self._next_answer = now
        #: Frames that could not be decoded since they were last complained of, and the last one.
        self._malformed_count = 0
        self._malformed_last = ""
        self._next_complaint = 0.0

    # --- who and where ----------------------------------------------------------------------------

    def update(self, table: MemberTable, now: float) -> MemberTable:
        """Take apply's word; return whom to send to, and where, for wal."""
        peers = {each.id for each in self.table.members()}
        self.table.update(table)
        self.removed = frozenset(each.id for each in table.removed)
        for gone in table.removed:
            if gone.id in peers and gone.id in self.last_news:
                self._leaving[gone.id] = (gone, now + _FAREWELL_SECONDS)
        members = {each.id for each in table.members}
        self.heard_at = {each: at for each, at in self.heard_at.items() if each in members}
        for each in self.last_news.keys() - members - self._leaving.keys():
            del self.last_news[each]
        return self._connect()

    def introduced(self, introduction: PeerIntroduction) -> MemberTable | None:
        """Take a member's own word; return whom to send to, None = as before."""
        if not self.table.introduce(introduction):
            return None
        self._log.info(
            "a member has introduced itself",
            member=f"{introduction.sender:016x}",
            peer_urls=introduction.peer_urls,
        )
        return self._connect()

    def _connect(self) -> MemberTable:
        members = self.table.members()
        leaving = [member for member, _ in self._leaving.values()]
        self._links.set_peers({each.id: each.peer_urls for each in (*members, *leaving)})
        return MemberTable(members)

    def take_leave(self, now: float) -> None:
        """Say the last commit again to those who are removed by it.

        Raft says it once, and has no more to do with them. It may be lost, or overtake the entry that it
        is about: then its clients would not learn what became of a removal that was asked for there.
        """
        if not self._leaving or now < self._next_farewell:
            return
        self._next_farewell = now + _FAREWELL_INTERVAL_SECONDS
        for node_id, (_, until) in list(self._leaving.items()):
            if now < until:
                self._links.send(node_id, self.last_news[node_id])
            else:
                del self._leaving[node_id], self.last_news[node_id]
                self._connect()

    def connected(self, now: float) -> frozenset[NodeID]:
        """Return the members that were heard within an election timeout."""
        since = now - self._config.election_timeout / 1000
        return frozenset(each for each, at in self.heard_at.items() if at >= since)

    def heard(self, sender: NodeID, now: float) -> bool:
        """Note that a frame of ``sender`` is here; return whether to look at it."""
        if sender in self.removed:
            self._reject(sender, now)
            return False
        if sender in self.heard_at or len(self.heard_at) < _SENDERS_MAX:
            self.heard_at[sender] = now
        return True

    def introduce(self, now: float) -> None:
        """Tell every member that is silent where this one is."""
        if now < self._next_introduction:
            return
        self._next_introduction = now + _INTRODUCTION_INTERVAL_SECONDS
        frame = b""
        for member in self.table.members():
            silence = now - self.heard_at.get(member.id, 0.0)
            if member.id == self._node_id or silence < _INTRODUCTION_INTERVAL_SECONDS:
                continue
            # What this process was told, not the log: its peers must reach this very process.
            frame = frame or encode(
                PeerIntroduction(self._node_id, self._config.initial_advertise_peer_urls)
            )
            self._links.send(member.id, frame, kind=KIND_CONTROL)

    def _reject(self, sender: NodeID, now: float) -> None:
        member = self.table.removed(sender)
        if member is None or now < self._next_rejection:
            return
        self._next_rejection = now + _REJECTION_INTERVAL_SECONDS
        reason = f"member {sender:016x} was removed from cluster {self._config.cluster_id():016x}"
        rejected = PeerRejected(reason, MemberRemoved.number)
        self._links.send_once(member.peer_urls, sender, encode(rejected), kind=KIND_CONTROL)

    def answer_join(self, body: memoryview, applied: Index, now: float) -> None:
        """Tell a node that is about to join who the members are; it asks again if it hears nothing."""
        try:
            query = _JOIN_DECODER.decode(body)
        except DECODE_ERRORS as error:
            self.malformed(0, error)
            return
        members = self.table.table.members
        if not isinstance(query, MembersQuery) or not members or now < self._next_answer:
            return
        self._next_answer = now + _ANSWER_INTERVAL_SECONDS
        answer = MembersAnswer(
            self._config.cluster_id(), self._node_id, applied, members, API_VERSION
        )
        self._links.send_once(query.peer_urls, 0, encode(answer), kind=KIND_JOIN)

    # --- complaints -------------------------------------------------------------------------------

    def malformed(self, sender: NodeID, error: Exception) -> None:
        """Note a frame that could not be decoded."""
        self._malformed_count += 1
        self._malformed_last = f"member {sender:016x}: {error}"

    def complain(self, now: float) -> None:
        """Log what was wrong with frames of peers, now and then."""
        if now < self._next_complaint:
            return
        reasons = self._links.rejections()
        for reason in reasons:
            self._log.warning("rejected a peer", reason=reason)
        if self._malformed_count:
            self._log.warning(
                "dropped malformed frames", count=self._malformed_count, last=self._malformed_last
            )
            self._malformed_count = 0
        elif not reasons:
            return
        self._next_complaint = now + _COMPLAINT_INTERVAL_SECONDS
