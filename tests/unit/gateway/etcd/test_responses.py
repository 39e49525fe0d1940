"""Our responses as etcd's messages."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.etcd.responses import Responses, encoded_kvs, key_value
from zetcd.messages.cluster import HashKVResponse
from zetcd.messages.kv import KeyValue, PutResponse, RangeResponse, ResponseHeader, TxnResponse

HEADER = ResponseHeader(7, 3)


def test_only_the_outermost_transaction_has_a_revision() -> None:
    nested = TxnResponse(HEADER, True, (PutResponse(HEADER),))
    octets = Responses(1, 2).encode(TxnResponse(HEADER, True, (nested,)))
    response = pb.TxnResponse.FromString(octets)
    assert response.header == pb.ResponseHeader(cluster_id=1, member_id=2, revision=7, raft_term=3)
    inner = response.responses[0].response_txn
    assert inner.HasField("header")
    assert inner.header == pb.ResponseHeader()
    assert inner.responses[0].response_put.header == pb.ResponseHeader(revision=7)


@pytest.mark.parametrize(("compacted", "shown"), [(0, -1), (4, 4)])
def test_a_store_that_was_never_compacted_says_so_as_etcd_does(compacted: int, shown: int) -> None:
    octets = Responses(1, 2).encode(HashKVResponse(HEADER, 11, compacted, 7))
    response = pb.HashKVResponse.FromString(octets)
    assert (response.hash, response.compact_revision, response.hash_revision) == (11, shown, 7)


REVISIONS = st.integers(1, 2**63 - 1)
KVS = st.lists(
    st.builds(
        KeyValue,
        st.binary(min_size=1, max_size=300),
        REVISIONS,
        REVISIONS,
        REVISIONS,
        st.binary(max_size=300),
        st.integers(-(2**63), 2**63 - 1),
    ),
    max_size=4,
)


@given(KVS)
@example([KeyValue(b"k", 127, 128, 16_383, bytes(16_384), 1)])
@example([KeyValue(b"k", 16_384, 2**63 - 1, 1, bytes(16_383), -1)])
def test_keys_of_a_range_are_what_protobuf_writes(kvs: list[KeyValue]) -> None:
    message = pb.RangeResponse(kvs=[key_value(kv) for kv in kvs])
    assert encoded_kvs(kvs) == message.SerializeToString()


@given(KVS, st.booleans(), st.integers(0, 2**63 - 1))
def test_a_range_is_what_protobuf_writes(kvs: list[KeyValue], more: bool, count: int) -> None:
    header = pb.ResponseHeader(cluster_id=1, member_id=2, revision=7, raft_term=3)
    message = pb.RangeResponse(
        header=header, kvs=[key_value(kv) for kv in kvs], more=more, count=count
    )
    octets = Responses(1, 2).encode(RangeResponse(HEADER, tuple(kvs), more, count))
    assert octets == message.SerializeToString()


@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)), max_size=5))
@example([(0, 0), (0, 1), (1, 1), (1, 0), (1, 0)])
def test_a_header_is_what_protobuf_writes(headers: list[tuple[int, int]]) -> None:
    responses = Responses(2**64 - 1, 2)
    for revision, term in headers:
        header = ResponseHeader(revision, term)
        message = pb.PutResponse(header=responses.header_message(header))
        assert responses.encode(PutResponse(header)) == message.SerializeToString()
