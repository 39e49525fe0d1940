"""Responsible for the clients: batches of puts, deletes, transactions, leases, and linearizable reads.

They use the gateways of all nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.simulation.gateway import Gateway
from tests.simulation.history import History, Operation, Outcome
from tests.simulation.invariants.lease_never_early import LeaseNeverEarly
from tests.simulation.world import World
from zetcd.messages.cluster import AlarmAction, AlarmRequest, AlarmType
from zetcd.messages.kv import (
    CompactionRequest,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    PutRequest,
    PutResponse,
    RangeRequest,
    TxnRequest,
)
from zetcd.messages.lease import LeaseGrantRequest, LeaseGrantResponse, LeaseRevokeRequest
from zetcd.messages.node import Proposal
from zetcd.scalars import LeaseID, Revision

#: Few, so that operations meet.
_KEYS: Final = tuple(b"key-%d" % number for number in range(6))
_READ_SHARES: Final = (0.35, 0.95, 0.1, 0.35)


class Client:
    """Does one thing after the other, at any node; gives up after a while and goes on."""

    def __init__(self, number: int, workload: Workload) -> None:
        self._number = number
        self._workload = workload
        self._rng = workload.world.rng(f"client {number}")
        self._written = 0
        self._gateway = self._rng.choice(workload.gateways)
        self._leases: list[LeaseID] = []
        #: One client does little but read, so that it goes on where no write comes through.
        self._read_share = _READ_SHARES[number % len(_READ_SHARES)]

    def start(self) -> None:
        """Begin after a pause."""
        self._workload.world.after(self._rng.uniform(0.02, 0.15), self._next)

    def _next(self) -> None:
        workload = self._workload
        if workload.is_over:
            return
        if self._rng.random() < 0.1:
            self._gateway = self._rng.choice(workload.gateways)
        if self._leases and self._rng.random() < 0.2:
            self._renew(self._rng.choice(self._leases))
        is_read = self._rng.random() < self._read_share
        self.perform(() if is_read else self._requests(), self._gateway, self.start)

    def perform(
        self, requests: tuple[Proposal, ...], gateway: Gateway, then: Callable[[], None]
    ) -> Operation:
        """Do one operation; ``then`` is called when it has ended or taken too long."""
        world = self._workload.world
        operation = Operation(self._number, gateway.node.name, world.step, requests)
        self._workload.history.operations.append(operation)
        asked_at = world.now

        def finished(outcome: Outcome) -> None:
            if operation.outcome is not Outcome.PENDING:
                return
            operation.outcome = outcome
            operation.returned = world.step
            world.note("result", f"client {self._number} {gateway.node.name} {outcome.value}")
            if outcome is Outcome.OK:
                self._note(operation, asked_at)
            elif operation.requests or self._rng.random() < 0.5:
                self._gateway = self._rng.choice(self._workload.gateways)
            then()

        if requests:
            gateway.propose(operation, finished)
        else:
            gateway.read(operation, finished)
        world.after(self._rng.uniform(0.5, 2.0), lambda: finished(Outcome.UNKNOWN))
        return operation

    def _requests(self) -> tuple[Proposal, ...]:
        return tuple(self._request() for _ in range(self._rng.choice((1, 1, 1, 2, 4))))

    def _put(self, lease: LeaseID = 0) -> PutRequest:
        self._written += 1
        value = b"%d-%d" % (self._number, self._written)
        size = self._rng.choice((0, 0, 0, 0, 1500))
        return PutRequest(self._rng.choice(_KEYS), value.ljust(size, b"."), lease)

    def _request(self) -> Proposal:
        draw = self._rng.random()
        if draw < 0.02:
            revision = max(1, self._workload.last_revision - self._rng.choice((0, 3, 30)))
            return CompactionRequest(revision, physical=self._rng.random() < 0.5)
        if draw < 0.03:
            # On, by whoever, rarely; off again soon.
            is_on = self._rng.random() < 0.3
            action = AlarmAction.ACTIVATE if is_on else AlarmAction.DEACTIVATE
            return AlarmRequest(action, 1, AlarmType.NOSPACE)
        if draw < 0.12:
            return DeleteRangeRequest(self._rng.choice(_KEYS))
        if draw < 0.35:
            put = self._put()
            known = self._workload.last_mod_revision.get(put.key, 0)
            compare = Compare(CompareResult.EQUAL, CompareTarget.MOD, put.key, known)
            return TxnRequest((compare,), (put,), (RangeRequest(put.key),))
        if draw < 0.42 and len(self._leases) < 3:
            lease = self._workload.next_lease_id()
            self._leases.append(lease)
            return LeaseGrantRequest(self._rng.randint(1, 4), lease)
        if draw < 0.5 and self._leases:
            return self._put(self._rng.choice(self._leases))
        if draw < 0.52 and self._leases:
            lease = self._leases.pop()
            self._workload.leases.given_up[lease] = None
            return LeaseRevokeRequest(lease)
        return self._put()

    def _note(self, operation: Operation, asked_at: float) -> None:
        for response in operation.responses:
            if isinstance(response, LeaseGrantResponse):
                self._workload.leases.renewed(response.id, asked_at, response.ttl)
            elif isinstance(response, PutResponse):
                self._workload.last_revision = response.header.revision
        if operation.read is not None:
            for kv in operation.read.kvs:
                self._workload.last_mod_revision[kv.key] = kv.mod_revision

    def _renew(self, lease: LeaseID) -> None:
        asked_at = self._workload.world.now

        def renewed(ttl: int) -> None:
            if ttl > 0:
                self._workload.leases.renewed(lease, asked_at, ttl)
            elif lease in self._leases:
                self._leases.remove(lease)

        self._gateway.renew(lease, renewed)


class Workload:
    """All clients and what they did."""

    def __init__(
        self, world: World, gateways: list[Gateway], leases: LeaseNeverEarly, *, clients: int
    ) -> None:
        self.world = world
        self.gateways = gateways
        self.leases = leases
        self.history = History()
        self.is_over = False
        #: Known to all clients, so that compares sometimes hold.
        self.last_mod_revision: dict[bytes, int] = {}
        #: As some client saw it last.
        self.last_revision: Revision = 1
        self._lease_id = 0
        self.clients = [Client(number, self) for number in range(clients)]

    def next_lease_id(self) -> LeaseID:
        """Return an id that nobody has used."""
        self._lease_id += 1
        return self._lease_id

    def start(self) -> None:
        """Let every client begin."""
        for client in self.clients:
            client.start()
