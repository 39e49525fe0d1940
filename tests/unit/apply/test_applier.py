"""Entries are executed once, in order, together with the consistent index."""

from __future__ import annotations

import pytest

from tests.unit.apply.machine import NODE_ID, OTHER_NODE_ID, Machine
from zetcd.errors import FutureRev, InvariantViolation, LeaseNotFound
from zetcd.messages.client import ErrorBody
from zetcd.messages.codec import encode
from zetcd.messages.kv import (
    CompactionRequest,
    PutRequest,
    PutResponse,
    RangeRequest,
    RequestOp,
    ResponseHeader,
    TxnRequest,
)
from zetcd.messages.node import ActorRole, Origin, ProposalBatch
from zetcd.messages.raft import ConfChange, ConfChangeType, ConfState, EntryType, LogEntry
from zetcd.mvcc import HashKV, View
from zetcd.runtime.memory_backend import MemoryBackend


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_the_worked_example(machine: Machine) -> None:
    machine.term = 3
    answers = machine.ask(PutRequest(b"a", b"1"), PutRequest(b"a", lease=5), CompactionRequest(9))
    put, no_lease, future = answers
    assert put == PutResponse(ResponseHeader(2, 3))
    assert isinstance(no_lease, ErrorBody)
    assert no_lease.number == LeaseNotFound.number
    assert isinstance(future, ErrorBody)
    assert future.number == FutureRev.number
    assert machine.output.results[0].results.errors == (1, 2)
    assert [each.revision for each in machine.output.revisions] == [2]
    counts = machine.output.counts
    assert (counts.entries, counts.requests, counts.errors, counts.events) == (1, 3, 2, 1)
    state = machine.applier.state
    assert (state.consistent_index, state.applied_term, state.current_revision) == (1, 3, 2)


def test_results_go_to_the_batch_they_belong_to(machine: Machine) -> None:
    output = machine.apply(machine.entry(PutRequest(b"a")), machine.entry(PutRequest(b"b")))
    assert [due.results.batch_id for due in output.results] == [1, 2]
    assert output.results[0].origin == Origin(NODE_ID, ActorRole.GATEWAY, 0, 1)
    assert [due.compact_revision for due in output.results] == [0, 0]


def test_batches_of_other_nodes_are_executed_and_not_answered(machine: Machine) -> None:
    output = machine.apply(machine.entry(PutRequest(b"a"), node=OTHER_NODE_ID))
    assert output.results == []
    assert [each.revision for each in output.revisions] == [2]


def test_members_that_do_not_answer_come_to_the_same_tables() -> None:
    operations: tuple[RequestOp, ...] = (PutRequest(b"x"), RangeRequest(b"a", revision=99))
    requests = (
        PutRequest(b"a", b"1", prev_kv=True),
        TxnRequest(success=operations),
        TxnRequest(success=operations[:1]),
    )
    hashes = []
    for node in (NODE_ID, OTHER_NODE_ID):
        machine = Machine()
        machine.apply(machine.entry(*requests, node=node))
        assert machine.applier.state.current_revision == 3
        with machine.backend.read() as transaction:
            hashes.append(HashKV().step(transaction, records_max=99))
    assert hashes[0] == hashes[1]


def test_entries_held_already_are_skipped(machine: Machine) -> None:
    first, second = machine.entry(PutRequest(b"a")), machine.entry(PutRequest(b"b"))
    machine.apply(first)
    output = machine.apply(first, second)
    assert (output.counts.entries, output.counts.entries_skipped) == (1, 1)
    assert machine.applier.state.current_revision == 3
    assert machine.apply(second).counts.entries == 0


def test_another_term_at_the_applied_index_is_a_defect(machine: Machine) -> None:
    entry = machine.entry(PutRequest(b"a"))
    machine.apply(entry)
    other = LogEntry(entry.type, entry.term + 1, entry.index, entry.data)
    with pytest.raises(InvariantViolation):
        machine.apply(other)


def test_a_gap_is_a_defect(machine: Machine) -> None:
    machine.entry(PutRequest(b"lost"))
    with pytest.raises(InvariantViolation):
        machine.apply(machine.entry(PutRequest(b"a")))


def test_an_entry_that_cannot_be_decoded_is_a_defect(machine: Machine) -> None:
    with pytest.raises(InvariantViolation):
        machine.apply(LogEntry(EntryType.NORMAL, 1, 1, b"\xc1"))


def test_the_entry_of_a_new_leader_moves_the_index_only(machine: Machine) -> None:
    machine.index += 1
    output = machine.apply(LogEntry(EntryType.NORMAL, 4, 1))
    assert output.results == []
    assert output.revisions == []
    state = machine.applier.state
    assert (state.consistent_index, state.applied_term) == (1, 4)


