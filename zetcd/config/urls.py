"""Responsible for reading URLs and ``initial-cluster``; pure."""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple
from urllib.parse import urlsplit

#: Longest path of a socket that the kernel takes.
_SOCKET_PATH_BYTES_MAX: Final = 107
_ANY_HOSTS: Final = ("0.0.0.0", "::", "*")  # noqa: S104 - recognised, not listened on


#: What peers' URLs may begin with. The scheme is part of the ids of member and cluster (as in etcd); what
#: is spoken there is ZeroMQ, with https within TLS.
PEER_SCHEMES: Final = ("tcp", "http", "https")
#: What URLs of clients of the etcd API may begin with.
CLIENT_SCHEMES: Final = ("http", "https", "unix", "unixs")
#: Those of them that name a file instead of an address.
FILE_SCHEMES: Final = ("unix", "unixs")
#: Those of them that mean TLS.
TLS_SCHEMES: Final = ("https", "unixs")


class HostPort(NamedTuple):
    """Where a URL leads."""

    host: str
    port: int

    @property
    def is_any_host(self) -> bool:
        """The address stands for every interface: good for listening, useless to advertise."""
        return self.host in _ANY_HOSTS

    @property
    def is_loopback(self) -> bool:
        """Only processes of this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def overlaps(self, other: HostPort) -> bool:
        """Say whether both cannot be listened on at the same time."""
        same_host = self.host == other.host or self.is_any_host or other.is_any_host
        return same_host and self.port == other.port


def parse_url(url: str, schemes: tuple[str, ...]) -> HostPort:
    """Return host and port of ``url``.

    Raises:
        ValueError: it is not ``scheme://host:port`` with one of ``schemes``; the text says why.
    """
    parts = urlsplit(url)
    if parts.scheme not in schemes:
        raise ValueError(f"must start with {' or '.join(f'{each}://' for each in schemes)}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if not parts.hostname or not port:
        raise ValueError("must be scheme://host:port with a port between 1 and 65535")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise ValueError("must end after the port")
    return HostPort(parts.hostname, port)


def is_secure(url: str) -> bool:
    """Say whether TLS is spoken at a URL."""
    return url.partition("://")[0] in TLS_SCHEMES


def names_file(url: str) -> bool:
    """Say whether a URL names a socket in the file system."""
    return url.partition("://")[0] in FILE_SCHEMES


def socket_path(url: str) -> str:
    """Return the file that a ``unix://`` or ``unixs://`` URL names.

    Everything after the slashes is the path, so ``unix://a.sock`` is relative, as in etcd.

    Raises:
        ValueError: it names no file, or one that the kernel cannot take.
    """
    _, _, path = url.partition("://")
    if not path:
        raise ValueError("must name a file after unix://")
    if len(path.encode()) > _SOCKET_PATH_BYTES_MAX:
        raise ValueError(f"names a file of more than {_SOCKET_PATH_BYTES_MAX} bytes")
    return path


def peer_endpoint(url: str) -> str:
    """Return the ZeroMQ endpoint of a peer URL: its host and port, over TCP."""
    _, separator, rest = url.partition("://")
    assert separator, "validated"
    return with_address(f"tcp://{rest.rstrip('/')}")


def check_listen_host(host: str) -> None:
    """Refuse host names: listening needs an address of this machine (as in etcd).

    Raises:
        ValueError: ``host`` is neither an IP address nor ``localhost``.
    """
    if host == "localhost":
        return
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError("must have an IP address or localhost as its host") from None


def with_address(url: str) -> str:
    """Return ``url`` with 127.0.0.1 for localhost: ZeroMQ binds to addresses only."""
    return url.replace("://localhost:", "://127.0.0.1:", 1)


def parse_initial_cluster(text: str) -> dict[str, tuple[str, ...]]:
    """Return the peer URLs by member name of ``name=url,name=url``; a name may repeat.

    Raises:
        ValueError: a part is not ``name=url``.
    """
    members: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, url = part.partition("=")
        if not equals or not name or not url:
            raise ValueError(f'"{part}" is not name=url')
        members[name] = (*members.get(name, ()), url)
    return members


def format_initial_cluster(members: dict[str, tuple[str, ...]]) -> str:
    """Return the text that `parse_initial_cluster` reads as ``members``."""
    return ",".join(f"{name}={url}" for name, urls in members.items() for url in urls)
