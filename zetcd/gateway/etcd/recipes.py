"""Responsible for calls that take several steps: locks and elections that the server keeps for a client.

A recipe is a generator: it yields what it needs next and is sent what came of it.

    yield PutRequest(…)          → the response; an error is raised where it was yielded
    yield Await(request)         → the events of the next response of such a watch
    yield Emit(message)          → None; sends a message of a stream, goes on when there is room
    return message               ends the call with its only message; None: without one

Invariants
    - A recipe waits for one thing at a time.
    - When its call ends before the recipe does (cancelled, failed), ``undo`` is proposed, once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final, cast

from zetcd.errors import Compacted, WatchCanceled, ZetcdError
from zetcd.gateway.etcd.call_transport import CallTransport
from zetcd.gateway.etcd.outbox import Outbox
from zetcd.gateway.etcd.replies import Asker, EtcdReplies
from zetcd.gateway.etcd.statuses import status_of
from zetcd.gateway.etcd.watch_calls import WatchCalls
from zetcd.gateway.etcd.watch_responses import WatchBody
from zetcd.gateway.pending import Pending
from zetcd.messages.base import Message
from zetcd.messages.codec import decoder_of
from zetcd.messages.kv import Event, RangeResponse
from zetcd.messages.lease import LeaseKeepAliveRequest, LeaseKeepAliveResponse
from zetcd.messages.watch import WatchCreateRequest
from zetcd.scalars import LeaseID

_decode_events: Final = decoder_of(tuple[Event, ...]).decode
#: A lease is renewed after this part of its TTL (etcd: a third).
_RENEW_SHARE: Final = 1 / 3
#: Renewed again after this long if nobody answered.
_RENEW_RETRY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for events."""

    request: WatchCreateRequest


@dataclass(frozen=True, slots=True)
class Emit:
    """Send a message of a stream."""

    message: bytes


Step = Message | Await | Emit
#: What a step may be sent.
Outcome = Message | tuple[Event, ...] | None
Steps = Generator[Step, Outcome, bytes | None]
#: Submits a request under an id of its own: (request id, request, asker, bytes).
Submit = Callable[[int, Message, Asker, int], None]


@dataclass(slots=True)
class Scene:
    """What a recipe and its surroundings share."""

    #: Proposed if the call ends early.
    undo: Message | None = None
    #: Kept alive while the recipe runs; 0: none.
    lease: LeaseID = 0


@dataclass(slots=True)
class _Run:
    """One recipe at work."""

    token: int
    steps: Steps
    scene: Scene
    #: What it waits for.
    request_id: int = 0
    session_id: int = 0
    awaits: Await | None = None
    is_emitting: bool = False
    #: Lease renewed last, and when it is again.
    renewed: LeaseID = 0
    renew_at: float = field(default=float("inf"))


