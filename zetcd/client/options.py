"""Responsible for what a client is told once: endpoints, patience, and the limits it keeps by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from zetcd.errors import InvalidArgument

#: Where `zetcd` listens for clients of the native protocol if nothing else is configured.
DEFAULT_ENDPOINT: Final = "tcp://127.0.0.1:2382"
DEFAULT_PORT: Final = 2382

_HOST_AND_PORT: Final = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+)(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How a client behaves; all durations in seconds."""

    #: ``tcp://host:port``, tried in this order, round and round.
    endpoints: tuple[str, ...] = (DEFAULT_ENDPOINT,)
    #: How long a call may take if the call itself does not say; retries and fail-over included.
    timeout: float = 5.0
    #: How long one endpoint has to answer HELLO before the next one is tried.
    connect_timeout: float = 2.0
    #: Pause after every endpoint has failed once; doubles with each further round, plus jitter.
    reconnect_pause: float = 0.05
    #: Longest pause between two rounds.
    reconnect_pause_max: float = 1.0
    #: Pause before a request that was refused is sent again; doubles, plus jitter.
    retry_pause: float = 0.01
    #: Longest pause between two attempts of one request.
    retry_pause_max: float = 0.5
    #: Silence after which this side pings, until WELCOME says what the server wants.
    ping_interval: float = 2.0
    #: What the client calls itself in the server's log.
    client: str = "zetcd-python"
    #: Authentication token; empty = none.
    token: str = ""

    def __post_init__(self) -> None:
        """Refuse options with which no call could ever succeed."""
        if not self.endpoints:
            raise InvalidArgument(field="endpoints", value=self.endpoints, limit="not empty")
        for field in ("timeout", "connect_timeout"):
            value = getattr(self, field)
            if not value > 0:
                raise InvalidArgument(field=field, value=value, limit="positive")


def parse_endpoint(text: str) -> str:
    """Return ``text`` as ZeroMQ wants it; the scheme and the port may be missing.

    >>> parse_endpoint("db1:2392"), parse_endpoint("tcp://[::1]"), parse_endpoint("ipc:///run/x")
    ('tcp://db1:2392', 'tcp://[::1]:2382', 'ipc:///run/x')

    Raises:
        InvalidArgument: it is no endpoint.
    """
    text = text.strip()
    scheme, separator, rest = text.rpartition("://")
    if separator and scheme == "ipc" and rest:
        return text
    match = _HOST_AND_PORT.fullmatch(rest.rstrip("/"))
    if (separator and scheme != "tcp") or match is None:
        limit = "tcp://host:port or host:port"
        raise InvalidArgument(field="endpoint", value=text, limit=limit)
    port = int(match["port"] or DEFAULT_PORT)
    if not 0 < port < 65_536:
        raise InvalidArgument(field="endpoint", value=text, limit="a port in 1..65535")
    return f"tcp://{match['host']}:{port}"


def parse_endpoints(endpoints: str | Iterable[str]) -> tuple[str, ...]:
    """Return endpoints given as a list, or as one text with commas; each once, in order."""
    texts = endpoints.split(",") if isinstance(endpoints, str) else endpoints
    found = {parse_endpoint(text): None for text in texts if text.strip()}
    if not found:
        raise InvalidArgument(field="endpoints", value=endpoints, limit="at least one endpoint")
    return tuple(found)
