"""What is in each of etcd's buckets."""

from __future__ import annotations

import json

from tests.unit.bolt.files import everything
from tests.unit.etcd_snapshot.stores import compacted, exported, sample
from zetcd.etcd_snapshot.buckets import encode_revision
from zetcd.etcd_snapshot.protobuf import (
    StoredAlarm,
    StoredKeyValue,
    StoredLease,
    decode_alarm,
    decode_key_value,
    decode_lease,
)


def test_buckets_hold_what_etcd_expects() -> None:
    history = sample()
    found = everything(exported(history))
    assert list(found) == [
        b"alarm", b"auth", b"authRoles", b"authUsers", b"cluster",
        b"key", b"lease", b"members", b"members_removed", b"meta",
    ]  # fmt: skip
    state = history.applier.state
    keys = dict(found[b"key"])
    assert decode_key_value(keys[encode_revision(2)]) == StoredKeyValue(b"a", 2, 2, 1, b"1", 5)
    # A transaction is one revision with several changes; the third deletes.
    assert decode_key_value(keys[encode_revision(6, 1)]) == StoredKeyValue(b"t2", 6, 6, 1)
    assert decode_key_value(keys[encode_revision(6, 2, is_tombstone=True)]) == StoredKeyValue(b"a")
    assert max(keys) < encode_revision(state.current_revision + 1)
    leases = {key: decode_lease(value) for key, value in found[b"lease"]}
    assert leases == {
        (5).to_bytes(8, "big"): StoredLease(5, 60),
        (2**63 - 1).to_bytes(8, "big"): StoredLease(2**63 - 1, 90),
    }
    ((alarm, nothing),) = found[b"alarm"]
    assert (decode_alarm(alarm), nothing) == (StoredAlarm(0xA1, 1), b"")
    ((member_id, member),) = found[b"members"]
    assert member_id == b"a1"
    assert json.loads(member) == {
        "id": 0xA1,
        "name": "a",
        "peerURLs": ["tcp://127.0.0.1:1"],
        "clientURLs": ["http://127.0.0.1:2"],
    }
    meta = dict(found[b"meta"])
    assert meta[b"consistent_index"] == state.consistent_index.to_bytes(8, "big")
    assert meta[b"term"] == (3).to_bytes(8, "big")
    assert meta[b"storageVersion"] == b"3.6.0"
    assert json.loads(meta[b"confState"])["voters"] == [0xA1]
    assert b"scheduledCompactRev" not in meta


def test_a_compaction_under_way_is_one_there_too() -> None:
    history = compacted(sample(), 20)
    meta = dict(everything(exported(history))[b"meta"])
    assert meta[b"scheduledCompactRev"] == encode_revision(20)
    assert b"finishedCompactRev" not in meta
    history.compact()
    meta = dict(everything(exported(history))[b"meta"])
    assert meta[b"finishedCompactRev"] == encode_revision(20)
