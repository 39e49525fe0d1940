"""Calls of every kind by grpcio, gRPC's C library, against the transport on real sockets."""

from __future__ import annotations

import contextlib
import queue
import shutil
import socket
import ssl
import subprocess
import threading
import time
from asyncio import Transport as AsyncioTransport
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import grpc
import pytest

from tests.integration.grpc_transport.echo import EchoThread
from tests.unit.gateway.grpc.peer import data, header_block, headers, message
from zetcd.gateway.grpc import TransportOptions
from zetcd.gateway.grpc.frames import (
    PREFACE,
    SETTINGS_INITIAL_WINDOW_SIZE,
    pack_settings,
    pack_window_update,
)

pytestmark = pytest.mark.integration

PATIENCE: Final = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[EchoThread]:
    with EchoThread() as running:
        yield running


@pytest.fixture
def channel(server: EchoThread) -> Iterator[grpc.Channel]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(server.target, options=options) as opened:
        yield opened


def unary(
    channel: grpc.Channel, method: str = "Unary"
) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(f"/echo.Echo/{method}")


def server_stream(channel: grpc.Channel) -> grpc.UnaryStreamMultiCallable[bytes, bytes]:
    return channel.unary_stream("/echo.Echo/ServerStream")


def client_stream(channel: grpc.Channel) -> grpc.StreamUnaryMultiCallable[bytes, bytes]:
    return channel.stream_unary("/echo.Echo/ClientStream")


def bidi(channel: grpc.Channel) -> grpc.StreamStreamMultiCallable[bytes, bytes]:
    return channel.stream_stream("/echo.Echo/Bidi")


def code_of(call: Callable[[], object]) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


