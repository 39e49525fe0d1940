"""Responsible for whether the peer is alive and well-behaved: pings of both sides, time-outs, farewell.

A client that pings more often than agreed is a strike each time, and out after a few: gRPC's rule
(proposal A8), with etcd's figures. Each connection has one timer, set to the next thing to check.

Clients of gRPC measure the bandwidth with a PING after nearly every message that they get. While a call is
open its answer waits a little for the call's, so that both leave in one write: that halves the writes of
a busy gateway, and the reads of its clients. (RFC 9113 §6.7 would have it sent first of all.)
"""

from __future__ import annotations

from typing import Final

from zetcd.gateway.grpc.codes import ConnectionFault, ErrorCode
from zetcd.gateway.grpc.connection import Connection, Shared
from zetcd.gateway.grpc.frames import LOW_31_BITS, pack_goaway, pack_ping
from zetcd.gateway.grpc.sending import close_connection, end_connection, release_acks

#: Pings of clients without a call are due this seldom (gRPC).
_IDLE_PING_INTERVAL_MIN: Final = 7200.0
_KEEPALIVE_PING: Final = b"keepaliv"
_FAREWELL_PING: Final = b"farewell"
#: Longest that the answer to a PING waits for other output: far below any time-out of keep-alives.
ACK_HOLD_SECONDS: Final = 0.05
#: Answers that wait at most; a client has one or two PINGs on their way.
_ACKS_MAX: Final = 8
#: How long the answer to the farewell's PING may take before new calls are ignored anyway.
_FAREWELL_SECONDS: Final = 1.0


def receive_ping(connection: Connection, opaque: bytes, *, is_ack: bool) -> None:
    """Answer a client's PING, or take its answer to ours."""
    if is_ack:
        connection.pinged_at = None
        if opaque == _FAREWELL_PING and connection.is_draining:
            end_last_call(connection)
        return
    _judge_ping(connection)
    ack = pack_ping(opaque, is_ack=True)
    if len(connection.acks) >= _ACKS_MAX:
        connection.put(ack)
        return
    if not connection.acks:
        connection.acks_since = connection.now
        connection.shared.holding[connection.number] = connection
    connection.acks.append(ack)


def release_due_acks(shared: Shared, now: float) -> None:
    """Let those leave that have waited for long enough."""
    for connection in list(shared.holding.values()):
        if now < connection.acks_since + ACK_HOLD_SECONDS:
            return
        release_acks(connection)
        shared.dirty[connection.number] = connection


def acks_due(shared: Shared) -> float | None:
    """Return when `release_due_acks` has something to do; None: never."""
    for connection in shared.holding.values():
        return connection.acks_since + ACK_HOLD_SECONDS
    return None


def _judge_ping(connection: Connection) -> None:
    now, options = connection.now, connection.options
    if connection.has_answered:
        connection.has_answered = False
        connection.ping_strikes = 0
    else:
        is_idle = not connection.streams and not options.may_ping_without_stream
        interval = _IDLE_PING_INTERVAL_MIN if is_idle else options.ping_interval_min
        if now - connection.client_pinged_at < interval:
            connection.ping_strikes += 1
    connection.client_pinged_at = now
    if connection.ping_strikes > options.ping_strikes_max:
        raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")


# --- the timer --------------------------------------------------------------------------------


def set_timer(connection: Connection, at: float, now: float) -> None:
    """Let `check` run at ``at`` at the latest."""
    if at >= connection.timer_at:
        return
    timers = connection.shared.connection_timers
    if connection.timer_slot:
        timers.remove(connection.number, connection.timer_slot)
    connection.timer_at = at
    connection.timer_slot = timers.add(connection.number, connection.number, at, now)


def check(connection: Connection, now: float) -> None:
    """Do what time demands, and set the timer for what comes next."""
    connection.now = now
    connection.timer_at, connection.timer_slot = float("inf"), 0
    if connection.is_closed:
        return
    options = connection.options
    if not connection.has_settings:
        if now >= connection.connected_at + options.handshake_timeout:
            close_connection(connection, ErrorCode.SETTINGS_TIMEOUT, "handshake timed out")
            return
        set_timer(connection, connection.connected_at + options.handshake_timeout, now)
        return
    if connection.is_paused:
        if now >= connection.paused_at + options.write_stall_timeout:
            end_connection(connection, "the peer does not read")
            return
        set_timer(connection, connection.paused_at + options.write_stall_timeout, now)
    if connection.is_draining:
        _check_farewell(connection, now)
    if not connection.is_closed:
        _check_keepalive(connection, now)


def _check_keepalive(connection: Connection, now: float) -> None:
    options = connection.options
    pinged_at = connection.pinged_at
    if pinged_at is not None and connection.received_at > pinged_at:
        # Whatever came is a sign of life.
        connection.pinged_at = pinged_at = None
    if pinged_at is not None:
        if now >= pinged_at + options.keepalive_timeout:
            close_connection(connection, ErrorCode.NO_ERROR, "keepalive timed out")
        else:
            set_timer(connection, pinged_at + options.keepalive_timeout, now)
        return
    due = connection.received_at + options.keepalive_interval
    if now >= due:
        connection.pinged_at = now
        connection.put(pack_ping(_KEEPALIVE_PING, is_ack=False))
        due = now + options.keepalive_timeout
    set_timer(connection, due, now)


# --- farewell ---------------------------------------------------------------------------------


def start_farewell(connection: Connection, now: float, until: float) -> None:
    """Ask the client to open no more streams; those that are open may end until ``until``.

    Two GOAWAYs, as RFC 9113 §6.8 advises: the first names no last stream, since calls may be on
    their way; after one round trip the second one does.
    """
    if connection.is_closed or connection.is_draining:
        return
    connection.is_draining = True
    connection.drain_until = until
    if not connection.is_http2:
        end_connection(connection, "the server stops")
        return
    connection.put(pack_goaway(LOW_31_BITS, ErrorCode.NO_ERROR, "graceful_stop"))
    connection.put(pack_ping(_FAREWELL_PING, is_ack=False))
    set_timer(connection, min(now + _FAREWELL_SECONDS, until), now)


def end_last_call(connection: Connection) -> None:
    """Ignore new streams from now on, and close once there are none."""
    if not connection.is_last_call_over and not connection.is_closed:
        connection.is_last_call_over = True
        connection.put(pack_goaway(connection.last_stream_id, ErrorCode.NO_ERROR, "graceful_stop"))
    close_if_done(connection)


def close_if_done(connection: Connection) -> None:
    """Close a connection whose last call is over and whose streams have all ended."""
    if connection.is_last_call_over and not connection.streams and not connection.is_closed:
        end_connection(connection, "the server stops")


def _check_farewell(connection: Connection, now: float) -> None:
    end_last_call(connection)
    if connection.is_closed:
        return
    if now >= connection.drain_until:
        close_connection(connection, ErrorCode.NO_ERROR, "the server stops")
    else:
        set_timer(connection, connection.drain_until, now)
