"""A thousand watches and a thousand calls, open at once on one connection: all are served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import pytest

from tests.integration.cluster import Cluster, wait_until
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

STREAMS: Final = 1_000
SECONDS_MAX: Final = 120.0
OPTIONS: Final = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Cluster]:
    """Yield a member that nobody else talks to, with ``max-concurrent-streams`` as it is."""
    with Cluster(tmp_path, 1) as cluster:
        yield cluster


def key_of(number: int) -> bytes:
    return b"streams/%04d" % number


async def watch(channel: grpc.aio.Channel, number: int) -> Any:
    """Open a stream of its own for one key; return it once the server has said that it watches."""
    call: Any = channel.stream_stream(
        "/etcdserverpb.Watch/Watch",
        request_serializer=pb.WatchRequest.SerializeToString,
        response_deserializer=pb.WatchResponse.FromString,
    )(timeout=SECONDS_MAX)
    create = pb.WatchCreateRequest(key=key_of(number))
    await call.write(pb.WatchRequest(create_request=create))
    assert (await call.read()).created
    return call


async def put(channel: grpc.aio.Channel, number: int) -> int:
    """Put one key; return its revision."""
    call: Any = channel.unary_unary(
        "/etcdserverpb.KV/Put",
        request_serializer=pb.PutRequest.SerializeToString,
        response_deserializer=pb.PutResponse.FromString,
    )
    request = pb.PutRequest(key=key_of(number), value=b"v")
    answer = await call(request, timeout=SECONDS_MAX)
    assert isinstance(answer, pb.PutResponse)
    return answer.header.revision


async def watch_and_put(target: str, look: Callable[[], None]) -> tuple[list[int], list[int]]:
    """Return the revisions that the puts were told, and those of the events, key by key."""
    numbers = range(STREAMS)
    async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
        watches = await asyncio.gather(*(watch(channel, each) for each in numbers))
        await asyncio.to_thread(look)
        events = [asyncio.ensure_future(each.read()) for each in watches]
        told = await asyncio.gather(*(put(channel, each) for each in numbers))
        seen = [(await each).events for each in events]
        for each in watches:
            each.cancel()
    assert [[event.kv.key for event in each] for each in seen] == [[key_of(n)] for n in numbers]
    return list(told), [each[0].kv.mod_revision for each in seen]


def test_a_thousand_streams_of_one_connection_are_served_beside_a_thousand_calls(
    alone: Cluster,
) -> None:
    (node,) = alone.nodes

    def look() -> None:
        """All are open at the same time, and came by one connection."""

        def is_counted() -> bool:
            status = node.status()
            facts = ("streams", "watchers", "connections")
            return status is not None and [
                status.fact_sum("etcd-gateway", each) for each in facts
            ] == [STREAMS, STREAMS, 1]

        wait_until(is_counted, "the streams are counted")

    told, seen = asyncio.run(watch_and_put(f"127.0.0.1:{node.client_port}", look))
    assert told == seen
    assert len(set(told)) == STREAMS