class Requests:
    """An iterator of requests that a test feeds."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def put(self, message: bytes | None) -> None:
        self._queue.put(message)

    def __iter__(self) -> Iterator[bytes]:
        while (message := self._queue.get()) is not None:
            yield message


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_380, 65_531, 70_000, 2 * 1024 * 1024])
def test_unary_calls_of_many_sizes(channel: grpc.Channel, size: int) -> None:
    request = bytes(range(256)) * (size // 256 + 1)
    assert unary(channel)(request[:size], timeout=PATIENCE) == request[:size]


def test_a_message_too_large_leaves_the_connection(channel: grpc.Channel) -> None:
    call = unary(channel)
    code, text = code_of(lambda: call(b"x" * (2 * 1024 * 1024 + 1), timeout=PATIENCE))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert text == "grpc: received message larger than max (2097153 vs. 2097152)"
    assert call(b"still here", timeout=PATIENCE) == b"still here"


def test_a_status_with_text_and_details(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, "Fail")("11:größer als 100 %\n".encode(), timeout=PATIENCE)
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert caught.value.details() == "größer als 100 %\n"
    trailers = {each.key: each.value for each in caught.value.trailing_metadata()}
    details = trailers["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    assert details.startswith(b"\x08\x0b")


def test_metadata(channel: grpc.Channel) -> None:
    metadata = (("hasleader", "true"), ("token", "a.1"), ("some-bin", b"\x00\xff"))
    answer = unary(channel, "Metadata")(b"", metadata=metadata, timeout=PATIENCE).decode()
    assert "hasleader=true\ntoken=a.1\n" in answer
    assert answer.endswith(repr(b"\x00\xff"))


def test_metadata_too_large_is_refused(channel: grpc.Channel) -> None:
    call = unary(channel)
    metadata = (("a", "x" * 20_000),)
    code, _ = code_of(lambda: call(b"", metadata=metadata, timeout=PATIENCE))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert call(b"still here", timeout=PATIENCE) == b"still here"


def test_unknown_methods(channel: grpc.Channel) -> None:
    code, text = code_of(lambda: unary(channel, "Missing")(b"", timeout=PATIENCE))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert text == "unknown method Missing for service echo.Echo"


def test_gzip_is_understood(channel: grpc.Channel) -> None:
    request = b"a" * 1_000_000
    call = unary(channel)
    assert call(request, timeout=PATIENCE, compression=grpc.Compression.Gzip) == request


def test_streams_of_every_kind(channel: grpc.Channel) -> None:
    answers = server_stream(channel)(b"300 20000", timeout=PATIENCE)
    assert [len(answer) for answer in answers] == [20_000] * 300
    requests = [b"x" * size for size in range(2000)]
    answer = client_stream(channel)(iter(requests), timeout=PATIENCE)
    assert answer == b"2000 1999000"
    echoed = bidi(channel)(iter(requests), timeout=PATIENCE)
    assert list(echoed) == requests


def test_a_huge_message_in_parts(channel: grpc.Channel, server: EchoThread) -> None:
    assert len(unary(channel, "Huge")(b"100000000", timeout=PATIENCE)) == 100_000_000
    assert server.echo.transport.queued_bytes_total == 0


def test_deadlines_end_calls_here_and_there(server: EchoThread, channel: grpc.Channel) -> None:
    before = sum(server.echo.endings.values())

    def is_seen() -> bool:
        # On a busy machine the call may come and go in one turn, unseen by the service.
        code, _ = code_of(lambda: unary(channel, "Never")(b"", timeout=0.2))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        unary(channel)(b"", timeout=PATIENCE)
        return sum(server.echo.endings.values()) > before

    wait_until(is_seen)


def test_cancelled_calls_are_seen(server: EchoThread, channel: grpc.Channel) -> None:
    transport, endings = server.echo.transport, server.echo.endings
    before, open_before = endings.get("CANCELLED", 0), transport.stream_count
    futures = [unary(channel, "Never").future(b"", timeout=PATIENCE) for _ in range(100)]
    wait_until(lambda: transport.stream_count == open_before + 100)
    # Opened is not yet handed to the application: a call more shows that its turn is over.
    unary(channel)(b"", timeout=PATIENCE)
    for future in futures:
        future.cancel()
    wait_until(lambda: endings.get("CANCELLED", 0) == before + 100)
    assert transport.stream_count == open_before


def test_a_lost_client_ends_its_calls(server: EchoThread) -> None:
    before = server.echo.endings.get("LOST", 0) + server.echo.endings.get("CANCELLED", 0)
    channel = grpc.insecure_channel(server.target, options=[("grpc.use_local_subchannel_pool", 1)])
    future = unary(channel, "Never").future(b"")
    wait_until(lambda: server.echo.transport.stream_count > 0)
    unary(channel)(b"", timeout=PATIENCE)
    channel.close()
    wait_until(
        lambda: (
            server.echo.endings.get("LOST", 0) + server.echo.endings.get("CANCELLED", 0) > before
        )
    )
    assert future.code() is grpc.StatusCode.CANCELLED


def test_a_thousand_streams_at_once_are_all_served(channel: grpc.Channel) -> None:
    feeds = [Requests() for _ in range(1000)]
    streams = [bidi(channel)(iter(feed), timeout=PATIENCE) for feed in feeds]
    for round_number in range(2):
        for number, feed in enumerate(feeds):
            feed.put(b"%d of %d" % (round_number, number))
        for number, stream in enumerate(streams):
            assert next(stream) == b"%d of %d" % (round_number, number)
    for feed in feeds:
        feed.put(None)
    for stream in streams:
        assert list(stream) == []


def test_a_slow_reader_holds_up_nobody_and_stays_bounded(
    server: EchoThread, channel: grpc.Channel
) -> None:
    """A stream of 400 MB that is read late, and small calls on the same connection meanwhile."""
    transport = server.echo.transport
    large = server_stream(channel)(b"4000 100000", timeout=PATIENCE * 2)
    assert len(next(large)) == 100_000
    call = unary(channel)
    for _ in range(200):
        assert call(b"quick", timeout=PATIENCE) == b"quick"
        assert transport.queued_bytes_total < 2 * 1024 * 1024
    large.cancel()
    wait_until(lambda: transport.queued_bytes_total == 0)


def test_several_connections_share_one_server(server: EchoThread) -> None:
    def work(results: list[bytes]) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(server.target, options=options) as own:
            call = unary(own)
            results.extend(call(b"%d" % number, timeout=PATIENCE) for number in range(50))

    collected: list[list[bytes]] = [[] for _ in range(8)]
    threads = [threading.Thread(target=work, args=(results,)) for results in collected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert collected == [[b"%d" % number for number in range(50)]] * 8


def test_stopping_lets_calls_end() -> None:
    with EchoThread() as server, grpc.insecure_channel(server.target) as channel:
        feed = Requests()
        stream = bidi(channel)(iter(feed), timeout=PATIENCE)
        feed.put(b"one")
        assert next(stream) == b"one"
        stopping = threading.Thread(target=server.stop, args=(PATIENCE,))
        stopping.start()
        wait_until(lambda: all(c.is_draining for c in server.echo.transport._connections.values()))
        feed.put(b"two")
        assert next(stream) == b"two"
        feed.put(None)
        assert list(stream) == []
        stopping.join(PATIENCE)
        assert not stopping.is_alive()
        assert server.echo.transport.connection_count == 0


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Return files with a certificate for 127.0.0.1 and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=zetcd"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(chain)),
        ],
        check=True,
        capture_output=True,
    )
    return chain, key


def test_tls(certificate: tuple[Path, Path]) -> None:
    chain, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    context.set_alpn_protocols(["h2"])
    credentials = grpc.ssl_channel_credentials(chain.read_bytes())
    with (
        EchoThread(context=context) as server,
        grpc.secure_channel(server.target, credentials) as channel,
    ):
        request = b"x" * 1_000_000
        assert unary(channel)(request, timeout=PATIENCE) == request
        answers = server_stream(channel)(b"100 50000", timeout=PATIENCE)
        assert sum(map(len, answers)) == 5_000_000
        (number,) = server.echo.transport._connections
        opened = server.server.socket_of(number << 31 | 1)
        assert opened is not None
        assert opened.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        assert server.server.socket_of(12345) is None


def test_a_unix_socket(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    with (
        EchoThread(listener=listener),
        grpc.insecure_channel(f"unix:{tmp_path}/s") as channel,
    ):
        assert unary(channel)(b"hello", timeout=PATIENCE) == b"hello"


def test_pings_too_often_are_answered_with_goaway() -> None:
    with EchoThread(TransportOptions(ping_interval_min=3600.0)) as server:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
            for _ in range(4):
                client.sendall(b"\x00\x00\x08\x06\x00" + bytes(4) + b"12345678")
            received = b""
            while piece := client.recv(65_536):
                received += piece
        assert received.endswith(b"too_many_pings")


def test_http_1_is_handed_over_with_what_was_seen() -> None:
    taken: list[bytes] = []

    def take_over(transport: AsyncioTransport, seen: bytes) -> None:
        taken.append(seen)
        transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        transport.close()

    with (
        EchoThread(take_over=take_over) as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client,
    ):
        client.sendall(b"P")
        client.sendall(b"OST /v3/kv/range HTTP/1.1\r\n\r\n")
        received = b""
        while piece := client.recv(65_536):
            received += piece
    assert received == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert b"".join(taken) == b"POST /v3/kv/range HTTP/1.1\r\n\r\n"


def test_without_anybody_else_other_protocols_are_closed(server: EchoThread) -> None:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(65_536) == b""


@pytest.mark.parametrize("first_octets", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_a_tls_handshake_that_never_ends_is_ended(
    certificate: tuple[Path, Path], first_octets: bytes
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    options = TransportOptions(handshake_timeout=0.5)
    with (
        EchoThread(options, context=context) as server,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client,
    ):
        client.sendall(first_octets)
        client.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(65_536) == b""
        assert server.echo.transport.connection_count == 0


def test_a_client_that_reads_nothing_is_cut() -> None:
    options = TransportOptions(write_stall_timeout=0.5)
    with EchoThread(options) as server:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(greedy_octets())
            wait_until(lambda: server.echo.transport.connection_count == 1)
            wait_until(lambda: server.echo.transport.connection_count == 0)
        assert server.echo.transport.queued_bytes_total == 0


def greedy_octets() -> bytes:
    """Return the start of a client that opens every window, asks for 100 MB, and is never heard of."""
    return (
        PREFACE
        + pack_settings({SETTINGS_INITIAL_WINDOW_SIZE: 2**31 - 1})
        + pack_window_update(0, 2**30)
        + headers(1, header_block("/echo.Echo/ServerStream"))
        + data(1, message(b"1000 100000"), is_last=True)
    )
