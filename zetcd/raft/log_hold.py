"""Responsible for how much of its log a leader keeps for peers that it has sent a snapshot.

A snapshot helps only together with the entries behind it. Were they released while it is on its way, because
a newer checkpoint has come, its receiver would need that one as well, and under load the next, for ever::

    index      102            694          900
    ───────────┬──────────────┬────────────┤
               │              └ newest checkpoint: the log up to here could go ...
               └ the peer is being sent this one: ... but it stays, from here on, until the peer has caught up

Held from the offer until the peer has caught up, or has been silent for ten election timeouts. The bytes that
are held are bounded by wal (``[snapshot] log-held-bytes-max``): a peer that is slow, or that cannot take the
snapshot, must not fill the disk of the leader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zetcd.raft.raft import Raft
    from zetcd.scalars import Index


def release_index(r: Raft) -> Index:
    """Return up to where the log is dispensable: a snapshot stands for it, and no peer is held up by it."""
    if r.snapshot is None:
        return 0
    held = [each.held_index for each in r.progress.values() if each.held_index]
    return min([r.snapshot.index, *held])


def review(r: Raft) -> None:
    """Once every election timeout, before the quorum is checked: let go of what nobody waits for."""
    for progress in r.progress.values():
        progress.review_hold(r.log.committed)
