"""Responsible for leases: none ends before its last confirmed time, and none stays for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tests.robustness.changes import Changes, walk
from tests.robustness.history import LeaseLife, Operation, Outcome
from zetcd.messages.kv import DeleteRangeRequest, EventType
from zetcd.messages.lease import (
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseRevokeRequest,
)
from zetcd.scalars import LeaseID, Revision


def lives_of(operations: Sequence[Operation]) -> dict[LeaseID, LeaseLife]:
    """Return what the clients know of each lease whose grant was confirmed."""
    ttls: dict[LeaseID, int] = {}
    confirmed: dict[LeaseID, list[tuple[float, float]]] = {}
    revoked: set[LeaseID] = set()
    for operation in operations:
        request, response = operation.request, operation.response
        if isinstance(request, LeaseRevokeRequest) and operation.outcome is not Outcome.REFUSED:
            revoked.add(request.id)
        if not operation.is_ok:
            continue
        if isinstance(request, LeaseGrantRequest) and isinstance(response, LeaseGrantResponse):
            ttls[response.id] = response.ttl
            confirmed[response.id] = [(operation.invoked, operation.returned)]
        elif isinstance(response, LeaseKeepAliveResponse) and response.ttl > 0:
            assert isinstance(request, LeaseKeepAliveRequest)
            confirmed.setdefault(request.id, []).append((operation.invoked, operation.returned))
    return {
        lease_id: LeaseLife(lease_id, ttl, tuple(confirmed[lease_id]), lease_id in revoked)
        for lease_id, ttl in ttls.items()
    }


def check_leases(
    operations: Sequence[Operation], changes: Changes, first_seen: Mapping[Revision, float]
) -> Iterator[str]:
    """Yield keys that went with their lease before its time.

    The deletion happened at the latest when a watcher was told of it. What was confirmed before
    that moment must have covered it; the confirmed time begins when the client asked, at the
    earliest.
    """
    lives = lives_of(operations)
    explicit = {
        operation.request.key
        for operation in operations
        if isinstance(operation.request, DeleteRangeRequest)
    }
    for revision, before, events, _ in walk(changes, ()):
        seen = first_seen.get(revision)
        for event in events:
            kv = before.get(event.kv.key)
            if event.type is not EventType.DELETE or kv is None or event.kv.key in explicit:
                continue
            life = lives.get(kv.lease)
            if seen is None or life is None or life.is_revoked:
                continue
            until = max((asked + life.ttl for asked, done in life.confirmed if done <= seen))
            if seen < until:
                yield (
                    f"lease {life.lease_id:x} of {life.ttl} s ended {until - seen:.2f} s early: "
                    f"{event.kv.key!r} went at revision {revision}"
                )


def check_all_gone(leases: Sequence[LeaseID], seconds: float) -> Iterator[str]:
    """Yield if there are leases that nobody has renewed for long enough."""
    if leases:
        yield f"{len(leases)} leases are still there after {seconds:.1f} s without renewal"
