"""Keys, transactions and lists through gRPC, against three real members."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.message import Message

from tests.integration.cluster import Cluster
from tests.integration.etcd_api.stubs import EtcdClient, refusal
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def put(client: EtcdClient, key: bytes, value: bytes = b"", **more: int) -> pb.PutResponse:
    request = pb.PutRequest(key=key, value=value, **more)  # type: ignore[arg-type]
    return client.call("KV.Put", request, pb.PutResponse)


def get(client: EtcdClient, key: bytes, range_end: bytes = b"", **more: int) -> pb.RangeResponse:
    request = pb.RangeRequest(key=key, range_end=range_end, **more)  # type: ignore[arg-type]
    return client.call("KV.Range", request, pb.RangeResponse)


def refused(client: EtcdClient, name: str, request: Message) -> tuple[grpc.StatusCode, str]:
    return refusal(lambda: client.call(name, request, pb.PutResponse))


def test_a_put_is_read_back_with_revisions_and_header(
    client: EtcdClient, etcd_cluster: Cluster
) -> None:
    first = put(client, b"kv/a", b"1")
    second = put(client, b"kv/a", b"2", prev_kv=True)
    assert second.header.revision == first.header.revision + 1
    assert second.prev_kv.value == b"1"
    answer = get(client, b"kv/a")
    (kv,) = answer.kvs
    assert (kv.value, kv.version, answer.count) == (b"2", 2, 1)
    assert (kv.create_revision, kv.mod_revision) == (first.header.revision, second.header.revision)
    follower = etcd_cluster.followers()[0].config
    assert answer.header.cluster_id == follower.cluster_id()
    assert answer.header.member_id == follower.member_id()
    assert answer.header.raft_term > 0
    assert get(client, b"kv/a", revision=first.header.revision).kvs[0].value == b"1"


def test_a_read_on_another_member_sees_the_write(
    client: EtcdClient, leader_client: EtcdClient
) -> None:
    for number in range(20):
        value = b"%d" % number
        put(client, b"kv/seen", value)
        assert get(leader_client, b"kv/seen").kvs[0].value == value


def test_a_delete_tells_what_it_deleted(client: EtcdClient) -> None:
    for name in (b"a", b"b", b"c"):
        put(client, b"kv/del/" + name, name)
    request = pb.DeleteRangeRequest(key=b"kv/del/", range_end=b"kv/del0", prev_kv=True)
    deleted = client.call("KV.DeleteRange", request, pb.DeleteRangeResponse)
    assert deleted.deleted == 3
    assert [kv.value for kv in deleted.prev_kvs] == [b"a", b"b", b"c"]
    again = client.call("KV.DeleteRange", request, pb.DeleteRangeResponse)
    assert (again.deleted, again.header.revision) == (0, deleted.header.revision)


def test_a_transaction_takes_one_branch_and_nests(client: EtcdClient) -> None:
    put(client, b"kv/txn", b"old")
    inner = pb.TxnRequest(
        success=[pb.RequestOp(request_put=pb.PutRequest(key=b"kv/txn/in", value=b"x"))]
    )
    request = pb.TxnRequest(
        compare=[
            pb.Compare(
                key=b"kv/txn", target=pb.Compare.VALUE, result=pb.Compare.EQUAL, value=b"old"
            )
        ],
        success=[
            pb.RequestOp(request_put=pb.PutRequest(key=b"kv/txn", value=b"new", prev_kv=True)),
            pb.RequestOp(request_range=pb.RangeRequest(key=b"kv/txn")),
            pb.RequestOp(request_txn=inner),
        ],
        failure=[pb.RequestOp(request_range=pb.RangeRequest(key=b"kv/txn"))],
    )
    first = client.call("KV.Txn", request, pb.TxnResponse)
    assert first.succeeded
    assert first.responses[0].response_put.prev_kv.value == b"old"
    assert first.responses[1].response_range.kvs[0].value == b"new"
    assert first.responses[2].response_txn.succeeded
    second = client.call("KV.Txn", request, pb.TxnResponse)
    assert not second.succeeded
    assert second.responses[0].response_range.kvs[0].mod_revision == first.header.revision


def test_refusals_have_etcds_codes_and_texts(client: EtcdClient) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    not_found = grpc.StatusCode.NOT_FOUND
    beyond = grpc.StatusCode.OUT_OF_RANGE
    future = get(client, b"kv/x").header.revision + 1_000_000
    twice = [pb.RequestOp(request_put=pb.PutRequest(key=b"k"))] * 2
    many = [pb.RequestOp(request_range=pb.RangeRequest(key=b"k"))] * 129
    unsorted = pb.RangeRequest(key=b"k", sort_order=9)  # type: ignore[arg-type]
    too_new = "mvcc: required revision is a future revision"
    no_lease = "requested lease not found"
    bad_version = "wrong downgrade target version format"
    cases: list[tuple[str, Message, grpc.StatusCode, str]] = [
        ("KV.Put", pb.PutRequest(), invalid, "key is not provided"),
        ("KV.Range", pb.RangeRequest(), invalid, "key is not provided"),
        ("KV.Range", unsorted, invalid, "invalid sort option"),
        ("KV.Put", pb.PutRequest(key=b"none", ignore_value=True), invalid, "key not found"),
        ("KV.Put", pb.PutRequest(key=b"k", lease=12345), not_found, "requested lease not found"),
        ("KV.Range", pb.RangeRequest(key=b"k", revision=future), beyond, too_new),
        ("KV.Txn", pb.TxnRequest(success=twice), invalid, "duplicate key given in txn request"),
        ("KV.Txn", pb.TxnRequest(success=many), invalid, "too many operations in txn request"),
        ("KV.Txn", pb.TxnRequest(success=[pb.RequestOp()]), invalid, "key not found"),
        ("KV.Compact", pb.CompactionRequest(revision=future), beyond, too_new),
        ("Lease.LeaseRevoke", pb.LeaseRevokeRequest(ID=4711), not_found, no_lease),
        (
            "Lease.LeaseGrant",
            pb.LeaseGrantRequest(TTL=9_000_000_001),
            beyond,
            "too large lease TTL",
        ),
        ("Maintenance.Downgrade", pb.DowngradeRequest(version="x"), invalid, bad_version),
    ]
    for name, request, code, detail in cases:
        assert refused(client, name, request) == (code, f"etcdserver: {detail}"), name


def test_a_request_that_is_too_large_is_refused_and_the_connection_stays(
    client: EtcdClient,
) -> None:
    large = pb.PutRequest(key=b"kv/large", value=b"x" * (1536 * 1024 + 1))
    assert refused(client, "KV.Put", large) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "etcdserver: request is too large",
    )
    larger = pb.PutRequest(key=b"kv/large", value=b"x" * (3 * 1024 * 1024))
    code, _ = refused(client, "KV.Put", larger)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    put(client, b"kv/large", b"x" * 1_000_000)


@pytest.fixture(scope="module")
def big_list(etcd_cluster: Cluster) -> tuple[int, int]:
    """Return how many keys of which size there are below kv/big/: more than is held at once."""
    count, size = 48, 256 * 1024
    with_leader = EtcdClient(f"127.0.0.1:{etcd_cluster.leader().client_port}")
    for number in range(count):
        put(with_leader, b"kv/big/%04d" % number, b"%d" % (number % 10) * size)
    with_leader.close()
    return count, size


def test_a_list_larger_than_what_is_held_arrives_whole(
    client: EtcdClient, big_list: tuple[int, int]
) -> None:
    count, size = big_list
    answer = get(client, b"kv/big/", b"kv/big0")
    assert [kv.key for kv in answer.kvs] == [b"kv/big/%04d" % each for each in range(count)]
    assert all(len(kv.value) == size for kv in answer.kvs)
    assert (answer.count, answer.more) == (count, False)
    page = get(client, b"kv/big/", b"kv/big0", limit=30)
    assert (len(page.kvs), page.count, page.more) == (30, count, True)


def test_a_range_stream_has_its_header_in_the_last_message_only(
    client: EtcdClient, big_list: tuple[int, int]
) -> None:
    request = pb.RangeRequest(key=b"kv/big/", range_end=b"kv/big0")
    parts = [
        each.range_response
        for each in client.stream("KV.RangeStream", request, pb.RangeStreamResponse)
    ]
    keys = [kv.key for part in parts for kv in part.kvs]
    assert keys == [b"kv/big/%04d" % each for each in range(big_list[0])]
    assert len(parts) > 5
    assert not any(part.HasField("header") or part.count for part in parts[:-1])
    assert parts[-1].header.revision > 0
    assert parts[-1].count == big_list[0]
    by_revision = pb.RangeRequest(key=b"a", sort_target=pb.RangeRequest.MOD)
    code, _ = refusal(
        lambda: list(client.stream("KV.RangeStream", by_revision, pb.RangeStreamResponse))
    )
    assert code is grpc.StatusCode.UNIMPLEMENTED


def test_pages_at_a_pinned_revision_are_one_list(client: EtcdClient) -> None:
    """The way kube-apiserver lists: pages with count, while others write."""
    for number in range(25):
        put(client, b"kv/page/%02d" % number, b"1")
    first = get(client, b"kv/page/", b"kv/page0", limit=10)
    revision = first.header.revision
    keys = [kv.key for kv in first.kvs]
    remaining = first.count - len(first.kvs)
    while remaining:
        put(client, b"kv/page/00", b"changed")
        put(client, b"kv/page/zz", b"new")
        page = get(client, keys[-1] + b"\0", b"kv/page0", limit=10, revision=revision)
        assert page.count == remaining
        assert page.more == (len(page.kvs) < page.count)
        keys += [kv.key for kv in page.kvs]
        remaining -= len(page.kvs)
    assert keys == [b"kv/page/%02d" % number for number in range(25)]


def test_compaction_forgets_what_is_older(client: EtcdClient) -> None:
    first = put(client, b"kv/compact", b"1").header.revision
    second = put(client, b"kv/compact", b"2").header.revision
    request = pb.CompactionRequest(revision=second, physical=True)
    client.call("KV.Compact", request, pb.CompactionResponse)
    assert get(client, b"kv/compact", revision=second).kvs[0].value == b"2"
    gone = (
        grpc.StatusCode.OUT_OF_RANGE,
        "etcdserver: mvcc: required revision has been compacted",
    )
    assert refused(client, "KV.Range", pb.RangeRequest(key=b"kv/compact", revision=first)) == gone
    assert refused(client, "KV.Compact", request) == gone
