"""Numbers as protobuf writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.varint import varint


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (0, b"\x00"),
        (0x7F, b"\x7f"),
        (0x80, b"\x80\x01"),
        (300, b"\xac\x02"),
        (2**64 - 1, b"\xff" * 9 + b"\x01"),
    ],
)
def test_known_numbers(value: int, octets: bytes) -> None:
    assert varint(value) == octets


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(AssertionError):
        varint(-1)


@given(st.integers(1, 2**64 - 1))
def test_any_number_is_written_as_by_protobuf(value: int) -> None:
    # Field 1 of AlarmMember is a uint64; a message leaves zero out.
    assert b"\x08" + varint(value) == pb.AlarmMember(memberID=value).SerializeToString()