class Recipes:
    """All recipes of one gateway; the asker of their requests and the listener of their watches."""

    def __init__(
        self,
        transport: CallTransport,
        outbox: Outbox,
        replies: EtcdReplies,
        watch: WatchCalls,
        submit: Submit,
    ) -> None:
        """Start without recipes."""
        self._transport = transport
        self._outbox = outbox
        self._replies = replies
        self._watch = watch
        self._submit = submit
        self._renewals = _Renewals()
        self._runs: dict[int, _Run] = {}
        self._by_request: dict[int, _Run] = {}
        self._by_session: dict[int, _Run] = {}

    def start(self, token: int, recipe: Callable[[Scene], Steps]) -> None:
        """Begin a recipe for a call."""
        scene = Scene()
        run = self._runs[token] = _Run(token, recipe(scene), scene)
        self._resume(run, None)

    def close(self, token: int) -> None:
        """Stop a recipe whose call is over."""
        run = self._runs.pop(token, None)
        if run is not None:
            self._stop(run)

    # --- one step after the other -----------------------------------------------------------------

    def _resume(self, run: _Run, outcome: Outcome, error: ZetcdError | None = None) -> None:
        """Let the recipe go on until it has to wait."""
        run.request_id, run.awaits, run.is_emitting = 0, None, False
        try:
            step = run.steps.send(outcome) if error is None else run.steps.throw(error)
        except StopIteration as end:
            self._finish(run, cast(bytes | None, end.value))
            return
        except ZetcdError as failure:
            self._runs.pop(run.token, None)
            self._outbox.finish(run.token, status_of(failure))
            self._stop(run)
            return
        if isinstance(step, Await):
            run.awaits = step
            self._listen(run)
        elif isinstance(step, Emit):
            self._outbox.send(run.token, step.message)
            run.is_emitting = True
            if not self._outbox.is_full(run.token):
                self._resume(run, None)
        else:
            run.request_id = self._replies.inner_id()
            self._by_request[run.request_id] = run
            self._submit(run.request_id, step, self, 0)

    def _finish(self, run: _Run, message: bytes | None) -> None:
        del self._runs[run.token]
        run.scene.undo = None
        if message is not None and not self._outbox.is_full(run.token):
            self._transport.answer(run.token, message)
        else:
            self._outbox.finish(run.token)

    def _stop(self, run: _Run) -> None:
        """Forget what the recipe waits for, and take back what it has done."""
        run.steps.close()
        if run.request_id:
            self._by_request.pop(run.request_id, None)
            pending = self._replies.find(run.request_id)
            if pending is not None and not pending.is_proposed:
                self._replies.close(pending)
        if run.session_id:
            self._unlisten(run)
        if run.scene.undo is not None:
            self._submit(self._replies.inner_id(), run.scene.undo, self, 0)
            run.scene.undo = None

    # --- requests -----------------------------------------------------------------------------------

    def answered(self, pending: Pending, response: Message) -> None:
        """Go on with the response."""
        run = self._by_request.pop(pending.request_id, None)
        if run is not None:
            self._resume(run, response)

    def part(self, pending: Pending, part: RangeResponse) -> bool:
        """Never called: recipes read single keys."""
        raise AssertionError("recipes read single keys")

    def failed(self, pending: Pending, error: ZetcdError) -> None:
        """Go on with the error."""
        run = self._by_request.pop(pending.request_id, None)
        if run is not None:
            self._resume(run, None, error)

    # --- watches ------------------------------------------------------------------------------------

    def _listen(self, run: _Run) -> None:
        assert run.awaits is not None
        run.session_id = self._watch.listen(self, run.awaits.request)
        self._by_session[run.session_id] = run

    def _unlisten(self, run: _Run) -> None:
        self._by_session.pop(run.session_id, None)
        self._watch.unlisten(run.session_id)
        run.session_id = 0

    def delivered(self, session_id: int, body: WatchBody) -> None:
        """Go on with the events."""
        run = self._by_session.get(session_id)
        if run is None:
            return
        events = _decode_events(body.events)
        if body.canceled:
            self._unlisten(run)
            is_compacted = bool(body.compact_revision)
            self._resume(run, None, Compacted() if is_compacted else WatchCanceled())
        elif events:
            self._unlisten(run)
            self._resume(run, events)

    def broken(self, session_id: int) -> None:
        """Listen again, to a new watch actor; the request says from which revision."""
        run = self._by_session.pop(session_id, None)
        if run is not None:
            self._listen(run)

    # --- room, leases, time -------------------------------------------------------------------------

    def writable(self, token: int) -> None:
        """Note that the client reads again."""
        run = self._runs.get(token)
        if run is not None and run.is_emitting:
            self._resume(run, None)

    def advance(self, now: float) -> None:
        """Renew the leases that are due."""
        for run in list(self._runs.values()):
            lease = run.scene.lease
            if lease != run.renewed:
                run.renewed, run.renew_at = lease, now
            if lease and now >= run.renew_at:
                run.renew_at = self._renewals.due_of(lease, now)
                request_id = self._replies.inner_id()
                self._submit(request_id, LeaseKeepAliveRequest(lease), self._renewals, 0)

    def wake_at(self) -> float:
        """Return when `advance` has something to do."""
        if not self._runs:
            return float("inf")
        return min(self._due_of(run) for run in self._runs.values())

    @staticmethod
    def _due_of(run: _Run) -> float:
        return 0.0 if run.scene.lease != run.renewed else run.renew_at

    @property
    def count(self) -> int:
        """Recipes at work."""
        return len(self._runs)


class _Renewals:
    """Takes the answers to renewals, and knows from them how often a lease is due."""

    def __init__(self) -> None:
        self._ttls: dict[LeaseID, int] = {}

    def due_of(self, lease: LeaseID, now: float) -> float:
        """Return when a lease that is renewed now is due again."""
        ttl = self._ttls.pop(lease, 0)
        return now + (max(ttl * _RENEW_SHARE, 0.5) if ttl else _RENEW_RETRY_SECONDS)

    def answered(self, pending: Pending, response: Message) -> None:
        """Remember the TTL."""
        response = cast(LeaseKeepAliveResponse, response)
        if response.ttl > 0:
            self._ttls[response.id] = response.ttl

    def part(self, pending: Pending, part: RangeResponse) -> bool:
        """Never called: only ranges come in parts."""
        raise AssertionError("a keep-alive has no parts")

    def failed(self, pending: Pending, error: ZetcdError) -> None:
        """Nothing to do: it is asked again."""
