"""Responsible for asking the members of a running cluster who they are, before this node is one of them.

Over the peer links, as everything between members: a question to each peer URL of ``initial-cluster``, the
answers to the own ones. Whoever is there answers; who that makes this node is decided in
`zetcd.membership.joining`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

import zmq

from zetcd.errors import CannotJoin
from zetcd.membership import Found, identify
from zetcd.messages.codec import DECODE_ERRORS, UnionDecoder, encode
from zetcd.messages.node import MembersAnswer, MembersQuery, PeerJoin
from zetcd.runtime.peer_routes import DIRECT, Channel, PeerRoutes
from zetcd.runtime.peer_socket import (
    KIND_JOIN,
    pack_join_frame,
    peer_inbox,
    peer_lane,
    unpack_frame,
)
from zetcd.scalars import NodeID

_DECODER: Final = UnionDecoder(PeerJoin)
#: Members that are not there are waited for so long.
PATIENCE_SECONDS: Final = 10.0
#: A member may be behind: what one of them says for so long, it goes on saying.
_DISAGREEMENT_SECONDS: Final = 3.0
#: The others have so long to answer, too: one of them may know better.
_GATHERING_SECONDS: Final = 1.0
_ASK_INTERVAL_SECONDS: Final = 0.3
_FRAME_BYTES_MAX: Final = 1 << 20
#: etcd's words.
_UNREACHABLE: Final = (
    "cannot fetch cluster info from peer urls: "
    "could not retrieve cluster information from the given URLs"
)


def ask_who_i_am(
    name: str,
    initial_cluster: Mapping[str, tuple[str, ...]],
    listen_urls: Sequence[str],
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    routes: PeerRoutes = DIRECT,
) -> Found:
    """Return who the member called ``name`` is.

    Args:
        name: Of this node; one of ``initial_cluster``.
        initial_cluster: Peer URLs by name, as configured.
        listen_urls: Where this node listens for peers; free again on return.
        patience_seconds: How long to wait for the first answer.
        routes: How other members are reached.

    Raises:
        CannotJoin: nobody answers, or what they say does not fit the configuration.
        PortInUse: another process listens there.
    """
    others = {each: urls for each, urls in initial_cluster.items() if each != name}
    if not others:
        raise CannotJoin(f"{_UNREACHABLE}: initial-cluster names nobody but this node")
    context = zmq.Context(io_threads=1)
    questions = _Questions(context, name, initial_cluster, routes)
    try:
        questions.listen(listen_urls)
        return questions.ask(patience_seconds)
    finally:
        questions.close()
        context.term()


class _Questions:
    """The sockets of one joining node, and what it has been told."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        name: str,
        initial_cluster: Mapping[str, tuple[str, ...]],
        routes: PeerRoutes,
    ) -> None:
        self._name = name
        self._routes = routes
        self._cluster = initial_cluster
        self._inbox = peer_inbox(context, _FRAME_BYTES_MAX)
        self._lanes = {
            url: peer_lane(context, (url,), 16, routes=routes)
            for each, urls in initial_cluster.items()
            if each != name
            for url in urls
        }
        self._answers: dict[NodeID, MembersAnswer] = {}

    def listen(self, urls: Sequence[str]) -> None:
        """Listen for the answers."""
        self._routes.bind(self._inbox, urls, Channel.RAFT)

    def close(self) -> None:
        """Close every socket, so that the ports are free again."""
        self._inbox.close(0)
        for lane in self._lanes.values():
            lane.close(0)

    def ask(self, patience_seconds: float) -> Found:
        """Ask again and again until the answers say who this node is."""
        query = pack_join_frame(encode(MembersQuery(self._cluster[self._name])))
        started = time.monotonic()
        while True:
            for lane in self._lanes.values():
                try:
                    lane.send(query, zmq.NOBLOCK)
                except zmq.Again:
                    # Not connected, yet or any more.
                    continue
            self._take_answers(_ASK_INTERVAL_SECONDS)
            elapsed = time.monotonic() - started
            found = self._decide(elapsed)
            if found is not None:
                return found
            if not self._answers and elapsed >= patience_seconds:
                asked = ", ".join(self._lanes)
                raise CannotJoin(
                    f"{_UNREACHABLE}: none of {asked} has answered within {patience_seconds:g} s"
                )

    def _take_answers(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and self._inbox.poll(int(left * 1000) + 1):
            frame = unpack_frame(self._inbox.recv_multipart())
            if frame is None or frame.kind != KIND_JOIN:
                # A leader that knows of this node already; it will say it again.
                continue
            try:
                answer = _DECODER.decode(frame.body)
            except DECODE_ERRORS:
                continue
            if isinstance(answer, MembersAnswer):
                self._answers[answer.sender] = answer

    def _decide(self, elapsed: float) -> Found | None:
        """Return who this node is; None: more may be heard.

        Raises:
            CannotJoin: the answers do not fit, and have not for a while.
        """
        is_complete = len(self._answers) >= len(self._cluster) - 1
        if not self._answers or not (is_complete or elapsed >= _GATHERING_SECONDS):
            return None
        try:
            return identify(tuple(self._answers.values()), self._name, self._cluster)
        except CannotJoin:
            if elapsed >= _DISAGREEMENT_SECONDS:
                raise
            return None
