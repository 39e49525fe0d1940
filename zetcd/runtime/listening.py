"""Responsible for finding out whether a node can listen where it wants, before it starts."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from zetcd.errors import ConfigError, PortInUse, Problem

#: The ports of a supervisor that was killed are free once the kernel has ended its actors.
PORT_PATIENCE_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.02


def check_listen_urls(
    urls: Iterable[tuple[str, str]],
    *,
    patience_seconds: float = PORT_PATIENCE_SECONDS,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Bind each URL once and let it go again.

    Args:
        urls: pairs of a setting's key and a URL ``scheme://host:port``.
        patience_seconds: how long to wait for a port to become free, all URLs together.
        pause: waits that many seconds.

    Raises:
        PortInUse: another process listens there.
        ConfigError: this machine cannot listen there at all.
    """
    attempts = 1 + int(patience_seconds / _PAUSE_SECONDS)
    for key, url in urls:
        while (error := _try_bind(url)) is not None:
            if error.errno != errno.EADDRINUSE:
                raise _unusable(key, url, error) from error
            attempts -= 1
            if attempts <= 0:
                raise PortInUse(f"{key} {url}") from error
            pause(_PAUSE_SECONDS)


def _try_bind(url: str) -> OSError | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As libzmq does: connections of an earlier process in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, parts.port or 0))
        except OSError as error:
            return error
    return None


def _unusable(key: str, url: str, error: OSError) -> ConfigError:
    why = f"this machine cannot listen there: {os.strerror(error.errno or 0)}"
    return ConfigError(problems=[Problem(key, f'"{url}"', why, "use an address of this machine")])
