"""Responsible for the sockets of HTTP/1.1: those that gRPC hands over, and those of listeners without it."""

from __future__ import annotations

import asyncio
import socket
import ssl

from zetcd.gateway.grpc_server import SocketConnection, SocketServer
from zetcd.gateway.http import HttpEvent, HttpTransport, Surface


class HttpServer(SocketServer[HttpEvent]):
    """Serves HTTP/1.1."""

    async def listen_on(
        self, listener: socket.socket, surface: Surface, context: ssl.SSLContext | None = None
    ) -> None:
        """Serve a bound socket that speaks nothing but HTTP/1.1."""
        await self.listen(listener, context, protocol=lambda: _HttpConnection(self, surface))

    def adopt(self, taken: asyncio.Transport, octets: bytes) -> None:
        """Take over a connection of a client, with the octets seen so far."""
        connection = _HttpConnection(self, Surface.CLIENT)
        taken.set_protocol(connection)
        connection.connection_made(taken)
        if connection.number:
            connection.data_received(octets)

    def connect(self, connection: SocketConnection[HttpEvent], now: float) -> int | None:
        """Tell the transport of a connection."""
        assert isinstance(connection, _HttpConnection)
        transport = self.transport
        assert isinstance(transport, HttpTransport)
        is_secure = connection.socket.get_extra_info("ssl_object") is not None
        return transport.connect(now, connection.surface, is_secure=is_secure)


class _HttpConnection(SocketConnection[HttpEvent]):
    """Callbacks of one socket; knows what its listener serves."""

    __slots__ = ("surface",)

    def __init__(self, server: HttpServer, surface: Surface) -> None:
        super().__init__(server)
        self.surface = surface
