"""Responsible for executing the log: entries in, changed tables, answers and events out.

One call of `Applier.apply_entries` is one write transaction, which holds the changes of all
entries together with the consistent index. So the tables always show a prefix of the log, and a
restart knows which entries they already hold.

Any exception means that the transaction was discarded while the lessor may be ahead of it: the
applier must not be used again, the process ends and starts from its tables.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from zetcd.apply import tables
from zetcd.apply.alarms import Alarms, load_alarms
from zetcd.apply.batch_execution import BatchExecution
from zetcd.apply.membership import changed_member
from zetcd.apply.output import ApplyOutput, ChangeDue, ResultsDue
from zetcd.errors import InvariantViolation
from zetcd.lease import Lessor
from zetcd.messages.cluster import Member
from zetcd.messages.codec import DECODE_ERRORS, decoder_of
from zetcd.messages.node import ApplyResults, MemberChanged, Origin, ProposalBatch
from zetcd.messages.raft import ConfChange, ConfState, EntryType, LogEntry
from zetcd.mvcc.backend import Backend, WriteTransaction
from zetcd.mvcc.compaction import CompactionStep, compact_step, is_compacting
from zetcd.mvcc.state import StoreState, load_state, save_state
from zetcd.raft.membership import next_conf_state
from zetcd.scalars import NodeID

_BATCH_DECODER: Final = decoder_of(ProposalBatch)
_CONF_CHANGE_DECODER: Final = decoder_of(ConfChange)
_ORIGIN_DECODER: Final = decoder_of(Origin)


@dataclass(frozen=True, slots=True)
class ApplierOptions:
    """What an applier is told at its start."""

    #: Of this member: answers are built for batches that came from it.
    node_id: NodeID


class Applier:
    """Executes the log on the tables of one member.

    Invariants:
        - ``state``, ``conf_state``, ``members``, ``removed``, ``alarms`` and the leases of ``lessor`` are what
        the tables hold.
        - Entries are executed in log order without gap, each once.
    """

    def __init__(self, backend: Backend, lessor: Lessor, options: ApplierOptions) -> None:
        """Load everything but the keys; `tables.initialise` has been called."""
        self._backend = backend
        self._options = options
        self.lessor = lessor
        with backend.read() as transaction:
            #: How far the store is; read-only for others.
            self.state: StoreState = load_state(transaction)
            #: Membership at the consistent index.
            self.conf_state: ConfState = tables.load_conf_state(transaction)
            self._members = tables.load_members(transaction)
            self._removed = tables.load_removed(transaction)
            #: Alarms that are on; read-only for others.
            self.alarms = Alarms(load_alarms(transaction))
            lessor.restore(tables.load_leases(transaction))

    @property
    def members(self) -> tuple[Member, ...]:
        """The member table, sorted by id."""
        return tuple(self._members[member_id] for member_id in sorted(self._members))

    @property
    def member_ids(self) -> Container[NodeID]:
        """The ids of the members."""
        return self._members.keys()

    @property
    def removed(self) -> tuple[Member, ...]:
        """Those who are members no more, sorted by id."""
        return tuple(self._removed[member_id] for member_id in sorted(self._removed))

    @property
    def is_removed(self) -> bool:
        """The log says that this member was removed."""
        return self._options.node_id in self._removed

    @property
    def is_compacting(self) -> bool:
        """History is still to be removed: call `compact_step` between batches."""
        return is_compacting(self.state)

    def apply_entries(self, entries: Sequence[LogEntry], now: float) -> ApplyOutput:
        """Execute committed entries in one transaction, which is committed on return.

        Args:
            entries: Consecutive; those that the tables already hold are skipped.
            now: Monotonic time in seconds, for leases that start to run.

        Raises:
            InvariantViolation: there is a gap, or an entry differs from the one already applied.
        """
        output = ApplyOutput()
        fresh = self._fresh(entries, output)
        if not fresh:
            return output
        with self._backend.write() as transaction:
            execution = BatchExecution(transaction, self.state, self.lessor, self._members, output)
            execution.now = now
            execution.alarms = self.alarms
            for entry in fresh:
                self._apply_entry(transaction, execution, entry, output)
            self.state.consistent_index = fresh[-1].index
            self.state.applied_term = fresh[-1].term
            save_state(transaction, self.state)
        output.counts.entries = len(fresh)
        return output

    def compact_step(self, records_max: int) -> CompactionStep:
        """Remove a slice of compacted history in a transaction of its own."""
        if not self.is_compacting:
            return CompactionStep(is_finished=True, removed=0)
        with self._backend.write() as transaction:
            step = compact_step(transaction, self.state, records_max=records_max)
            save_state(transaction, self.state)
        return step

    def check(self) -> None:
        """Assert the invariants."""
        self.state.check()
        self.lessor.check()
        with self._backend.read() as transaction:
            assert load_state(transaction) == self.state
            assert tables.load_conf_state(transaction) == self.conf_state
            assert tables.load_members(transaction) == self._members
            assert tables.load_removed(transaction) == self._removed
            assert not set(self._members) & set(self._removed)
            assert load_alarms(transaction) == self.alarms.listed()
            stored = [
                (lease.id, lease.granted_ttl, lease.remaining_ttl)
                for lease in tables.load_leases(transaction)
            ]
            known = [
                (lease.id, lease.granted_ttl, lease.remaining_ttl)
                for lease in self.lessor.leases.values()
            ]
            assert sorted(stored) == sorted(known)

    def _fresh(self, entries: Sequence[LogEntry], output: ApplyOutput) -> Sequence[LogEntry]:
        """Return the entries that the tables do not hold yet."""
        applied = self.state.consistent_index
        skipped = 0
        for entry in entries:
            if entry.index > applied:
                break
            if entry.index == applied and entry.term != self.state.applied_term:
                raise InvariantViolation(
                    f"entry {entry.index} was applied with term {self.state.applied_term}, "
                    f"the log now has term {entry.term}"
                )
            skipped += 1
        output.counts.entries_skipped = skipped
        fresh = entries[skipped:]
        for offset, entry in enumerate(fresh, start=1):
            if entry.index != applied + offset:
                raise InvariantViolation(
                    f"entry {entry.index} follows entry {applied + offset - 1}"
                )
        return fresh

    def _apply_entry(
        self,
        transaction: WriteTransaction,
        execution: BatchExecution,
        entry: LogEntry,
        output: ApplyOutput,
    ) -> None:
        """Execute one entry; an empty one is the first of a new leader."""
        try:
            if entry.type is EntryType.CONF_CHANGE:
                change = _CONF_CHANGE_DECODER.decode(entry.data)
                self._change_membership(transaction, change, output)
            elif entry.data:
                batch = _BATCH_DECODER.decode(entry.data)
                self._execute_batch(execution, batch, entry, output)
        except DECODE_ERRORS as error:
            raise InvariantViolation(f"entry {entry.index} cannot be decoded") from error

    def _execute_batch(
        self,
        execution: BatchExecution,
        batch: ProposalBatch,
        entry: LogEntry,
        output: ApplyOutput,
    ) -> None:
        """Execute the requests of one batch, each atomic."""
        wants_responses = batch.origin.node_id == self._options.node_id
        execution.term = entry.term
        execution.wants_responses = wants_responses
        execution.compact_revision = 0
        bodies: list[bytes] = []
        errors: list[int] = []
        for position, request in enumerate(batch.requests):
            body, is_error = execution.execute(request)
            bodies.append(body)
            if is_error:
                errors.append(position)
        output.counts.requests += len(bodies)
        output.counts.errors += len(errors)
        if wants_responses:
            results = ApplyResults(batch.batch_id, tuple(map(msgspec.Raw, bodies)), tuple(errors))
            output.results.append(ResultsDue(batch.origin, results, execution.compact_revision))

    def _change_membership(
        self, transaction: WriteTransaction, change: ConfChange, output: ApplyOutput
    ) -> None:
        """Store what a membership change makes of the members."""
        output.conf_changes.append(change)
        if change.node_id:
            self.conf_state = next_conf_state(self.conf_state, change)
            tables.save_conf_state(transaction, self.conf_state)
            member = changed_member(self._members, change, self.conf_state)
            if member is None:
                self._remove_member(transaction, change.node_id)
            else:
                self._members[change.node_id] = member
                tables.save_member(transaction, member)
                if self._removed.pop(member.id, None) is not None:
                    tables.delete_removed(transaction, member.id)
            output.has_new_members = True
        if change.origin:
            origin = _ORIGIN_DECODER.decode(change.origin)
            if origin.node_id == self._options.node_id:
                changed = MemberChanged(change.request_id, self.members)
                output.changes_due.append(ChangeDue(origin, changed))

    def _remove_member(self, transaction: WriteTransaction, node_id: NodeID) -> None:
        """Move a member to those that were removed."""
        member = self._members.pop(node_id, None)
        if member is not None:
            tables.delete_member(transaction, node_id)
            self._removed[node_id] = member
            tables.save_removed(transaction, member)
