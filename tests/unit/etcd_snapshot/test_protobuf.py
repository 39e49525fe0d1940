"""The three messages, against protobuf's own library where it has them, and against damage."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zetcd.errors import CorruptSnapshot
from zetcd.etcd_snapshot.protobuf import (
    StoredAlarm,
    StoredKeyValue,
    StoredLease,
    decode_alarm,
    decode_key_value,
    decode_lease,
    encode_alarm,
    encode_key_value,
    encode_lease,
)
from zetcd.gateway.etcd.proto import kv_pb2
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.binary(max_size=300), INT64, INT64, INT64, st.binary(max_size=300), INT64)
def test_a_key_value_is_what_protobuf_makes_of_it(
    key: bytes, create: int, mod: int, version: int, value: bytes, lease: int
) -> None:
    kv = StoredKeyValue(key, create, mod, version, value, lease)
    expected = kv_pb2.KeyValue(
        key=key,
        create_revision=create,
        mod_revision=mod,
        version=version,
        value=value,
        lease=lease,
    )
    assert encode_key_value(kv) == expected.SerializeToString()
    assert decode_key_value(encode_key_value(kv)) == kv


def test_an_alarm_is_what_protobuf_makes_of_it() -> None:
    alarm = StoredAlarm(2**64 - 1, 2)
    expected = pb.AlarmMember(memberID=2**64 - 1, alarm=pb.AlarmType.CORRUPT)
    assert encode_alarm(alarm) == expected.SerializeToString()
    assert decode_alarm(encode_alarm(alarm)) == alarm


@given(INT64, INT64, INT64)
def test_leases_are_read_as_written(lease_id: int, ttl: int, remaining: int) -> None:
    lease = StoredLease(lease_id, ttl, remaining)
    assert decode_lease(encode_lease(lease)) == lease


@given(st.binary(max_size=60))
def test_noise_raises_nothing_but_corruption(content: bytes) -> None:
    for decode in (decode_key_value, decode_lease, decode_alarm):
        with contextlib.suppress(CorruptSnapshot):
            decode(content)


@pytest.mark.parametrize("cut", range(1, 10))
def test_what_is_cut_is_refused_or_shorter(cut: int) -> None:
    whole = StoredKeyValue(b"key", 300, 300, 1, b"value")
    content = encode_key_value(whole)[:-cut]
    with contextlib.suppress(CorruptSnapshot):
        assert decode_key_value(content) != whole


def test_unknown_fields_are_skipped() -> None:
    unknown = b"\x79" + bytes(8) + b"\x7d" + bytes(4) + b"\x78\x05" + b"\x7a\x01x"
    kv = StoredKeyValue(b"a", 1, 1, 1)
    assert decode_key_value(unknown + encode_key_value(kv)) == kv
