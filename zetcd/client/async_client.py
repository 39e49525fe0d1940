"""Responsible for the asyncio client: one task's wait never holds up another's.

ZeroMQ tells of input through one edge-triggered file descriptor: it becomes readable once per change,
and any send or receive may consume that change. So after every send this client also looks for input,
and it reads until there is none.

Invariants
    - One event loop per client: the one its first call runs in.
    - Everything that arrived is read in one turn, so that a thousand answers cost one wake-up.
"""

# ruff: noqa: ASYNC109 - a timeout travels with the request, so that the server gives up too

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack, cast

import zmq

from zetcd.client.call import Call
from zetcd.client.client import RENEW_RETRY_SECONDS, RENEW_SHARE, merged
from zetcd.client.options import ClientOptions
from zetcd.client.recipe import CloseWatch, Emit, NextResponse, OpenWatch, Step, StepResult
from zetcd.client.requests import (
    DeleteOptions,
    PutOptions,
    RangeOptions,
    WatchOptions,
    prefix_range,
    watch_request,
)
from zetcd.client.session import ClientSession, SessionState
from zetcd.client.snapshot import saving
from zetcd.client.transport import RECEIVE_FRAMES_MAX, Transport
from zetcd.client.txn import Conditions
from zetcd.client.watch_stream import WatchStream
from zetcd.errors import (
    BadFrame,
    Canceled,
    DeadlineExceeded,
    LeaseNotFound,
    WatchCanceled,
    ZetcdError,
)
from zetcd.messages.client import UnaryRequest, UnaryResponse
from zetcd.messages.cluster import (
    AlarmAction,
    AlarmMember,
    AlarmRequest,
    AlarmResponse,
    AlarmType,
    DefragmentRequest,
    DefragmentResponse,
    HashKVRequest,
    HashKVResponse,
    MemberAddRequest,
    MemberAddResponse,
    MemberListRequest,
    MemberListResponse,
    MemberPromoteRequest,
    MemberPromoteResponse,
    MemberRemoveRequest,
    MemberRemoveResponse,
    MemberUpdateRequest,
    MemberUpdateResponse,
    MoveLeaderRequest,
    MoveLeaderResponse,
    SnapshotReadResponse,
    StatusRequest,
    StatusResponse,
)
from zetcd.messages.kv import (
    CompactionRequest,
    CompactionResponse,
    DeleteRangeRequest,
    DeleteRangeResponse,
    Event,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    TxnResponse,
)
from zetcd.messages.lease import (
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseLeasesRequest,
    LeaseLeasesResponse,
    LeaseRevokeRequest,
    LeaseRevokeResponse,
    LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
)
from zetcd.messages.watch import WatchCreateRequest, WatchResponse
from zetcd.scalars import LeaseID, NodeID, Revision

R = TypeVar("R")
T = TypeVar("T", bound=UnaryResponse)


