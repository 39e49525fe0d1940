"""The dumbest store there is: a list of every change ever made. Shares no code with `zetcd.mvcc`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from zetcd.errors import Compacted, FutureRev, KeyNotFound, LeaseNotFound
from zetcd.messages.kv import (
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    KeyValue,
    PutRequest,
    RangeRequest,
    SortOrder,
    SortTarget,
    TxnRequest,
)


@dataclass(frozen=True)
class Change:
    """One change; a deletion has no kv."""

    revision: int
    key: bytes
    kv: KeyValue | None


@dataclass(frozen=True)
class Answer:
    """What a range returns."""

    kvs: tuple[KeyValue, ...]
    more: bool
    count: int


@dataclass
class StoreModel:
    """All versions, and what etcd's rules say about them."""

    changes: list[Change] = field(default_factory=list)
    current: int = 1
    compacted: int = 0
    leases: dict[int, int] = field(default_factory=dict)

    # --- reading ---

    def state_at(self, revision: int) -> dict[bytes, KeyValue]:
        state: dict[bytes, KeyValue] = {}
        for change in self.changes:
            if change.revision > revision:
                break
            state.pop(change.key, None)
            if change.kv is not None:
                state[change.key] = change.kv
        return state

    def check_revision(self, revision: int) -> int:
        if revision <= 0:
            # Within a transaction its own changes are visible: they are newer than `current`.
            return self.current + 1
        if revision > self.current:
            raise FutureRev
        if revision < self.compacted:
            raise Compacted
        return revision

    def select(self, key: bytes, range_end: bytes, revision: int) -> list[KeyValue]:
        state = self.state_at(revision)
        return [state[each] for each in sorted(state) if in_range(each, key, range_end)]

    def range(self, request: RangeRequest) -> Answer:
        revision = self.check_revision(request.revision)
        kvs = self.select(request.key, request.range_end, revision)
        count = len(kvs)
        if request.count_only:
            return Answer((), more=False, count=count)
        bounds: tuple[tuple[int, Callable[[KeyValue, int], bool]], ...] = (
            (request.max_mod_revision, lambda kv, bound: kv.mod_revision <= bound),
            (request.min_mod_revision, lambda kv, bound: kv.mod_revision >= bound),
            (request.max_create_revision, lambda kv, bound: kv.create_revision <= bound),
            (request.min_create_revision, lambda kv, bound: kv.create_revision >= bound),
        )
        for bound, passes in bounds:
            if bound:
                kvs = [kv for kv in kvs if passes(kv, bound)]
        has_bounds = any(bound for bound, _ in bounds)
        if request.limit > 0 and request.sort_order == SortOrder.NONE and not has_bounds:
            # etcd reads no more than this, and sorts what it has read.
            kvs = kvs[: request.limit + 1]
        kvs.sort(
            key=SORT_KEYS[request.sort_target], reverse=request.sort_order == SortOrder.DESCEND
        )
        more = 0 < request.limit < len(kvs)
        if more:
            kvs = kvs[: request.limit]
        if request.keys_only:
            kvs = [
                KeyValue(kv.key, kv.create_revision, kv.mod_revision, kv.version, b"", kv.lease)
                for kv in kvs
            ]
        return Answer(tuple(kvs), more, count)

    def keys_of_lease(self, lease: int) -> list[bytes]:
        state = self.state_at(self.current + 1)
        return [key for key in sorted(state) if state[key].lease == lease]

    def survivors(self) -> list[Change]:
        """Return the changes that compaction keeps."""
        newest = {c.key: c for c in self.changes if c.revision <= self.compacted}
        kept = [c for c in newest.values() if c.kv or c.revision == self.compacted]
        return [c for c in self.changes if c.revision > self.compacted or c in kept]

    # --- writing; `finish` ends a revision ---

    def put(self, request: PutRequest) -> KeyValue | None:
        before = self.state_at(self.current + 1).get(request.key)
        revision = self.current + 1
        value, lease = request.value, request.lease
        if before is not None and request.ignore_value:
            value = before.value
        if before is not None and request.ignore_lease:
            lease = before.lease
        kv = KeyValue(
            request.key,
            before.create_revision if before else revision,
            revision,
            before.version + 1 if before else 1,
            value,
            lease,
        )
        self.changes.append(Change(revision, request.key, kv))
        return before

    def delete(self, request: DeleteRangeRequest) -> list[KeyValue]:
        gone = self.select(request.key, request.range_end, self.current + 1)
        self.changes += [Change(self.current + 1, kv.key, None) for kv in gone]
        return gone

    def finish(self) -> None:
        if self.changes and self.changes[-1].revision > self.current:
            self.current += 1

    def compact(self, revision: int) -> None:
        if revision <= self.compacted:
            raise Compacted
        if revision > self.current:
            raise FutureRev
        self.compacted = revision

    def revoke(self, lease: int) -> None:
        if lease not in self.leases:
            raise LeaseNotFound
        for key in self.keys_of_lease(lease):
            self.changes.append(Change(self.current + 1, key, None))
        del self.leases[lease]
        self.finish()

    # --- transactions ---

    def check_put(self, request: PutRequest) -> None:
        """Check a put that stands alone."""
        self.check_lease(request)
        self.check_kept(request)

    def check_lease(self, request: PutRequest) -> None:
        if request.lease and request.lease not in self.leases:
            raise LeaseNotFound

    def check_kept(self, request: PutRequest) -> None:
        missing = request.key not in self.state_at(self.current + 1)
        if (request.ignore_value or request.ignore_lease) and missing:
            raise KeyNotFound

    def resolve(self, request: TxnRequest) -> list[object]:
        """Return [succeeded, operation or resolved nested transaction, ...], before any change."""
        succeeded = all(self.holds(compare) for compare in request.compare)
        branch = request.success if succeeded else request.failure
        return [
            succeeded,
            *(
                self.resolve(operation) if isinstance(operation, TxnRequest) else operation
                for operation in branch
            ),
        ]

    def check_resolved(self, resolved: list[object]) -> None:
        for operation in resolved[1:]:
            if isinstance(operation, list):
                self.check_resolved(operation)
            elif isinstance(operation, PutRequest):
                self.check_kept(operation)
                self.check_lease(operation)
            elif isinstance(operation, RangeRequest):
                if operation.revision < 0:
                    raise Compacted
                self.check_revision(operation.revision)

    def run_resolved(self, resolved: list[object]) -> list[object]:
        results: list[object] = [resolved[0]]
        for operation in resolved[1:]:
            if isinstance(operation, list):
                results.append(self.run_resolved(operation))
            elif isinstance(operation, PutRequest):
                results.append(self.put(operation))
            elif isinstance(operation, DeleteRangeRequest):
                results.append(self.delete(operation))
            else:
                assert isinstance(operation, RangeRequest)
                results.append(self.range(operation))
        return results

    def holds(self, compare: Compare) -> bool:
        kvs = self.select(compare.key, compare.range_end, self.current + 1)
        if not kvs and compare.target == CompareTarget.VALUE:
            return False
        fields = [COMPARED[compare.target](kv) for kv in kvs] or [0]
        return all(related(compare.result, actual, compare.operand) for actual in fields)


def in_range(each: bytes, key: bytes, range_end: bytes) -> bool:
    if not range_end:
        return each == key
    return each >= key and (range_end == b"\0" or each < range_end)


def related(result: CompareResult, actual: object, operand: object) -> bool:
    if result == CompareResult.EQUAL:
        return actual == operand
    if result == CompareResult.NOT_EQUAL:
        return actual != operand
    if result == CompareResult.GREATER:
        return bool(actual > operand)  # type: ignore[operator]
    return bool(actual < operand)  # type: ignore[operator]


SORT_KEYS = {
    SortTarget.KEY: lambda kv: kv.key,
    SortTarget.VERSION: lambda kv: kv.version,
    SortTarget.CREATE: lambda kv: kv.create_revision,
    SortTarget.MOD: lambda kv: kv.mod_revision,
    SortTarget.VALUE: lambda kv: kv.value,
}
COMPARED = {
    CompareTarget.VERSION: lambda kv: kv.version,
    CompareTarget.CREATE: lambda kv: kv.create_revision,
    CompareTarget.MOD: lambda kv: kv.mod_revision,
    CompareTarget.VALUE: lambda kv: kv.value,
    CompareTarget.LEASE: lambda kv: kv.lease,
}
