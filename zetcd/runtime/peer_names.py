"""Responsible for whether a member's certificate is for the address that it connects from, as etcd asks.

One without alternative names is for any. Host names are looked up, which may take its time.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from zetcd.runtime.tls import PeerCertificate, alternative_names, is_for_host

#: An answer that takes longer counts as none.
_LOOKUP_SECONDS: Final = 2.0


async def address_refusal(certificate: PeerCertificate, address: str) -> str:
    """Return why a certificate is not for ``address``, in etcd's words; empty = it is."""
    names = alternative_names(certificate, "DNS")
    addresses = alternative_names(certificate, "IP Address")
    if not names and not addresses:
        return ""
    if addresses and is_for_host(certificate, address):
        return ""
    if not names:
        return f"x509: certificate is valid for {', '.join(addresses)}, not {address}"
    try:
        async with asyncio.timeout(_LOOKUP_SECONDS):
            if await _is_any(certificate, names, address):
                return ""
    except TimeoutError:
        pass
    quoted = " ".join(f'"{name}"' for name in names)
    return f'tls: "{address}" does not match any of DNSNames [{quoted}]'


async def _is_any(certificate: PeerCertificate, names: tuple[str, ...], address: str) -> bool:
    """Ask for the name of the address, then for the addresses of the names."""
    loop = asyncio.get_running_loop()
    try:
        name, _ = await loop.getnameinfo((address, 0), socket.NI_NAMEREQD)
        if is_for_host(certificate, name):
            return True
    except OSError:
        # It has none.
        pass
    for name in names:
        try:
            found = await loop.getaddrinfo(name, None)
        except (OSError, UnicodeError):
            continue
        if any(each[4][0] == address for each in found):
            return True
    return False
