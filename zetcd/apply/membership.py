"""Responsible for what a membership change does to the member table; pure.

Who votes afterwards is raft's own rule (`zetcd.raft.membership.next_conf_state`), which knows ids only.
The table follows it, whatever was proposed: what that rule does not take changes nothing here either.
What may be proposed at all is in `zetcd.membership`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from zetcd.messages.cluster import Member
from zetcd.messages.codec import decoder_of
from zetcd.messages.raft import ConfChange, ConfChangeType, ConfState
from zetcd.scalars import NodeID

_MEMBER_DECODER: Final = decoder_of(Member)


def changed_member(
    members: Mapping[NodeID, Member], change: ConfChange, after: ConfState
) -> Member | None:
    """Return what the table holds of the changed member afterwards; None = nothing.

    Attributes that a member has published survive promotion and update of its peer URLs.

    Args:
        members: The table before.
        change: Of one member.
        after: Who is a member afterwards, as raft's rule says.
    """
    node_id = change.node_id
    if node_id not in after.voters and node_id not in after.learners:
        return None
    known = members.get(node_id)
    given = _MEMBER_DECODER.decode(change.context) if change.context else None
    if change.type is ConfChangeType.REMOVE_NODE:
        return known
    if change.type is ConfChangeType.UPDATE_NODE:
        if known is None or given is None:
            return known
        return replace(known, peer_urls=given.peer_urls)
    is_learner = node_id in after.learners
    if known is not None:
        return replace(known, is_learner=is_learner)
    if given is None:
        return Member(node_id, is_learner=is_learner)
    return replace(given, id=node_id, is_learner=is_learner)
