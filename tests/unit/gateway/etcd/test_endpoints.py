"""Version, health, liveness, readiness: bodies and statuses as etcd's."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from tests.unit.gateway.http.browser import Browser, request_of
from zetcd.errors import NoLeader, ZetcdError
from zetcd.gateway.etcd.debug import DEBUG_PATHS, Process, vars_answer
from zetcd.gateway.etcd.endpoints import Endpoints, endpoints
from zetcd.gateway.etcd.replies import EtcdReplies
from zetcd.gateway.http import Answer, HttpOptions, HttpRequest, HttpTransport, Surface
from zetcd.gateway.pending import Pending
from zetcd.messages.cluster import AlarmType
from zetcd.messages.kv import RangeRequest, RangeResponse, ResponseHeader
from zetcd.messages.node import Figure, LeaderInfo, NodeFigures, Role
from zetcd.metrics import CONTENT_TYPE, figure

TEXT = "text/plain; charset=utf-8"


@dataclass
class Member:
    """A member that stands as the test says; reads wait until they are answered."""

    has_leader: bool = True
    is_learner: bool = False
    on: tuple[AlarmType, ...] = ()
    replies: EtcdReplies = field(default_factory=EtcdReplies)
    reads: list[Pending] = field(default_factory=list)
    scrapes: list[int] = field(default_factory=list)

    def alarms(self) -> tuple[AlarmType, ...]:
        return self.on

    def read(self, request_id: int, request: RangeRequest, asker: Endpoints) -> None:
        pending = Pending(asker, request_id, request, started=0.0, deadline=1.0)
        self.replies.open(pending)
        self.reads.append(pending)

    def ask_figures(self, request_id: int) -> float:
        self.scrapes.append(request_id)
        return 2.0

    def variables(self, figures: Sequence[Figure]) -> Answer:
        info = LeaderInfo(5, 0xB, Role.FOLLOWER)
        return vars_answer(Process(77, ("zetcd", "x")), 0xA, info, figures)

    def own_figures(self) -> tuple[Figure, ...]:
        return (figure("etcd_server_version", 1, "3.6.14"),)


class Probe(Browser):
    """A browser whose member answers."""

    def __init__(
        self, member: Member, surface: Surface = Surface.CLIENT, *, has_debug: bool = False
    ) -> None:
        super().__init__(surface)
        self.transport = HttpTransport({}, endpoints(has_debug=has_debug), replace(HttpOptions()))
        number = self.transport.connect(0.0, surface)
        assert number is not None
        self.number = number
        self.member = member
        self.endpoints = Endpoints(
            self.transport, member.replies, member, server_version="3.6.14", storage_version="3.6.0"
        )

    def ask(
        self, target: str, *errors: ZetcdError | None, method: str = "GET"
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask, answer the reads one after the other, and return the answer."""
        (asked,) = self.say(request_of(method, target))
        assert isinstance(asked, HttpRequest)
        self.endpoints.handle(asked)
        given = list(errors)
        while self.member.reads:
            pending = self.member.reads.pop()
            error = given.pop(0) if given else None
            if error is None:
                self.member.replies.answer(
                    pending, RangeResponse(ResponseHeader(1, 1), (), False, 0)
                )
            else:
                self.member.replies.fail(pending, error)
        self.listen()
        return self.answer()


def test_version() -> None:
    status, headers, body = Probe(Member()).ask("/version")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert body == b'{"etcdserver":"3.6.14","etcdcluster":"3.6.0","storage":"3.6.0"}'


def test_version_before_there_is_a_leader() -> None:
    body = Probe(Member(has_leader=False)).ask("/version")[2]
    assert b'"etcdcluster":"not_decided"' in body


@pytest.mark.parametrize(
    "path", ["/version", "/health", "/livez", "/readyz", "/readyz/non_learner"]
)
@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE"])
def test_only_get(path: str, method: str) -> None:
    status, headers, body = Probe(Member()).ask(path, method=method)
    assert (status, headers["allow"]) == (405, "GET")
    assert body == (b"" if method == "HEAD" else b"Method Not Allowed\n")


