"""Writes raft messages and states as short text for scenario files."""

from __future__ import annotations

from zetcd.messages import raft as m
from zetcd.messages.storage import LogRead, LogReadResp, StorageAppend, StorageApply
from zetcd.raft.membership import decode_conf_change
from zetcd.raft.ready import Ready
from zetcd.raft.status import Status

_CHANGE_LETTERS = {
    m.ConfChangeType.ADD_NODE: "v",
    m.ConfChangeType.REMOVE_NODE: "r",
    m.ConfChangeType.UPDATE_NODE: "u",
    m.ConfChangeType.ADD_LEARNER: "l",
}


def data_text(kind: int, data: bytes) -> str:
    """Return the payload of an entry: text, ``v4`` for a change, ``<100 bytes>`` for a long one."""
    if kind == m.EntryType.CONF_CHANGE:
        change = decode_conf_change(data)
        return f"{_CHANGE_LETTERS[change.type]}{change.node_id}"
    if len(data) > 16:
        return f"<{len(data)} bytes>"
    return f'"{data.decode()}"'


def entry_text(entry: m.LogEntry) -> str:
    """Return ``term/index payload``."""
    return f"{entry.term}/{entry.index} {data_text(entry.type, entry.data)}"


def entries_text(entries: tuple[m.LogEntry, ...]) -> str:
    return "[" + ", ".join(entry_text(entry) for entry in entries) + "]"


def nodes_text(nodes: tuple[int, ...]) -> str:
    return "(" + " ".join(str(node) for node in nodes) + ")"


def snapshot_text(snapshot: m.SnapshotMetadata) -> str:
    learners = snapshot.conf_state.learners
    more = f" learners={nodes_text(learners)}" if learners else ""
    voters = nodes_text(snapshot.conf_state.voters)
    return f"snapshot {snapshot.term}/{snapshot.index} voters={voters}{more}"


def _details(message: m.PeerMessage) -> str:
    """Return the fields that matter, beside sender, receiver and term."""
    match message:
        case m.PreVote() | m.Vote():
            transfer = " transfer" if isinstance(message, m.Vote) and message.is_transfer else ""
            return f"last={message.last_term}/{message.last_index}{transfer}"
        case m.PreVoteResp() | m.VoteResp():
            commit = f"rejected commit={message.commit_term}/{message.commit}"
            return commit if message.rejected else "granted"
        case m.Append():
            prev = f"prev={message.prev_term}/{message.prev_index} commit={message.commit}"
            return f"{prev} {entries_text(message.entries)}" if message.entries else prev
        case m.AppendResp():
            if message.rejected:
                hint = f"hint={message.hint_term}/{message.hint_index}"
                return f"rejected index={message.index} {hint}"
            return f"index={message.index}"
        case m.Heartbeat():
            read = f" read={message.read_context}" if message.read_context else ""
            return f"commit={message.commit}{read}"
        case m.HeartbeatResp():
            parts = [f"read={message.read_context}"] if message.read_context else []
            parts += [] if message.is_fit else ["unfit"]
            parts += [f"agreed={message.agreed_index}"] if message.agreed_index else []
            return " ".join(parts)
        case m.InstallSnapshot():
            return snapshot_text(message.snapshot)
        case m.ForwardProposal():
            texts = [data_text(kind, data) for kind, data in message.proposals]
            return "[" + ", ".join(texts) + "]"
        case m.ForwardReadIndex():
            acknowledges = " acknowledges" if message.acknowledges else ""
            return f"context={message.context}{acknowledges}"
        case m.ReadIndexResp():
            answer = "rejected" if message.rejected else f"index={message.index}"
            return f"context={message.context} {answer}"
        case m.ForwardTransfer():
            return f"transferee={message.transferee}"
        case m.SnapshotFailed():
            return f"index={message.index}"
        case m.StorageAppendResp():
            snapshot = f" snapshot={message.snapshot_index}" if message.snapshot_index else ""
            durable = f"durable={message.log_term}/{message.index}" if message.index else ""
            return durable + snapshot
        case _:
            return ""


def message_text(message: m.PeerMessage) -> str:
    """Return one message on one line."""
    head = f"{message.sender}->{message.to} {type(message).__name__} term={message.term}"
    return f"{head} {_details(message)}".rstrip()


def append_lines(append: StorageAppend) -> list[str]:
    """Return what the wal is to do."""
    lines = ["wal:"]
    state = append.hard_state
    if state is not None:
        lines.append(f"  hard state term={state.term} vote={state.vote} commit={state.commit}")
    if append.snapshot is not None:
        lines.append(f"  {snapshot_text(append.snapshot)}")
    if append.entries:
        lines.append(f"  entries {entries_text(append.entries)}")
    lines += [f"  then {message_text(response)}" for response in append.responses]
    return lines


def apply_text(work: StorageApply | m.SnapshotMetadata) -> str:
    if isinstance(work, m.SnapshotMetadata):
        return f"apply: {snapshot_text(work)}"
    return f"apply: {entries_text(work.entries)}"


def read_text(read: LogRead | LogReadResp) -> str:
    who = f"for {read.target}" if read.target else "for apply"
    if isinstance(read, LogRead):
        return f"log read {who}: [{read.low}, {read.high})"
    return f"log read {who} from {read.low}: {entries_text(read.entries)}"


def ready_lines(ready: Ready) -> list[str]:
    """Return everything a core asks for."""
    lines: list[str] = []
    soft = ready.soft_state
    if soft is not None:
        learner = " learner" if soft.is_learner else ""
        lines.append(f"state: {soft.role.name} term={soft.term} leader={soft.leader}{learner}")
    lines += [f"send {message_text(message)}" for message in ready.messages]
    if ready.append is not None:
        lines += append_lines(ready.append)
    if ready.snapshot is not None:
        lines.append(apply_text(ready.snapshot))
    if ready.apply is not None:
        lines.append(apply_text(ready.apply))
    lines += [read_text(read) for read in ready.log_reads]
    lines += [f"read {state.context}: index={state.index}" for state in ready.read_states]
    lines += [f"read {refused.context}: {refused.reason.name}" for refused in ready.refused_reads]
    lines += [f"dropped {count} forwarded: {reason.name}" for reason, count in ready.dropped]
    return lines


def status_lines(status: Status) -> list[str]:
    """Return a member on one line, and its view of its peers if it leads."""
    learner = " learner" if status.is_learner else ""
    member = "" if status.is_member else " not-a-member"
    transfer = f" transferee={status.transferee}" if status.transferee else ""
    stalled = " storage-stalled" if status.is_storage_stalled else ""
    lines = [
        f"{status.node_id}: {status.role.name}{learner}{member} term={status.term} "
        f"leader={status.leader} last={status.last_index} durable={status.durable_index} "
        f"committed={status.committed} applied={status.applied} "
        f"voters={nodes_text(status.voters)}"
        + (f" learners={nodes_text(status.learners)}" if status.learners else "")
        + transfer
        + stalled
        + ("" if status.is_fit else " unfit")
    ]
    for peer in status.progress:
        flags = (" learner" if peer.is_learner else "") + (" paused" if peer.is_paused else "")
        active = ("" if peer.recent_active else " inactive") + ("" if peer.is_fit else " unfit")
        window = f" inflight={peer.inflight_messages}" if peer.inflight_messages else ""
        lines.append(
            f"  {peer.node_id}: {peer.state.name} match={peer.match_index} "
            f"next={peer.next_index}{window}{active}{flags}"
        )
    return lines
