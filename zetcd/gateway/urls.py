"""Responsible for dividing the native listen URLs among the gateways of a node."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_PORT: Final = re.compile(r":(\d+)/?$")


def urls_of(listen_urls: Sequence[str], instance: int, processes: int) -> tuple[str, ...]:
    """Return what gateway ``instance`` of ``processes`` listens on.

    Each gateway has its own socket, so each needs its own address: gateway i takes entry i of the
    list, and entry i + ``processes`` and so on if the list is longer. A gateway beyond the list
    takes the last entry with the port raised by its distance from it (``ipc``: the path with ``-i``
    behind it).

    >>> urls_of(["tcp://127.0.0.1:2382"], 0, 2), urls_of(["tcp://127.0.0.1:2382"], 1, 2)
    (('tcp://127.0.0.1:2382',), ('tcp://127.0.0.1:2383',))
    """
    assert listen_urls, "validated: there is at least one native listen URL"
    assert 0 <= instance < processes
    if instance < len(listen_urls):
        return tuple(listen_urls[instance::processes])
    last = listen_urls[-1]
    found = _PORT.search(last)
    if last.startswith("ipc://") or found is None:
        return (f"{last}-{instance}",)
    port = int(found.group(1)) + instance - len(listen_urls) + 1
    return (f"{last[: found.start()]}:{port}",)


def all_urls(listen_urls: Sequence[str], processes: int) -> tuple[str, ...]:
    """Return what all gateways of a node listen on; what a member advertises as ``native_urls``."""
    return tuple(
        url for instance in range(processes) for url in urls_of(listen_urls, instance, processes)
    )
