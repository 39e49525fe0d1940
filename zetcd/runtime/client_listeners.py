"""Responsible for the sockets that the etcd API listens on; bound before anything else is done."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from zetcd.config.urls import CLIENT_SCHEMES, is_secure, names_file, parse_url, socket_path
from zetcd.errors import PortInUse


class Listener(NamedTuple):
    """A bound socket."""

    socket: socket.socket
    #: TLS is spoken there.
    is_secure: bool


def bind_listeners(
    urls: Sequence[str], *, is_shared: bool, key: str = "listen-client-urls"
) -> list[Listener]:
    """Return a bound socket for each URL.

    Args:
        urls: as in ``listen-client-urls``.
        is_shared: several processes bind the same addresses, and the kernel divides connections.
        key: name of the setting that the URLs come from, for errors.

    Raises:
        PortInUse: somebody else listens there.
    """
    listeners: list[Listener] = []
    try:
        for url in urls:
            bound = _bind(url, key, is_shared=is_shared)
            listeners.append(Listener(bound, is_secure(url)))
    except (OSError, PortInUse):
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


def _bind(url: str, key: str, *, is_shared: bool) -> socket.socket:
    if names_file(url):
        return _bind_file(Path(socket_path(url)))
    address = parse_url(url, CLIENT_SCHEMES)
    host = "127.0.0.1" if address.host == "localhost" else address.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    # A member that restarts does not wait for its old connections to be forgotten.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setblocking(False)
    try:
        listener.bind((host, address.port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(f"{key} {url}") from error
        raise
    return listener


def _bind_file(path: Path) -> socket.socket:
    """Return a socket of the file system; whoever may write to its directory may connect."""
    # What an earlier process left behind is in the way, as in etcd; the data directory's lock keeps
    # two members apart.
    with contextlib.suppress(FileNotFoundError):
        if path.is_socket():
            path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    return listener
