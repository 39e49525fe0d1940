"""Requests from a seed: usual ones, odd ones and wrong ones, of every field.

What comes next depends on the answers so far (current and compacted revision), so that most requests
mean something. Where two stores answer alike, the same seed is the same run.
"""

from __future__ import annotations

from random import Random

from tests.differential.siblings import deletes_what_a_sibling_puts
from tests.differential.steps import (
    CHOSEN_LEASES,
    Barrier,
    Call,
    Cancel,
    Create,
    Dialogue,
    Ignored,
    KeepAlives,
    Step,
)
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.etcd.proto import v3election_pb2, v3lock_pb2

INT64_MAX = 2**63 - 1
OPERATIONS_MAX = 128
#: A lease that no test outlives, and one that is raised to etcd's minimum.
LONG_TTL = 100_000

#: Ordinary names, prefixes of each other, ends of the key space, and one longer than an index keeps.
KEYS = (
    *(b"k/%d" % number for number in range(24)),
    *(b"a", b"b", b"c", b"k", b"k/", b"k0", b"k/1\0", b"k/1/x"),
    *(b"\0", b"\0\0", b"\xff", b"\xff\xff", b"\xc3\xa4", b"l" * 900, b"l" * 900 + b"m"),
)
ENDS = (b"", b"\0", b"k0", b"l", b"\xff", b"b", b"k/2", b"\xff\xff\xff")


