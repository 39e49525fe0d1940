"""Responsible for the listeners of an etcd gateway: which speak TLS, with which certificates, and for whom.

Certificates are read again when their files change. Each listener is then opened anew on the same
bound socket, so no connection that waits is lost, and those that are open go on as they are.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import structlog

from zetcd.config import Config
from zetcd.gateway.grpc_server import GrpcServer
from zetcd.gateway.http import Surface
from zetcd.gateway.http_server import HttpServer
from zetcd.runtime.certificate_renewal import renewals
from zetcd.runtime.client_listeners import Listener, bind_listeners
from zetcd.runtime.tls import ServerSide, WatchedFiles, files_of, server_side

#: Refused connections are complained of at most this often: whoever tries will go on trying.
_COMPLAINT_INTERVAL_SECONDS: Final = 1.0


class Listeners(NamedTuple):
    """The bound sockets of an etcd gateway."""

    #: gRPC, and HTTP/1.1 unless `http` has that.
    clients: Sequence[Listener]
    #: HTTP/1.1 only.
    http: Sequence[Listener] = ()
    #: Endpoints for monitoring only.
    metrics: Sequence[Listener] = ()

    @property
    def all(self) -> tuple[Listener, ...]:
        """Every one."""
        return (*self.clients, *self.http, *self.metrics)

    def close(self) -> None:
        """Close the sockets."""
        for listener in self.all:
            listener.socket.close()


def bound_listeners(config: Config) -> Listeners:
    """Bind everything that a gateway listens on; raises as `bind_listeners`."""
    is_shared = config.gateway.etcd_processes > 1
    return Listeners(
        bind_listeners(config.listen_client_urls, is_shared=is_shared),
        bind_listeners(config.listen_client_http_urls, is_shared=is_shared),
        bind_listeners(config.listen_metrics_urls, is_shared=is_shared),
    )


class EtcdListening:
    """Opens the listeners, and opens them anew with new certificates."""

    def __init__(
        self, config: Config, listeners: Listeners, server: GrpcServer, http: HttpServer
    ) -> None:
        """Read the certificates; nothing is listened on yet.

        Raises:
            OSError: a certificate cannot be used.
        """
        self._config = config
        self._security = config.client_transport_security
        self._listeners = listeners
        self._server = server
        self._http = http
        self._log = structlog.get_logger()
        self._next_complaint = 0.0
        self._tls: ServerSide | None = None
        self._files = WatchedFiles(files_of(self._security))
        if any(listener.is_secure for listener in listeners.all):
            self._tls = server_side(config, self._security)
            server.admits = http.admits = self._admits

    async def open(self) -> None:
        """Listen."""
        # The servers close what they are given; the bound sockets outlive them.
        for listener in self._listeners.clients:
            await self._server.listen(listener.socket.dup(), self._context(listener))
        for surface, listeners in (
            (Surface.CLIENT, self._listeners.http),
            (Surface.METRICS, self._listeners.metrics),
        ):
            for listener in listeners:
                context = self._context(listener)
                await self._http.listen_on(listener.socket.dup(), surface, context)

    def _context(self, listener: Listener) -> ssl.SSLContext | None:
        return self._tls.context if self._tls is not None and listener.is_secure else None

    async def renew_forever(self) -> None:
        """Look at the files from time to time, and open the listeners anew when they changed."""
        if self._tls is None:
            return
        read = partial(server_side, self._config, self._security)
        async for tls in renewals(self._files, read):
            self._tls = tls
            old = [*self._server.release_listeners(), *self._http.release_listeners()]
            await self.open()
            for listener in old:
                listener.close()

    def _admits(self, connection: asyncio.Transport) -> bool:
        tls = connection.get_extra_info("ssl_object")
        if tls is None or self._tls is None:
            return True
        reason = self._tls.admission.refusal(tls.getpeercert())
        if reason:
            now = asyncio.get_running_loop().time()
            if now >= self._next_complaint:
                self._next_complaint = now + _COMPLAINT_INTERVAL_SECONDS
                peer = connection.get_extra_info("peername")
                self._log.warning(
                    "rejected connection on client endpoint", remote_addr=str(peer), error=reason
                )
        return not reason
