"""Responsible for the limits of HTTP/1.1, each with its unit and its reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


class Surface(IntEnum):
    """What a listener serves."""

    #: Everything: the endpoints and the JSON gateway.
    CLIENT = 0
    #: Endpoints for monitoring only (``listen-metrics-urls``).
    METRICS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """What one connection and all of them together may cost. Times in seconds."""

    #: Bytes of one message of a call, as protobuf has it (etcd: max-request-bytes + 512 KiB).
    message_bytes_max: int = 2 * MIB

    # --- who may ask

    #: Hosts that a request without TLS may name; "*" = every one (etcd: ``host-whitelist``).
    host_whitelist: tuple[str, ...] = ("*",)
    #: Origins whose pages may read answers; "*" = every one (etcd: ``cors``).
    cors: tuple[str, ...] = ("*",)
    #: Whether there is a JSON gateway (etcd: ``enable-grpc-gateway``).
    has_json_gateway: bool = True
    #: Whether there is ``/debug`` (etcd: ``enable-pprof``).
    has_debug: bool = False

    # --- how many

    #: Connections, about 10 kB each beside their sockets; further ones are closed at once.
    connections_max: int = 10_000

    # --- what comes in

    #: Bytes of a request's first line and headers.
    header_bytes_max: int = 16 * KIB
    #: Bytes of all bodies of which the end is missing.
    process_body_bytes_max: int = 128 * MIB
    #: Bytes that may come before the request ahead of them is answered.
    pipelined_bytes_max: int = 64 * KIB
    #: Bytes of messages that a client may send on while nobody takes them (streams of keep-alives).
    held_bytes_max: int = 256 * KIB

    # --- what goes out

    #: Bytes that wait on one connection; beyond it `send` says FULL until half of them are gone.
    queue_bytes_max: int = 1 * MIB
    #: Bytes that wait on all connections; beyond it, the one with the most of them is closed.
    process_queue_bytes_max: int = 256 * MIB

    # --- time

    #: For TLS, and for the first line and the headers of a request once its first octet came (etcd has
    #: five minutes).
    handshake_timeout: float = 10.0
    #: For a body that is one message; a stream of messages may take as long as it likes.
    body_timeout: float = 60.0
    #: Silence between two requests.
    idle_timeout: float = 120.0
    #: A peer that takes nothing from a full socket for this long is closed.
    write_stall_timeout: float = 60.0
    #: How long a client may read the answer to a request that was not read to its end.
    linger_timeout: float = 2.0

    @property
    def body_bytes_max(self) -> int:
        """Bytes of a body: base64 makes four of three, and names of fields come on top."""
        return self.message_bytes_max * 4 // 3 + 64 * KIB
