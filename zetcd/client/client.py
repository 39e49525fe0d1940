"""Responsible for the synchronous client: waits for one thing at a time, serves its session meanwhile.

Invariants
    - One thread per client. Nothing happens between calls: a client that did nothing for longer than
      the server's patience begins a new session with its next call, and watches resume where they were.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final, Self, TypeVar, Unpack

import zmq

from zetcd.client.call import Call
from zetcd.client.options import ClientOptions, parse_endpoints
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
from zetcd.client.transport import Transport
from zetcd.client.txn import Conditions
from zetcd.client.watch_stream import WatchStream
from zetcd.errors import BadFrame, DeadlineExceeded, LeaseNotFound, WatchCanceled, ZetcdError
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

#: A lease is renewed when this share of its TTL has passed.
RENEW_SHARE: Final = 1 / 3
#: Pause before a renewal that failed is tried again, in seconds.
RENEW_RETRY_SECONDS: Final = 0.5


class Client:
    """A synchronous client; use one per thread, best as a context manager."""

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
        self._poller = zmq.Poller()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye and close the sockets; the client cannot be used afterwards."""
        if self._session.state is SessionState.CLOSED:
            return
        self._session.close()
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

    def put(
        self,
        key: bytes,
        value: bytes = b"",
        *,
        timeout: float | None = None,
        **options: Unpack[PutOptions],
    ) -> PutResponse:
        """Write one key."""
        return self.call(PutRequest(key, value, **options), PutResponse, timeout)

    def get(
        self, key: bytes, *, timeout: float | None = None, **options: Unpack[RangeOptions]
    ) -> RangeResponse:
        """Read one key, or a range if ``range_end`` is given."""
        return self.call(RangeRequest(key, **options), RangeResponse, timeout)

    def get_prefix(
        self, prefix: bytes, *, timeout: float | None = None, **options: Unpack[RangeOptions]
    ) -> RangeResponse:
        """Read every key that begins with ``prefix``; the empty one means all."""
        key, options["range_end"] = prefix_range(prefix)
        return self.call(RangeRequest(key, **options), RangeResponse, timeout)

    def range(
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
        return self.call(RangeRequest(key, **options), RangeResponse, timeout)

    def delete(
        self, key: bytes, *, timeout: float | None = None, **options: Unpack[DeleteOptions]
    ) -> DeleteRangeResponse:
        """Delete one key, or a range if ``range_end`` is given."""
        return self.call(DeleteRangeRequest(key, **options), DeleteRangeResponse, timeout)

    def delete_prefix(
        self, prefix: bytes, *, timeout: float | None = None, **options: Unpack[DeleteOptions]
    ) -> DeleteRangeResponse:
        """Delete every key that begins with ``prefix``; the empty one means all."""
        key, options["range_end"] = prefix_range(prefix)
        return self.call(DeleteRangeRequest(key, **options), DeleteRangeResponse, timeout)

    def txn(self) -> Txn:
        """Begin to write a transaction: ``client.txn().when(...).then(...).commit()``."""
        return Txn(self)

    def compact(
        self, revision: Revision, *, physical: bool = False, timeout: float | None = None
    ) -> CompactionResponse:
        """Drop the history before ``revision``."""
        return self.call(CompactionRequest(revision, physical), CompactionResponse, timeout)

    # --- leases -----------------------------------------------------------------------------------

    def lease_grant(
        self, ttl: int, lease_id: LeaseID = 0, *, timeout: float | None = None
    ) -> LeaseGrantResponse:
        """Create a lease of ``ttl`` seconds; id 0 = the server chooses."""
        return self.call(LeaseGrantRequest(ttl, lease_id), LeaseGrantResponse, timeout)

    def lease_revoke(
        self, lease_id: LeaseID, *, timeout: float | None = None
    ) -> LeaseRevokeResponse:
        """End a lease and delete its keys."""
        return self.call(LeaseRevokeRequest(lease_id), LeaseRevokeResponse, timeout)

    def keep_alive_once(
        self, lease_id: LeaseID, *, timeout: float | None = None
    ) -> LeaseKeepAliveResponse:
        """Renew a lease.

        Raises:
            LeaseNotFound: it has ended.
        """
        request = LeaseKeepAliveRequest(lease_id)
        response = self.call(request, LeaseKeepAliveResponse, timeout)
        if response.ttl <= 0:
            raise LeaseNotFound
        return response

    def keep_alive(self, lease_id: LeaseID) -> Iterator[LeaseKeepAliveResponse]:
        """Renew a lease again and again, every third of its TTL; yields each renewal.

        Time passes only within the iterator: who does other work between two steps must come back
        before the TTL is over. `LeaseSession` renews in the background instead.

        Raises:
            LeaseNotFound: it has ended.
        """
        expiry = float("inf")
        while True:
            begun = time.monotonic()
            try:
                response = self.keep_alive_once(lease_id)
            except ZetcdError as error:
                if isinstance(error, LeaseNotFound) or time.monotonic() >= expiry:
                    raise LeaseNotFound from error
                self.wait(RENEW_RETRY_SECONDS)
                continue
            expiry = begun + response.ttl
            yield response
            self.wait(begun + response.ttl * RENEW_SHARE - time.monotonic())

    def time_to_live(
        self, lease_id: LeaseID, *, keys: bool = False, timeout: float | None = None
    ) -> LeaseTimeToLiveResponse:
        """Return the remaining TTL, -1 for a lease that has ended."""
        request = LeaseTimeToLiveRequest(lease_id, keys)
        return self.call(request, LeaseTimeToLiveResponse, timeout)

    def leases(self, *, timeout: float | None = None) -> LeaseLeasesResponse:
        """List the leases."""
        return self.call(LeaseLeasesRequest(), LeaseLeasesResponse, timeout)

    # --- cluster ----------------------------------------------------------------------------------

    def status(self, *, timeout: float | None = None) -> StatusResponse:
        """Return the status of the member this client talks to."""
        return self.call(StatusRequest(), StatusResponse, timeout)

    def hash_kv(self, revision: Revision = 0, *, timeout: float | None = None) -> HashKVResponse:
        """Return the hash of the history up to ``revision`` (0 = current) of this very member."""
        return self.call(HashKVRequest(revision), HashKVResponse, timeout)

    def defragment(self, *, timeout: float | None = None) -> DefragmentResponse:
        """Give the free pages of this very member's store back to its file system; it serves on."""
        return self.call(DefragmentRequest(), DefragmentResponse, timeout)

    def save_snapshot(
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
            response = self.call(request, SnapshotReadResponse, timeout)
            try:
                request = pieces.send(response)
            except StopIteration as end:
                return str(end.value)

    def alarm_list(
        self, alarm: AlarmType = AlarmType.NONE, *, timeout: float | None = None
    ) -> AlarmResponse:
        """List the alarms that are on; NONE = of every kind."""
        request = AlarmRequest(AlarmAction.GET, 0, alarm)
        return self.call(request, AlarmResponse, timeout)

    def alarm_activate(self, alarm: AlarmMember, *, timeout: float | None = None) -> AlarmResponse:
        """Turn an alarm on, for the whole cluster."""
        request = AlarmRequest(AlarmAction.ACTIVATE, alarm.member_id, alarm.alarm)
        return self.call(request, AlarmResponse, timeout)

    def alarm_disarm(self, alarm: AlarmMember, *, timeout: float | None = None) -> AlarmResponse:
        """Turn an alarm off; what raised it may raise it again."""
        request = AlarmRequest(AlarmAction.DEACTIVATE, alarm.member_id, alarm.alarm)
        return self.call(request, AlarmResponse, timeout)

    def member_list(
        self, *, linearizable: bool = True, timeout: float | None = None
    ) -> MemberListResponse:
        """List the members."""
        return self.call(MemberListRequest(linearizable), MemberListResponse, timeout)

    def member_add(
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
        return self.call(request, MemberAddResponse, timeout)

    def member_remove(
        self, member_id: NodeID, *, timeout: float | None = None
    ) -> MemberRemoveResponse:
        """Remove a member for good; it stops by itself.

        Raises:
            MemberNotFound: there is none with this id.
            MemberNotEnoughStarted, Unhealthy: the quorum would be in danger.
        """
        return self.call(MemberRemoveRequest(member_id), MemberRemoveResponse, timeout)

    def member_update(
        self, member_id: NodeID, peer_urls: Sequence[str], *, timeout: float | None = None
    ) -> MemberUpdateResponse:
        """Tell the cluster where a member is reached from now on.

        Raises:
            MemberNotFound: there is none with this id.
            PeerURLExist: a URL is another member's.
        """
        request = MemberUpdateRequest(member_id, tuple(peer_urls))
        return self.call(request, MemberUpdateResponse, timeout)

    def member_promote(
        self, member_id: NodeID, *, timeout: float | None = None
    ) -> MemberPromoteResponse:
        """Make a voter of a learner.

        Raises:
            MemberNotFound: there is none with this id.
            MemberNotLearner: it votes already.
            LearnerNotReady: it has not caught up with the leader yet; try again.
        """
        return self.call(MemberPromoteRequest(member_id), MemberPromoteResponse, timeout)

    def move_leader(self, target_id: NodeID, *, timeout: float | None = None) -> MoveLeaderResponse:
        """Transfer leadership; only the leader takes this call.

        Raises:
            NotLeader: this member does not lead.
        """
        return self.call(MoveLeaderRequest(target_id), MoveLeaderResponse, timeout)

    # --- watches ----------------------------------------------------------------------------------

    def watch(
        self, key: bytes, *, timeout: float | None = None, **options: Unpack[WatchOptions]
    ) -> Watch:
        """Watch one key, or a range if ``range_end`` is given; returns once the watch exists."""
        return self.open_watch(watch_request(key, **options), timeout)

    def watch_prefix(
        self, prefix: bytes, *, timeout: float | None = None, **options: Unpack[WatchOptions]
    ) -> Watch:
        """Watch every key that begins with ``prefix``; the empty one means all."""
        key, options["range_end"] = prefix_range(prefix)
        return self.open_watch(watch_request(key, **options), timeout)

    def open_watch(self, request: WatchCreateRequest, timeout: float | None = None) -> Watch:
        """Begin the watch of ``request`` and wait until the server has it."""
        deadline = self._deadline(timeout)
        now = time.monotonic()
        self._session.wake(now)
        watch = Watch(self, self._session.watch(request, now))
        try:
            watch.wait_created(deadline)
        except BaseException:
            watch.close()
            raise
        return watch

    # --- calls of any kind ------------------------------------------------------------------------

    def call(self, request: UnaryRequest, kind: type[T], timeout: float | None = None) -> T:
        """Send a request, return its response, which must be of ``kind``.

        Raises:
            UnknownOutcome: a mutation was sent, and whether it happened is not known.
            ZetcdError: it failed; nothing was done.
        """
        call = self._submit(request, self._deadline(timeout))
        try:
            while not call.is_done:
                self._turn(float("inf"))
        except BaseException:
            self._session.cancel(call, time.monotonic())
            self._flush()
            raise
        response = call.unwrap()
        if type(response) is not kind:
            raise BadFrame(f"{type(response).__name__} answers {type(request).__name__}")
        return response

    def call_many(
        self, requests: Sequence[UnaryRequest], timeout: float | None = None
    ) -> list[UnaryResponse | ZetcdError]:
        """Send many requests without waiting in between; return what each came to, in order.

        They may be executed in any order.
        """
        deadline = self._deadline(timeout)
        calls = [self._submit(request, deadline) for request in requests]
        try:
            for call in calls:
                while not call.is_done:
                    self._turn(float("inf"))
        except BaseException:
            now = time.monotonic()
            for call in calls:
                self._session.cancel(call, now)
            self._flush()
            raise
        return [call.error if call.error is not None else call.unwrap() for call in calls]

    def run(self, recipe: Generator[Step, StepResult, R], timeout: float | None = None) -> R:
        """Drive a recipe (`zetcd.client.recipe`) to its end; ``timeout`` None = wait for ever."""
        runner = RecipeRunner(self, None if timeout is None else time.monotonic() + timeout)
        try:
            while True:
                try:
                    step = runner.next_step(recipe)
                except StopIteration as stop:
                    result: R = stop.value
                    return result
                assert not isinstance(step, Emit), "use observe"
        finally:
            runner.close()

    def observe(self, recipe: Generator[Step, StepResult, None]) -> Iterator[Emit]:
        """Drive a recipe that emits."""
        runner = RecipeRunner(self, None)
        try:
            while True:
                try:
                    step = runner.next_step(recipe)
                except StopIteration:
                    return
                if isinstance(step, Emit):
                    yield step
        finally:
            runner.close()

    def wait(self, seconds: float) -> None:
        """Let time pass while the session is served."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._turn(until)

    # --- turns ------------------------------------------------------------------------------------

    def _deadline(self, timeout: float | None) -> float:
        return time.monotonic() + (self._options.timeout if timeout is None else timeout)

    def _submit(self, request: UnaryRequest, deadline: float) -> Call:
        call = Call(request, deadline)
        now = time.monotonic()
        session = self._session
        session.wake(now)
        if session.state is SessionState.READY:
            # What came since the last call may be the end of the session.
            self._receive(now)
        session.submit(call, now)
        self._flush()
        return call

    def _turn(self, until: float) -> None:
        """Wait for input, the session's timer or ``until``, then do what is due."""
        session = self._session
        self._flush()
        if not session.completed and not session.woken:
            now = time.monotonic()
            pause = max(min(session.wake_at, until) - now, 0.0)
            if self._transport.number:
                # Rounded up: waking too early would mean to turn without anything to do.
                self._poller.poll(None if pause == float("inf") else int(pause * 1000) + 1)
            else:
                time.sleep(min(pause, 60.0))
        self._receive(time.monotonic())
        session.completed.clear()
        session.woken.clear()
        self._flush()

    def _receive(self, now: float) -> None:
        session, transport = self._session, self._transport
        number = transport.number
        # In this order: what arrived before the end of the connection counts.
        loss = transport.loss()
        for frame in transport.receive():
            if session.connection is None or session.connection.number != number:
                break
            session.receive(frame, now)
        if loss:
            session.lost(number, loss, now)
        if now >= session.wake_at:
            session.handle_timer(now)

    def _flush(self) -> None:
        """Do what the session asks for."""
        session, transport = self._session, self._transport
        connection = session.connection
        if (connection.number if connection else 0) != transport.number:
            for socket in transport.sockets:
                self._poller.unregister(socket)
            if connection is None:
                transport.shut()
            else:
                transport.open(connection.number, connection.endpoint)
                for socket in transport.sockets:
                    self._poller.register(socket, zmq.POLLIN)
        if session.outbox:
            transport.send(session.outbox)
            session.outbox.clear()


class Txn(Conditions):
    """A transaction of a `Client`."""

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        """Start without conditions."""
        super().__init__()
        self._client = client

    def commit(self, timeout: float | None = None) -> TxnResponse:
        """Execute it."""
        return self._client.call(self.request(), TxnResponse, timeout)


class Watch:
    """A watch; iterate over it for responses. It resumes by revision across connections.

    Iterating raises `WatchCompacted` if the history it still needs is gone, and other errors if the
    server ends the watch; it stops after `close`.
    """

    def __init__(self, client: Client, stream: WatchStream) -> None:
        """Wrap ``stream`` of the session of ``client``."""
        self._client = client
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[WatchResponse]:
        while not self._stream.is_closed:
            response = self.next()
            if response is not None:
                yield response

    def events(self) -> Iterator[Event]:
        """Iterate over single events."""
        for response in self:
            yield from response.events

    @property
    def created_revision(self) -> Revision:
        """Where the store stood when the watch was created."""
        return self._stream.created_revision

    @property
    def next_revision(self) -> Revision:
        """The first revision of which not everything has been received; resume here elsewhere."""
        return self._stream.next_revision

    def next(self, timeout: float | None = None) -> WatchResponse | None:
        """Return the next response, None if there is none within ``timeout`` seconds (None: wait).

        Raises:
            WatchCompacted: history that the watch still needs is gone.
            ZetcdError: the server ended the watch.
        """
        client, session = self._client, self._client._session
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while not self._stream.is_closed:
            session.wake(time.monotonic())
            response = session.take(self._stream)
            client._flush()
            if response is not None or time.monotonic() >= until:
                return response
            client._turn(until)
        return None

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

    def wait_created(self, deadline: float) -> None:
        """Return once the server has the watch.

        Raises:
            ZetcdError: it refused, or did not answer by ``deadline`` (monotonic seconds).
        """
        stream = self._stream
        while not stream.is_created and stream.error is None:
            if time.monotonic() >= deadline:
                raise stream.last_error or self._client._session.last_error or DeadlineExceeded()
            self._client._turn(deadline)
        # What ended it after its creation is said behind what came before.
        if stream.error is not None and not stream.is_created:
            raise stream.error


class RecipeRunner:
    """Performs the steps of one recipe, one after the other, for a synchronous client."""

    def __init__(self, client: Client, deadline: float | None) -> None:
        """Start; waiting ends at ``deadline`` (monotonic seconds), None = never."""
        self._client = client
        self._deadline = deadline
        self._watch: Watch | None = None
        self._result: StepResult = None
        self._error: ZetcdError | None = None

    def next_step(self, recipe: Generator[Step, StepResult, R]) -> Step:
        """Tell the recipe what its last step came to, and perform the next one."""
        if self._error is not None:
            error, self._error = self._error, None
            step = recipe.throw(error)
        else:
            step = recipe.send(self._result)
        self._result = None
        try:
            self._result = self._perform(step)
        except ZetcdError as error:
            self._error = error
        return step

    def _perform(self, step: Step) -> StepResult:
        if isinstance(step, OpenWatch):
            self.close()
            self._watch = self._client.open_watch(step.request)
        elif isinstance(step, NextResponse):
            return self._next_response()
        elif isinstance(step, CloseWatch):
            self.close()
        elif not isinstance(step, Emit):
            (result,) = self._client.call_many([step])
            if isinstance(result, ZetcdError):
                raise result
            return result
        return None

    def _next_response(self) -> WatchResponse:
        assert self._watch is not None
        if self._deadline is None:
            response = self._watch.next()
        else:
            response = self._watch.next(self._deadline - time.monotonic())
            if response is None:
                raise DeadlineExceeded("waited as long as was allowed")
        if response is None:
            raise WatchCanceled
        return response

    def close(self) -> None:
        """End the watch that a recipe left open."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None


def merged(
    options: ClientOptions | None, endpoints: str | Iterable[str], timeout: float | None
) -> ClientOptions:
    """Return the options with what was said beside them."""
    options = options or ClientOptions()
    endpoints = tuple(endpoints) if not isinstance(endpoints, str) else endpoints
    if endpoints:
        options = replace(options, endpoints=parse_endpoints(endpoints))
    if timeout is not None:
        options = replace(options, timeout=timeout)
    return options


__all__ = ["Client", "RecipeRunner", "Txn", "Watch", "merged"]
