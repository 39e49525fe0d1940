"""Responsible for what is asked over HTTP beside calls: version, health, readiness, metrics, variables.

Bodies, statuses and names are etcd's; probes of orchestrators and dashboards depend on them. A check
that has to read is a generator: it yields the read and is sent its error, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from zetcd.errors import ZetcdError
from zetcd.gateway.etcd.debug import DEBUG_PATHS, PPROF_PATHS, VARS, pprof_answer, this_process
from zetcd.gateway.etcd.replies import EtcdReplies
from zetcd.gateway.http import Answer, HttpRequest, HttpTransport, Request, Surface
from zetcd.gateway.http.writing import JSON, NO_SNIFF, TEXT, text_error
from zetcd.gateway.pending import Pending
from zetcd.messages.base import Message
from zetcd.messages.cluster import AlarmType
from zetcd.messages.kv import RangeRequest, RangeResponse
from zetcd.messages.node import Figure, NodeFigures
from zetcd.metrics import CONTENT_TYPE, exposition
from zetcd.version import CLUSTER_VERSION

#: A key like any other; whether it is there does not matter.
_PROBE_KEY: Final = b"health"
_METRICS: Final = "/metrics"

Probe = Generator[RangeRequest, ZetcdError | None, Answer]
_Reading = Generator[RangeRequest, ZetcdError | None, str]


class Standing(Protocol):
    """What a member knows of itself without asking anybody."""

    @property
    def has_leader(self) -> bool:
        """Whether a leader is known."""
        ...

    @property
    def is_learner(self) -> bool:
        """Whether this member has no vote."""
        ...

    def alarms(self) -> tuple[AlarmType, ...]:
        """Return the alarms that are on."""
        ...

    def read(self, request_id: int, request: RangeRequest, asker: Endpoints) -> None:
        """Read for the member itself, with every right; answers through ``asker``."""
        ...

    def ask_figures(self, request_id: int) -> float:
        """Ask for the figures of the whole node; returns until when they must be here."""
        ...

    def own_figures(self) -> tuple[Figure, ...]:
        """Return what is said once for the whole member."""
        ...

    def variables(self, figures: Sequence[Figure]) -> Answer:
        """Return ``/debug/vars``, from the figures of the whole node."""
        ...


@dataclass(slots=True)
class HealthFigures:
    """What ``etcd_server_health*`` reports."""

    success: int = 0
    failures: int = 0
    #: Last result of each check, and how often it came out how, by (kind, name).
    last: dict[tuple[str, str], bool] = field(default_factory=dict)
    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def note(self, kind: str, name: str, *, is_good: bool) -> None:
        """Count a check."""
        self.last[kind, name] = is_good
        key = (kind, name, "success" if is_good else "error")
        self.counts[key] = self.counts.get(key, 0) + 1


# --- the checks of livez and readyz: the reason why not, or empty -----------------------------------


def _read(*, serializable: bool) -> _Reading:
    error = yield RangeRequest(_PROBE_KEY, limit=1, keys_only=True, serializable=serializable)
    return "" if error is None else error.text


def _is_uncorrupted(standing: Standing) -> _Reading:
    yield from ()
    return "alarm activated: CORRUPT" if AlarmType.CORRUPT in standing.alarms() else ""


def _is_voter(standing: Standing) -> _Reading:
    yield from ()
    return "not supported for learner" if standing.is_learner else ""


_Check = Callable[[Standing], _Reading]
_CHECKS: Final[Mapping[str, Mapping[str, _Check]]] = {
    "livez": {"serializable_read": lambda _: _read(serializable=True)},
    "readyz": {
        "data_corruption": _is_uncorrupted,
        "serializable_read": lambda _: _read(serializable=True),
        "linearizable_read": lambda _: _read(serializable=False),
        "non_learner": _is_voter,
    },
}

_MONITORING: Final = frozenset(
    {
        "/health",
        *(f"/{kind}" for kind in _CHECKS),
        *(f"/{kind}/{name}" for kind, checks in _CHECKS.items() for name in checks),
        _METRICS,
    }
)
#: What Prometheus' and Go's own handlers serve in etcd: they do not look at the method.
_ANY_METHOD: Final = PPROF_PATHS | {_METRICS}


def endpoints(*, has_debug: bool = False) -> dict[Surface, frozenset[str]]:
    """Return the paths that each kind of listener serves."""
    debug = DEBUG_PATHS if has_debug else frozenset()
    return {
        Surface.CLIENT: _MONITORING | {"/version"} | debug,
        Surface.METRICS: _MONITORING,
    }


def _wrong_method() -> Answer:
    return text_error(405, "Method Not Allowed\n", (("Allow", "GET"),))


def check_answer(
    request: Request, kind: str, names: tuple[str, ...], standing: Standing, figures: HealthFigures
) -> Probe:
    """Run checks one after the other, and say how they came out."""
    lines: list[str] = []
    is_good = True
    for name in names:
        reason = yield from _CHECKS[kind][name](standing)
        figures.note(kind, name, is_good=not reason)
        lines.append(f"[-]{name} failed: {reason}\n" if reason else f"[+]{name} ok\n")
        is_good = is_good and not reason
    text = "".join(lines)
    if not is_good:
        return text_error(503, text + "\n")
    told = text if request.has_query("verbose") else ""
    return Answer(200, TEXT, f"{told}ok\n".encode(), NO_SNIFF)


def health_answer(request: Request, standing: Standing, figures: HealthFigures) -> Probe:
    """Say whether this member serves: no alarm, a leader, a read that comes back."""
    reason = yield from _health_problem(request, standing)
    body = msgspec.json.encode({"health": "false" if reason else "true", "reason": reason})
    if reason:
        figures.failures += 1
        return text_error(503, body.decode() + "\n")
    figures.success += 1
    return Answer(200, TEXT, body)


def _health_problem(request: Request, standing: Standing) -> _Reading:
    excluded = request.query_values("exclude")
    for alarm in standing.alarms():
        if alarm.name not in excluded:
            return f"ALARM {alarm.name}"
    serializable = request.query_values("serializable")[:1] == ("true",)
    if not serializable and not standing.has_leader:
        return "RAFT NO LEADER"
    reason = yield from _read(serializable=serializable)
    return f"RANGE ERROR:{reason}" if reason else ""


class Endpoints:
    """Serves requests for the endpoints; the asker of the reads of their checks."""

    def __init__(
        self,
        http: HttpTransport,
        replies: EtcdReplies,
        standing: Standing,
        *,
        server_version: str,
        storage_version: str,
    ) -> None:
        """Answer through ``http``."""
        self._http = http
        self._replies = replies
        self._standing = standing
        self._server_version = server_version
        self._storage_version = storage_version
        #: Probes that wait for a read, by the id of that.
        self._waiting: dict[int, tuple[int, Probe]] = {}
        self._request_ids: dict[int, int] = {}
        #: Requests that wait for the supervisor's figures: until when, and what they become.
        self._scrapes: dict[int, tuple[float, Callable[[Sequence[Figure]], Answer]]] = {}
        self.figures = HealthFigures()

    def handle(self, asked: HttpRequest) -> None:
        """Serve a request."""
        request = asked.request
        if request.method != "GET" and request.path not in _ANY_METHOD:
            self._http.respond(asked.token, _wrong_method())
        elif request.path == _METRICS:
            self._scrape(asked.token, self._metrics)
        elif request.path == VARS:
            self._scrape(asked.token, self._standing.variables)
        elif request.path in PPROF_PATHS:
            self._http.respond(asked.token, pprof_answer(request.path, this_process()))
        elif request.path == "/version":
            self._http.respond(asked.token, self._version())
        else:
            self._go_on(asked.token, self._probe(request), None)

    def _version(self) -> Answer:
        cluster = "not_decided"
        if self._standing.has_leader:
            cluster = CLUSTER_VERSION
        versions = {
            "etcdserver": self._server_version,
            "etcdcluster": cluster,
            "storage": self._storage_version,
        }
        return Answer(200, JSON, msgspec.json.encode(versions))

    def _probe(self, request: Request) -> Probe:
        kind, _, name = request.path.removeprefix("/").partition("/")
        if kind == "health":
            return health_answer(request, self._standing, self.figures)
        names = (name,) if name else tuple(_CHECKS[kind])
        if not name:
            excluded = request.query_values("exclude")
            names = tuple(each for each in names if each not in excluded)
        return check_answer(request, kind, names, self._standing, self.figures)

    def _go_on(self, token: int, probe: Probe, error: ZetcdError | None) -> None:
        """Let a probe go on until it reads or is done."""
        try:
            request = next(probe) if error is None else probe.send(error)
        except StopIteration as end:
            self._request_ids.pop(token, None)
            answer = end.value
            assert isinstance(answer, Answer)
            self._http.respond(token, answer)
            return
        request_id = self._replies.inner_id()
        self._waiting[request_id] = (token, probe)
        self._request_ids[token] = request_id
        self._standing.read(request_id, request, self)

    def close(self, token: int) -> None:
        """Forget a request whose client is gone."""
        self._scrapes.pop(token, None)
        request_id = self._request_ids.pop(token, None)
        if request_id is not None:
            del self._waiting[request_id]
            pending = self._replies.find(request_id)
            if pending is not None:
                self._replies.close(pending)

    # --- figures ------------------------------------------------------------------------------------

    def _scrape(self, token: int, become: Callable[[Sequence[Figure]], Answer]) -> None:
        self._scrapes[token] = (self._standing.ask_figures(token), become)

    def _metrics(self, figures: Sequence[Figure]) -> Answer:
        text = exposition((*figures, *self._standing.own_figures()))
        return Answer(200, CONTENT_TYPE, text)

    def node_figures(self, message: NodeFigures) -> None:
        """Answer a request for metrics or variables."""
        waiting = self._scrapes.pop(message.request_id, None)
        if waiting is not None:
            _, become = waiting
            self._http.respond(message.request_id, become(message.figures))

    def advance(self, now: float) -> None:
        """Give up what the supervisor does not answer."""
        for token in [token for token, (until, _) in self._scrapes.items() if until <= now]:
            del self._scrapes[token]
            self._http.respond(token, text_error(503, "the supervisor does not answer\n"))

    def wake_at(self) -> float:
        """Return when `advance` has something to do."""
        if not self._scrapes:
            return float("inf")
        return min(until for until, _ in self._scrapes.values())

    # --- answers to reads -----------------------------------------------------------------------------

    def answered(self, pending: Pending, response: Message) -> None:
        """Go on: the member can read."""
        del response
        self._resume(pending, None)

    def part(self, pending: Pending, part: RangeResponse) -> bool:
        """Never called: a probe reads one key."""
        raise AssertionError("a probe reads one key")

    def failed(self, pending: Pending, error: ZetcdError) -> None:
        """Go on with what is wrong."""
        self._resume(pending, error)

    def _resume(self, pending: Pending, error: ZetcdError | None) -> None:
        waiting = self._waiting.pop(pending.request_id, None)
        if waiting is not None:
            self._go_on(*waiting, error)