class Generator:
    """Draws steps; `observe` tells it where the store stands."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.revision = 1
        self.compacted = 0
        #: Ids that were granted with their own number.
        self.leases: list[int] = []
        #: How many leases the stores have named themselves.
        self.chosen = 0
        self._next_lease = 1000

    def observe(self, revision: int, compacted: int | None = None) -> None:
        """Learn the revision of an answer, and that of a compaction that succeeded."""
        self.revision = max(self.revision, revision)
        if compacted is not None:
            self.compacted = max(self.compacted, compacted)

    def step(self) -> Step:
        """Return the next step."""
        makers = (
            (26, lambda: Call("KV.Put", self.put())),
            (26, lambda: Call("KV.Range", self.range())),
            (6, lambda: Call("KV.DeleteRange", self.delete_range())),
            (24, lambda: Call("KV.Txn", self.txn())),
            (2, self.compaction),
            (6, self.lease),
            (3, self.maintenance),
            (2, self.recipe),
            (2, self.dialogue),
        )
        (make,) = self.random.choices(
            [maker for _, maker in makers], [weight for weight, _ in makers]
        )
        return make()

    # --- parts ----------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def key(self) -> bytes:
        return b"" if self.chance(0.01) else self.random.choice(KEYS)

    def range_end(self) -> bytes:
        if self.chance(0.4):
            return b""
        return self.random.choice(ENDS) if self.chance(0.7) else self.random.choice(KEYS)

    def value(self) -> bytes:
        kind = self.random.random()
        if kind < 0.1:
            return b""
        if kind < 0.97:
            return b"v%d" % self.random.randrange(8)
        return self.random.randbytes(self.random.randrange(20_000))

    def any_revision(self) -> int:
        """Return a revision to read at: mostly none, sometimes an old one, seldom a wrong one."""
        if self.chance(0.6):
            return 0
        if self.chance(0.7):
            return self.random.randint(max(self.compacted, 1), self.revision)
        return self.random.choice(
            (
                self.compacted,
                self.compacted - 1,
                self.revision,
                self.revision + 1,
                -1,
                1,
                INT64_MAX,
                -INT64_MAX,
            )
        )

    def bound(self) -> int:
        """Return a bound of a filter by revision."""
        if self.chance(0.9):
            return 0
        return self.random.choice((1, self.revision // 2, self.revision, -1, INT64_MAX))

    def lease_id(self) -> int:
        if self.chance(0.6):
            return 0
        if self.chance(0.8) and self.leases:
            return self.random.choice(self.leases)
        if self.chance(0.5) and self.chosen:
            return CHOSEN_LEASES + self.random.randrange(self.chosen)
        return self.random.choice((1, 77, -1, INT64_MAX))

    def limit(self) -> int:
        return 0 if self.chance(0.5) else self.random.choice((1, 2, 3, 5, 10, 100, -1, INT64_MAX))

    # --- requests -------------------------------------------------------------------------------

    def put(self) -> pb.PutRequest:
        ignores_value = self.chance(0.06)
        ignores_lease = self.chance(0.06)
        return pb.PutRequest(
            key=self.key(),
            value=b"" if ignores_value and self.chance(0.8) else self.value(),
            lease=0 if ignores_lease and self.chance(0.8) else self.lease_id(),
            prev_kv=self.chance(0.4),
            ignore_value=ignores_value,
            ignore_lease=ignores_lease,
        )

    def range(self) -> pb.RangeRequest:
        request = pb.RangeRequest(
            key=self.key(),
            range_end=self.range_end(),
            limit=self.limit(),
            revision=self.any_revision(),
            serializable=self.chance(0.3),
            keys_only=self.chance(0.15),
            count_only=self.chance(0.1),
            min_mod_revision=self.bound(),
            max_mod_revision=self.bound(),
            min_create_revision=self.bound(),
            max_create_revision=self.bound(),
        )
        if self.chance(0.4):
            request.sort_order = self.random.choice((0, 1, 2) if self.chance(0.97) else (3, -1))  # type: ignore[assignment]
            request.sort_target = self.random.choice(range(5) if self.chance(0.97) else (5, -7))  # type: ignore[assignment]
        return request

    def delete_range(self) -> pb.DeleteRangeRequest:
        end = self.range_end() if self.chance(0.35) else b""
        return pb.DeleteRangeRequest(key=self.key(), range_end=end, prev_kv=self.chance(0.5))

    def compare(self) -> pb.Compare:
        compare = pb.Compare(
            result=self.random.choice(range(4)),  # type: ignore[arg-type]
            target=self.random.choice(range(5)),  # type: ignore[arg-type]
            key=self.key(),
            range_end=self.range_end() if self.chance(0.25) else b"",
        )
        number = self.random.choice((0, 1, 2, self.revision, self.revision // 2, -1))
        kind = self.random.choice(("version", "create_revision", "mod_revision", "value", "lease"))
        if self.chance(0.85):
            # What the target means; else an operand of another kind, or below none at all.
            names = ("version", "create_revision", "mod_revision", "value", "lease")
            kind = names[compare.target]
        if kind == "value":
            compare.value = self.value()
        elif self.chance(0.97):
            setattr(compare, kind, self.lease_id() if kind == "lease" else number)
        return compare

    def operation(self, depth: int) -> pb.RequestOp:
        kind = self.random.random()
        if kind < 0.4:
            return pb.RequestOp(request_put=self.put())
        if kind < 0.7:
            return pb.RequestOp(request_range=self.range())
        if kind < 0.85 or depth >= 3:
            delete = self.delete_range()
            if delete.range_end == b"\0":
                # Whether it meets a put is the known difference of `fixed`.
                delete.range_end = b"k0"
            return pb.RequestOp(request_delete_range=delete)
        if kind < 0.995:
            return pb.RequestOp(request_txn=self.txn(depth + 1))
        return pb.RequestOp()

    def txn(self, depth: int = 0) -> pb.TxnRequest:
        operations = self.random.choice((0, 1, 1, 2, 3, 4))
        if depth == 0 and self.chance(0.01):
            operations = OPERATIONS_MAX + self.random.randint(-1, 1)
        request = pb.TxnRequest(
            compare=[self.compare() for _ in range(self.random.choice((0, 0, 1, 1, 2, 3)))],
            success=[self.operation(depth) for _ in range(operations)],
            failure=[self.operation(depth) for _ in range(self.random.choice((0, 1, 1, 2)))],
        )
        if self.chance(0.75):
            _without_refusals(request)
        for branch in (request.success, request.failure):
            if deletes_what_a_sibling_puts(branch):
                # A known difference, which `fixed` meets; here revisions would differ ever after.
                del branch[:]
        return request

    def compaction(self) -> Step:
        revision = self.random.choice(
            (
                self.random.randint(self.compacted, self.revision),
                self.random.randint(
                    self.compacted, self.compacted + (self.revision - self.compacted) // 3
                ),
                self.revision + self.random.choice((0, 1, 1000)),
                self.compacted,
                self.random.choice((0, -1, INT64_MAX)),
            )
        )
        return Call(
            "KV.Compact", pb.CompactionRequest(revision=revision, physical=self.chance(0.5))
        )

    def lease(self) -> Step:
        kind = self.random.random()
        if kind < 0.4:
            return Call("Lease.LeaseGrant", self._grant())
        if kind < 0.5:
            lease = self.lease_id()
            if lease in self.leases:
                self.leases.remove(lease)
            return Call("Lease.LeaseRevoke", pb.LeaseRevokeRequest(ID=lease))
        if kind < 0.75:
            request = pb.LeaseTimeToLiveRequest(ID=self.lease_id(), keys=self.chance(0.7))
            return Call("Lease.LeaseTimeToLive", request)
        if kind < 0.85:
            return Call("Lease.LeaseLeases", pb.LeaseLeasesRequest())
        return KeepAlives(tuple(self.lease_id() for _ in range(self.random.randint(1, 4))))

    def _grant(self) -> pb.LeaseGrantRequest:
        ttl = LONG_TTL + self.random.randrange(1000)
        if self.chance(0.1):
            return pb.LeaseGrantRequest(TTL=9_000_000_001, ID=self.lease_id())
        if self.chance(0.3):
            self.chosen += 1
            return pb.LeaseGrantRequest(TTL=ttl, ID=0)
        if self.chance(0.2) and self.leases:
            return pb.LeaseGrantRequest(TTL=ttl, ID=self.random.choice(self.leases))
        self._next_lease += 1
        self.leases.append(self._next_lease)
        return pb.LeaseGrantRequest(TTL=ttl, ID=self._next_lease)

    def maintenance(self) -> Step:
        hash_kv = pb.HashKVRequest(revision=self.any_revision())
        return self.random.choice(
            (
                Call("Maintenance.HashKV", hash_kv),
                Call("Maintenance.HashKV", hash_kv),
                Call("Maintenance.Status", pb.StatusRequest()),
                Call("Maintenance.Hash", pb.HashRequest()),
                Call("Maintenance.Alarm", pb.AlarmRequest(alarm=self.random.randrange(3))),  # type: ignore[arg-type]
                Call(
                    "Maintenance.MoveLeader",
                    pb.MoveLeaderRequest(targetID=self.random.choice((0, 7))),
                ),
                Call("Cluster.MemberList", pb.MemberListRequest(linearizable=self.chance(0.5))),
                Call("KV.Range", pb.RangeRequest(key=b"k/1"), (("hasleader", "true"),)),
            )
        )

    def recipe(self) -> Step:
        """Return a lock or a step of an election that need not wait."""
        name = self.random.choice((b"lock/a", b"lock/b"))
        key = name + b"/%x" % (self.leases[0] if self.leases else 5)
        leader = v3election_pb2.LeaderKey(name=name, key=key, rev=self.revision, lease=5)
        return self.random.choice(
            (
                Call("Lock.Unlock", v3lock_pb2.UnlockRequest(key=key)),
                Call("Lock.Lock", v3lock_pb2.LockRequest(name=name, lease=123_456)),
                Call("Election.Leader", v3election_pb2.LeaderRequest(name=name)),
                Call("Election.Resign", v3election_pb2.ResignRequest(leader=leader)),
                Call("Election.Resign", v3election_pb2.ResignRequest()),
                Call(
                    "Election.Proclaim", v3election_pb2.ProclaimRequest(leader=leader, value=b"v")
                ),
                Call("Election.Proclaim", v3election_pb2.ProclaimRequest(value=b"v")),
                Call("Election.Campaign", v3election_pb2.CampaignRequest(name=name, lease=123_456)),
            )
        )

    # --- watches --------------------------------------------------------------------------------

    def dialogue(self) -> Step:
        if self.chance(0.15):
            start = self.random.choice((1, self.compacted - 1))
            if 0 < start < self.compacted:
                create = pb.WatchCreateRequest(key=b"k", range_end=b"l", start_revision=start)
                return Dialogue((Create(create, is_cancelled=True),))
        if self.chance(0.15):
            return self._early_dialogue()
        return self._usual_dialogue()

    def _early_dialogue(self) -> Step:
        """Return a watcher of a revision that is yet to come."""
        ahead = self.random.randint(2, 4)
        create = self._watcher(1)
        create.start_revision = self.revision + ahead
        writes = [
            Call("KV.Put", pb.PutRequest(key=b"k/1", value=b"%d" % each)) for each in range(6)
        ]
        return Dialogue((Create(create), *writes, Barrier()))

    def _usual_dialogue(self) -> Step:
        count = self.random.randint(1, 4)
        ids = [self.random.choice((0, each + 1, each + 1, 50)) for each in range(count)]
        creates = [Create(self._watcher(watch_id)) for watch_id in ids]
        sure = Create(pb.WatchCreateRequest(key=b"k", range_end=b"l", watch_id=900, prev_kv=True))
        first = [self._write() for _ in range(self.random.randint(0, 6))]
        then = [self._write() for _ in range(self.random.randint(0, 3))]
        nothing = self.random.choice(
            (
                pb.WatchRequest(),
                pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=4711)),
            )
        )
        end = [Barrier(), Cancel(900)] if self.chance(0.5) else [Barrier()]
        return Dialogue(
            (*creates, sure, Ignored(nothing), *first, Barrier(), *then, *end),
            (("hasleader", "true"),) if self.chance(0.3) else (),
        )

    def _watcher(self, watch_id: int) -> pb.WatchCreateRequest:
        start = 0
        if self.chance(0.5):
            start = self.random.randint(max(self.compacted, 1), self.revision)
        elif self.chance(0.05):
            start = -1
        return pb.WatchCreateRequest(
            key=self.key(),
            range_end=self.range_end(),
            start_revision=start,
            progress_notify=self.chance(0.2),
            filters=self.random.sample((0, 1), self.random.choice((0, 0, 0, 1, 2))),  # type: ignore[arg-type]
            prev_kv=self.chance(0.5),
            watch_id=watch_id,
            fragment=self.chance(0.3),
        )

    def _write(self) -> Call:
        kind = self.random.random()
        if kind < 0.5:
            return Call("KV.Put", self.put())
        if kind < 0.75:
            return Call("KV.DeleteRange", self.delete_range())
        return Call("KV.Txn", self.txn())


def _without_refusals(request: pb.TxnRequest) -> None:
    """Take out most of what would refuse the whole transaction, which a single put may have as well."""
    seen: set[bytes] = set()
    for branch in (request.success, request.failure):
        kept = []
        for operation in branch:
            kind = operation.WhichOneof("request")
            if kind == "request_put":
                put = operation.request_put
                if put.key in seen or not put.key:
                    continue
                seen.add(put.key)
                put.ignore_value = put.ignore_lease = False
                put.lease = 0 if put.lease < CHOSEN_LEASES and put.lease < 1000 else put.lease
            elif kind == "request_range":
                operation.request_range.revision = 0
            elif kind == "request_delete_range" and seen:
                continue
            elif kind == "request_txn":
                # Its keys count for the siblings.
                if seen:
                    continue
                _without_refusals(operation.request_txn)
            kept.append(pb.RequestOp.FromString(operation.SerializeToString()))
        del branch[:]
        branch.extend(kept)
