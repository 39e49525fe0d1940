"""Both clients ask for changes of the membership with the requests of the protocol."""

from __future__ import annotations

import asyncio

from tests.unit.client.scripted_server import Received, ScriptedServer
from zetcd.client import AsyncClient, Client
from zetcd.messages.base import Message
from zetcd.messages.client import FrameType
from zetcd.messages.cluster import (
    Member,
    MemberAddRequest,
    MemberAddResponse,
    MemberPromoteRequest,
    MemberPromoteResponse,
    MemberRemoveRequest,
    MemberRemoveResponse,
    MemberUpdateRequest,
    MemberUpdateResponse,
)
from zetcd.messages.kv import ResponseHeader

HEADER = ResponseHeader(0, 3)
URLS = ("tcp://h:1", "tcp://h:2")
ADDED = MemberAddResponse(HEADER, Member(7, "", URLS, is_learner=True), (Member(7),))
ANSWERS: dict[type[Message], Message] = {
    MemberAddRequest: ADDED,
    MemberRemoveRequest: MemberRemoveResponse(HEADER, (Member(1),)),
    MemberUpdateRequest: MemberUpdateResponse(HEADER, (Member(2),)),
    MemberPromoteRequest: MemberPromoteResponse(HEADER, (Member(3),)),
}
ASKED = [
    MemberAddRequest(URLS, is_learner=True),
    MemberRemoveRequest(7),
    MemberUpdateRequest(7, URLS),
    MemberPromoteRequest(7),
]


def answer(server: ScriptedServer, received: Received) -> None:
    if received.body is not None and type(received.body) in ANSWERS:
        server.send(received, FrameType.RES, ANSWERS[type(received.body)])


def asked(server: ScriptedServer) -> list[object]:
    return [each.body for each in list(server.received.queue) if each.type is FrameType.REQ]


def test_of_the_client() -> None:
    with ScriptedServer(answer) as server, Client(server.endpoint) as client:
        answers = [
            client.member_add(list(URLS), is_learner=True),
            client.member_remove(7),
            client.member_update(7, list(URLS)),
            client.member_promote(7),
        ]
    assert answers == list(ANSWERS.values())
    assert asked(server) == ASKED


def test_of_the_asynchronous_client() -> None:
    async def main() -> list[object]:
        async with AsyncClient(server.endpoint) as client:
            return [
                await client.member_add(list(URLS), is_learner=True),
                await client.member_remove(7),
                await client.member_update(7, list(URLS)),
                await client.member_promote(7),
            ]

    with ScriptedServer(answer) as server:
        assert asyncio.run(asyncio.wait_for(main(), 30)) == list(ANSWERS.values())
        assert asked(server) == ASKED
