from __future__ import annotations

import socket
import time

import pytest

from tests.unit.client.dialogue import put_event, watch_created, watch_events
from tests.unit.client.scripted_server import (
    Received,
    ScriptedServer,
    answer_store,
    never_answer,
    refuse,
    welcome,
)
from zetcd.client import Client, ClientOptions, LeaseSession, put, value
from zetcd.errors import (
    Code,
    DeadlineExceeded,
    InvalidArgument,
    KeyNotFound,
    LeaseNotFound,
    NotConnected,
    PermissionDenied,
    RetryClass,
    UnknownOutcome,
)
from zetcd.messages.client import FrameType
from zetcd.messages.cluster import MemberAddRequest, MemberAddResponse
from zetcd.messages.kv import (
    PutRequest,
    PutResponse,
    RangeRequest,
    ResponseHeader,
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.lease import (
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseRevokeRequest,
    LeaseRevokeResponse,
)
from zetcd.messages.watch import WatchCloseRequest, WatchCreateRequest

#: An address nobody listens on: connecting is refused at once.
NOBODY = "tcp://127.0.0.1:9"


def test_a_key_is_written_and_read() -> None:
    with ScriptedServer() as server, Client(server.endpoint) as client:
        assert client.put(b"k", b"v").header.revision == 2
        (kv,) = client.get(b"k").kvs
        assert kv.value == b"v"
        assert (client.cluster_id, client.member_id) == (0xC1, 0xA1)


@pytest.mark.parametrize("number", [1 << 64, -(1 << 63) - 1])
def test_a_number_beyond_64_bits_is_refused_by_name_and_nothing_is_sent(number: int) -> None:
    with ScriptedServer() as server, Client(server.endpoint) as client:
        for refused in (
            lambda: client.get(b"k", revision=number),
            lambda: client.watch(b"k", start_revision=number),
            lambda: client.txn().then(put(b"a"), put(b"b", lease=number)).commit(),
        ):
            with pytest.raises(InvalidArgument, match=f"(revision|lease) is {number}") as caught:
                refused()
            assert caught.value.field in ("revision", "start_revision", "lease")
        assert client.get(b"k").count == 0


def test_a_text_of_bytes_that_are_no_text_is_refused_and_nothing_is_sent() -> None:
    with ScriptedServer() as server, Client(server.endpoint) as client:
        with pytest.raises(InvalidArgument, match="text is 'tcp://"):
            client.call(MemberAddRequest(("tcp://\udcff:1",)), MemberAddResponse)
        assert client.get(b"k").count == 0


def test_an_error_of_the_server_is_raised_as_its_class() -> None:
    error = KeyNotFound
    answer = refuse(error.number, error.code, error.text, error.retry)
    with (
        ScriptedServer(answer) as server,
        Client(server.endpoint) as client,
        pytest.raises(KeyNotFound),
    ):
        client.put(b"k", ignore_value=True)


def test_an_error_unknown_to_this_client_keeps_code_text_and_retry_class() -> None:
    answer = refuse(60_000, Code.DATA_LOSS, "something new", RetryClass.NEVER)
    with ScriptedServer(answer) as server, Client(server.endpoint) as client:
        with pytest.raises(Exception, match="something new") as caught:
            client.put(b"k")
        assert getattr(caught.value, "code", None) is Code.DATA_LOSS


def test_many_requests_are_answered_in_their_order() -> None:
    with ScriptedServer() as server, Client(server.endpoint) as client:
        results = client.call_many([PutRequest(b"%d" % each) for each in range(500)])
        revisions = [each.header.revision for each in results if isinstance(each, PutResponse)]
        assert revisions == list(range(2, 502))


def test_a_transaction_is_written_as_it_is_said() -> None:
    def answer(server: ScriptedServer, received: Received) -> None:
        server.send(received, FrameType.RES, TxnResponse(server.header(), succeeded=True))

    with ScriptedServer(answer) as server, Client(server.endpoint) as client:
        assert client.txn().when(value(b"k") == b"v").then(put(b"k", b"w")).commit().succeeded
        body = server.expect(FrameType.REQ).body
        assert isinstance(body, TxnRequest)
        assert body.success == (PutRequest(b"k", b"w"),)


# --- fail-over --------------------------------------------------------------------------------------


def test_the_next_endpoint_is_used_if_the_first_refuses() -> None:
    with ScriptedServer() as server, Client([NOBODY, server.endpoint]) as client:
        assert client.put(b"k").header.revision == 2
        assert client.endpoint == server.endpoint


def test_a_killed_server_leaves_a_mutation_unknown_and_reads_go_on_elsewhere() -> None:
    with (
        ScriptedServer(never_answer) as first,
        ScriptedServer() as second,
        Client([first.endpoint, second.endpoint], timeout=20.0) as client,
    ):
        begun = time.monotonic()
        call = client._submit(PutRequest(b"k"), begun + 20.0)
        while first.received.empty() or first.expect(FrameType.REQ) is None:
            client._turn(time.monotonic() + 0.01)
        first.stop()
        while not call.is_done:
            client._turn(begun + 20.0)
        with pytest.raises(UnknownOutcome, match="connection"):
            call.unwrap()
        assert client.get(b"k").count == 0
        assert client.endpoint == second.endpoint


def test_nobody_at_all_is_told_at_the_deadline() -> None:
    with Client(NOBODY, timeout=0.2) as client, pytest.raises(NotConnected, match="refused"):
        client.put(b"k")


def test_a_peer_that_does_not_answer_is_given_up_for_another() -> None:
    options = ClientOptions(connect_timeout=0.1)
    # A listener that accepts and never speaks.
    with ScriptedServer() as server, socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with Client([endpoint, server.endpoint], options=options) as client:
            assert client.put(b"k").header.revision == 2


def test_a_call_that_was_given_up_is_canceled_on_the_server() -> None:
    with ScriptedServer(never_answer) as server, Client(server.endpoint, timeout=0.2) as client:
        with pytest.raises(DeadlineExceeded):
            client.get(b"k")
        request = server.expect(FrameType.REQ)
        assert 0 < request.deadline_ms <= 201
        # CANCEL may still be on its way when the call returns.
        assert server.expect(FrameType.CANCEL).request_id == request.request_id


def test_leaving_says_goodbye() -> None:
    with ScriptedServer() as server:
        with Client(server.endpoint) as client:
            client.put(b"k")
        assert server.expect(FrameType.GOAWAY).request_id == 0


# --- watches ----------------------------------------------------------------------------------------


def test_a_watch_and_calls_share_the_client() -> None:
    def answer(server: ScriptedServer, received: Received) -> None:
        answer_store(server, received)
        if isinstance(received.body, WatchCreateRequest):
            server.send(received, FrameType.WATCH, watch_events(2, put_event(b"k", 11)))
            server.send(received, FrameType.WATCH, watch_events(3, put_event(b"k", 12)))

    with ScriptedServer(answer) as server, Client(server.endpoint) as client:
        seen = []
        with client.watch(b"k") as watch:
            for event in watch.events():
                client.put(b"x")
                seen.append(event.kv.mod_revision)
                if len(seen) == 2:
                    break
        assert seen == [11, 12]
        server.expect(FrameType.WATCH, WatchCloseRequest)


def test_next_returns_nothing_after_its_timeout() -> None:
    with ScriptedServer() as server, Client(server.endpoint) as client:
        watch = client.watch(b"k")
        assert watch.next(timeout=0.02) is None


def test_a_watch_resumes_on_another_member_where_it_was() -> None:
    def from_eleven(server: ScriptedServer, received: Received) -> None:
        if isinstance(received.body, WatchCreateRequest):
            server.send(received, FrameType.WATCH, watch_created())
            server.send(
                received, FrameType.WATCH, watch_events(2, put_event(b"k", 11), revision=14)
            )

    def from_start(server: ScriptedServer, received: Received) -> None:
        body = received.body
        if isinstance(body, WatchCreateRequest):
            event = put_event(b"k", body.start_revision)
            server.send(received, FrameType.WATCH, watch_created())
            server.send(received, FrameType.WATCH, watch_events(2, event))

    with (
        ScriptedServer(from_eleven) as first,
        ScriptedServer(from_start) as second,
        Client([first.endpoint, second.endpoint]) as client,
    ):
        watch = client.watch(b"k")
        response = watch.next(timeout=10)
        assert response is not None
        first.stop()
        response = watch.next(timeout=10)
        assert response is not None
        assert response.events[0].kv.mod_revision == 15


def test_a_reader_that_stops_keeps_its_credit_and_one_that_reads_grants_more() -> None:
    def answer(server: ScriptedServer, received: Received) -> None:
        if isinstance(received.body, WatchCreateRequest):
            server.send(received, FrameType.WATCH, watch_created())
            for sequence in range(2, 602):
                server.send(
                    received, FrameType.WATCH, watch_events(sequence, put_event(b"k", 9 + sequence))
                )

    with ScriptedServer(answer) as server, Client(server.endpoint) as client:
        watch = client.watch(b"k")
        for _ in range(600):
            assert watch.next(timeout=10) is not None
        credit = server.expect(FrameType.CREDIT)
        assert getattr(credit.body, "messages", 0) == 512


def test_a_refused_watch_raises_when_it_is_made() -> None:
    error = PermissionDenied
    body = refuse(error.number, error.code, error.text, error.retry)

    def answer(server: ScriptedServer, received: Received) -> None:
        body(server, received._replace(type=FrameType.REQ))

    with (
        ScriptedServer(answer) as server,
        Client(server.endpoint) as client,
        pytest.raises(PermissionDenied),
    ):
        client.watch(b"k")


# --- leases -----------------------------------------------------------------------------------------


def answer_leases(ttls: list[int]) -> object:
    """Return an answer that grants leases and renews with ``ttls``, the last one for ever."""

    def answer(server: ScriptedServer, received: Received) -> None:
        body, header = received.body, ResponseHeader(5, 2)
        if isinstance(body, LeaseGrantRequest):
            server.send(received, FrameType.RES, LeaseGrantResponse(header, 0x1F, body.ttl))
        elif isinstance(body, LeaseKeepAliveRequest):
            ttl = ttls.pop(0) if len(ttls) > 1 else ttls[0]
            server.send(received, FrameType.RES, LeaseKeepAliveResponse(header, body.id, ttl))
        elif isinstance(body, LeaseRevokeRequest):
            server.send(received, FrameType.RES, LeaseRevokeResponse(header))

    return answer


def test_renewing_goes_on_until_the_lease_has_ended() -> None:
    answer = answer_leases([1, 1, 0])
    with ScriptedServer(answer) as server, Client(server.endpoint) as client:  # type: ignore[arg-type]
        renewals = client.keep_alive(0x1F)
        assert [next(renewals).ttl, next(renewals).ttl] == [1, 1]
        with pytest.raises(LeaseNotFound):
            next(renewals)


def test_a_lease_session_renews_in_the_background_and_revokes_at_the_end() -> None:
    answer = answer_leases([1])
    with ScriptedServer(answer) as server, Client(server.endpoint) as client:  # type: ignore[arg-type]
        with LeaseSession(client, ttl=1) as session:
            assert session.lease_id == 0x1F
            server.expect(FrameType.REQ, LeaseKeepAliveRequest)
            assert not session.is_lost
        server.expect(FrameType.REQ, LeaseRevokeRequest)


def test_a_lease_session_tells_when_its_lease_has_ended() -> None:
    told: list[bool] = []
    answer = answer_leases([0])
    with ScriptedServer(answer) as server, Client(server.endpoint) as client:  # type: ignore[arg-type]
        session = LeaseSession(client, ttl=1, on_lost=lambda: told.append(True))
        assert session.lost.wait(10)
        session.close()
        assert session.is_lost
    assert told == [True]


def test_a_session_the_server_forgot_is_replaced_without_anybody_noticing() -> None:
    hello = welcome(ping_interval_ms=10, dead_after_ms=30)
    with ScriptedServer(hello=hello) as server, Client(server.endpoint) as client:
        client.put(b"a")
        server.expect(FrameType.HELLO)
        # Longer than the server's patience; it is the client's own clock that is tested.
        client._session._last_turn -= 1.0
        client.put(b"b")
        server.expect(FrameType.HELLO)
        assert {b"a", b"b"} == set(server.store)


def test_get_prefix_of_nothing_means_every_key() -> None:
    with ScriptedServer() as server, Client(server.endpoint) as client:
        client.get_prefix(b"")
        client.get_prefix(b"a\xff")
        everything = server.expect(FrameType.REQ).body
        some = server.expect(FrameType.REQ).body
    assert everything == RangeRequest(b"\0", b"\0")
    assert some == RangeRequest(b"a\xff", b"b")


def test_an_address_the_system_refuses_is_an_endpoint_that_cannot_be_reached() -> None:
    options = ClientOptions(connect_timeout=0.1)
    with ScriptedServer() as server:
        endpoints = ["ipc:///" + "x" * 300, server.endpoint]
        with Client(endpoints, options=options) as client:
            assert client.put(b"k").header.revision == 2
