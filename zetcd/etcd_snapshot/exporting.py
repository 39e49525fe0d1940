"""Responsible for writing our tables as etcd's buckets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from zetcd.apply.alarms import load_alarms
from zetcd.apply.tables import load_conf_state, load_leases, load_members
from zetcd.bolt import BoltWriter
from zetcd.etcd_snapshot import buckets
from zetcd.etcd_snapshot.buckets import encode_revision
from zetcd.etcd_snapshot.protobuf import (
    StoredAlarm,
    StoredKeyValue,
    StoredLease,
    encode_alarm,
    encode_key_value,
    encode_lease,
)
from zetcd.messages.cluster import Member
from zetcd.mvcc.backend import ReadTransaction, Table
from zetcd.mvcc.record import HEADER_BYTES, unpack_header
from zetcd.mvcc.revision import TOMBSTONE, unpack_key
from zetcd.mvcc.state import StoreState, load_state
from zetcd.version import CLUSTER_VERSION, STORAGE_VERSION

#: Records of one step: some milliseconds.
STEP_RECORDS: Final = 1_000
_BIG_ENDIAN_BYTES: Final = 8


class Export:
    """One file that is being written; `step` until it returns its size."""

    def __init__(
        self, transaction: ReadTransaction, pwrite: Callable[[bytes, int], object]
    ) -> None:
        """Write what ``transaction`` sees, which stays open until the end."""
        self._transaction = transaction
        self._writer = BoltWriter(pwrite)
        self._steps = self._run()

    def step(self) -> int | None:
        """Write the next records; return the bytes of the file once it is whole."""
        return next(self._steps)

    def _run(self) -> Iterator[int | None]:
        transaction, state = self._transaction, load_state(self._transaction)
        empty: Iterator[tuple[bytes, bytes]] = iter(())
        for name, pairs in (
            (buckets.ALARM, self._alarms()),
            (buckets.AUTH, empty),
            (buckets.AUTH_ROLES, empty),
            (buckets.AUTH_USERS, empty),
            (buckets.CLUSTER, iter([(buckets.CLUSTER_VERSION, CLUSTER_VERSION.encode())])),
            (buckets.KEY, _records(transaction)),
            (buckets.LEASE, self._leases()),
            (buckets.MEMBERS, self._members()),
            (buckets.MEMBERS_REMOVED, empty),
            (buckets.META, iter(sorted(_meta(transaction, state)))),
        ):
            self._writer.begin_bucket(name)
            while True:
                count = 0
                for key, value in islice(pairs, STEP_RECORDS):
                    self._writer.add(key, value)
                    count += 1
                yield None
                if count < STEP_RECORDS:
                    break
            self._writer.end_bucket()
        yield self._writer.finish()

    def _alarms(self) -> Iterator[tuple[bytes, bytes]]:
        alarms = load_alarms(self._transaction)
        encoded = (encode_alarm(StoredAlarm(each.member_id, each.alarm)) for each in alarms)
        return iter([(each, b"") for each in sorted(encoded)])

    def _leases(self) -> Iterator[tuple[bytes, bytes]]:
        for lease in load_leases(self._transaction):
            stored = StoredLease(lease.id, lease.granted_ttl, lease.remaining_ttl)
            yield lease.id.to_bytes(_BIG_ENDIAN_BYTES, "big", signed=True), encode_lease(stored)

    def _members(self) -> Iterator[tuple[bytes, bytes]]:
        members = load_members(self._transaction).values()
        return iter(sorted((b"%x" % each.id, _member_json(each)) for each in members))


def _records(transaction: ReadTransaction) -> Iterator[tuple[bytes, bytes]]:
    for packed, record in transaction.table(Table.REV).scan(b"", None):
        main, sub = unpack_key(packed)
        create_revision, version, lease, flags, key_length = unpack_header(record)
        end = HEADER_BYTES + key_length
        key = record[HEADER_BYTES:end]
        if flags & TOMBSTONE:
            yield (
                encode_revision(main, sub, is_tombstone=True),
                encode_key_value(StoredKeyValue(key)),
            )
        else:
            kv = StoredKeyValue(key, create_revision, main, version, record[end:], lease)
            yield encode_revision(main, sub), encode_key_value(kv)


def _meta(transaction: ReadTransaction, state: StoreState) -> Iterator[tuple[bytes, bytes]]:
    conf_state = load_conf_state(transaction)
    yield (
        buckets.CONF_STATE,
        json.dumps(
            {
                "voters": list(conf_state.voters),
                "learners": list(conf_state.learners),
                "auto_leave": False,
            },
            separators=(",", ":"),
        ).encode(),
    )
    yield buckets.CONSISTENT_INDEX, state.consistent_index.to_bytes(_BIG_ENDIAN_BYTES, "big")
    yield buckets.TERM, state.applied_term.to_bytes(_BIG_ENDIAN_BYTES, "big")
    yield buckets.STORAGE_VERSION, STORAGE_VERSION.encode()
    if state.compact_revision:
        yield buckets.SCHEDULED_COMPACT, encode_revision(state.compact_revision)
    if state.compact_finished_revision:
        yield buckets.FINISHED_COMPACT, encode_revision(state.compact_finished_revision)


def _member_json(member: Member) -> bytes:
    shown: dict[str, object] = {
        "id": member.id,
        "peerURLs": list(member.peer_urls),
        "name": member.name,
        "clientURLs": list(member.client_urls),
    }
    if member.is_learner:
        shown["isLearner"] = True
    return json.dumps(shown, separators=(",", ":")).encode()
