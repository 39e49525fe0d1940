"""Responsible for lock and election of the asyncio client, and the lease they stand on.

As `zetcd.client.lock`, with a task instead of a thread. Waiting is ended by canceling the task that
waits, for example with ``asyncio.timeout``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from zetcd.client import recipe
from zetcd.client.async_client import AsyncClient
from zetcd.client.client import RENEW_RETRY_SECONDS, RENEW_SHARE
from zetcd.client.recipe import Contender, Ownership
from zetcd.errors import LeaseNotFound, SessionExpired, ZetcdError
from zetcd.messages.kv import KeyValue
from zetcd.scalars import LeaseID, Revision


class AsyncLeaseSession:
    """A lease that a task keeps alive; make it with `AsyncLeaseSession.open`."""

    def __init__(
        self,
        client: AsyncClient,
        lease_id: LeaseID,
        ttl: int,
        expiry: float,
        on_lost: Callable[[], None] | None,
    ) -> None:
        """Keep a lease alive that exists already and ends at ``expiry`` (monotonic seconds)."""
        self._client = client
        self.lease_id = lease_id
        self.ttl = ttl
        #: Set once the lease has ended: nothing that hangs on it is owned any more.
        self.lost = asyncio.Event()
        self._on_lost = on_lost
        self._expiry = expiry
        self._task = asyncio.create_task(self._renew(), name=f"zetcd-lease-{lease_id:x}")

    @classmethod
    async def open(
        cls,
        client: AsyncClient,
        ttl: int = 60,
        lease_id: LeaseID = 0,
        *,
        on_lost: Callable[[], None] | None = None,
    ) -> AsyncLeaseSession:
        """Grant a lease of ``ttl`` seconds (or take over ``lease_id``) and keep it alive.

        ``on_lost`` is called once if the lease ends without `close`.
        """
        begun = time.monotonic()
        if lease_id:
            renewal = await client.keep_alive_once(lease_id)
            return cls(client, renewal.id, renewal.ttl, begun + renewal.ttl, on_lost)
        grant = await client.lease_grant(ttl)
        return cls(client, grant.id, grant.ttl, begun + grant.ttl, on_lost)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def is_lost(self) -> bool:
        """Whether the lease has ended, or may have."""
        return self.lost.is_set() or time.monotonic() >= self._expiry

    async def close(self) -> None:
        """Revoke the lease, which deletes its keys."""
        if self._task.cancelled():
            return
        await self.orphan()
        if not self.lost.is_set():
            with contextlib.suppress(LeaseNotFound):
                await self._client.lease_revoke(self.lease_id)

    async def orphan(self) -> None:
        """Stop renewing; the lease lives on until its TTL is over."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _renew(self) -> None:
        pause = self.ttl * RENEW_SHARE
        patience = max(self.ttl * RENEW_SHARE, 0.1)
        while True:
            await asyncio.sleep(pause)
            begun = time.monotonic()
            try:
                renewal = await self._client.keep_alive_once(self.lease_id, timeout=patience)
                self._expiry = begun + renewal.ttl
                pause = self.ttl * RENEW_SHARE
            except LeaseNotFound:
                break
            except ZetcdError:
                if time.monotonic() >= self._expiry:
                    break
                pause = RENEW_RETRY_SECONDS
        self.lost.set()
        if self._on_lost is not None:
            self._on_lost()


class AsyncLock:
    """A lock with a name in the cluster; a context manager."""

    def __init__(self, session: AsyncLeaseSession, name: bytes) -> None:
        """Contend for ``name`` with the lease of ``session``."""
        self._session = session
        self._contender = Contender(name, session.lease_id)
        self._own: Ownership | None = None

    @property
    def key(self) -> bytes:
        """The key that stands for this contender."""
        return self._contender.key

    @property
    def fencing_token(self) -> Revision:
        """Grows with every owner; 0 while the lock is not held."""
        return self._own.fencing_token if self._own is not None else 0

    @property
    def is_held(self) -> bool:
        """Whether it was acquired and its lease lives, as far as this process knows."""
        return self._own is not None and not self._session.is_lost

    async def acquire(self) -> None:
        """Wait until the lock is held.

        Raises:
            SessionExpired: the lease ended while waiting.
        """
        if self._session.is_lost:
            raise SessionExpired("the lease has ended")
        client = self._session._client
        try:
            self._own = await client.run(recipe.acquire(self._contender))
        except BaseException:
            # Nobody must wait for a contender that does not want it any more.
            with contextlib.suppress(ZetcdError):
                await asyncio.shield(client.run(recipe.abandon(self._contender)))
            raise

    async def try_acquire(self) -> bool:
        """Acquire the lock if it is free; say whether."""
        self._own = await self._session._client.run(recipe.try_acquire(self._contender))
        return self._own is not None

    async def release(self) -> None:
        """Let the next one have it."""
        if self._own is not None:
            await self._session._client.run(recipe.release(self._own))
            self._own = None

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.release()


class AsyncElection:
    """One leader among those who campaign for a name."""

    def __init__(self, session: AsyncLeaseSession, name: bytes) -> None:
        """Campaign for ``name`` with the lease of ``session``."""
        self._session = session
        self._name = name
        self._own: Ownership | None = None

    @property
    def key(self) -> bytes:
        """The key that stands for this candidate."""
        return Contender(self._name, self._session.lease_id).key

    @property
    def fencing_token(self) -> Revision:
        """Grows with every leader; 0 while this candidate does not lead."""
        return self._own.fencing_token if self._own is not None else 0

    async def campaign(self, value: bytes) -> None:
        """Wait until this candidate leads; ``value`` is what it says to others.

        Raises:
            SessionExpired: the lease ended while waiting.
        """
        contender = Contender(self._name, self._session.lease_id)
        client = self._session._client
        try:
            self._own = await client.run(recipe.acquire(contender, value))
        except BaseException:
            with contextlib.suppress(ZetcdError):
                await asyncio.shield(client.run(recipe.abandon(contender)))
            raise

    async def proclaim(self, value: bytes) -> None:
        """Say something else without a new election.

        Raises:
            ElectionNotLeader: it does not lead.
        """
        own = self._own or Ownership(self.key, -1)
        await self._session._client.run(recipe.proclaim(own, value, self._session.lease_id))

    async def resign(self) -> None:
        """Let another one lead."""
        if self._own is not None:
            await self._session._client.run(recipe.release(self._own))
            self._own = None

    async def leader(self) -> KeyValue:
        """Return the leader's key.

        Raises:
            ElectionNoLeader: nobody leads.
        """
        return await self._session._client.run(recipe.find_leader(self._name))

    def observe(self) -> AsyncIterator[KeyValue]:
        """Iterate over the leader's key, now and whenever it or its value changes."""
        return observe(self._session._client, self._name)


async def observe(client: AsyncClient, name: bytes) -> AsyncIterator[KeyValue]:
    """Iterate over the leader's key of an election in which this client takes no part."""
    async for step in client.observe(recipe.observe(name)):
        yield step.kv


__all__ = ["AsyncElection", "AsyncLeaseSession", "AsyncLock", "observe"]
