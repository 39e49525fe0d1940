"""Responsible for lock and election of the synchronous client, and the lease they stand on.

A `LeaseSession` renews its lease from a thread with a client of its own, because a synchronous client
does nothing between two calls. Whoever holds a lock must watch `LeaseSession.lost`, and pass the
fencing token to what the lock protects: a process that was stopped for longer than its TTL has lost
the lock without noticing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from zetcd.client import recipe
from zetcd.client.client import RENEW_RETRY_SECONDS, RENEW_SHARE, Client
from zetcd.client.recipe import Contender, Ownership
from zetcd.errors import LeaseNotFound, SessionExpired, ZetcdError
from zetcd.messages.kv import KeyValue
from zetcd.scalars import LeaseID, Revision


class LeaseSession:
    """A lease that is kept alive as long as this process lives and reaches the cluster."""

    def __init__(
        self,
        client: Client,
        ttl: int = 60,
        lease_id: LeaseID = 0,
        *,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        """Grant a lease of ``ttl`` seconds (or take over ``lease_id``) and keep it alive.

        ``on_lost`` is called from the renewing thread, once, if the lease ends without `close`.
        """
        self._client = client
        begun = time.monotonic()
        if lease_id:
            renewal = client.keep_alive_once(lease_id)
            self.lease_id, self.ttl = renewal.id, renewal.ttl
        else:
            grant = client.lease_grant(ttl)
            self.lease_id, self.ttl = grant.id, grant.ttl
        #: Set once the lease has ended: nothing that hangs on it is owned any more.
        self.lost = threading.Event()
        self._on_lost = on_lost
        self._expiry = begun + self.ttl
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._renew, name=f"zetcd-lease-{self.lease_id:x}", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_lost(self) -> bool:
        """Whether the lease has ended, or may have."""
        return self.lost.is_set() or time.monotonic() >= self._expiry

    def close(self) -> None:
        """Revoke the lease, which deletes its keys."""
        if self._closing.is_set():
            return
        self.orphan()
        if not self.lost.is_set():
            with contextlib.suppress(LeaseNotFound):
                self._client.lease_revoke(self.lease_id)

    def orphan(self) -> None:
        """Stop renewing; the lease lives on until its TTL is over."""
        self._closing.set()
        self._thread.join()

    def _renew(self) -> None:
        # Never waits longer for an answer than the lease lives.
        with Client(
            options=self._client.options, timeout=max(self.ttl * RENEW_SHARE, 0.1)
        ) as client:
            pause = self.ttl * RENEW_SHARE
            while not self._closing.wait(pause):
                begun = time.monotonic()
                try:
                    self._expiry = begun + client.keep_alive_once(self.lease_id).ttl
                    pause = self.ttl * RENEW_SHARE
                except LeaseNotFound:
                    self._lose()
                    return
                except ZetcdError:
                    if time.monotonic() >= self._expiry:
                        self._lose()
                        return
                    pause = RENEW_RETRY_SECONDS

    def _lose(self) -> None:
        self.lost.set()
        if self._on_lost is not None:
            self._on_lost()


class Lock:
    """A lock with a name in the cluster; a context manager."""

    def __init__(self, session: LeaseSession, name: bytes) -> None:
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

    def acquire(self, timeout: float | None = None) -> None:
        """Wait until the lock is held, at most ``timeout`` seconds.

        Raises:
            DeadlineExceeded: it was not free in time.
            SessionExpired: the lease ended while waiting.
        """
        if self._session.is_lost:
            raise SessionExpired("the lease has ended")
        client = self._session._client
        try:
            self._own = client.run(recipe.acquire(self._contender), timeout)
        except BaseException:
            # Nobody must wait for a contender that does not want it any more.
            with contextlib.suppress(ZetcdError):
                client.run(recipe.abandon(self._contender))
            raise

    def try_acquire(self) -> bool:
        """Acquire the lock if it is free; say whether."""
        self._own = self._session._client.run(recipe.try_acquire(self._contender))
        return self._own is not None

    def release(self) -> None:
        """Let the next one have it."""
        if self._own is not None:
            self._session._client.run(recipe.release(self._own))
            self._own = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class Election:
    """One leader among those who campaign for a name."""

    def __init__(self, session: LeaseSession, name: bytes) -> None:
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

    def campaign(self, value: bytes, timeout: float | None = None) -> None:
        """Wait until this candidate leads; ``value`` is what it says to others.

        Raises:
            DeadlineExceeded: it did not come to lead in time.
            SessionExpired: the lease ended while waiting.
        """
        contender = Contender(self._name, self._session.lease_id)
        client = self._session._client
        try:
            self._own = client.run(recipe.acquire(contender, value), timeout)
        except BaseException:
            with contextlib.suppress(ZetcdError):
                client.run(recipe.abandon(contender))
            raise

    def proclaim(self, value: bytes) -> None:
        """Say something else without a new election.

        Raises:
            ElectionNotLeader: it does not lead.
        """
        own = self._own or Ownership(self.key, -1)
        self._session._client.run(recipe.proclaim(own, value, self._session.lease_id))

    def resign(self) -> None:
        """Let another one lead."""
        if self._own is not None:
            self._session._client.run(recipe.release(self._own))
            self._own = None

    def leader(self) -> KeyValue:
        """Return the leader's key.

        Raises:
            ElectionNoLeader: nobody leads.
        """
        return self._session._client.run(recipe.find_leader(self._name))

    def observe(self) -> Iterator[KeyValue]:
        """Iterate over the leader's key, now and whenever it or its value changes."""
        return observe(self._session._client, self._name)


def observe(client: Client, name: bytes) -> Iterator[KeyValue]:
    """Iterate over the leader's key of an election in which this client takes no part."""
    for step in client.observe(recipe.observe(name)):
        yield step.kv


__all__ = ["Election", "LeaseSession", "Lock", "observe"]
