"""Responsible for knowing where every other member is reached, and who is none any more.

The member table, which apply makes of the log, is the rule. It is not enough for a member that is behind:
who leads it may be a member that it has not heard of yet, or one that has moved. It could not answer,
and so never catch up. Therefore a member that gets no answer introduces itself, and what it says of itself
counts until the log says something newer.

Invariant: nobody who was removed is in `members`.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from zetcd.messages.cluster import Member
from zetcd.messages.node import MemberTable, PeerIntroduction
from zetcd.scalars import NodeID

#: Members that may be known by their own word alone; more than any cluster has.
_INTRODUCED_MAX: Final = 64


class PeerTable:
    """Where the members are, as far as one of them knows."""

    def __init__(self) -> None:
        """Know nobody."""
        self._table = MemberTable(())
        #: What members said of themselves, unless the log has said something newer.
        self._introduced: dict[NodeID, tuple[str, ...]] = {}

    @property
    def table(self) -> MemberTable:
        """The member table as apply told it last."""
        return self._table

    def update(self, table: MemberTable) -> None:
        """Take a new member table; what it says anew of a member counts more than its introduction."""
        before = {each.id: each.peer_urls for each in self._table.members}
        self._table = table
        for member in table.members:
            if member.peer_urls != before.get(member.id):
                self._introduced.pop(member.id, None)
        for gone in table.removed:
            self._introduced.pop(gone.id, None)

    def introduce(self, introduction: PeerIntroduction) -> bool:
        """Take a member's word for where it is; return whether that is news."""
        sender, urls = introduction.sender, introduction.peer_urls
        if not urls or self.removed(sender) is not None or urls == self.urls_of(sender):
            return False
        if sender not in self._introduced and len(self._introduced) >= _INTRODUCED_MAX:
            return False
        self._introduced[sender] = urls
        return True

    def urls_of(self, node_id: NodeID) -> tuple[str, ...]:
        """Return where a member is reached; empty = it is not known."""
        introduced = self._introduced.get(node_id)
        if introduced is not None:
            return introduced
        known = next((each for each in self._table.members if each.id == node_id), None)
        return () if known is None else known.peer_urls

    def members(self) -> tuple[Member, ...]:
        """Return every member that can be reached, where it is reached, sorted by id."""
        members = {each.id: each for each in self._table.members}
        for node_id, urls in self._introduced.items():
            known = members.get(node_id, Member(node_id))
            members[node_id] = replace(known, peer_urls=urls)
        return tuple(members[node_id] for node_id in sorted(members))

    def removed(self, node_id: NodeID) -> Member | None:
        """Return what a member was that was removed; None: this one was not."""
        return next((each for each in self._table.removed if each.id == node_id), None)

    def check(self) -> None:
        """Assert the invariant."""
        assert not {each.id for each in self.members()} & {each.id for each in self._table.removed}