@pytest.mark.parametrize(
    ("target", "member", "error", "status", "body"),
    [
        ("/health", Member(), None, 200, b'{"health":"true","reason":""}'),
        (
            "/health",
            Member(),
            NoLeader(),
            503,
            b'{"health":"false","reason":"RANGE ERROR:etcdserver: no leader"}\n',
        ),
        (
            "/health",
            Member(has_leader=False),
            None,
            503,
            b'{"health":"false","reason":"RAFT NO LEADER"}\n',
        ),
        (
            "/health?serializable=true",
            Member(has_leader=False),
            None,
            200,
            b'{"health":"true","reason":""}',
        ),
        (
            "/health",
            Member(on=(AlarmType.NOSPACE,)),
            None,
            503,
            b'{"health":"false","reason":"ALARM NOSPACE"}\n',
        ),
        (
            "/health?exclude=NOSPACE",
            Member(on=(AlarmType.NOSPACE,)),
            None,
            200,
            b'{"health":"true","reason":""}',
        ),
        (
            "/health?exclude=NOSPACE",
            Member(on=(AlarmType.NOSPACE, AlarmType.CORRUPT)),
            None,
            503,
            b'{"health":"false","reason":"ALARM CORRUPT"}\n',
        ),
        ("/livez", Member(has_leader=False, is_learner=True), None, 200, b"ok\n"),
        ("/livez?verbose", Member(), None, 200, b"[+]serializable_read ok\nok\n"),
        ("/livez/serializable_read", Member(), None, 200, b"ok\n"),
        ("/readyz", Member(), None, 200, b"ok\n"),
        (
            "/readyz?verbose",
            Member(),
            None,
            200,
            (
                b"[+]data_corruption ok\n[+]serializable_read ok\n"
                b"[+]linearizable_read ok\n[+]non_learner ok\nok\n"
            ),
        ),
        (
            "/readyz?verbose&exclude=linearizable_read&exclude=nothing",
            Member(),
            None,
            200,
            b"[+]data_corruption ok\n[+]serializable_read ok\n[+]non_learner ok\nok\n",
        ),
        (
            "/readyz/data_corruption",
            Member(on=(AlarmType.CORRUPT,)),
            None,
            503,
            b"[-]data_corruption failed: alarm activated: CORRUPT\n\n",
        ),
        (
            "/readyz/non_learner",
            Member(is_learner=True),
            None,
            503,
            b"[-]non_learner failed: not supported for learner\n\n",
        ),
        ("/readyz/non_learner?verbose", Member(), None, 200, b"[+]non_learner ok\nok\n"),
    ],
)
def test_health(
    target: str, member: Member, error: ZetcdError | None, status: int, body: bytes
) -> None:
    found = Probe(member).ask(target, error)
    assert (found[0], found[2]) == (status, body)
    assert found[1]["content-type"] == TEXT


def test_all_that_fails_is_said() -> None:
    member = Member(on=(AlarmType.CORRUPT,))
    status, headers, body = Probe(member).ask("/readyz", None, NoLeader())
    assert status == 503
    assert headers["x-content-type-options"] == "nosniff"
    assert body == (
        b"[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n"
        b"[-]linearizable_read failed: etcdserver: no leader\n[+]non_learner ok\n\n"
    )


def test_reads_are_as_the_check_wants_them() -> None:
    probe = Probe(Member())
    kinds = []
    for target in ("/health", "/health?serializable=true", "/health?serializable=1"):
        (asked,) = probe.say(request_of("GET", target))
        assert isinstance(asked, HttpRequest)
        probe.endpoints.handle(asked)
        request = probe.member.reads[0].request
        assert isinstance(request, RangeRequest)
        kinds.append(request.serializable)
        probe.endpoints.close(asked.token)
        assert probe.member.replies.pending_count == 0
        probe.member.reads.clear()
        probe = Probe(Member())
    assert kinds == [False, True, False]


def test_checks_are_counted() -> None:
    probe = Probe(Member(is_learner=True))
    probe.ask("/readyz")
    probe.ask("/health")
    figures = probe.endpoints.figures
    assert (figures.success, figures.failures) == (1, 0)
    assert figures.last["readyz", "non_learner"] is False
    assert figures.counts["readyz", "non_learner", "error"] == 1
    assert figures.counts["readyz", "linearizable_read", "success"] == 1


def scrape(probe: Probe, method: str = "GET") -> int:
    """Begin to read the metrics; returns the number of the question to the supervisor."""
    (asked,) = probe.say(request_of(method, "/metrics"))
    assert isinstance(asked, HttpRequest)
    probe.endpoints.handle(asked)
    return probe.member.scrapes[-1]


def test_metrics_are_those_of_the_node() -> None:
    probe = Probe(Member(), Surface.METRICS)
    request_id = scrape(probe)
    assert probe.endpoints.wake_at() == 2.0
    probe.endpoints.node_figures(NodeFigures(request_id, (figure("etcd_mvcc_put_total", 3),)))
    probe.listen()
    status, headers, body = probe.answer()
    assert (status, headers["content-type"]) == (200, CONTENT_TYPE)
    assert b"\netcd_mvcc_put_total 3\n" in body
    assert b'\netcd_server_version{server_version="3.6.14"} 1\n' in body
    # An answer that comes twice, or late, is nobody's.
    probe.endpoints.node_figures(NodeFigures(request_id, ()))
    assert probe.listen() == []


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "DELETE"])
def test_metrics_do_not_look_at_the_method(method: str) -> None:
    """Neither does the handler of Prometheus, which is etcd's."""
    probe = Probe(Member())
    probe.endpoints.node_figures(NodeFigures(scrape(probe, method), ()))
    probe.listen()
    status, headers, body = probe.answer()
    assert (status, headers["content-type"]) == (200, CONTENT_TYPE)
    assert (body == b"") == (method == "HEAD")


