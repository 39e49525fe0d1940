"""Responsible for the etcd API: which call is which request, and which stream is whose.

The core of an etcd gateway, without sockets: events of the transport and messages of the node go
in, answers go to the `Transport` (which has no sockets either), messages come out of `ready`. What
becomes of a request is `zetcd.gateway.service`'s matter, as in the native gateway.

Invariants
    - Nothing a client sends raises: its call ends with a status.
    - Every open call has exactly one owner: a unary request, a watch, keep-alives, a recipe, or the
      health service.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, cast

from google.protobuf.message import DecodeError

from zetcd.errors import (
    NoLeader,
    NotSupportedForLearner,
    RequestTooManyRequests,
    Stopped,
    ZetcdError,
)
from zetcd.gateway.etcd.call_transport import SplitTransport
from zetcd.gateway.etcd.debug import this_process, vars_answer
from zetcd.gateway.etcd.endpoints import Endpoints, endpoints
from zetcd.gateway.etcd.figures import (
    call_figures,
    health_figures,
    identity_figures,
    zero_call_figures,
)
from zetcd.gateway.etcd.json_paths import bindings
from zetcd.gateway.etcd.keep_alives import KeepAlives
from zetcd.gateway.etcd.local_answers import LOCAL_ANSWERS, LocalCall
from zetcd.gateway.etcd.methods import etcd_methods
from zetcd.gateway.etcd.outbox import Outbox
from zetcd.gateway.etcd.ranges import RangeAsker, RangeStreamAsker
from zetcd.gateway.etcd.recipes import Recipes
from zetcd.gateway.etcd.replies import Asker, EtcdReplies
from zetcd.gateway.etcd.responses import Responses
from zetcd.gateway.etcd.statuses import malformed, status_of
from zetcd.gateway.etcd.unary import RECIPES, Unary, unary_methods
from zetcd.gateway.etcd.watch_calls import ToWatch, WatchCalls
from zetcd.gateway.grpc import (
    Call,
    Closed,
    HalfClosed,
    Head,
    Method,
    Opened,
    StreamMessage,
    Transport,
    TransportOptions,
    Writable,
)
from zetcd.gateway.http import Answer as HttpAnswer
from zetcd.gateway.http import HttpEvent, HttpOptions, HttpRequest, HttpTransport
from zetcd.gateway.options import GatewayOptions
from zetcd.gateway.pending import Pending, begun_nothing
from zetcd.gateway.service import Service, ToApply, ToRaft
from zetcd.messages.base import Message
from zetcd.messages.cluster import AlarmType, StatusRequest
from zetcd.messages.kv import RangeRequest
from zetcd.messages.node import (
    ApplyReached,
    ApplyResults,
    ChangeMemberRefused,
    Defragmented,
    Figure,
    FiguresRequest,
    LeaderAnswer,
    LeaderInfo,
    MemberChanged,
    MemberTable,
    NodeFigures,
    ProposeRefused,
    RaftStatus,
    ReadIndexResult,
    Role,
    SnapshotPart,
    WatchDelivery,
)
from zetcd.metrics import figure
from zetcd.mvcc.backend import Backend
from zetcd.version import STORAGE_VERSION

#: gRPC clients' metadata that asks for a member with a leader.
_HAS_LEADER: Final = "hasleader"
#: Election time-outs without a leader after which such streams are cut (etcd).
_NO_LEADER_TIMEOUTS: Final = 3
#: How long a request for metrics waits for the supervisor.
_FIGURES_SECONDS: Final = 2.0
#: What a gRPC message may hold beside the request (etcd).
_MESSAGE_OVERHEAD_BYTES: Final = 512 * 1024


class EtcdReady(NamedTuple):
    """Everything to send to the node since the last call, in order."""

    to_raft: list[ToRaft]
    to_apply: list[ToApply]
    to_watch: list[ToWatch]
    to_supervisor: list[FiguresRequest]


def transport_options(options: GatewayOptions) -> TransportOptions:
    """Return the limits of the transport that follow from those of the gateway."""
    return TransportOptions(message_bytes_max=message_bytes_max(options))


def message_bytes_max(options: GatewayOptions) -> int:
    """Return the bytes of the largest message that a client may send."""
    return options.request_bytes_max + _MESSAGE_OVERHEAD_BYTES


class EtcdGateway:
    """All calls of one etcd gateway."""

    def __init__(
        self,
        options: GatewayOptions,
        *,
        election_timeout_seconds: float,
        limits: TransportOptions | None = None,
        http: HttpOptions | None = None,
        handling_clock: Callable[[], float] | None = None,
    ) -> None:
        """Start without calls and without a store; measure calls if there is a clock for that."""
        self._options = options
        self._no_leader_seconds = _NO_LEADER_TIMEOUTS * election_timeout_seconds
        methods = etcd_methods(handling_clock)
        self.transport = Transport(methods.values(), limits or transport_options(options))
        http = http or HttpOptions(message_bytes_max=message_bytes_max(options))
        self.http = HttpTransport(bindings(methods), endpoints(has_debug=http.has_debug), http)
        self._calls = SplitTransport(self.transport, self.http)
        self._responses = Responses(options.cluster_id, options.node_id)
        self._replies = EtcdReplies()
        self._service = Service(options, self._replies, awaits_leader=True)
        self._endpoints = Endpoints(
            self.http,
            self._replies,
            self,
            server_version=options.server_version,
            storage_version=STORAGE_VERSION,
        )
        self._outbox = Outbox(self._calls)
        self._watch = WatchCalls(
            self._outbox,
            self._responses,
            incarnation=options.incarnation,
            watches_max=options.limits.session_watches_max,
        )
        transport, outbox = self._calls, self._outbox
        self._keep_alives = KeepAlives(
            transport, outbox, self._replies, self._responses, self._submit
        )
        self._recipes = Recipes(transport, outbox, self._replies, self._watch, self._submit)
        self._ranges = RangeAsker(transport, outbox, self._responses, self._submit_again)
        range_streams = RangeStreamAsker(outbox, self._responses)
        self._unary: dict[Method, Unary] = {
            methods[path]: unary
            for path, unary in unary_methods(
                transport, self._responses, self._ranges, range_streams
            ).items()
        }
        self._recipe_starters = {methods[path]: starter for path, starter in RECIPES.items()}
        self._local = {methods[path]: answer for path, answer in LOCAL_ANSWERS.items()}
        self._watch_method = methods["/etcdserverpb.Watch/Watch"]
        #: Calls that are cut when there is no leader for too long, and since when there is none.
        self._need_leader: dict[int, None] = {}
        self._no_leader_since: float | None = None
        self._info = LeaderInfo(0, 0, Role.FOLLOWER)
        self._now = 0.0
        self._is_draining = False
        self._to_supervisor: list[FiguresRequest] = []
        self._zero_figures = zero_call_figures(methods.values())
        #: Figures for status.
        self.calls_count = 0
        self._handlers = self._handlers_of_calls()
        self._node_handlers = self._handlers_of_node()

    def _handlers_of_calls(self) -> dict[type[HttpEvent], Callable[[HttpEvent], None]]:
        """Return who takes which event of the connections."""
        return {
            Call: lambda event: self._on_call(cast(Call, event)),
            Opened: lambda event: self._on_opened(cast(Opened, event)),
            StreamMessage: lambda event: self._on_message(cast(StreamMessage, event)),
            HalfClosed: lambda event: self._keep_alives.half_closed(event.token),
            Closed: lambda event: self._on_closed(event.token),
            Writable: lambda event: self._on_writable(event.token),
            HttpRequest: lambda event: self._endpoints.handle(cast(HttpRequest, event)),
        }

    def _handlers_of_node(self) -> dict[type[Message], Callable[[Message, float], None]]:
        """Return who takes which message of the node."""
        service = self._service
        return {
            ApplyResults: lambda m, _: service.results(cast(ApplyResults, m)),
            ProposeRefused: lambda m, t: service.refused(cast(ProposeRefused, m), t),
            ReadIndexResult: lambda m, t: service.read_index_result(cast(ReadIndexResult, m), t),
            ApplyReached: lambda m, _: service.apply_reached(cast(ApplyReached, m)),
            Defragmented: lambda m, _: service.defragmented(cast(Defragmented, m)),
            SnapshotPart: lambda m, _: service.snapshot_part(cast(SnapshotPart, m)),
            LeaderAnswer: lambda m, t: service.leader_answer(cast(LeaderAnswer, m), t),
            LeaderInfo: lambda m, t: self._on_leader_info(cast(LeaderInfo, m), t),
            RaftStatus: lambda m, _: service.raft_status(cast(RaftStatus, m)),
            MemberTable: lambda m, _: service.member_table(cast(MemberTable, m)),
            ChangeMemberRefused: lambda m, t: service.change_refused(
                cast(ChangeMemberRefused, m), t
            ),
            MemberChanged: lambda m, _: service.member_changed(cast(MemberChanged, m)),
            WatchDelivery: lambda m, _: self._watch.deliver(cast(WatchDelivery, m)),
            NodeFigures: lambda m, _: self._endpoints.node_figures(cast(NodeFigures, m)),
        }

    # --- events of the transport ------------------------------------------------------------------

    def step_calls(self, events: Sequence[HttpEvent], now: float) -> None:
        """Consume what happened on the connections."""
        self._now = now
        handlers = self._handlers
        for event in events:
            handlers[type(event)](event)

    def _on_call(self, call: Call) -> None:
        """Begin a call whose client has said everything."""
        self.calls_count += 1
        method = call.head.method
        unary = self._unary.get(method)
        try:
            if unary is not None:
                self._begin_unary(call, unary)
            elif method in self._recipe_starters:
                self._refuse_without_leader(call.head)
                recipe = self._recipe_starters[method](call.message, self._responses)
                self._recipes.start(call.token, recipe)
            else:
                self._refuse_without_leader(call.head)
                header = self._service.header()
                self._local[method](
                    LocalCall(self._calls, call.token, call.message, header, self._responses)
                )
        except DecodeError as error:
            self._calls.finish(call.token, malformed(error))
        except ZetcdError as error:
            self._calls.finish(call.token, status_of(begun_nothing(error)))

    def _begin_unary(self, call: Call, unary: Unary) -> None:
        request = unary.read(call.message)
        if not self._info.leader or self._info.is_learner:
            self._refuse_without_leader(call.head, request)
        if self._replies.pending_count >= self._options.limits.pending_requests_max:
            raise RequestTooManyRequests(f"{self._replies.pending_count} requests wait")
        self._submit(call.token, request, unary.asker, len(call.message))

    def _refuse_without_leader(self, head: Head, request: Message | None = None) -> None:
        """Refuse what this member cannot serve now.

        Raises:
            NoLeader: the client asked for a member with a leader.
            NotSupportedForLearner: as in etcd, a learner answers its status and local reads only.
        """
        if not self._info.leader and head.get(_HAS_LEADER) == "true":
            raise NoLeader
        if self._info.is_learner and not (
            request is None
            or type(request) is StatusRequest
            or (type(request) is RangeRequest and request.serializable)
        ):
            raise NotSupportedForLearner

    def _submit(self, request_id: int, request: Message, asker: Asker, body_bytes: int) -> None:
        """Hand a request to the service; a refusal reaches the asker as any other error."""
        timeout = self._options.request_timeout_seconds
        now = self._now
        pending = Pending(asker, request_id, request, started=now, deadline=now + timeout)
        self._replies.open(pending)
        try:
            self._service.submit(pending, body_bytes)
        except ZetcdError as error:
            self._replies.fail(pending, begun_nothing(error))

    def _submit_again(self, request_id: int, request: Message, asker: Asker) -> None:
        self._submit(request_id, request, asker, 0)

    def _on_opened(self, event: Opened) -> None:
        """Begin a call whose client streams."""
        self.calls_count += 1
        token = event.token
        needs_leader = event.head.get(_HAS_LEADER) == "true"
        error: ZetcdError | None = None
        if self._is_draining:
            error = Stopped()
        elif self._info.is_learner:
            error = NotSupportedForLearner()
        elif needs_leader and not self._info.leader:
            error = NoLeader()
        if error is not None:
            self._calls.finish(token, status_of(error))
            return
        if needs_leader:
            self._need_leader[token] = None
        if event.head.method is self._watch_method:
            self._watch.open(token)
            # A client waits for these before it believes that its stream exists.
            self._calls.send_headers(token)
        else:
            self._keep_alives.open(token)

    def _on_message(self, event: StreamMessage) -> None:
        # One of the two knows the call, unless it has ended from this side.
        self._watch.message(event.token, event.message)
        self._keep_alives.message(event.token, event.message)

    def _on_closed(self, token: int) -> None:
        """Forget a call that its client has ended; a proposed mutation still happens."""
        pending = self._replies.find(token)
        if pending is not None:
            self._replies.close(pending)
        self._need_leader.pop(token, None)
        self._ranges.forget(token)
        self._watch.close(token)
        self._keep_alives.close(token)
        self._recipes.close(token)
        self._endpoints.close(token)
        self._outbox.forget(token)

    def _on_writable(self, token: int) -> None:
        if self._outbox.go_on(token):
            self._watch.writable(token)
            self._keep_alives.writable(token)
            self._recipes.writable(token)

    # --- how this member stands, for the endpoints ------------------------------------------------

    @property
    def has_leader(self) -> bool:
        """Whether a leader is known."""
        return self._info.leader != 0

    @property
    def is_learner(self) -> bool:
        """Whether this member has no vote."""
        return self._info.is_learner

    def alarms(self) -> tuple[AlarmType, ...]:
        """Return the alarms that are on."""
        return self._service.alarms()

    def read(self, request_id: int, request: RangeRequest, asker: Asker) -> None:
        """Read for the member itself: on a learner too, and with every right."""
        timeout = self._options.request_timeout_seconds
        now = self._now
        pending = Pending(asker, request_id, request, started=now, deadline=now + timeout)
        self._replies.open(pending)
        try:
            self._service.submit_inside(pending)
        except ZetcdError as error:
            self._replies.fail(pending, begun_nothing(error))

    def ask_figures(self, request_id: int) -> float:
        """Ask the supervisor for the figures of the whole node."""
        self._to_supervisor.append(FiguresRequest(request_id))
        return self._now + _FIGURES_SECONDS

    def own_figures(self) -> tuple[Figure, ...]:
        """Return what is said once for the whole member."""
        options = self._options
        identity = identity_figures(
            options.server_version, options.node_id, has_leader=self.has_leader
        )
        return (*identity, *self._zero_figures)

    def variables(self, figures: Sequence[Figure]) -> HttpAnswer:
        """Return what is said under ``/debug/vars``."""
        return vars_answer(this_process(), self._options.node_id, self._info, figures)

    # --- messages of the node ---------------------------------------------------------------------

    def step_node(self, message: Message, now: float) -> None:
        """Consume one message of raft, apply or watch."""
        self._now = now
        self._node_handlers[type(message)](message, now)

    def _on_leader_info(self, info: LeaderInfo, now: float) -> None:
        self._info = info
        if info.leader:
            self._no_leader_since = None
        elif self._no_leader_since is None:
            self._no_leader_since = now
        self._service.leader_info(info, now)

    def _cut_streams(self) -> None:
        """End the streams that want a leader."""
        tokens, self._need_leader = self._need_leader, {}
        for token in tokens:
            self._end_stream(token, NoLeader())

    def _end_stream(self, token: int, error: ZetcdError) -> None:
        self._watch.end(token, status_of(error))
        self._keep_alives.end(token, status_of(error))

    def raft_restarted(self, now: float) -> None:
        """Note a new incarnation of raft: what the old one held is lost."""
        self._now = now
        self._service.raft_restarted(now)

    def apply_restarted(self) -> None:
        """Note a new incarnation of apply: results on their way are lost."""
        self._service.apply_restarted()

    def snapshot_restarted(self) -> None:
        """Note a new incarnation of snapshot: the parts that clients wait for are lost."""
        self._service.snapshot_restarted()

    def watch_restarted(self) -> None:
        """Note a new incarnation of watch: it must be told of every watcher."""
        self._watch.watch_restarted()

    def watch_overloaded(self) -> None:
        """Note that something of `ready` could not be sent to watch: orders would be lost."""
        for token in self._watch.tokens():
            self._watch.end(token, status_of(RequestTooManyRequests()))

    def set_backend(self, backend: Backend | None) -> None:
        """Read from this store from now on; None: there is none, reads wait."""
        self._service.set_backend(backend)

    def refuse_proposal(self, batch_id: int, now: float) -> None:
        """Note that a proposal of `ready` could not be sent to raft."""
        self._service.refused(ProposeRefused(batch_id, NoLeader.number), now)

    def refuse_change(self, request_id: int, now: float) -> None:
        """Note that a membership change of `ready` could not be sent to raft."""
        self._service.change_unreachable(request_id, now)

    def drain(self) -> None:
        """Take nothing new; what was taken is still answered."""
        self._is_draining = True
        self._service.drain()

    @property
    def is_idle(self) -> bool:
        """Whether every request has its answer."""
        return self._replies.pending_count == 0

    def say_goodbye(self) -> None:
        """End every stream: the member stops."""
        for token in (*self._watch.tokens(), *self._keep_alives.tokens()):
            self._end_stream(token, Stopped())

    # --- once per turn ----------------------------------------------------------------------------

    def ready(self, now: float) -> EtcdReady:
        """Do a bounded amount of reading; return everything to send since the last call."""
        self._now = now
        since = self._no_leader_since
        if self._need_leader and since is not None and now >= since + self._no_leader_seconds:
            self._cut_streams()
        self._recipes.advance(now)
        self._endpoints.advance(now)
        service, watch = self._service, self._watch
        service.advance(now)
        ready = EtcdReady(service.to_raft, service.to_apply, watch.to_watch, self._to_supervisor)
        self._to_supervisor = []
        service.to_raft, service.to_apply, watch.to_watch = [], [], []
        return ready

    @property
    def has_messages(self) -> bool:
        """Whether `ready` would return something even if it did nothing."""
        service = self._service
        return bool(
            service.to_raft or service.to_apply or self._watch.to_watch or self._to_supervisor
        )

    def wake_at(self) -> float:
        """Return when `ready` has something to do, even without input."""
        wake_at = min(self._service.wake_at(), self._recipes.wake_at(), self._endpoints.wake_at())
        if self._need_leader and self._no_leader_since is not None:
            wake_at = min(wake_at, self._no_leader_since + self._no_leader_seconds)
        return wake_at

    def figures(self) -> tuple[Figure, ...]:
        """Return figures for /metrics."""
        transport, http = self.transport, self.http
        return (
            *self._service.figures(),
            *call_figures(transport.methods),
            *health_figures(self._endpoints.figures),
            figure("etcd_network_client_grpc_received_bytes_total", transport.received_bytes),
            figure("etcd_network_client_grpc_sent_bytes_total", transport.sent_bytes),
            figure("zetcd_gateway_connections", transport.connection_count, "grpc"),
            figure("zetcd_gateway_connections", http.connection_count, "http"),
        )

    def facts(self) -> dict[str, int]:
        """Return figures for status."""
        return self._service.facts() | {
            "calls": self.calls_count,
            "connections": self.transport.connection_count,
            "errors": self._replies.errors_count,
            "http_connections": self.http.connection_count,
            "pending": self._replies.pending_count,
            "queued_bytes": self.transport.queued_bytes_total,
            "read_twice": self._ranges.read_twice_count,
            "recipes": self._recipes.count,
            "stalled": self._outbox.waiting_count,
            "streams": self.transport.stream_count,
            "watchers": self._watch.watchers_count,
            "watch_responses": self._watch.delivered_count,
        }

    def check(self) -> None:
        """Assert the invariants."""
        self._service.check()
        self._replies.check()
        self._watch.check()
