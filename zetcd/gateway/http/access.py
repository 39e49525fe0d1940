"""Responsible for who may ask over HTTP/1.1: hosts, origins, and whether a certificate says anything.

    Host     a page that a browser loaded from elsewhere can point a name of its own at this address
             and then ask as if it were from here (DNS rebinding). With TLS the certificate prevents
             it; without, only hosts of ``host-whitelist`` are served (CVE-2018-1099).
    Origin   a browser says which page asks. Answers may be read by pages of ``cors`` only; and as some
             requests do their harm without being answered, other pages are not served at all by the
             JSON gateway (CVE-2018-1098). etcd leaves that to the browser.

An identity never comes from a certificate here: who a call is made for is said by its token alone
(CVE-2018-16886). Nothing of a connection but its headers reaches a call.
"""

from __future__ import annotations

from typing import Final

from zetcd.gateway.http.exchange import Request
from zetcd.gateway.http.options import HttpOptions

_EVERYBODY: Final = "*"
Headers = tuple[tuple[str, str], ...]


def host_of(request: Request) -> str:
    """Return the host that a request names, without its port."""
    host = request.header("host")
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def is_host_allowed(host: str, options: HttpOptions, *, is_secure: bool) -> bool:
    """Whether a request that names ``host`` is served."""
    allowed = options.host_whitelist
    return is_secure or not allowed or _EVERYBODY in allowed or host in allowed


def is_origin_allowed(origin: str, options: HttpOptions) -> bool:
    """Whether a page from ``origin`` may call; requests that are not from a page have none."""
    return not origin or _EVERYBODY in options.cors or origin in options.cors


def cors_headers(origin: str, options: HttpOptions) -> Headers:
    """Return what lets a browser hand an answer to its page."""
    if _EVERYBODY in options.cors:
        origin = _EVERYBODY
    elif not origin or origin not in options.cors:
        return ()
    return (
        ("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE"),
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Headers", "accept, content-type, authorization"),
    )


def refused_host(host: str) -> str:
    """Return what a client is told whose host is not allowed."""
    return (
        f"zetcd does not serve requests for the host {host!r}.\n"
        "Add it to host-whitelist, or use TLS. Names that are not listed are refused so that a web "
        "page cannot reach this member through a name of its own (DNS rebinding).\n"
    )
