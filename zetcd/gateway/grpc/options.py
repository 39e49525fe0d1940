"""Responsible for the limits of the transport, each with its unit and its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

#: etcd's default of ``max-concurrent-streams``: not announced to clients.
UNLIMITED_STREAMS: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOptions:
    """What one connection, one stream and all of them together may cost. Times in seconds."""

    #: Bytes of one message from a client, after decompression too
    #: (etcd: max-request-bytes + 512 KiB).
    message_bytes_max: int = 2 * MIB

    # --- how many

    #: Streams that one connection may have open; etcd's ``max-concurrent-streams``.
    streams_max: int = UNLIMITED_STREAMS
    #: Streams of all connections, about 0.4 kB each here; further ones are refused.
    process_streams_max: int = 200_000
    #: Connections, about 4 kB each beside their sockets; further ones are closed at once.
    connections_max: int = 20_000

    # --- what comes in

    #: Window of a stream; what a client may send before the application takes it.
    stream_window_bytes: int = 256 * KIB
    #: Window of a connection.
    connection_window_bytes: int = 4 * MIB
    #: Bytes of messages that have begun and not ended, of one connection and of all.
    assembling_bytes_max: int = 32 * MIB
    process_assembling_bytes_max: int = 256 * MIB
    #: Bytes of a request's headers as HTTP/2 counts them (name + value + 32); announced.
    header_list_bytes_max: int = 16 * KIB
    #: Bytes of a request's headers as they are sent, over all CONTINUATION frames.
    header_block_bytes_max: int = 32 * KIB
    #: CONTINUATION frames of one request.
    continuations_max: int = 8

    # --- what goes out

    #: Bytes that wait on one stream; beyond it `send` says FULL until half of them are gone.
    stream_queue_bytes_max: int = 1 * MIB
    #: Bytes that wait on one connection; beyond it, new calls are refused and `send` says FULL.
    connection_queue_bytes_max: int = 16 * MIB
    #: Bytes that wait on all connections; beyond it, the one with the most of them is closed.
    process_queue_bytes_max: int = 256 * MIB
    #: Bytes beside DATA (headers, answers to control frames) that may wait for a peer that goes on
    #: asking and does not read.
    control_bytes_max: int = 4 * MIB
    #: Bytes written to one connection before the others have their turn.
    turn_bytes_max: int = 128 * KIB

    # --- liveness

    #: From the connection to its first SETTINGS.
    handshake_timeout: float = 10.0
    #: A client may ping this often (etcd: ``grpc-keepalive-min-time``).
    ping_interval_min: float = 5.0
    #: Whether a client without a call may ping that often as well.
    may_ping_without_stream: bool = False
    #: Early pings that are forgiven until the next answer (gRPC: 2).
    ping_strikes_max: int = 2
    #: Silence after which the server pings (etcd: ``grpc-keepalive-interval``).
    keepalive_interval: float = 7200.0
    #: How long it then waits (etcd: ``grpc-keepalive-timeout``).
    keepalive_timeout: float = 20.0
    #: A peer that takes nothing from a full socket for this long is closed.
    write_stall_timeout: float = 60.0

    # --- floods: tokens that come back with time

    #: Calls that a client may reset; the burst is a busy client whose deadlines end together.
    resets_per_second: float = 500.0
    resets_burst: int = 10_000
    #: Frames that carry nothing: SETTINGS, PING, PRIORITY, empty DATA, tiny WINDOW_UPDATE, unknown.
    idle_frames_per_second: float = 500.0
    idle_frames_burst: int = 10_000
