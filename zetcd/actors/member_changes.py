"""Responsible for what the raft actor of the leader does with a change of the membership that is asked for.

It brings together what the rules (`zetcd.membership`) want to know: from the core, from apply's member
table, and from the peers. Decided here, once, and then true for every member.
"""

from __future__ import annotations

from typing import Final

from zetcd.actors.peers import Peers
from zetcd.config import Config
from zetcd.errors import (
    InvalidArgument,
    NotLeader,
    RequestTooManyRequests,
    ZetcdError,
)
from zetcd.membership import Rules, Standing, check
from zetcd.messages.codec import DECODE_ERRORS, encode
from zetcd.messages.node import MemberTable
from zetcd.messages.raft import ConfChange, ConfChangeType, EntryType
from zetcd.raft.raw_node import RawNode
from zetcd.raft.status import Status

#: Election timeouts after which a leader that could not hand over and was not removed tries it again.
_HAND_OVER_AGAIN: Final = 5


class MemberChanges:
    """Checks and proposes changes of the membership at one raft actor."""

    def __init__(self, config: Config, peers: Peers) -> None:
        """Decide by ``config``, about the members that ``peers`` knows."""
        self._peers = peers
        self._rules = Rules(
            is_strict=config.strict_reconfig_check, learners_max=config.max_learners
        )
        self._election_seconds = config.election_timeout / 1000
        #: Until when this leader tries to hand over before it lets itself be removed.
        self._hand_over_until = float("-inf")

    def propose(self, core: RawNode, change: ConfChange, now: float) -> ZetcdError | None:
        """Append ``change`` to the log; return why not, None if that was done."""
        if not core.is_leader:
            return NotLeader()
        status, table = core.status(), self._peers.table.table
        if not core.is_conf_settled or not _is_table_of(table, status):
            return RequestTooManyRequests("an earlier change of the membership is not applied yet")
        try:
            check(change, self._standing(status, table, now), self._rules)
        except ZetcdError as error:
            return error
        except DECODE_ERRORS as error:
            return InvalidArgument(f"the change cannot be decoded: {error}")
        is_own_end = change.type is ConfChangeType.REMOVE_NODE and change.node_id == core.node_id
        if is_own_end and self._hands_over(core, now):
            return NotLeader("it hands leadership over before it is removed")
        refusal = core.propose([(EntryType.CONF_CHANGE, encode(change))])
        if refusal is None:
            return None
        return RequestTooManyRequests(refusal.name.lower().replace("_", " "))

    def _standing(self, status: Status, table: MemberTable, now: float) -> Standing:
        return Standing(
            members=table.members,
            removed=tuple(each.id for each in table.removed),
            leader=status.node_id,
            connected=self._peers.connected(now),
            matches={peer.node_id: peer.match_index for peer in status.progress},
            last_index=status.last_index,
        )

    def _hands_over(self, core: RawNode, now: float) -> bool:
        """Hand leadership over, for an election timeout; return whether that is still being tried.

        A leader that is removed leads no more once that is committed. If the news of it were lost, the
        others could still need the vote of a member that is gone.
        """
        if now >= self._hand_over_until + _HAND_OVER_AGAIN * self._election_seconds:
            self._hand_over_until = now + self._election_seconds
            core.transfer_leader()
        return now < self._hand_over_until


def _is_table_of(table: MemberTable, status: Status) -> bool:
    """Return whether apply's table is of the membership that raft knows.

    A new incarnation of raft has not heard of any table yet.
    """
    voters = tuple(each.id for each in table.members if not each.is_learner)
    learners = tuple(each.id for each in table.members if each.is_learner)
    return (voters, learners) == (status.voters, status.learners)