def test_the_metrics_listener_knows_nothing_of_options() -> None:
    probe = Probe(Member(), Surface.METRICS)
    probe.endpoints.node_figures(NodeFigures(scrape(probe, "OPTIONS"), ()))
    probe.listen()
    status, _, body = probe.answer()
    assert status == 200
    assert b"etcd_server_version" in body
    status, headers, _ = probe.ask("/health", method="OPTIONS")
    assert (status, headers["allow"]) == (405, "GET")


def test_metrics_without_the_supervisor() -> None:
    probe = Probe(Member())
    scrape(probe)
    probe.endpoints.advance(1.9)
    assert probe.endpoints.wake_at() == 2.0
    probe.endpoints.advance(2.0)
    probe.listen()
    assert probe.answer()[0] == 503
    assert probe.endpoints.wake_at() == float("inf")


def test_a_scrape_that_is_given_up() -> None:
    probe = Probe(Member())
    probe.endpoints.close(scrape(probe))
    assert probe.endpoints.wake_at() == float("inf")


def test_the_metrics_listener_has_no_version() -> None:
    probe = Probe(Member(), Surface.METRICS)
    assert probe.say(request_of("GET", "/version")) == []
    assert probe.answer()[0] == 404
    assert probe.ask("/livez")[0] == 200


# --- /debug -----------------------------------------------------------------------------------------


def test_variables_have_the_shape_of_expvar() -> None:
    member = Member()
    probe = Probe(member, has_debug=True)
    (asked,) = probe.say(request_of("GET", "/debug/vars"))
    assert isinstance(asked, HttpRequest)
    probe.endpoints.handle(asked)
    figures = (
        figure("os_fd_limit", 1024),
        figure("process_resident_memory_bytes", 300),
        figure("zetcd_actor_resident_memory_bytes", 200, "raft-0"),
        figure("etcd_server_proposals_committed_total", 9),
        figure("etcd_server_proposals_applied_total", 8),
    )
    probe.endpoints.node_figures(NodeFigures(member.scrapes[0], figures))
    probe.listen()
    status, headers, body = probe.answer()
    assert (status, headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert body.decode() == (
        '{\n"cmdline": ["zetcd","x"],\n"file_descriptor_limit": 1024,\n'
        '"memstats": {"Sys":300,"ByActor":{"raft-0":200}},\n'
        '"raft.status": {"id":"a","term":5,"commit":9,"lead":"b","raftState":"StateFollower",'
        '"applied":8}\n}\n'
    )


def test_what_is_applied_has_been_committed() -> None:
    """The figures of two processes are of two moments: apply may know of more than raft said."""
    figures = (
        figure("etcd_server_proposals_committed_total", 8),
        figure("etcd_server_proposals_applied_total", 9),
    )
    body = Member().variables(figures).body
    assert json.loads(body)["raft.status"] == {
        "id": "a",
        "term": 5,
        "commit": 9,
        "lead": "b",
        "raftState": "StateFollower",
        "applied": 9,
    }


def test_there_are_no_profiles_and_that_is_said() -> None:
    probe = Probe(Member(), has_debug=True)
    status, _, body = probe.ask("/debug/pprof/profile?seconds=30")
    assert status == 501
    assert b"no Go program" in body
    assert b"py-spy record --pid" in body
    status, _, body = probe.ask("/debug/pprof/")
    assert (status, body.split()[0]) == (200, b"/debug/pprof/cmdline")
    status, _, body = probe.ask("/debug/pprof/cmdline")
    assert (status, body.split(b"\0")[0]) == (200, sys.orig_argv[0].encode())
    assert probe.ask("/debug/pprof/symbol", method="POST")[0] == 501
    assert probe.ask("/debug/pprof/", method="HEAD")[0] == 200
    assert probe.ask("/debug/vars", method="POST")[0] == 405


@pytest.mark.parametrize("path", sorted(DEBUG_PATHS))
def test_without_being_asked_for_and_for_monitoring_there_is_no_debugging(path: str) -> None:
    for probe in (Probe(Member()), Probe(Member(), Surface.METRICS, has_debug=True)):
        assert probe.say(request_of("GET", path)) == []
        assert probe.status() == 404
