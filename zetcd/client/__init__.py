r"""The Python client of the native protocol: synchronous and asyncio, over one session core.

How it works
    `session.ClientSession` is the protocol without sockets or clock: bytes and the time go in, frames
    and finished calls come out. `Client` and `AsyncClient` are thin: they own the socket, wait, and do
    what the core asks for.

        Client / AsyncClient      API, waiting
            │         ▲
        call, watch   │ results
            ▼         │
        ClientSession             requests, deadlines, retries, fail-over, watches, credit
            │         ▲
         frames     frames, "lost"
            ▼         │
        Transport                 one DEALER socket to one endpoint

    Endpoints are tried in order, round and round: at once after the first failure, then with pauses
    that double and are partly random. A connection counts as lost when the socket says so, or after
    silence (PING, PONG). Watches then begin a new stream at the first revision they do not have yet.

What is sent twice, and what never is
    Reads are repeated until their deadline. A mutation is repeated only if the server said that it did
    nothing with it (retry class SAFE). If its answer is lost, or the server itself does not know, the
    call raises `UnknownOutcome`: the caller must look before doing it again.

Worked example
    >>> from zetcd.client import Client, get, put, value
    >>> def rename(client: Client) -> bool:
    ...     txn = client.txn().when(value(b"name") == b"old").then(put(b"name", b"new"))
    ...     return txn.otherwise(get(b"name")).commit().succeeded

    With asyncio the same calls are awaited, a thousand at a time if need be:

        async with AsyncClient("tcp://db1:2382,tcp://db2:2382") as client:
            await asyncio.gather(*(client.put(b"%d" % each, b"") for each in range(1000)))
            async for response in await client.watch_prefix(b"job/", start_revision=5):
                ...

Recipes
    `Lock` and `Election` are etcd's: the key ``name/<lease id in hex>``, created only if it does not
    exist, attached to the lease of a `LeaseSession`; whoever has the oldest one owns the name. The
    create revision is the fencing token: pass it to whatever the lock protects.

Not implemented
    Authentication, TLS and CURVE: a server that demands them cannot be used yet. REDIRECT frames are
    ignored. A watch on a learner is refused, and not moved to another member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zetcd.client.client import Client, Txn, Watch
from zetcd.client.options import ClientOptions
from zetcd.client.requests import FROM_KEY, delete, get, prefix_end, put
from zetcd.client.txn import create_revision, lease, mod_revision, value, version
from zetcd.client.watch_stream import WatchCompacted

if TYPE_CHECKING:
    from zetcd.client.async_client import AsyncClient, AsyncTxn, AsyncWatch
    from zetcd.client.async_lock import AsyncElection, AsyncLeaseSession, AsyncLock
    from zetcd.client.lock import Election, LeaseSession, Lock

#: Loaded when first used: asyncio alone doubles the time a short command takes to start.
_LAZY = {
    "AsyncClient": "zetcd.client.async_client",
    "AsyncTxn": "zetcd.client.async_client",
    "AsyncWatch": "zetcd.client.async_client",
    "AsyncElection": "zetcd.client.async_lock",
    "AsyncLeaseSession": "zetcd.client.async_lock",
    "AsyncLock": "zetcd.client.async_lock",
    "Election": "zetcd.client.lock",
    "LeaseSession": "zetcd.client.lock",
    "Lock": "zetcd.client.lock",
}


def __getattr__(name: str) -> object:
    """Load what is needed rarely or late."""
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as late as what it imports

    return getattr(import_module(module), name)


__all__ = [
    "FROM_KEY",
    "AsyncClient",
    "AsyncElection",
    "AsyncLeaseSession",
    "AsyncLock",
    "AsyncTxn",
    "AsyncWatch",
    "Client",
    "ClientOptions",
    "Election",
    "LeaseSession",
    "Lock",
    "Txn",
    "Watch",
    "WatchCompacted",
    "create_revision",
    "delete",
    "get",
    "lease",
    "mod_revision",
    "prefix_end",
    "put",
    "value",
    "version",
]
