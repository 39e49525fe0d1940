"""Watch streams through gRPC, against three real members."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import grpc
import pytest

from tests.integration.cluster import Cluster
from tests.integration.etcd_api.stubs import EtcdClient, Metadata, refusal
from tests.integration.etcd_api.test_kv import put
from zetcd.gateway.etcd.proto import kv_pb2
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


class Watch:
    """A watch stream whose requests are sent when a test says so."""

    def __init__(self, client: EtcdClient, metadata: Metadata = ()) -> None:
        self.requests: queue.SimpleQueue[pb.WatchRequest | None] = queue.SimpleQueue()
        self.responses = client.stream(
            "Watch.Watch", self._sent(), pb.WatchResponse, metadata=metadata
        )

    def _sent(self) -> Iterator[pb.WatchRequest]:
        while (request := self.requests.get()) is not None:
            yield request

    def create(self, key: bytes, range_end: bytes = b"", **more: int) -> pb.WatchResponse:
        """Send a creation and return its answer; nothing else may come before it."""
        request = pb.WatchCreateRequest(key=key, range_end=range_end, **more)  # type: ignore[arg-type]
        self.requests.put(pb.WatchRequest(create_request=request))
        response = next(self.responses)
        assert response.created
        return response

    def cancel(self, watch_id: int) -> None:
        request = pb.WatchCancelRequest(watch_id=watch_id)
        self.requests.put(pb.WatchRequest(cancel_request=request))

    def ask_progress(self) -> None:
        self.requests.put(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    def next(self) -> pb.WatchResponse:
        return next(self.responses)

    def events(self, count: int) -> list[kv_pb2.Event]:
        """Return the next events, over as many responses as they take."""
        events: list[kv_pb2.Event] = []
        while len(events) < count:
            events.extend(self.next().events)
        assert len(events) == count
        return events

    def close(self) -> None:
        self.responses.cancel()
        self.requests.put(None)


@pytest.fixture
def watch(client: EtcdClient) -> Iterator[Watch]:
    found = Watch(client)
    yield found
    found.close()


def test_events_come_in_order_with_what_was_before(watch: Watch, client: EtcdClient) -> None:
    created = watch.create(b"w/a", b"w/b", prev_kv=True)
    assert (created.watch_id, created.canceled) == (0, False)
    first = put(client, b"w/a1", b"1").header.revision
    put(client, b"w/a1", b"2")
    request = pb.DeleteRangeRequest(key=b"w/a1")
    last = client.call("KV.DeleteRange", request, pb.DeleteRangeResponse).header.revision
    events = watch.events(3)
    assert [each.type for each in events] == [
        kv_pb2.Event.PUT,
        kv_pb2.Event.PUT,
        kv_pb2.Event.DELETE,
    ]
    assert [each.kv.mod_revision for each in events] == [first, first + 1, last]
    assert not events[0].HasField("prev_kv")
    assert [each.prev_kv.value for each in events[1:]] == [b"1", b"2"]
    assert events[2].kv == kv_pb2.KeyValue(key=b"w/a1", mod_revision=last)


def test_a_transaction_is_one_response(watch: Watch, client: EtcdClient) -> None:
    watch.create(b"w/txn", b"w/txo")
    operations = [
        pb.RequestOp(request_put=pb.PutRequest(key=b"w/txn%d" % each)) for each in range(5)
    ]
    client.call("KV.Txn", pb.TxnRequest(success=operations), pb.TxnResponse)
    response = watch.next()
    assert len(response.events) == 5
    assert len({each.kv.mod_revision for each in response.events}) == 1


def test_a_watch_from_the_past_gets_everything_since(watch: Watch, client: EtcdClient) -> None:
    revision = put(client, b"w/past", b"1").header.revision
    put(client, b"w/past", b"2")
    watch.create(b"w/past", start_revision=revision)
    assert [each.kv.value for each in watch.events(2)] == [b"1", b"2"]
    put(client, b"w/past", b"3")
    assert [each.kv.value for each in watch.events(1)] == [b"3"]


def test_watchers_of_one_stream_have_ids_filters_and_an_end(
    watch: Watch, client: EtcdClient
) -> None:
    assert watch.create(b"w/ids").watch_id == 0
    assert watch.create(b"w/ids", watch_id=7).watch_id == 7
    assert watch.create(b"w/ids").watch_id == 1
    twice = watch.create(b"w/ids", watch_id=7)
    assert (twice.canceled, twice.watch_id) == (True, -1)
    assert twice.cancel_reason == "mvcc: duplicate watch ID provided on the WatchStream"
    deletes = watch.create(b"w/ids", filters=[pb.WatchCreateRequest.NOPUT])  # type: ignore[arg-type]
    put(client, b"w/ids", b"1")
    assert {watch.next().watch_id for _ in range(3)} == {0, 1, 7}
    client.call("KV.DeleteRange", pb.DeleteRangeRequest(key=b"w/ids"), pb.DeleteRangeResponse)
    assert {watch.next().watch_id for _ in range(4)} == {0, 1, 7, deletes.watch_id}
    watch.cancel(7)
    ended = watch.next()
    assert (ended.watch_id, ended.canceled, ended.cancel_reason) == (7, True, "")
    watch.cancel(99)
    put(client, b"w/ids", b"2")
    assert {watch.next().watch_id for _ in range(2)} == {0, 1}


def test_a_compacted_start_is_cancelled_with_its_revision(watch: Watch, client: EtcdClient) -> None:
    put(client, b"w/compact", b"1")
    revision = put(client, b"w/compact", b"2").header.revision
    client.call("KV.Compact", pb.CompactionRequest(revision=revision), pb.CompactionResponse)
    watch.create(b"w/compact", start_revision=revision - 1)
    ended = watch.next()
    assert ended.canceled
    assert ended.compact_revision == revision
    assert ended.header.revision == 0


def test_progress_is_told_for_the_whole_stream(watch: Watch, client: EtcdClient) -> None:
    # Without a watcher there is nothing to be answered, then or later.
    watch.ask_progress()
    watch.create(b"w/progress")
    revision = put(client, b"w/elsewhere", b"1").header.revision
    watch.ask_progress()
    told = watch.next()
    while told.header.revision < revision:
        watch.ask_progress()
        told = watch.next()
    assert (told.watch_id, list(told.events)) == (-1, [])


def test_large_revisions_come_in_fragments(watch: Watch, client: EtcdClient) -> None:
    plain = watch.create(b"w/fragment/", b"w/fragment0").watch_id
    fragmented = watch.create(b"w/fragment/", b"w/fragment0", fragment=True).watch_id
    value = b"x" * 300_000
    operations = [
        pb.RequestOp(request_put=pb.PutRequest(key=b"w/fragment/%d" % each, value=value))
        for each in range(4)
    ]
    client.call("KV.Txn", pb.TxnRequest(success=operations), pb.TxnResponse)
    start = client.call("KV.Txn", pb.TxnRequest(success=operations), pb.TxnResponse).header.revision
    sizes: dict[int, list[int]] = {plain: [], fragmented: []}
    while not all(sum(each) == 8 for each in sizes.values()):
        response = watch.next()
        sizes[response.watch_id].append(len(response.events))
    again = watch.create(
        b"w/fragment/", b"w/fragment0", start_revision=start - 1, fragment=True, prev_kv=True
    )
    responses: list[pb.WatchResponse] = []
    while sum(len(each.events) for each in responses) < 8:
        responses.append(watch.next())
        assert responses[-1].watch_id == again.watch_id
        assert responses[-1].ByteSize() <= 1536 * 1024 + 512 * 1024
    assert any(each.fragment for each in responses)
    assert not responses[-1].fragment


def test_a_thousand_watchers_of_one_stream_all_hear_of_it(watch: Watch, client: EtcdClient) -> None:
    count = 1000
    for number in range(count):
        request = pb.WatchCreateRequest(key=b"w/many", watch_id=number + 1)
        watch.requests.put(pb.WatchRequest(create_request=request))
    assert sum(watch.next().created for _ in range(count)) == count
    for round_ in range(3):
        put(client, b"w/many", b"%d" % round_)
        heard = [watch.next() for _ in range(count)]
        assert {each.watch_id for each in heard} == set(range(1, count + 1))
        assert {each.events[0].kv.value for each in heard} == {b"%d" % round_}


def test_a_client_that_does_not_read_holds_up_nobody(
    client: EtcdClient, leader_client: EtcdClient
) -> None:
    lazy, keen = Watch(client), Watch(client)
    value = b"x" * 100_000
    count = 200
    for each in (lazy, keen):
        each.create(b"w/lazy")
    for _ in range(count):
        put(leader_client, b"w/lazy", value)
    assert len(keen.events(count)) == count
    assert len(lazy.events(count)) == count
    lazy.close()
    keen.close()


def test_malformed_requests_end_their_stream_only(client: EtcdClient) -> None:
    stream = client.channel.stream_stream(
        "/etcdserverpb.Watch/Watch",
        request_serializer=bytes,
        response_deserializer=pb.WatchResponse.FromString,
    )
    responses = stream(iter([b"\xff\xff\xff"]), timeout=30)
    code, text = refusal(lambda: list(responses))
    assert code is grpc.StatusCode.INTERNAL
    assert text.startswith("grpc: error unmarshalling request")
    put(client, b"w/after", b"1")


@pytest.mark.slow
def test_streams_outlive_the_watch_actor_and_lose_nothing(
    etcd_cluster: Cluster, leader_client: EtcdClient, watch: Watch
) -> None:
    node = etcd_cluster.followers()[0]
    watch.create(b"w/restart")
    put(leader_client, b"w/restart", b"0")
    assert [each.kv.value for each in watch.events(1)] == [b"0"]
    pid = node.kill_actor("watch-0")
    for number in range(1, 11):
        put(leader_client, b"w/restart", b"%d" % number)
    node.wait_actor_back("watch-0", pid)
    assert [each.kv.value for each in watch.events(10)] == [b"%d" % each for each in range(1, 11)]
    put(leader_client, b"w/restart", b"end")
    assert [each.kv.value for each in watch.events(1)] == [b"end"]
