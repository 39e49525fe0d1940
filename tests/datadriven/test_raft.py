"""Plays the raft scenarios of ``tests/testdata/raft``.

Verbs (ids are words; ``key=value`` are options)::

    add-nodes COUNT [voters=] [learners=] [log=] [term=] [vote=] [commit=] [OPTION=]
                                     log= is terms of the entries from index 2 on, as 1,1,2x3
    add-joiner ID                    a member that starts with the membership of index 1
    bootstrap COUNT                  a new cluster from its bootstrap entries, nothing before them
    campaign ID · tick ID COUNT · tick-heartbeat ID · tick-election ID
    propose ID TEXT... · propose-bytes ID SIZE... · propose-conf-change ID v4|l4|r4|u4...
    read-index ID CONTEXT... · transfer-leadership ID TARGET
    process-ready ID... · process-append-thread ID... · process-apply-thread ID...
    process-log-read ID...
    deliver-msgs ID... [type=] [from=] [count=] [order=reverse]     to these members
    drop-msgs ID... [type=] [from=] [count=] · duplicate-msgs ID... (same options)
    stabilize [ID...] · partition ID... (these | the rest) · heal
    inject-append ID from= term= prev=TERM/INDEX commit= entries=TERM:TEXT,...
    inject-snapshot ID from= term= at=TERM/INDEX voters=
    crash ID [written=] · restart ID [tail=] · restart-apply ID
    snapshot ID · compact ID INDEX · report-unreachable ID PEER · report-snapshot ID PEER ok|failed
    set-fit ID yes|no
    raft-log ID · status [ID...] · network · log-level quiet|normal
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.datadriven.raft_cluster import FakeCluster, FakeMember, FixedTimeouts
from tests.datadriven.raft_text import (
    append_lines,
    apply_text,
    entry_text,
    message_text,
    read_text,
    ready_lines,
    status_lines,
)
from tests.datadriven.runner import Command, run
from zetcd.messages.cluster import Member
from zetcd.messages.codec import encode
from zetcd.messages.raft import (
    Append,
    ConfChange,
    ConfChangeType,
    ConfState,
    EntryType,
    HardState,
    InstallSnapshot,
    LogEntry,
    PeerMessage,
    SnapshotMetadata,
)
from zetcd.raft.membership import bootstrap_entries
from zetcd.raft.options import RaftOptions

SCENARIOS = Path(__file__).parents[1] / "testdata" / "raft"
_CHANGES = {
    "v": ConfChangeType.ADD_NODE,
    "l": ConfChangeType.ADD_LEARNER,
    "r": ConfChangeType.REMOVE_NODE,
    "u": ConfChangeType.UPDATE_NODE,
}
_NOT_OPTIONS = frozenset({"voters", "learners", "log", "term", "vote", "commit", "id"})


class RaftScenario:
    """A cluster and the verbs that act on it."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.is_quiet = False
        #: Lines already reported of each member's trace.
        self.traced: dict[int, int] = {}

    def __call__(self, command: Command) -> str:
        """Carry out one command and return what it shows."""
        verb = getattr(self, "do_" + command.verb.replace("-", "_"))
        lines = verb(command)
        if command.verb in {"status", "raft-log", "network"}:
            return "\n".join(lines)
        if self.is_quiet:
            self.traced = {i: len(m.traces) for i, m in self.cluster.members.items()}
            return "ok"
        return "\n".join([*lines, *self.new_traces()])

    def new_traces(self) -> list[str]:
        """Return what members have reported since the last command."""
        lines = []
        for node_id, member in sorted(self.cluster.members.items()):
            lines += ["* " + line for line in member.traces[self.traced.get(node_id, 0) :]]
            self.traced[node_id] = len(member.traces)
        return lines

    def ids(self, command: Command) -> list[int]:
        return [int(word) for word in command.words] or sorted(self.cluster.members)

    def member(self, command: Command) -> FakeMember:
        return self.cluster.members[int(command.words[0])]

    # --- building -------------------------------------------------------------------------------

    def options(self, command: Command, node_id: int) -> RaftOptions:
        given = {
            key.replace("-", "_"): (value == "true" if value in {"true", "false"} else int(value))
            for key, value in command.options.items()
            if key not in _NOT_OPTIONS
        }
        base = RaftOptions(node_id=node_id, read_round_seed=node_id * 1000)
        return dataclasses.replace(base, **given)  # type: ignore[arg-type]

    def do_add_nodes(self, command: Command) -> list[str]:
        count = int(command.words[0])
        first = command.number("id", len(self.cluster.members) + 1)
        ids = range(first, first + count)
        learners = command.numbers("learners")
        voters = command.numbers("voters") or tuple(i for i in ids if i not in learners)
        entries = _log_of(command.options.get("log", ""))
        term = command.number("term", entries[-1].term if entries else 1)
        state = HardState(term, command.number("vote", 0), command.number("commit", 1))
        for node_id in ids:
            self.cluster.add(
                self.options(command, node_id),
                ConfState(voters, learners),
                entries=entries,
                hard_state=state,
                rng=FixedTimeouts(node_id - 1),
            )
        return [line for i in ids for line in status_lines(self.cluster.members[i].node.status())]

    def do_add_joiner(self, command: Command) -> list[str]:
        node_id = int(command.words[0])
        conf = next(iter(self.cluster.members.values())).wal.snapshot.conf_state
        base = next(iter(self.cluster.members.values())).options
        options = dataclasses.replace(base, node_id=node_id, read_round_seed=node_id * 1000)
        member = self.cluster.add(options, conf, rng=FixedTimeouts(node_id - 1))
        return status_lines(member.node.status())

    def do_bootstrap(self, command: Command) -> list[str]:
        count = int(command.words[0])
        entries = bootstrap_entries([Member(i, f"node{i}") for i in range(1, count + 1)])
        lines = []
        for node_id in range(1, count + 1):
            member = self.cluster.add(
                self.options(command, node_id),
                ConfState(),
                entries=entries,
                hard_state=HardState(1, 0, count),
                start_index=0,
                rng=FixedTimeouts(node_id - 1),
            )
            lines += status_lines(member.node.status())
        return lines

    # --- inputs ---------------------------------------------------------------------------------

    def do_campaign(self, command: Command) -> list[str]:
        self.member(command).node.campaign()
        return []

    def do_tick(self, command: Command) -> list[str]:
        for _ in range(int(command.words[1])):
            self.member(command).node.tick()
            self.member(command).node.check()
        return []

    def do_tick_heartbeat(self, command: Command) -> list[str]:
        for _ in range(self.member(command).options.heartbeat_ticks):
            self.member(command).node.tick()
        return []

    def do_tick_election(self, command: Command) -> list[str]:
        member = self.member(command)
        for _ in range(member.node._raft.election_timeout):
            member.node.tick()
            member.node.check()
        return []

    def propose(self, command: Command, proposals: list[tuple[EntryType, bytes]]) -> list[str]:
        node = self.member(command).node
        refusal = node.propose(proposals)
        node.check()
        return [f"refused: {refusal.name}"] if refusal is not None else []

    def do_propose(self, command: Command) -> list[str]:
        words = command.words[1:]
        return self.propose(command, [(EntryType.NORMAL, word.encode()) for word in words])

    def do_propose_bytes(self, command: Command) -> list[str]:
        sizes = command.words[1:]
        return self.propose(command, [(EntryType.NORMAL, b"x" * int(size)) for size in sizes])

    def do_propose_conf_change(self, command: Command) -> list[str]:
        proposals = []
        for word in command.words[1:]:
            if word == "garbage":
                proposals.append((EntryType.CONF_CHANGE, b"\xc1"))
                continue
            change = ConfChange(_CHANGES[word[0]], int(word[1:]))
            proposals.append((EntryType.CONF_CHANGE, encode(change)))
        return self.propose(command, proposals)

    def do_read_index(self, command: Command) -> list[str]:
        for word in command.words[1:]:
            self.member(command).node.read_index(int(word))
        return []

    def do_transfer_leadership(self, command: Command) -> list[str]:
        self.member(command).node.transfer_leader(int(command.words[1]))
        return []

    def do_set_fit(self, command: Command) -> list[str]:
        self.member(command).node.set_fit(is_fit=command.words[1] == "yes")
        return []

    def do_report_unreachable(self, command: Command) -> list[str]:
        self.member(command).node.report_unreachable(int(command.words[1]))
        return []

    def do_report_snapshot(self, command: Command) -> list[str]:
        is_ok = command.words[2] == "ok"
        self.member(command).node.report_snapshot(int(command.words[1]), is_ok=is_ok)
        return []

    def do_snapshot(self, command: Command) -> list[str]:
        member = self.member(command)
        apply = member.apply
        member.node.snapshot_available(SnapshotMetadata(apply.index, apply.term, apply.conf_state))
        return [f"snapshot at {apply.term}/{apply.index}"]

    def do_compact(self, command: Command) -> list[str]:
        member = self.member(command)
        member.node.compact(int(command.words[1]))
        member.node.check()
        log = member.node._raft.log
        wal = member.wal
        wal.entries = [entry for entry in wal.entries if entry.index > log.snapshot_index]
        wal.snapshot = SnapshotMetadata(
            log.snapshot_index, log.snapshot_term, member.apply.conf_state
        )
        return [f"log begins at {log.first_index}"]

    # --- the parts of a node --------------------------------------------------------------------

    def do_process_ready(self, command: Command) -> list[str]:
        return self.each(command, self.one_ready)

    def do_process_append_thread(self, command: Command) -> list[str]:
        return self.each(command, self.one_write)

    def do_process_apply_thread(self, command: Command) -> list[str]:
        return self.each(command, self.one_apply)

    def do_process_log_read(self, command: Command) -> list[str]:
        return self.each(command, self.one_read)

    def each(self, command: Command, part: Callable[[int], list[str] | None]) -> list[str]:
        """Let one part of each named node do one step."""
        lines: list[str] = []
        ids = self.ids(command)
        for node_id in ids:
            done = part(node_id)
            shown = done if done is not None else ["nothing to do"]
            lines += shown if len(ids) == 1 else [f"{node_id}:", *("  " + x for x in shown)]
        return lines

    def one_ready(self, node_id: int) -> list[str] | None:
        ready = self.cluster.ready(node_id)
        return None if ready is None else ready_lines(ready)

    def one_write(self, node_id: int) -> list[str] | None:
        write = self.cluster.write(node_id)
        if write is None:
            return None
        durable = append_lines(write)[1:]
        released = [line.replace("then", "releases", 1) for line in durable]
        return ["durable:", *released]

    def one_apply(self, node_id: int) -> list[str] | None:
        queue = self.cluster.members[node_id].apply.queue
        text = apply_text(queue[0]) if queue else ""
        index = self.cluster.apply(node_id)
        return None if index is None else [text.replace("apply:", "applied:", 1)]

    def one_read(self, node_id: int) -> list[str] | None:
        response = self.cluster.read(node_id)
        return None if response is None else [read_text(response)]

    def do_stabilize(self, command: Command) -> list[str]:
        """Let everything happen, showing each step, until nothing is left to do."""
        lines: list[str] = []
        ids = self.ids(command)
        for _ in range(200):
            before = len(lines)
            for node_id in ids:
                for part, name in (
                    (self.one_ready, "ready"),
                    (self.one_write, "append thread"),
                    (self.one_apply, "apply thread"),
                    (self.one_read, "log read"),
                ):
                    done = part(node_id)
                    if done is not None:
                        lines += [f"{node_id} {name}", *("  " + line for line in done)]
            for node_id in ids:
                taken = self.cluster.take(node_id)
                if taken:
                    lines.append(f"{node_id} receives")
                    lines += ["  " + message_text(message) for message in taken]
                for message in taken:
                    self.cluster.deliver(message)
            if len(lines) == before:
                return lines
        raise AssertionError("does not come to rest")

    # --- network --------------------------------------------------------------------------------

    def select(self, command: Command) -> list[PeerMessage]:
        """Return the messages on the wire that the options name, in order."""
        ids = self.ids(command)
        sender = command.number("from", 0)
        kind = command.options.get("type", "")
        found = [
            message
            for message in self.cluster.network
            if message.to in ids
            and sender in {0, message.sender}
            and kind in {"", type(message).__name__}
        ]
        if command.options.get("order") == "reverse":
            found.reverse()
        return found[: command.number("count", len(found))]

    def remove(self, messages: list[PeerMessage]) -> None:
        for message in messages:
            for place, other in enumerate(self.cluster.network):
                if other is message:
                    del self.cluster.network[place]
                    break

    def do_deliver_msgs(self, command: Command) -> list[str]:
        selected = self.select(command)
        self.remove(selected)
        for message in selected:
            self.cluster.deliver(message)
        return [message_text(message) for message in selected]

    def do_inject_append(self, command: Command) -> list[str]:
        """Deliver an append that nobody has sent; ``entries`` are ``term:text,...``."""
        prev_term, prev_index = (int(part) for part in command.options["prev"].split("/"))
        entries: list[LogEntry] = []
        for text in command.options.get("entries", "").split(","):
            term, _, data = text.partition(":")
            index = prev_index + len(entries) + 1
            entries.append(LogEntry(EntryType.NORMAL, int(term), index, data.encode()))
        message = Append(
            command.number("from", 0),
            int(command.words[0]),
            command.number("term", 0),
            prev_index,
            prev_term,
            command.number("commit", 0),
            tuple(entries),
        )
        self.cluster.deliver(message)
        return [message_text(message)]

    def do_inject_snapshot(self, command: Command) -> list[str]:
        """Deliver an offer of a snapshot that nobody in the cluster has sent."""
        term, index = (int(part) for part in command.options["at"].split("/"))
        snapshot = SnapshotMetadata(index, term, ConfState(command.numbers("voters")))
        message = InstallSnapshot(
            command.number("from", 0), int(command.words[0]), command.number("term", 0), snapshot
        )
        self.cluster.deliver(message)
        return [message_text(message)]

    def do_duplicate_msgs(self, command: Command) -> list[str]:
        selected = self.select(command)
        for message in selected:
            self.cluster.deliver(message)
        return [message_text(message) for message in selected]

    def do_drop_msgs(self, command: Command) -> list[str]:
        selected = self.select(command)
        self.remove(selected)
        return ["dropped " + message_text(message) for message in selected]

    def do_network(self, command: Command) -> list[str]:
        return [message_text(message) for message in self.cluster.network]

    def do_partition(self, command: Command) -> list[str]:
        side = {int(word) for word in command.words}
        for one in sorted(side):
            for other in sorted(self.cluster.members.keys() - side):
                self.cluster.cut.add((min(one, other), max(one, other)))
        lost = [m for m in self.cluster.network if self.cluster.is_cut(m.sender, m.to)]
        self.remove(lost)
        return ["dropped " + message_text(message) for message in lost]

    def do_heal(self, command: Command) -> list[str]:
        self.cluster.cut.clear()
        return []

    # --- faults ---------------------------------------------------------------------------------

    def do_crash(self, command: Command) -> list[str]:
        member = self.member(command)
        for _ in range(command.number("written", 0)):
            member.wal.write_next()
        lost = len(member.wal.queue)
        member.crash()
        return [f"{lost} writes lost"]

    def do_restart(self, command: Command) -> list[str]:
        member = self.member(command)
        member.tail_count = command.number("tail", member.tail_count)
        member.start()
        return status_lines(member.node.status())

    def do_restart_apply(self, command: Command) -> list[str]:
        member = self.member(command)
        member.apply.queue.clear()
        member.node.resume_apply(member.apply.state())
        return [f"apply is at {member.apply.index}"]

    # --- views ----------------------------------------------------------------------------------

    def do_status(self, command: Command) -> list[str]:
        ids = self.ids(command)
        members = self.cluster.members
        return [
            line
            for node_id in ids
            for line in (
                status_lines(members[node_id].node.status())
                if members[node_id].is_up
                else [f"{node_id}: down"]
            )
        ]

    def do_raft_log(self, command: Command) -> list[str]:
        member = self.member(command)
        log = member.node._raft.log
        lines = []
        if log.snapshot_index:
            lines.append(f"compacted to {log.snapshot_term}/{log.snapshot_index}")
        if log.tail.first_index > log.first_index:
            lines.append(f"on disk only: [{log.first_index}, {log.tail.first_index})")
        held = log.tail.slice(log.tail.first_index, log.tail.next_index)
        return [*lines, *(entry_text(entry) for entry in held)] or ["empty"]

    def do_log_level(self, command: Command) -> list[str]:
        self.is_quiet = command.words[0] == "quiet"
        return []


def _log_of(text: str) -> tuple[LogEntry, ...]:
    """Return entries from index 2 on with the terms in ``text``, such as ``1,1,2x3``."""
    terms: list[int] = []
    for part in text.split(",") if text else []:
        term, _, count = part.partition("x")
        terms += [int(term)] * int(count or 1)
    return tuple(
        LogEntry(EntryType.NORMAL, term, index, b"%d.%d" % (term, index))
        for index, term in enumerate(terms, 2)
    )


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.txt")), ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    """What the cores do is what the scenario says."""
    run(path, RaftScenario())


def test_there_are_scenarios() -> None:
    """The directory is found and no scenario was lost."""
    assert len(list(SCENARIOS.glob("*.txt"))) >= 40
