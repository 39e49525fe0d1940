from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from tests.unit.client.dialogue import put_event, watch_created, watch_events
from tests.unit.client.scripted_server import Received, ScriptedServer, answer_store, never_answer
from zetcd.client import AsyncClient, AsyncLeaseSession
from zetcd.errors import Canceled, NotConnected, UnknownOutcome
from zetcd.messages.client import FrameType
from zetcd.messages.kv import ResponseHeader
from zetcd.messages.lease import (
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseRevokeRequest,
    LeaseRevokeResponse,
)
from zetcd.messages.watch import WatchCloseRequest, WatchCreateRequest

NOBODY = "tcp://127.0.0.1:9"


def run(main: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30))


def test_a_thousand_tasks_share_one_session() -> None:
    async def main() -> None:
        async with AsyncClient(server.endpoint, timeout=20.0) as client:
            responses = await asyncio.gather(*(client.put(b"%d" % each) for each in range(1000)))
            assert sorted(each.header.revision for each in responses) == list(range(2, 1002))

    with ScriptedServer() as server:
        run(main())
        server.expect(FrameType.HELLO)
        assert sum(1 for each in server.received.queue if each.type is FrameType.HELLO) == 0


def test_answers_come_although_sending_consumed_the_news_of_them() -> None:
    # ZeroMQ's descriptor tells each change once; a client that trusts it alone hangs here.
    async def main() -> None:
        async with AsyncClient(server.endpoint) as client:
            for number in range(300):
                _, response = await asyncio.gather(
                    client.put(b"k", b"%d" % number), client.get(b"k")
                )
                assert response.count <= 1

    with ScriptedServer() as server:
        run(main())


def test_a_canceled_task_cancels_its_request() -> None:
    async def main() -> None:
        async with AsyncClient(server.endpoint) as client:
            task = asyncio.create_task(client.get(b"k"))
            received = await asyncio.to_thread(server.expect, FrameType.REQ)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            canceled = await asyncio.to_thread(server.expect, FrameType.CANCEL)
            assert canceled.request_id == received.request_id

    with ScriptedServer(never_answer) as server:
        run(main())


def test_a_killed_server_leaves_a_mutation_unknown_and_a_read_goes_on() -> None:
    async def main() -> None:
        async with AsyncClient([first.endpoint, second.endpoint], timeout=20.0) as client:
            mutation = asyncio.create_task(client.put(b"k"))
            read = asyncio.create_task(client.get(b"k"))
            for _ in range(2):
                await asyncio.to_thread(first.expect, FrameType.REQ)
            await asyncio.to_thread(first.stop)
            with pytest.raises(UnknownOutcome):
                await mutation
            assert (await read).count == 0
            assert client.endpoint == second.endpoint

    with ScriptedServer(never_answer) as first, ScriptedServer() as second:
        run(main())


def test_nobody_at_all_is_told_at_the_deadline() -> None:
    async def main() -> None:
        async with AsyncClient(NOBODY, timeout=0.2) as client:
            with pytest.raises(NotConnected):
                await client.put(b"k")

    run(main())


def test_a_watch_resumes_where_it_was_while_calls_go_on() -> None:
    def answer(server: ScriptedServer, received: Received) -> None:
        body = received.body
        if isinstance(body, WatchCreateRequest):
            server.send(received, FrameType.WATCH, watch_created())
            event = put_event(b"k", body.start_revision or 11)
            server.send(received, FrameType.WATCH, watch_events(2, event))
        else:
            answer_store(server, received)

    async def main() -> None:
        async with AsyncClient([first.endpoint, second.endpoint]) as client:
            watch = await client.watch(b"k")
            assert watch.created_revision == 10
            events = watch.events()
            assert (await anext(events)).kv.mod_revision == 11
            await client.put(b"x")
            await asyncio.to_thread(first.stop)
            assert (await anext(events)).kv.mod_revision == 12
            await client.put(b"x")
            watch.close()
            await asyncio.to_thread(second.expect, FrameType.WATCH, WatchCloseRequest)
            assert [event async for event in events] == []

    with ScriptedServer(answer) as first, ScriptedServer(answer) as second:
        run(main())


def test_next_returns_nothing_after_its_timeout() -> None:
    async def main() -> None:
        async with AsyncClient(server.endpoint) as client:
            watch = await client.watch(b"k")
            assert await watch.next(timeout=0.02) is None

    with ScriptedServer() as server:
        run(main())


def test_closing_ends_what_still_waits() -> None:
    async def main() -> None:
        client = AsyncClient(server.endpoint)
        task = asyncio.create_task(client.put(b"k"))
        await asyncio.to_thread(server.expect, FrameType.REQ)
        client.close()
        with pytest.raises(Canceled):
            await task

    with ScriptedServer(never_answer) as server:
        run(main())


def test_a_lease_session_renews_and_revokes() -> None:
    def answer(server: ScriptedServer, received: Received) -> None:
        body, header = received.body, ResponseHeader(5, 2)
        if isinstance(body, LeaseGrantRequest):
            server.send(received, FrameType.RES, LeaseGrantResponse(header, 7, 1))
        elif isinstance(body, LeaseKeepAliveRequest):
            server.send(received, FrameType.RES, LeaseKeepAliveResponse(header, 7, 1))
        elif isinstance(body, LeaseRevokeRequest):
            server.send(received, FrameType.RES, LeaseRevokeResponse(header))

    async def main() -> None:
        async with AsyncClient(server.endpoint) as client:
            async with await AsyncLeaseSession.open(client, ttl=1) as session:
                await asyncio.to_thread(server.expect, FrameType.REQ, LeaseKeepAliveRequest)
                assert not session.is_lost
            await asyncio.to_thread(server.expect, FrameType.REQ, LeaseRevokeRequest)

    with ScriptedServer(answer) as server:
        run(main())


def test_a_lease_session_tells_when_its_lease_has_ended() -> None:
    def answer(server: ScriptedServer, received: Received) -> None:
        body, header = received.body, ResponseHeader(5, 2)
        if isinstance(body, LeaseGrantRequest):
            server.send(received, FrameType.RES, LeaseGrantResponse(header, 7, 1))
        elif isinstance(body, LeaseKeepAliveRequest):
            server.send(received, FrameType.RES, LeaseKeepAliveResponse(header, 7, 0))

    async def main() -> None:
        async with AsyncClient(server.endpoint) as client:
            session = await AsyncLeaseSession.open(client, ttl=1)
            await session.lost.wait()
            assert session.is_lost
            await session.close()

    with ScriptedServer(answer) as server:
        run(main())
