"""Responsible for how proposals enter the log: checked, refused, appended, or forwarded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zetcd.messages.raft import EntryType, ForwardProposal, LogEntry
from zetcd.raft import membership
from zetcd.raft.log_tail import ENTRY_OVERHEAD_BYTES
from zetcd.raft.ready import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zetcd.raft.raft import Raft


def propose(r: Raft, proposals: Sequence[tuple[EntryType, bytes]]) -> Refusal | None:
    """Append or forward ``proposals``, all or none; return why not, None if taken."""
    if r.leader == 0:
        return Refusal.NO_LEADER
    if not r.is_leader:
        if r.log.committed - r.log.applied > r.options.apply_lag_entries_max:
            return Refusal.APPLY_LAGGING
        r.messages.append(ForwardProposal(r.node_id, r.leader, r.term, tuple(proposals)))
        return None
    refusal = _refusal(r, proposals)
    if refusal is None:
        append_entries(r, proposals)
    return refusal


def handle_forward_proposal(r: Raft, m: ForwardProposal) -> None:
    """Take the proposals of a follower; if that is not possible its proposer's deadline decides."""
    # Not passed on: a proposal travels one hop, so that it cannot run in circles.
    refusal = _refusal(r, m.proposals) if r.is_leader else Refusal.NO_LEADER
    if refusal is not None:
        r.drop(refusal)
        return
    append_entries(r, m.proposals)
    progress = r.progress.get(m.sender)
    if progress is not None:
        progress.awaited_index = r.log.last_index


def _refusal(r: Raft, proposals: Sequence[tuple[EntryType, bytes]]) -> Refusal | None:
    """Return why the leader cannot take ``proposals``, None if it can."""
    if r.transferee:
        return Refusal.TRANSFERRING
    log = r.log
    options = r.options
    bytes_count = sum(len(data) + ENTRY_OVERHEAD_BYTES for _, data in proposals)
    # A proposal larger than the limit is taken when there is nothing else, or it never would be.
    if (
        log.uncommitted_bytes
        and log.uncommitted_bytes + bytes_count > options.uncommitted_bytes_max
    ):
        return Refusal.UNCOMMITTED_FULL
    if log.unstable_bytes and log.unstable_bytes + bytes_count > options.unstable_bytes_max:
        return Refusal.STORAGE_FULL
    disk = r.persistence
    if disk.handed_count - disk.confirmed_count > options.unstable_writes_max:
        return Refusal.STORAGE_FULL
    if log.committed - log.applied > options.apply_lag_entries_max:
        return Refusal.APPLY_LAGGING
    changes = [data for kind, data in proposals if kind == EntryType.CONF_CHANGE]
    return membership.refusal(r, changes) if changes else None


def append_entries(r: Raft, proposals: Sequence[tuple[EntryType, bytes]]) -> None:
    """Put ``proposals`` behind the end of the leader's log (Raft §5.3)."""
    log = r.log
    term = r.term
    first = log.last_index + 1
    entries = [
        LogEntry(kind, term, index, data) for index, (kind, data) in enumerate(proposals, first)
    ]
    log.append(entries)
    for entry in entries:
        if entry.type == EntryType.CONF_CHANGE:
            r.pending_conf_index = entry.index
