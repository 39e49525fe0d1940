"""A node that is about to join asks over real sockets; members are played by the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Self

import pytest
import zmq

from zetcd.errors import CannotJoin, PortInUse
from zetcd.membership import Found
from zetcd.messages.cluster import Member
from zetcd.messages.codec import UnionDecoder, encode
from zetcd.messages.node import MembersAnswer, MembersQuery, PeerJoin
from zetcd.runtime.member_query import ask_who_i_am
from zetcd.runtime.peer_socket import KIND_JOIN, ZmqPeerLinks

Respond = Callable[[MembersQuery], MembersAnswer | bytes | None]


def free_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


class PlayedMember:
    """Answers questions on a peer URL until it is told to stop."""

    def __init__(self, node_id: int, respond: Respond) -> None:
        self.url = free_url()
        self._respond = respond
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._links = ZmqPeerLinks(
            self._context, (self.url,), cluster_id=0xC, node_id=node_id, frame_bytes_max=1 << 16
        )
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._links.close()
        self._context.destroy(linger=0)

    def _serve(self) -> None:
        decode = UnionDecoder(PeerJoin).decode
        while not self._is_over.is_set():
            self._links.inbox.poll(20)
            for frame in self._links.receive(10):
                query = decode(frame.body)
                assert isinstance(query, MembersQuery)
                answer = self._respond(query)
                if answer is not None:
                    body = answer if isinstance(answer, bytes) else encode(answer)
                    self._links.send_once(query.peer_urls, 0, body, kind=KIND_JOIN)


def test_the_members_say_who_a_node_is() -> None:
    own = free_url()

    def respond(query: MembersQuery) -> MembersAnswer:
        assert query.peer_urls == (own,)
        return MembersAnswer(0xC, 1, 9, (Member(1, "a", (member.url,)), Member(7, "", (own,))))

    with PlayedMember(1, respond) as member:
        found = ask_who_i_am("b", {"a": (member.url,), "b": (own,)}, (own,))
    assert found == Found(0xC, 7)
    with socket.socket() as probe:
        # The port is free again: the node itself is about to need it.
        host, _, port = own.removeprefix("tcp://").rpartition(":")
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, int(port)))


def test_one_that_is_down_and_one_that_talks_nonsense_do_not_matter() -> None:
    own, down = free_url(), free_url()

    def respond(query: MembersQuery) -> MembersAnswer:
        del query
        members = (
            Member(1, "a", (member.url,)),
            Member(2, "c", (down,)),
            Member(3, "d", (odd.url,)),
            Member(7, "", (own,)),
        )
        return MembersAnswer(0xC, 1, 9, members)

    cluster = {"b": (own,), "c": (down,)}
    with PlayedMember(1, respond) as member, PlayedMember(3, lambda _: b"\xc1") as odd:
        cluster |= {"a": (member.url,), "d": (odd.url,)}
        assert ask_who_i_am("b", cluster, (own,)) == Found(0xC, 7)


def test_members_that_do_not_know_the_node_are_believed_after_a_while() -> None:
    own = free_url()

    def respond(query: MembersQuery) -> MembersAnswer:
        del query
        return MembersAnswer(0xC, 1, 9, (Member(1, "a", (member.url,)),))

    with (
        PlayedMember(1, respond) as member,
        pytest.raises(CannotJoin, match="member count is unequal"),
    ):
        ask_who_i_am("b", {"a": (member.url,), "b": (own,)}, (own,))


def test_nobody_answers() -> None:
    own, down = free_url(), free_url()
    with pytest.raises(CannotJoin, match=f"the given URLs: none of {down} has answered"):
        ask_who_i_am("b", {"a": (down,), "b": (own,)}, (own,), patience_seconds=0.5)


def test_nobody_to_ask() -> None:
    with pytest.raises(CannotJoin, match="names nobody but this node"):
        ask_who_i_am("b", {"b": ("tcp://127.0.0.1:1",)}, ())


def test_a_port_in_use() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        own = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(PortInUse, match="listen-peer-urls"):
            ask_who_i_am("b", {"a": ("tcp://127.0.0.1:1",), "b": (own,)}, (own,))