def test_a_restart_goes_on_where_the_tables_are(machine: Machine) -> None:
    entry = machine.entry(PutRequest(b"a", b"1"))
    machine.apply(entry)
    machine.restart()
    output = machine.apply(entry, machine.entry(PutRequest(b"a", b"2")))
    assert output.counts.entries == 1
    with machine.backend.read() as transaction:
        kv = View(transaction).get(b"a")
    assert kv is not None
    assert kv.version == 2


def test_a_defect_leaves_nothing_of_its_transaction(machine: Machine) -> None:
    good = machine.entry(PutRequest(b"a"))
    bad = LogEntry(EntryType.NORMAL, 1, 2, b"\xc1")
    with pytest.raises(InvariantViolation):
        machine.applier.apply_entries((good, bad), 0.0)
    machine.restart()
    assert machine.applier.state.consistent_index == 0
    with machine.backend.read() as transaction:
        assert View(transaction).get(b"a") is None


def test_a_physical_compaction_holds_its_results_back(machine: Machine) -> None:
    for _ in range(3):
        machine.ask(PutRequest(b"a"))
    machine.ask(CompactionRequest(3, physical=True))
    assert machine.output.compactions == [3]
    [due] = machine.output.results
    assert due.compact_revision == 3
    steps = 1
    while not machine.applier.compact_step(1).is_finished:
        machine.applier.check()
        steps += 1
    assert steps == 3
    assert machine.applier.state.compact_finished_revision == 3
    assert machine.applier.compact_step(1).removed == 0


def test_a_membership_change_is_stored_with_its_entry(machine: Machine) -> None:
    change = ConfChange(ConfChangeType.REMOVE_NODE, 2, request_id=8)
    output = machine.apply(machine.change(change))
    assert output.conf_changes == [change]
    assert output.has_new_members
    assert machine.applier.conf_state == ConfState(voters=(1,), learners=(3,))
    assert [member.id for member in machine.applier.members] == [1, 3]
    machine.restart()
    assert machine.applier.conf_state == ConfState(voters=(1,), learners=(3,))


def test_a_removed_member_is_remembered_as_it_was(machine: Machine) -> None:
    (removed,) = [each for each in machine.applier.members if each.id == 2]
    machine.apply(machine.change(ConfChange(ConfChangeType.REMOVE_NODE, 2)))
    assert list(machine.applier.removed) == [removed]
    assert not machine.applier.is_removed
    machine.applier.check()
    machine.restart()
    assert list(machine.applier.removed) == [removed]
    machine.apply(machine.change(ConfChange(ConfChangeType.ADD_NODE, 2)))
    assert list(machine.applier.removed) == []
    machine.applier.check()


def test_a_member_learns_that_it_was_removed_itself(machine: Machine) -> None:
    machine.apply(machine.change(ConfChange(ConfChangeType.REMOVE_NODE, 1)))
    assert machine.applier.is_removed
    machine.restart()
    assert machine.applier.is_removed


def test_whoever_asked_here_for_a_change_is_answered(machine: Machine) -> None:
    here, elsewhere = (Origin(node_id, ActorRole.GATEWAY, 0, 5) for node_id in (1, 2))
    changes = [
        ConfChange(ConfChangeType.REMOVE_NODE, 2, b"", 8, encode(here)),
        ConfChange(ConfChangeType.REMOVE_NODE, 3, b"", 9, encode(elsewhere)),
    ]
    first, second = (machine.apply(machine.change(each)) for each in changes)
    assert [member.id for member in machine.applier.members] == [1]
    (due,) = first.changes_due
    assert due.origin == here
    assert due.changed.request_id == 8
    assert [member.id for member in due.changed.members] == [1, 3]
    assert second.changes_due == []


def test_a_change_of_nobody_is_reported_and_changes_nothing(machine: Machine) -> None:
    output = machine.apply(machine.change(ConfChange(ConfChangeType.ADD_NODE, 0)))
    assert len(output.conf_changes) == 1
    assert not output.has_new_members
    assert len(machine.applier.members) == 3


def test_an_applier_needs_only_its_tables() -> None:
    backend = MemoryBackend()
    Machine(backend).ask(PutRequest(b"a"))
    again = Machine(backend)
    assert again.applier.state.current_revision == 2
    batch = ProposalBatch(Origin(NODE_ID, ActorRole.GATEWAY, 0, 2), 1, ())
    again.apply(LogEntry(EntryType.NORMAL, 1, 2, encode(batch)))
    assert again.output.results[0].results.bodies == ()
