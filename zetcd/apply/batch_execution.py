"""Responsible for executing requests one after the other in one write transaction.

A request is validated against the state before its first change, so that an error leaves nothing
behind and concerns nobody else in the batch. Only errors that every member comes to may be
answered; any other exception leaves this module and ends the process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, cast

from msgspec.structs import replace

from zetcd.apply import tables
from zetcd.apply.alarms import Alarms, check_alarm
from zetcd.apply.output import ApplyOutput
from zetcd.errors import InvariantViolation, LeaseNotFound, MemberNotFound, ZetcdError
from zetcd.lease import Lessor
from zetcd.messages.base import Message
from zetcd.messages.client import ErrorBody
from zetcd.messages.cluster import (
    AlarmAction,
    AlarmRequest,
    AlarmResponse,
    Member,
    PublishRequest,
)
from zetcd.messages.codec import encode
from zetcd.messages.kv import (
    CompactionRequest,
    CompactionResponse,
    DeleteRangeRequest,
    DeleteRangeResponse,
    EventType,
    PutRequest,
    PutResponse,
    RangeRequest,
    ResponseHeader,
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.lease import (
    LeaseCheckpointRequest,
    LeaseExpireRequest,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseRevokeRequest,
    LeaseRevokeResponse,
)
from zetcd.messages.node import Proposal
from zetcd.mvcc.backend import Table, WriteTransaction
from zetcd.mvcc.compaction import schedule_compaction
from zetcd.mvcc.lease_key import pack_lease
from zetcd.mvcc.range import execute_range
from zetcd.mvcc.state import StoreState
from zetcd.mvcc.store import StoreWriter
from zetcd.mvcc.txn import check_path, check_put_state, choose_path, execute_path
from zetcd.mvcc.validation import check_delete_range, check_put, check_range, check_txn
from zetcd.scalars import LeaseID, NodeID, Revision, Term

#: Answer to internal requests, which have no response of their own.
NIL: Final = encode(None)


def error_body(error: ZetcdError) -> bytes:
    """Return the encoded answer to a request that failed."""
    return encode(
        ErrorBody(error.number, int(error.code), error.text, int(error.retry), error.detail)
    )


class BatchExecution:
    """Executes requests in one write transaction; lives as long as that.

    Invariants:
        - Between requests the group of ``writer`` is empty.
        - ``output.revisions`` is ascending and holds every change made.
    """

    def __init__(
        self,
        transaction: WriteTransaction,
        state: StoreState,
        lessor: Lessor,
        members: dict[NodeID, Member],
        output: ApplyOutput,
    ) -> None:
        """Execute in ``transaction``; everything else given is changed in place."""
        self._transaction = transaction
        self._state = state
        self._lessor = lessor
        self._members = members
        self._output = output
        self._writer = StoreWriter(transaction, state)
        #: Changed in place, too.
        self.alarms = Alarms()
        #: Of the entry that is being executed.
        self.term: Term = 0
        self.now = 0.0
        #: Somebody waits for the answers.
        self.wants_responses = False
        #: Physical compaction that the answers wait for; 0 = none.
        self.compact_revision: Revision = 0
        self._handlers: dict[type[Message], Callable[[Proposal], bytes]] = {
            kind: partial(handler, self) for kind, handler in _HANDLERS.items()
        }

    def execute(self, request: Proposal) -> tuple[bytes, bool]:
        """Execute one request.

        Returns:
            The encoded response (possibly empty, if nobody wants it) and whether it is an error.
        """
        try:
            if self.alarms.active:
                self.alarms.check(request)
            return self._handlers[type(request)](request), False
        except ZetcdError as error:
            if not error.is_deterministic:
                raise
            if self._writer.events:
                raise InvariantViolation("a failed request has left changes") from error
            return error_body(error) if self.wants_responses else b"", True

    def _header(self) -> ResponseHeader:
        """Return the header after a request."""
        return ResponseHeader(self._state.current_revision, self.term)

    def _end(self) -> None:
        """Close the group of the request and hand its changes to watch."""
        changes = self._writer.end()
        if changes is not None:
            self._output.revisions.append(changes)
            counts = self._output.counts
            counts.events += len(changes.events)
            for event in changes.events:
                if event.type is EventType.DELETE:
                    counts.deletes += 1

    def _put(self, proposal: Proposal) -> bytes:
        request = cast(PutRequest, proposal)
        check_put(request)
        if request.lease or request.ignore_value or request.ignore_lease:
            check_put_state(self._writer.view, request, self._lessor.leases)
        before = self._writer.execute_put(request)
        self._end()
        if not self.wants_responses:
            return b""
        return encode(PutResponse(ResponseHeader(self._state.current_revision, self.term), before))

    def _range(self, proposal: Proposal) -> bytes:
        request = cast(RangeRequest, proposal)
        if not self.wants_responses:
            return b""
        check_range(request)
        return encode(execute_range(self._writer.view, request, raft_term=self.term))

    def _delete_range(self, proposal: Proposal) -> bytes:
        request = cast(DeleteRangeRequest, proposal)
        check_delete_range(request)
        deleted, prev_kvs = self._writer.execute_delete_range(request)
        self._end()
        return encode(DeleteRangeResponse(self._header(), deleted, prev_kvs))

    def _txn(self, proposal: Proposal) -> bytes:
        request = cast(TxnRequest, proposal)
        check_txn(request)
        view = self._writer.view
        self._output.counts.txns += 1
        path = choose_path(view, request)
        check_path(view, request, path, self._lessor.leases)
        responses = execute_path(self._writer, request, path, wants_responses=self.wants_responses)
        self._end()
        if not self.wants_responses:
            return b""
        return encode(TxnResponse(self._header(), path.succeeded, responses))

    def _compaction(self, proposal: Proposal) -> bytes:
        request = cast(CompactionRequest, proposal)
        schedule_compaction(self._state, request.revision)
        self._output.compactions.append(request.revision)
        if request.physical:
            self.compact_revision = request.revision
        return encode(CompactionResponse(self._header()))

    def _lease_grant(self, proposal: Proposal) -> bytes:
        request = cast(LeaseGrantRequest, proposal)
        lease = self._lessor.grant(request.id, request.ttl, self.now)
        tables.save_lease(self._transaction, lease)
        self._output.counts.leases_granted += 1
        return encode(LeaseGrantResponse(self._header(), lease.id, lease.granted_ttl))

    def _lease_revoke(self, proposal: Proposal) -> bytes:
        request = cast(LeaseRevokeRequest, proposal)
        if request.id not in self._lessor.leases:
            raise LeaseNotFound
        self._revoke(request.id)
        return encode(LeaseRevokeResponse(self._header()))

    def _lease_expire(self, proposal: Proposal) -> bytes:
        request = cast(LeaseExpireRequest, proposal)
        # An old leader must not end what a new leader may have renewed. Under an alarm that forbids
        # to revoke, the leases stay; the leader proposes their end again.
        if request.term == self.term and not self.alarms.forbids_revoking:
            for lease_id in request.ids:
                if lease_id in self._lessor.leases:
                    self._revoke(lease_id)
                    self._output.counts.leases_expired += 1
        return NIL

    def _lease_checkpoint(self, proposal: Proposal) -> bytes:
        request = cast(LeaseCheckpointRequest, proposal)
        if request.term == self.term:
            for checkpoint in request.checkpoints:
                lease = self._lessor.checkpoint(checkpoint.id, checkpoint.remaining_ttl)
                if lease is not None:
                    tables.save_lease(self._transaction, lease)
        return NIL

    def _publish(self, proposal: Proposal) -> bytes:
        given = cast(PublishRequest, proposal).member
        known = self._members.get(given.id)
        if known is None:
            raise MemberNotFound
        member = replace(
            known, name=given.name, client_urls=given.client_urls, native_urls=given.native_urls
        )
        self._members[member.id] = member
        tables.save_member(self._transaction, member)
        self._output.has_new_members = True
        return NIL

    def _alarm(self, proposal: Proposal) -> bytes:
        request = cast(AlarmRequest, proposal)
        check_alarm(request)
        if request.action is AlarmAction.GET:
            changed = self.alarms.listed(request.alarm)
        elif request.action is AlarmAction.ACTIVATE:
            changed = self.alarms.activate(self._transaction, request.member_id, request.alarm)
        else:
            changed = self.alarms.deactivate(self._transaction, request.member_id, request.alarm)
        return encode(AlarmResponse(self._header(), changed))

    def _revoke(self, lease_id: LeaseID) -> None:
        """End a lease and delete its keys in one revision."""
        self._writer.delete_keys_of_lease(lease_id)
        self._end()
        self._lessor.revoke(lease_id)
        self._output.counts.leases_revoked += 1
        self._transaction.table(Table.LEASE).delete(pack_lease(lease_id))


_HANDLERS: Final[dict[type[Message], Callable[[BatchExecution, Proposal], bytes]]] = {
    PutRequest: BatchExecution._put,
    RangeRequest: BatchExecution._range,
    DeleteRangeRequest: BatchExecution._delete_range,
    TxnRequest: BatchExecution._txn,
    CompactionRequest: BatchExecution._compaction,
    LeaseGrantRequest: BatchExecution._lease_grant,
    LeaseRevokeRequest: BatchExecution._lease_revoke,
    LeaseExpireRequest: BatchExecution._lease_expire,
    LeaseCheckpointRequest: BatchExecution._lease_checkpoint,
    PublishRequest: BatchExecution._publish,
    AlarmRequest: BatchExecution._alarm,
}
