"""Leases, locks, elections, cluster, maintenance, auth and health through gRPC."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import grpc
import pytest
from google.protobuf.message import Message

from tests.integration.cluster import PATIENCE_SECONDS, Cluster
from tests.integration.etcd_api.stubs import METHODS, EtcdClient, refusal
from tests.integration.etcd_api.test_kv import get, put
from zetcd.gateway.etcd.proto import health_pb2, v3election_pb2, v3lock_pb2
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SERVING = health_pb2.HealthCheckResponse.SERVING


def grant(client: EtcdClient, ttl: int = 60) -> int:
    request = pb.LeaseGrantRequest(TTL=ttl)
    return client.call("Lease.LeaseGrant", request, pb.LeaseGrantResponse).ID


def test_a_lease_lives_and_takes_its_keys_with_it(client: EtcdClient) -> None:
    request = pb.LeaseGrantRequest(TTL=1, ID=4242)
    granted = client.call("Lease.LeaseGrant", request, pb.LeaseGrantResponse)
    assert (granted.ID, granted.TTL, granted.error) == (4242, 2, "")
    code, text = refusal(lambda: client.call("Lease.LeaseGrant", request, pb.LeaseGrantResponse))
    assert (code, text) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "etcdserver: lease already exists",
    )
    lease = grant(client)
    put(client, b"l/a", b"1", lease=lease)
    ask = pb.LeaseTimeToLiveRequest(ID=lease, keys=True)
    left = client.call("Lease.LeaseTimeToLive", ask, pb.LeaseTimeToLiveResponse)
    assert 0 < left.TTL <= left.grantedTTL == 60
    assert list(left.keys) == [b"l/a"]
    leases = client.call("Lease.LeaseLeases", pb.LeaseLeasesRequest(), pb.LeaseLeasesResponse)
    assert lease in [each.ID for each in leases.leases]
    client.call("Lease.LeaseRevoke", pb.LeaseRevokeRequest(ID=lease), pb.LeaseRevokeResponse)
    assert not get(client, b"l/a").kvs
    left = client.call("Lease.LeaseTimeToLive", ask, pb.LeaseTimeToLiveResponse)
    assert (left.TTL, left.grantedTTL) == (-1, 0)


def test_keep_alives_of_many_leases_share_a_stream(client: EtcdClient) -> None:
    leases = [grant(client) for _ in range(20)]
    asked = [pb.LeaseKeepAliveRequest(ID=each) for each in [*leases, 999, *leases]]
    answers = list(client.stream("Lease.LeaseKeepAlive", iter(asked), pb.LeaseKeepAliveResponse))
    assert len(answers) == len(asked)
    ttls = {each.ID: each.TTL for each in answers}
    assert ttls == {999: 0} | dict.fromkeys(leases, 60)


def test_a_lock_goes_from_one_to_the_next(client: EtcdClient) -> None:
    first, second = grant(client), grant(client)

    def take(lease: int) -> bytes:
        request = v3lock_pb2.LockRequest(name=b"lock", lease=lease)
        return client.call("Lock.Lock", request, v3lock_pb2.LockResponse).key

    def give(key: bytes) -> None:
        request = v3lock_pb2.UnlockRequest(key=key)
        client.call("Lock.Unlock", request, v3lock_pb2.UnlockResponse)

    key = take(first)
    assert key == b"lock/%x" % first
    # The same lease already has it.
    assert take(first) == key
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(take, second)
        while len(get(client, b"lock/", b"lock0").kvs) < 2:
            assert not waiting.done()
        give(key)
        assert waiting.result(60) == b"lock/%x" % second
    give(b"lock/%x" % second)
    assert not get(client, b"lock/", b"lock0").kvs


def test_a_lock_without_a_lease_gets_one_and_giving_up_leaves_nothing(client: EtcdClient) -> None:
    request = v3lock_pb2.LockRequest(name=b"lonely")
    own = client.call("Lock.Lock", request, v3lock_pb2.LockResponse).key
    (kv,) = get(client, own).kvs
    assert own == b"lonely/%x" % kv.lease
    lease = grant(client)
    impatient = v3lock_pb2.LockRequest(name=b"lonely", lease=lease)
    code, _ = refusal(
        lambda: client.call("Lock.Lock", impatient, v3lock_pb2.LockResponse, timeout=1.0)
    )
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    while get(client, b"lonely/%x" % lease).kvs:
        pass
    assert get(client, own).kvs


def test_a_waiter_whose_lease_ends_is_told_so(client: EtcdClient) -> None:
    first, second = grant(client), grant(client)
    holder = v3lock_pb2.LockRequest(name=b"expired", lease=first)
    key = client.call("Lock.Lock", holder, v3lock_pb2.LockResponse).key
    with ThreadPoolExecutor(1) as pool:
        waiter = v3lock_pb2.LockRequest(name=b"expired", lease=second)
        waiting = pool.submit(
            refusal, lambda: client.call("Lock.Lock", waiter, v3lock_pb2.LockResponse)
        )
        while len(get(client, b"expired/", b"expired0").kvs) < 2:
            assert not waiting.done()
        revoke = pb.LeaseRevokeRequest(ID=second)
        client.call("Lease.LeaseRevoke", revoke, pb.LeaseRevokeResponse)
        unlock = v3lock_pb2.UnlockRequest(key=key)
        client.call("Lock.Unlock", unlock, v3lock_pb2.UnlockResponse)
        assert waiting.result(60) == (grpc.StatusCode.UNKNOWN, "mutex: session is expired")


def test_an_election_is_observed_from_its_beginning_to_its_end(client: EtcdClient) -> None:
    name = b"election"
    ask = v3election_pb2.LeaderRequest(name=name)

    def campaign(lease: int, value: bytes) -> v3election_pb2.LeaderKey:
        request = v3election_pb2.CampaignRequest(name=name, lease=lease, value=value)
        return client.call("Election.Campaign", request, v3election_pb2.CampaignResponse).leader

    nobody = refusal(lambda: client.call("Election.Leader", ask, v3election_pb2.LeaderResponse))
    assert nobody == (grpc.StatusCode.UNKNOWN, "election: no leader")
    observed = client.stream("Election.Observe", ask, v3election_pb2.LeaderResponse)
    first, second = grant(client), grant(client)
    leader = campaign(first, b"one")
    assert next(observed).kv.value == b"one"
    proclaim = v3election_pb2.ProclaimRequest(leader=leader, value=b"uno")
    client.call("Election.Proclaim", proclaim, v3election_pb2.ProclaimResponse)
    assert next(observed).kv.value == b"uno"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(campaign, second, b"two")
        while len(get(client, b"election/", b"election0").kvs) < 2:
            assert not waiting.done()
        now = client.call("Election.Leader", ask, v3election_pb2.LeaderResponse)
        assert now.kv.value == b"uno"
        resign = v3election_pb2.ResignRequest(leader=leader)
        client.call("Election.Resign", resign, v3election_pb2.ResignResponse)
        assert waiting.result(60).key == b"election/%x" % second
    assert next(observed).kv.value == b"two"
    observed.cancel()
    late = refusal(
        lambda: client.call("Election.Proclaim", proclaim, v3election_pb2.ProclaimResponse)
    )
    assert late == (grpc.StatusCode.UNKNOWN, "election: not leader")
    empty = v3election_pb2.ProclaimRequest()
    missing = refusal(
        lambda: client.call("Election.Proclaim", empty, v3election_pb2.ProclaimResponse)
    )
    assert missing == (grpc.StatusCode.UNKNOWN, '"leader" field must be provided')


@pytest.mark.parametrize("is_linearizable", [False, True])
def test_members_are_listed(
    client: EtcdClient, etcd_cluster: Cluster, is_linearizable: bool
) -> None:
    request = pb.MemberListRequest(linearizable=is_linearizable)
    answer = client.call("Cluster.MemberList", request, pb.MemberListResponse)
    found = {(each.name, each.ID, tuple(each.clientURLs)) for each in answer.members}
    assert found == {
        (node.name, node.config.member_id(), (f"http://127.0.0.1:{node.client_port}",))
        for node in etcd_cluster.nodes
    }
    assert answer.header.revision == 0


def test_status_hash_and_alarms(
    client: EtcdClient, leader_client: EtcdClient, etcd_cluster: Cluster
) -> None:
    status = client.call("Maintenance.Status", pb.StatusRequest(), pb.StatusResponse)
    assert status.version.startswith("3.6.")
    assert status.leader == etcd_cluster.leader().config.member_id()
    assert status.raftAppliedIndex > 0
    assert 0 < status.dbSizeInUse <= status.dbSize
    assert not status.errors
    revision = put(client, b"m/hash", b"1").header.revision
    get(leader_client, b"m/hash")
    request = pb.HashKVRequest(revision=revision)
    hashes = {
        each.call("Maintenance.HashKV", request, pb.HashKVResponse).hash
        for each in (client, leader_client)
    }
    assert len(hashes) == 1
    assert client.call("Maintenance.Hash", pb.HashRequest(), pb.HashResponse).hash
    alarm = pb.AlarmRequest(action=pb.AlarmRequest.ACTIVATE, memberID=7, alarm=pb.AlarmType.NOSPACE)
    client.call("Maintenance.Alarm", alarm, pb.AlarmResponse)
    listed = client.call("Maintenance.Alarm", pb.AlarmRequest(), pb.AlarmResponse)
    assert [(each.memberID, each.alarm) for each in listed.alarms] == [(7, pb.AlarmType.NOSPACE)]
    full = refusal(lambda: put(client, b"m/full", b"1"))
    assert full == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "etcdserver: mvcc: database space exceeded",
    )
    alarm.action = pb.AlarmRequest.DEACTIVATE
    client.call("Maintenance.Alarm", alarm, pb.AlarmResponse)
    put(client, b"m/full", b"1")


def test_leadership_moves_only_from_the_leader(
    client: EtcdClient, leader_client: EtcdClient, etcd_cluster: Cluster
) -> None:
    leader, follower = etcd_cluster.leader(), etcd_cluster.followers()[0]
    request = pb.MoveLeaderRequest(targetID=follower.config.member_id())

    def move(through: EtcdClient, what: pb.MoveLeaderRequest) -> pb.MoveLeaderResponse:
        return through.call("Maintenance.MoveLeader", what, pb.MoveLeaderResponse)

    failed = grpc.StatusCode.FAILED_PRECONDITION
    assert refusal(lambda: move(client, request)) == (failed, "etcdserver: not leader")
    nobody = pb.MoveLeaderRequest(targetID=1)
    bad = refusal(lambda: move(leader_client, nobody))
    assert bad == (failed, "etcdserver: bad leader transferee")
    move(leader_client, pb.MoveLeaderRequest(targetID=leader.config.member_id()))
    assert etcd_cluster.leader() is leader
    assert not move(leader_client, request).HasField("header")
    assert etcd_cluster.leader() is follower
    back = pb.MoveLeaderRequest(targetID=leader.config.member_id())
    move(client, back)
    assert etcd_cluster.leader() is leader


def test_health_and_users(client: EtcdClient) -> None:
    check = health_pb2.HealthCheckRequest()
    health = client.call("Health.Check", check, health_pb2.HealthCheckResponse)
    assert health.status == SERVING
    watched = client.stream("Health.Watch", check, health_pb2.HealthCheckResponse)
    assert next(watched).status == SERVING
    watched.cancel()
    unknown = health_pb2.HealthCheckRequest(service="x")
    code, _ = refusal(lambda: client.call("Health.Check", unknown, health_pb2.HealthCheckResponse))
    assert code is grpc.StatusCode.NOT_FOUND
    status = client.call("Auth.AuthStatus", pb.AuthStatusRequest(), pb.AuthStatusResponse)
    assert (status.enabled, status.authRevision) == (False, 1)
    login = pb.AuthenticateRequest(name="root", password="x")
    assert refusal(lambda: client.call("Auth.Authenticate", login, pb.AuthenticateResponse)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "etcdserver: authentication is not enabled",
    )


#: Methods that answer only to what is said to them, or never by themselves.
_NOT_CALLED = {"Watch.Watch", "Lease.LeaseKeepAlive", "Election.Observe", "Health.Watch"}


@pytest.mark.parametrize("name", sorted(set(METHODS) - _NOT_CALLED))
def test_every_method_answers_an_empty_request_by_itself(client: EtcdClient, name: str) -> None:
    """Nothing crashes, nothing hangs, and no method is missing as a service would be."""
    request = empty_request(name)
    try:
        if METHODS[name].server_streaming:
            answers = list(client.stream(name, request, Message))
        else:
            # A lock and an election without a name wait for whoever has them: until the deadline.
            seconds = 3.0 if name in {"Lock.Lock", "Election.Campaign"} else 60.0
            answers = [client.call(name, request, Message, timeout=seconds)]
    except grpc.RpcError as error:
        text = str(error)
        assert "unknown service" not in text
        assert "unknown method" not in text
    else:
        assert answers


def empty_request(name: str) -> Message:
    from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415

    kind: type[Message] = GetMessageClass(METHODS[name].input_type)
    return kind()


def test_a_stream_that_needs_a_leader_is_cut_when_there_is_none(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Cluster(tmp_path_factory.mktemp("no-leader")) as cluster:
        survivor = cluster.followers()[0]
        client = EtcdClient(f"127.0.0.1:{survivor.client_port}")
        requests: queue.SimpleQueue[pb.WatchRequest] = queue.SimpleQueue()

        def sent() -> Iterator[pb.WatchRequest]:
            while True:
                yield requests.get()

        create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"a"))
        needy = client.stream(
            "Watch.Watch", sent(), pb.WatchResponse, metadata=(("hasleader", "true"),)
        )
        requests.put(create)
        assert next(needy).created
        modest = client.stream("Watch.Watch", iter([create]), pb.WatchResponse)
        assert next(modest).created
        for node in cluster.nodes:
            if node is not survivor:
                node.kill()
        no_leader = (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")
        assert refusal(lambda: next(needy)) == no_leader
        refused = refusal(
            lambda: client.call(
                "KV.Range",
                pb.RangeRequest(key=b"a"),
                pb.RangeResponse,
                metadata=(("hasleader", "true"),),
            )
        )
        assert refused == no_leader
        local = pb.RangeRequest(key=b"a", serializable=True)
        client.call("KV.Range", local, pb.RangeResponse)
        assert client.call("Maintenance.Status", pb.StatusRequest(), pb.StatusResponse).errors
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(put_until_it_succeeds, client)
            next(node for node in cluster.nodes if node is not survivor).start()
            refusals = written.result(PATIENCE_SECONDS)
        assert all(text.startswith("etcdserver: request timed out") for text in refusals)
        modest.cancel()
        client.close()


def put_until_it_succeeds(client: EtcdClient) -> list[str]:
    """Return what the attempts before were refused with."""
    refusals: list[str] = []
    while True:
        try:
            put(client, b"waits", b"1")
        except grpc.RpcError as error:
            refusals.append(cast(grpc.Call, error).details() or "")
        else:
            return refusals