class AsyncClient:
    """An asyncio client; any number of tasks may use it at once."""

    def __init__(
        self,
        endpoints: str | Iterable[str] = "",
        *,
        timeout: float | None = None,
        options: ClientOptions | None = None,
    ) -> None:
        """Connect lazily: the first call does.

        Args:
            endpoints: ``tcp://host:port``, a list of them or one text with commas.
            timeout: seconds a call may take by default.
            options: everything else; ``endpoints`` and ``timeout`` replace what it says.

        Raises:
            InvalidArgument: an endpoint is none.
        """
        self._options = merged(options, endpoints, timeout)
        self._session = ClientSession(self._options, random.Random())  # noqa: S311 - jitter
        self._transport = Transport()
        self._loop: asyncio.AbstractEventLoop | None = None
        #: File descriptors being watched, and the turn and the timer that are planned.
        self._descriptors: list[int] = []
        self._is_turn_planned = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye and close the sockets; calls and watches still waited for are canceled."""
        if self._session.state is SessionState.CLOSED:
            return
        self._unwatch()
        if self._timer is not None:
            self._timer.cancel()
        for waiter in self._session.close():
            if isinstance(waiter, asyncio.Future) and not waiter.done():
                waiter.set_exception(Canceled("the client was closed"))
        self._transport.send(self._session.outbox)
        self._transport.close()

    @property
    def options(self) -> ClientOptions:
        """What the client was told; for another client just like it."""
        return self._options

    @property
    def member_id(self) -> NodeID:
        """The member that answered last; 0 before the first answer."""
        return self._session.welcome.member_id if self._session.welcome else 0

    @property
    def cluster_id(self) -> int:
        """The cluster; 0 before the first answer."""
        return self._session.welcome.cluster_id if self._session.welcome else 0

    @property
    def endpoint(self) -> str:
        """The endpoint in use; "" if there is none."""
        return self._session.connection.endpoint if self._session.connection else ""

    # --- keys -------------------------------------------------------------------------------------

    async def put(
        self,
        key: bytes,
        value: bytes = b"",
        *,
        timeout: float | None = None,
        **options: Unpack[PutOptions],
    ) -> PutResponse:
        """Write one key."""
        return await self.call(PutRequest(key, value, **options), PutResponse, timeout)

    async def get(
        self, key: bytes, *, timeout: float | None = None, **options: Unpack[RangeOptions]
    ) -> RangeResponse:
        """Read one key, or a range if ``range_end`` is given."""
        return await self.call(RangeRequest(key, **options), RangeResponse, timeout)

    async def get_prefix(
        self, prefix: bytes, *, timeout: float | None = None, **options: Unpack[RangeOptions]
    ) -> RangeResponse:
        """Read every key that begins with ``prefix``; the empty one means all."""
        key, options["range_end"] = prefix_range(prefix)
        return await self.call(RangeRequest(key, **options), RangeResponse, timeout)

    async def range(
        self,
        key: bytes,
        range_end: bytes,
        /,
        *,
        timeout: float | None = None,
        **options: Unpack[RangeOptions],
    ) -> RangeResponse:
        """Read the keys in [``key``, ``range_end``)."""
        options["range_end"] = range_end
        return await self.call(RangeRequest(key, **options), RangeResponse, timeout)

    async def delete(
        self, key: bytes, *, timeout: float | None = None, **options: Unpack[DeleteOptions]
    ) -> DeleteRangeResponse:
        """Delete one key, or a range if ``range_end`` is given."""
        return await self.call(DeleteRangeRequest(key, **options), DeleteRangeResponse, timeout)

    async def delete_prefix(
        self, prefix: bytes, *, timeout: float | None = None, **options: Unpack[DeleteOptions]
    ) -> DeleteRangeResponse:
        """Delete every key that begins with ``prefix``; the empty one means all."""
        key, options["range_end"] = prefix_range(prefix)
        return await self.call(DeleteRangeRequest(key, **options), DeleteRangeResponse, timeout)

    def txn(self) -> AsyncTxn:
        """Begin to write a transaction: ``await client.txn().when(...).then(...).commit()``."""
        return AsyncTxn(self)

    async def compact(
        self, revision: Revision, *, physical: bool = False, timeout: float | None = None
    ) -> CompactionResponse:
        """Drop the history before ``revision``."""
        return await self.call(CompactionRequest(revision, physical), CompactionResponse, timeout)

    # --- leases -----------------------------------------------------------------------------------

    async def lease_grant(
        self, ttl: int, lease_id: LeaseID = 0, *, timeout: float | None = None
    ) -> LeaseGrantResponse:
        """Create a lease of ``ttl`` seconds; id 0 = the server chooses."""
        return await self.call(LeaseGrantRequest(ttl, lease_id), LeaseGrantResponse, timeout)

    async def lease_revoke(
        self, lease_id: LeaseID, *, timeout: float | None = None
    ) -> LeaseRevokeResponse:
        """End a lease and delete its keys."""
        return await self.call(LeaseRevokeRequest(lease_id), LeaseRevokeResponse, timeout)

    async def keep_alive_once(
        self, lease_id: LeaseID, *, timeout: float | None = None
    ) -> LeaseKeepAliveResponse:
        """Renew a lease.

        Raises:
            LeaseNotFound: it has ended.
        """
        request = LeaseKeepAliveRequest(lease_id)
        response = await self.call(request, LeaseKeepAliveResponse, timeout)
        if response.ttl <= 0:
            raise LeaseNotFound
        return response

    async def keep_alive(self, lease_id: LeaseID) -> AsyncIterator[LeaseKeepAliveResponse]:
        """Renew a lease again and again, every third of its TTL; yields each renewal.

        `AsyncLeaseSession` does so in a task of its own.

        Raises:
            LeaseNotFound: it has ended.
        """
        expiry = float("inf")
        while True:
            begun = time.monotonic()
            try:
                response = await self.keep_alive_once(lease_id)
            except ZetcdError as error:
                if isinstance(error, LeaseNotFound) or time.monotonic() >= expiry:
                    raise LeaseNotFound from error
                await asyncio.sleep(RENEW_RETRY_SECONDS)
                continue
            expiry = begun + response.ttl
            yield response
            await asyncio.sleep(begun + response.ttl * RENEW_SHARE - time.monotonic())

    async def time_to_live(
        self, lease_id: LeaseID, *, keys: bool = False, timeout: float | None = None
    ) -> LeaseTimeToLiveResponse:
        """Return the remaining TTL, -1 for a lease that has ended."""
        request = LeaseTimeToLiveRequest(lease_id, keys)
        return await self.call(request, LeaseTimeToLiveResponse, timeout)

    async def leases(self, *, timeout: float | None = None) -> LeaseLeasesResponse:
        """List the leases."""
        return await self.call(LeaseLeasesRequest(), LeaseLeasesResponse, timeout)

    # --- cluster ----------------------------------------------------------------------------------

    async def status(self, *, timeout: float | None = None) -> StatusResponse:
        """Return the status of the member this client talks to."""
        return await self.call(StatusRequest(), StatusResponse, timeout)

    async def hash_kv(
        self, revision: Revision = 0, *, timeout: float | None = None
    ) -> HashKVResponse:
        """Return the hash of the history up to ``revision`` (0 = current) of this very member."""
        return await self.call(HashKVRequest(revision), HashKVResponse, timeout)

    async def defragment(self, *, timeout: float | None = None) -> DefragmentResponse:
        """Give the free pages of this very member's store back to its file system; it serves on."""
        return await self.call(DefragmentRequest(), DefragmentResponse, timeout)

    async def save_snapshot(
        self, write: Callable[[bytes], object], *, timeout: float | None = None
    ) -> str:
        """Hand a snapshot of this very member to ``write``, piece by piece; return its version.

        It is an etcd snapshot file. ``timeout`` is for each piece; the first takes as long as the file.

        Raises:
            CorruptSnapshot: what arrived is not what was sent.
        """
        pieces = saving(write)
        request = next(pieces)
        while True:
            response = await self.call(request, SnapshotReadResponse, timeout)
            try:
                request = pieces.send(response)
            except StopIteration as end:
                return str(end.value)

    async def alarm_list(
        self, alarm: AlarmType = AlarmType.NONE, *, timeout: float | None = None
    ) -> AlarmResponse:
        """List the alarms that are on; NONE = of every kind."""
        request = AlarmRequest(AlarmAction.GET, 0, alarm)
        return await self.call(request, AlarmResponse, timeout)

    async def alarm_activate(
        self, alarm: AlarmMember, *, timeout: float | None = None
    ) -> AlarmResponse:
        """Turn an alarm on, for the whole cluster."""
        request = AlarmRequest(AlarmAction.ACTIVATE, alarm.member_id, alarm.alarm)
        return await self.call(request, AlarmResponse, timeout)

    async def alarm_disarm(
        self, alarm: AlarmMember, *, timeout: float | None = None
    ) -> AlarmResponse:
        """Turn an alarm off; what raised it may raise it again."""
        request = AlarmRequest(AlarmAction.DEACTIVATE, alarm.member_id, alarm.alarm)
        return await self.call(request, AlarmResponse, timeout)

    async def member_list(
        self, *, linearizable: bool = True, timeout: float | None = None
    ) -> MemberListResponse:
        """List the members."""
        return await self.call(MemberListRequest(linearizable), MemberListResponse, timeout)

    async def member_add(
        self, peer_urls: Sequence[str], *, is_learner: bool = False, timeout: float | None = None
    ) -> MemberAddResponse:
        """Add a member, which is then to be started with ``initial-cluster-state = "existing"``.

        Raises:
            MemberBadURLs: there is no URL, or one is none.
            PeerURLExist: one of them is another member's.
            TooManyLearners: there is a learner already (``max-learners``).
            MemberNotEnoughStarted, Unhealthy: the quorum would be in danger.
        """
        request = MemberAddRequest(tuple(peer_urls), is_learner)
        return await self.call(request, MemberAddResponse, timeout)

    async def member_remove(
        self, member_id: NodeID, *, timeout: float | None = None
    ) -> MemberRemoveResponse:
        """Remove a member for good; it stops by itself.

        Raises:
            MemberNotFound: there is none with this id.
            MemberNotEnoughStarted, Unhealthy: the quorum would be in danger.
        """
        return await self.call(MemberRemoveRequest(member_id), MemberRemoveResponse, timeout)

    async def member_update(
        self, member_id: NodeID, peer_urls: Sequence[str], *, timeout: float | None = None
    ) -> MemberUpdateResponse:
        """Tell the cluster where a member is reached from now on.

        Raises:
            MemberNotFound: there is none with this id.
            PeerURLExist: a URL is another member's.
        """
        request = MemberUpdateRequest(member_id, tuple(peer_urls))
        return await self.call(request, MemberUpdateResponse, timeout)

    async def member_promote(
        self, member_id: NodeID, *, timeout: float | None = None
    ) -> MemberPromoteResponse:
        """Make a voter of a learner.

        Raises:
            MemberNotFound: there is none with this id.
            MemberNotLearner: it votes already.
            LearnerNotReady: it has not caught up with the leader yet; try again.
        """
        return await self.call(MemberPromoteRequest(member_id), MemberPromoteResponse, timeout)

    async def move_leader(
        self, target_id: NodeID, *, timeout: float | None = None
    ) -> MoveLeaderResponse:
        """Transfer leadership; only the leader takes this call.

        Raises:
            NotLeader: this member does not lead.
        """
        return await self.call(MoveLeaderRequest(target_id), MoveLeaderResponse, timeout)

    # --- watches ----------------------------------------------------------------------------------

    async def watch(
        self, key: bytes, *, timeout: float | None = None, **options: Unpack[WatchOptions]
    ) -> AsyncWatch:
        """Watch one key, or a range if ``range_end`` is given; returns once the watch exists."""
        return await self.open_watch(watch_request(key, **options), timeout)

    async def watch_prefix(
        self, prefix: bytes, *, timeout: float | None = None, **options: Unpack[WatchOptions]
    ) -> AsyncWatch:
        """Watch every key that begins with ``prefix``; the empty one means all."""
        key, options["range_end"] = prefix_range(prefix)
        return await self.open_watch(watch_request(key, **options), timeout)

    async def open_watch(
        self, request: WatchCreateRequest, timeout: float | None = None
    ) -> AsyncWatch:
        """Begin the watch of ``request`` and wait until the server has it."""
        deadline = self._deadline(timeout)
        watch = AsyncWatch(self, self._session.watch(request, self._now()))
        self._flush()
        try:
            await watch.wait_created(deadline)
        except BaseException:
            watch.close()
            raise
        return watch

    # --- calls of any kind ------------------------------------------------------------------------

    async def call(self, request: UnaryRequest, kind: type[T], timeout: float | None = None) -> T:
        """Send a request, return its response, which must be of ``kind``.

        Raises:
            UnknownOutcome: a mutation was sent, and whether it happened is not known.
            ZetcdError: it failed; nothing was done.
        """
        response = await self.call_any(request, timeout)
        if type(response) is not kind:
            raise BadFrame(f"{type(response).__name__} answers {type(request).__name__}")
        return response

    async def call_any(self, request: UnaryRequest, timeout: float | None = None) -> UnaryResponse:
        """Send a request, return its response."""
        now = self._now()
        call = Call(request, now + (self._options.timeout if timeout is None else timeout))
        loop = self._loop
        assert loop is not None
        call.waiter = future = loop.create_future()
        self._session.submit(call, now)
        self._flush()
        try:
            return cast(UnaryResponse, await future)
        except asyncio.CancelledError:
            self._session.cancel(call, time.monotonic())
            self._flush()
            raise

    async def run(self, recipe: Generator[Step, StepResult, R]) -> R:
        """Drive a recipe (`zetcd.client.recipe`) to its end."""
        runner = _AsyncRecipeRunner(self)
        try:
            while True:
                try:
                    step = await runner.next_step(recipe)
                except StopAsyncIteration as stop:
                    return cast(R, stop.args[0])
                assert not isinstance(step, Emit), "use observe"
        finally:
            runner.close()

    async def observe(self, recipe: Generator[Step, StepResult, None]) -> AsyncIterator[Emit]:
        """Drive a recipe that emits."""
        runner = _AsyncRecipeRunner(self)
        try:
            while True:
                try:
                    step = await runner.next_step(recipe)
                except StopAsyncIteration:
                    return
                if isinstance(step, Emit):
                    yield step
        finally:
            runner.close()

    # --- turns ------------------------------------------------------------------------------------

    def _deadline(self, timeout: float | None) -> float:
        return self._now() + (self._options.timeout if timeout is None else timeout)

    def _now(self) -> float:
        """Return the time, after noting the loop and what may have passed unnoticed."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        now = time.monotonic()
        self._session.wake(now)
        return now

    def _turn(self) -> None:
        """Read everything that has arrived, and do what is due."""
        self._is_turn_planned = False
        session, transport = self._session, self._transport
        if session.state is SessionState.CLOSED:
            return
        number, now = transport.number, time.monotonic()
        # In this order: what arrived before the end of the connection counts.
        loss = transport.loss()
        frames = transport.receive()
        for frame in frames:
            if session.connection is None or session.connection.number != number:
                break
            session.receive(frame, now)
        if loss:
            session.lost(number, loss, now)
        if now >= session.wake_at:
            session.handle_timer(now)
        if len(frames) >= RECEIVE_FRAMES_MAX:
            self._plan_turn()
        self._flush()

    def _plan_turn(self) -> None:
        if not self._is_turn_planned and self._loop is not None:
            self._is_turn_planned = True
            self._loop.call_soon(self._turn)

    def _flush(self) -> None:
        """Do what the session asks for."""
        session, transport = self._session, self._transport
        connection = session.connection
        if (connection.number if connection is not None else 0) != transport.number:
            self._reconnect()
        if session.outbox:
            transport.send(session.outbox)
            session.outbox.clear()
            # Sending may have consumed the news of input.
            self._plan_turn()
        if session.completed:
            self._finish_calls()
        if session.woken:
            for stream in session.woken:
                _wake(stream.waiter)
            session.woken.clear()
        if session.wake_at < self._timer_at:
            self._set_timer()

    def _finish_calls(self) -> None:
        for call in self._session.completed:
            future = call.waiter
            assert isinstance(future, asyncio.Future)
            if future.done():
                continue
            if call.error is None:
                future.set_result(call.result)
            else:
                future.set_exception(call.error)
        self._session.completed.clear()

    def _reconnect(self) -> None:
        assert self._loop is not None
        self._unwatch()
        connection = self._session.connection
        if connection is None:
            self._transport.shut()
            return
        self._transport.open(connection.number, connection.endpoint)
        for socket in self._transport.sockets:
            descriptor = cast(int, socket.getsockopt(zmq.FD))
            self._descriptors.append(descriptor)
            self._loop.add_reader(descriptor, self._turn)
        self._plan_turn()

    def _unwatch(self) -> None:
        for descriptor in self._descriptors:
            assert self._loop is not None
            self._loop.remove_reader(descriptor)
        self._descriptors.clear()

    def _set_timer(self) -> None:
        assert self._loop is not None
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._session.wake_at
        pause = max(self._timer_at - time.monotonic(), 0.0)
        self._timer = self._loop.call_later(pause, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = float("inf")
        self._turn()


class AsyncTxn(Conditions):
    """A transaction of an `AsyncClient`."""

    __slots__ = ("_client",)

    def __init__(self, client: AsyncClient) -> None:
        """Start without conditions."""
        super().__init__()
        self._client = client

    async def commit(self, timeout: float | None = None) -> TxnResponse:
        """Execute it."""
        return await self._client.call(self.request(), TxnResponse, timeout)


class AsyncWatch:
    """A watch; iterate over it for responses. It resumes by revision across connections.

    Iterating raises `WatchCompacted` if the history it still needs is gone, and other errors if the
    server ends the watch; it stops after `close`. One task at a time may iterate.
    """

    def __init__(self, client: AsyncClient, stream: WatchStream) -> None:
        """Wrap ``stream`` of the session of ``client``."""
        self._client = client
        self._stream = stream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aiter__(self) -> AsyncIterator[WatchResponse]:
        while not self._stream.is_closed:
            response = await self.next()
            if response is not None:
                yield response

    async def events(self) -> AsyncIterator[Event]:
        """Iterate over single events."""
        async for response in self:
            for event in response.events:
                yield event

    @property
    def created_revision(self) -> Revision:
        """Where the store stood when the watch was created."""
        return self._stream.created_revision

    @property
    def next_revision(self) -> Revision:
        """The first revision of which not everything has been received; resume here elsewhere."""
        return self._stream.next_revision

    async def next(self, timeout: float | None = None) -> WatchResponse | None:
        """Return the next response, None if there is none within ``timeout`` seconds (None: wait).

        Raises:
            WatchCompacted: history that the watch still needs is gone.
            ZetcdError: the server ended the watch.
        """
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while not self._stream.is_closed:
            response = self._client._session.take(self._stream)
            self._client._flush()
            if response is not None or time.monotonic() >= until:
                return response
            await self.wait_news(until)
        return None

    async def wait_created(self, deadline: float) -> None:
        """Return once the server has the watch.

        Raises:
            ZetcdError: it refused, or did not answer by ``deadline`` (monotonic seconds).
        """
        stream = self._stream
        while not stream.is_created and stream.error is None:
            if time.monotonic() >= deadline:
                raise stream.last_error or self._client._session.last_error or DeadlineExceeded()
            await self.wait_news(deadline)
        # What ended it after its creation is said behind what came before.
        if stream.error is not None and not stream.is_created:
            raise stream.error

    async def wait_news(self, until: float) -> None:
        """Return when there is something to read, or at ``until`` (monotonic seconds)."""
        loop = asyncio.get_running_loop()
        self._stream.waiter = waiter = loop.create_future()
        timer = None
        if until != float("inf"):
            timer = loop.call_later(max(until - time.monotonic(), 0.0), _wake, waiter)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()

    def request_progress(self) -> None:
        """Ask for a response without events that says up to where everything was sent.

        There is none if the watch is just catching up; ask again.
        """
        self._client._session.request_progress(self._stream)
        self._client._flush()

    def close(self) -> None:
        """End the watch."""
        if self._client._session.state is not SessionState.CLOSED:
            self._client._session.close_watch(self._stream)
            self._client._flush()
        _wake(self._stream.waiter)


def _wake(waiter: object) -> None:
    if isinstance(waiter, asyncio.Future) and not waiter.done():
        waiter.set_result(None)


class _AsyncRecipeRunner:
    """Performs the steps of one recipe, one after the other, for an asyncio client."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._watch: AsyncWatch | None = None
        self._result: StepResult = None
        self._error: ZetcdError | None = None

    async def next_step(self, recipe: Generator[Step, StepResult, R]) -> Step:
        """Tell the recipe what its last step came to, and perform the next one."""
        try:
            if self._error is not None:
                error, self._error = self._error, None
                step = recipe.throw(error)
            else:
                step = recipe.send(self._result)
        except StopIteration as stop:
            raise StopAsyncIteration(stop.value) from None
        self._result = None
        try:
            self._result = await self._perform(step)
        except ZetcdError as error:
            self._error = error
        return step

    async def _perform(self, step: Step) -> StepResult:
        if isinstance(step, OpenWatch):
            self.close()
            self._watch = await self._client.open_watch(step.request)
        elif isinstance(step, NextResponse):
            assert self._watch is not None
            response = await self._watch.next()
            if response is None:
                raise WatchCanceled
            return response
        elif isinstance(step, CloseWatch):
            self.close()
        elif not isinstance(step, Emit):
            return await self._client.call_any(step)
        return None

    def close(self) -> None:
        """End the watch that a recipe left open."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None


__all__ = ["AsyncClient", "AsyncTxn", "AsyncWatch"]
