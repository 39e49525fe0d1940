"""Responsible for the clients of a round: a mixed load over all members, every answer recorded.

Some clients use one member only, some fail over. Values are unique, keys are few, so that clients
meet. All clients live in one event loop; whoever steers the round looks at the counters.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.robustness.checkers.hygiene import SECRET
from tests.robustness.history import History, Operation, Outcome, WatchHistory, WatchRecord
from tests.robustness.loop_thread import LoopThread
from zetcd.client import AsyncClient, ClientOptions, get, mod_revision, put
from zetcd.client.async_client import AsyncWatch
from zetcd.client.requests import prefix_end
from zetcd.client.txn import Conditions
from zetcd.errors import Canceled, RetryClass, ZetcdError
from zetcd.messages.client import UnaryRequest, UnaryResponse
from zetcd.messages.kv import DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse
from zetcd.messages.lease import (
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseRevokeRequest,
)
from zetcd.messages.watch import WatchResponse
from zetcd.scalars import LeaseID, Revision

#: Everything the load writes begins with it.
PREFIX: Final = b"r/"
_KEYS: Final = 12
#: Seconds one operation may take; longer than an election, so that it sees both sides of one.
OPERATION_SECONDS_MAX: Final = 2.5
#: The same for clients that only read: short, so that they are not all waiting when it matters.
_READ_SECONDS_MAX: Final = 0.4
#: Pause of a client between two operations; keeps two cores from being the bottleneck.
_PAUSE_SECONDS_MAX: Final = 0.02
#: TTL of the leases of the load; the server's minimum for elections of one second.
_LEASE_TTL_SECONDS: Final = 2
#: Seconds that watchers have, after the last write, to come to its revision.
_WATCH_SECONDS_MAX: Final = 30.0
#: Time after which the roaming watcher goes on elsewhere.
_ROAM_SECONDS: Final = 0.7
#: Clients of one member each, per member; and clients of all of them.
_PINNED_PER_MEMBER: Final = 2
_ROAMING: Final = 3


@dataclass(slots=True)
class Counters:
    """How the load goes; written in the loop, read anywhere."""

    successes: int = 0
    #: Acknowledged mutations, by member.
    writes: dict[str, int] = field(default_factory=dict)
    #: Monotonic seconds of acknowledged mutations.
    write_times: list[float] = field(default_factory=list)
    #: Watches that the server ended, and that were begun anew.
    watches_ended: int = 0


class Load:
    """The clients of one round."""

    def __init__(self, members: dict[str, str], seed: int) -> None:
        """Prepare; ``members`` maps names to endpoints."""
        self.members = members
        self.history = History()
        self.counters = Counters()
        self._names = {endpoint: name for name, endpoint in members.items()}
        self._rng = random.Random(seed)
        self._thread = LoopThread("load")
        self._workers: list[asyncio.Task[None]] = []
        self._watchers: list[asyncio.Task[None]] = []
        self._is_ending = False
        #: Watchers go on until they have this revision, or until this time.
        self._last_revision: Revision = 1 << 62
        self._watches_until = float("inf")
        self._grants_leases = True
        self._next_client = 0

    # --- steering -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.do(self._start)

    def end_leases(self) -> None:
        """Grant no lease any more, and renew none: those there are run out."""
        self._grants_leases = False

    def stop(self) -> None:
        """End the load; every operation has its outcome when this returns."""
        self._is_ending = True
        self._thread.call(self._finish())
        revisions = [each.revision for each in self.history.operations if each.is_mutation]
        self._last_revision = max(revisions, default=0)
        self._watches_until = time.monotonic() + _WATCH_SECONDS_MAX
        self._thread.call(self._finish_watches())

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    def assert_well(self) -> None:
        """Raise what ended a client that should go on."""
        for task in self._workers + self._watchers:
            if task.done() and not task.cancelled() and task.exception() is not None:
                raise AssertionError("a client of the load failed") from task.exception()

    def writes_at(self, member: str) -> int:
        return self.counters.writes.get(member, 0)

    def longest_gap(self, since: float, until: float) -> float:
        """Return the longest time without any acknowledged write."""
        times = [each for each in list(self.counters.write_times) if since <= each <= until]
        moments = [since, *sorted(times), until]
        return max(after - before for before, after in itertools.pairwise(moments))

    def writes_per_second(self, seconds: float) -> float:
        """Return the rate of acknowledged writes over the last ``seconds``."""
        since = time.monotonic() - seconds
        return sum(each >= since for each in list(self.counters.write_times)) / seconds

    # --- in the loop ------------------------------------------------------------------------------

    def _start(self) -> None:
        endpoints = list(self.members.values())
        for endpoint in endpoints:
            for _ in range(_PINNED_PER_MEMBER):
                self._begin_worker([endpoint])
            self._workers.append(self._thread.loop.create_task(self._read(endpoint)))
            watch = self._watch(f"watch of {self._names[endpoint]}", endpoint)
            self._watchers.append(self._thread.loop.create_task(watch))
        for number in range(_ROAMING):
            position = number % len(endpoints)
            turned = endpoints[position:] + endpoints[:position]
            self._begin_worker(turned)
            self._workers.append(self._thread.loop.create_task(self._lease(turned)))
        self._watchers.append(self._thread.loop.create_task(self._roam(endpoints)))

    def _begin_worker(self, endpoints: Sequence[str]) -> None:
        work = self._work(endpoints, random.Random(self._rng.random()))
        self._workers.append(self._thread.loop.create_task(work))

    async def _finish(self) -> None:
        await asyncio.gather(*self._workers)

    async def _finish_watches(self) -> None:
        await asyncio.gather(*self._watchers)

    def _client(
        self, endpoints: Sequence[str], seconds: float = OPERATION_SECONDS_MAX
    ) -> AsyncClient:
        options = ClientOptions(
            endpoints=tuple(endpoints), timeout=seconds, connect_timeout=min(1.0, seconds)
        )
        return AsyncClient(options=options)

    def _new_client_number(self) -> int:
        self._next_client += 1
        return self._next_client

    async def perform(
        self, client: AsyncClient, number: int, request: UnaryRequest
    ) -> UnaryResponse | None:
        """Send one request and record what became of it; None without an answer."""
        operation = Operation(number, request, time.monotonic(), self._only_member(client))
        self.history.operations.append(operation)
        try:
            response = await client.call_any(request)
        except ZetcdError as error:
            is_unknown = error.retry is RetryClass.AMBIGUOUS or isinstance(error, Canceled)
            operation.outcome = Outcome.UNKNOWN if is_unknown else Outcome.REFUSED
            operation.error = f"{type(error).__name__}: {error}"
            operation.returned = time.monotonic()
            return None
        operation.returned = time.monotonic()
        operation.response = response
        operation.member = self._names.get(client.endpoint, "")
        operation.outcome = Outcome.OK
        self._count(operation)
        return response

    def _only_member(self, client: AsyncClient) -> str:
        """Return the member that a client is bound to; "" if it may use any."""
        endpoints = client.options.endpoints
        return self._names.get(endpoints[0], "") if len(endpoints) == 1 else ""

    def _count(self, operation: Operation) -> None:
        counters = self.counters
        counters.successes += 1
        if operation.is_mutation:
            counters.writes[operation.member] = counters.writes.get(operation.member, 0) + 1
            counters.write_times.append(operation.returned)

    # --- what clients do --------------------------------------------------------------------------

    async def _work(self, endpoints: Sequence[str], rng: random.Random) -> None:
        number, count = self._new_client_number(), 0
        seen: dict[bytes, Revision] = {}
        async with self._client(endpoints) as client:
            while not self._is_ending:
                count += 1
                value = b"%s/%d/%d/" % (SECRET.encode(), number, count) + b"x" * rng.randrange(200)
                request = _draw(rng, value, seen)
                response = await self.perform(client, number, request)
                if isinstance(response, RangeResponse):
                    seen.update((kv.key, kv.mod_revision) for kv in response.kvs)
                # A refusal comes at once, and is not to be asked for as fast as possible.
                pause = rng.uniform(0, _PAUSE_SECONDS_MAX) if response is not None else 0.05
                await asyncio.sleep(pause)

    async def _read(self, endpoint: str) -> None:
        """Read from one member only, without ever waiting for a write: a stale answer shows at once."""
        number = self._new_client_number()
        rng = random.Random(number)
        async with self._client([endpoint], _READ_SECONDS_MAX) as client:
            while not self._is_ending:
                key = PREFIX + b"key/%02d" % rng.randrange(_KEYS)
                await self.perform(client, number, RangeRequest(key))
                await asyncio.sleep(rng.uniform(0, 2 * _PAUSE_SECONDS_MAX))

    async def _lease(self, endpoints: Sequence[str]) -> None:
        """Take leases with keys, renew them for a while, then give them up or revoke them."""
        number, count = self._new_client_number(), 0
        rng = random.Random(number)
        async with self._client(endpoints) as client:
            while not self._is_ending:
                await asyncio.sleep(0.05)
                if not self._grants_leases:
                    continue
                granted = await self.perform(client, number, LeaseGrantRequest(_LEASE_TTL_SECONDS))
                if not isinstance(granted, LeaseGrantResponse):
                    continue
                count += 1
                key = PREFIX + b"lease/%d/%d" % (number, count)
                value = b"%s/lease/%d/%d" % (SECRET.encode(), number, count)
                await self.perform(client, number, PutRequest(key, value, lease=granted.id))
                is_there = await self._renew(client, number, granted.id, rng.randrange(4))
                if is_there and rng.random() < 0.5:
                    await self.perform(client, number, LeaseRevokeRequest(granted.id))

    async def _renew(self, client: AsyncClient, number: int, lease_id: LeaseID, times: int) -> bool:
        """Renew a lease some times; say whether it is still there."""
        for _ in range(times):
            await asyncio.sleep(_LEASE_TTL_SECONDS / 4)
            if self._is_ending or not self._grants_leases:
                return False
            response = await self.perform(client, number, LeaseKeepAliveRequest(lease_id))
            if isinstance(response, LeaseKeepAliveResponse) and response.ttl <= 0:
                return False
        return True

    # --- watches ----------------------------------------------------------------------------------

    def _new_watch(self, name: str) -> WatchHistory:
        watch = WatchHistory(name, PREFIX, start_revision=1)
        self.history.watches.append(watch)
        return watch

    def _wants_more(self, history: WatchHistory) -> bool:
        """Say whether a watcher is to go on: to the end of the load, and then to its last revision."""
        return time.monotonic() < self._watches_until and history.revision < self._last_revision

    async def _watch(self, name: str, endpoint: str) -> None:
        """Follow everything through one member, asking how far it is now and then."""
        history = self._new_watch(name)
        async with self._client([endpoint]) as client:
            while self._wants_more(history):
                watch = await self._open(client, history)
                if watch is None:
                    continue
                while self._wants_more(history) and not history.ended:
                    await self._take(watch, history, seconds=0.2)
                    watch.request_progress()
                watch.close()

    async def _roam(self, endpoints: Sequence[str]) -> None:
        """Follow everything, going on at another member every now and then."""
        history = self._new_watch("roaming watch")
        turn = 0
        while self._wants_more(history):
            turn += 1
            async with self._client([endpoints[turn % len(endpoints)]]) as client:
                watch = await self._open(client, history)
                if watch is None:
                    continue
                until = time.monotonic() + _ROAM_SECONDS
                while time.monotonic() < until and self._wants_more(history):
                    await self._take(watch, history, seconds=0.1)
                watch.close()

    async def _open(self, client: AsyncClient, history: WatchHistory) -> AsyncWatch | None:
        """Begin or go on after what ``history`` has; None if nobody answered in time."""
        try:
            watch = await client.watch_prefix(
                PREFIX, start_revision=history.revision + 1, timeout=OPERATION_SECONDS_MAX
            )
        except ZetcdError:
            return None
        history.ended = ""
        return watch

    async def _take(self, watch: AsyncWatch, history: WatchHistory, seconds: float) -> None:
        """Record what arrives within ``seconds``."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                response = await watch.next(left)
            except ZetcdError as error:
                history.ended = str(error)
                self.counters.watches_ended += 1
                return
            if response is not None:
                history.records.append(_record_of(response))


def _record_of(response: WatchResponse) -> WatchRecord:
    return WatchRecord(time.monotonic(), response.header.revision, response.events)


def _draw(rng: random.Random, value: bytes, seen: dict[bytes, Revision]) -> UnaryRequest:
    """Choose the next request of a client."""
    key = PREFIX + b"key/%02d" % rng.randrange(_KEYS)
    kind = rng.random()
    if kind < 0.35:
        return PutRequest(key, value)
    if kind < 0.50:
        other = PREFIX + b"pair/%02d" % rng.randrange(_KEYS)
        conditions = Conditions((mod_revision(key) == seen.get(key, 0),))
        # Two keys at once: a watch must tell of both together.
        return (
            conditions.then(put(key, value), put(other, value + b"'")).otherwise(get(key)).request()
        )
    if kind < 0.56:
        return DeleteRangeRequest(key)
    if kind < 0.62:
        return RangeRequest(PREFIX, range_end=prefix_end(PREFIX))
    if kind < 0.66:
        return RangeRequest(PREFIX, range_end=prefix_end(PREFIX), serializable=True)
    return RangeRequest(key, serializable=kind >= 0.84)
