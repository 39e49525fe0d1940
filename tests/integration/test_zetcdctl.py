"""zetcdctl against a live cluster: every command as its user types it, output as etcdctl prints it."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import pytest

from tests.integration.cluster import PATIENCE_SECONDS, Cluster, client_of, wait_until

pytestmark = pytest.mark.integration

_COMMAND: Final = [sys.executable, "-m", "zetcd.ctl.main"]


class Control:
    """Runs zetcdctl with the endpoints of a cluster."""

    def __init__(self, endpoints: list[str]) -> None:
        self.environment = {**os.environ, "ETCDCTL_ENDPOINTS": ",".join(endpoints)}

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_COMMAND, *arguments],
            input=stdin,
            env=self.environment,
            capture_output=True,
            check=False,
            text=True,
            timeout=PATIENCE_SECONDS,
        )

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Return the output of a command that succeeds."""
        done = self.run(*arguments, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def json(self, *arguments: str) -> object:
        return json.loads(self(*arguments, "-w", "json"))

    def started(self, *arguments: str) -> Running:
        return Running(
            subprocess.Popen(
                [*_COMMAND, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )


class Running:
    """A command that goes on; its lines can be waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._lines.put(line.rstrip("\n"))

    def lines(self, count: int) -> list[str]:
        """Return the next lines, once they are there."""
        return [self._lines.get(timeout=PATIENCE_SECONDS) for _ in range(count)]

    def interrupt(self) -> int:
        """Send what Ctrl-C sends; return the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()


@pytest.fixture(scope="module", autouse=True)
def sigint_is_heard() -> Iterator[None]:
    """Let children end by SIGINT, even if the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("ctl")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def ctl(cluster: Cluster) -> Control:
    return Control(cluster.endpoints)


def test_put_get_and_del(ctl: Control) -> None:
    """Keys and values on lines of their own; del prints how many."""
    assert ctl("put", "greeting", "hello") == "OK\n"
    assert ctl("put", "greeting", "hello again", "--prev-kv") == "OK\ngreeting\nhello\n"
    assert ctl("get", "greeting") == "greeting\nhello again\n"
    assert ctl("get", "greeting", "--print-value-only") == "hello again\n"
    assert ctl("put", "greetings", stdin="from stdin") == "OK\n"
    assert ctl("get", "--prefix", "greet", "--keys-only") == "greeting\n\ngreetings\n\n"
    assert ctl("get", "greeting", "--consistency=s") == "greeting\nhello again\n"
    assert ctl("del", "--prefix", "greet") == "2\n"
    assert ctl("get", "greeting") == ""


def test_history_and_compaction(ctl: Control) -> None:
    """--rev reads the past until compaction takes it away, with etcd's error."""
    revisions = []
    for word in ("one", "two", "three"):
        header = ctl.json("put", "history", word)
        assert isinstance(header, dict)
        revisions.append(header["header"]["revision"])
    assert ctl("get", "history", "--rev", str(revisions[0])) == "history\none\n"
    assert ctl("compaction", str(revisions[1])) == f"compacted revision {revisions[1]}\n"
    done = ctl.run("get", "history", "--rev", str(revisions[0]))
    assert done.returncode == 1
    assert "etcdserver: mvcc: required revision has been compacted" in done.stderr
    done = ctl.run("compaction", str(revisions[0]))
    assert done.returncode == 1
    assert "required revision has been compacted" in done.stderr


@pytest.mark.parametrize("name", ["Ada", "Grace"])
def test_txn(ctl: Control, name: str) -> None:
    """Conditions, what to do if they hold, what if not, each ended by an empty line."""
    ctl("put", "name", name)
    script = 'value("name") = "Ada"\n\nput other "is Ada"\nget name\n\nget name\n\n'
    expected = {
        "Ada": "SUCCESS\n\nOK\n\nname\nAda\n",
        "Grace": "FAILURE\n\nname\nGrace\n",
    }
    assert ctl("txn", stdin=script) == expected[name]


def test_watch(ctl: Control) -> None:
    """Each event is printed at once: what happened, the key, the value."""
    header = ctl.json("put", "watched/a", "1")
    assert isinstance(header, dict)
    revision = str(header["header"]["revision"])
    with ctl.started("watch", "--prefix", "watched/", "--rev", revision, "--prev-kv") as watch:
        assert watch.lines(3) == ["PUT", "watched/a", "1"]
        ctl("put", "watched/a", "2")
        assert watch.lines(5) == ["PUT", "watched/a", "1", "watched/a", "2"]
        ctl("del", "watched/a")
        assert watch.lines(5) == ["DELETE", "watched/a", "2", "watched/a", ""]
        assert watch.interrupt() != 0


def test_watch_runs_a_program_for_each_event(ctl: Control, cluster: Cluster) -> None:
    """The program sees the event in its environment."""
    program = ["sh", "-c", "echo ran for $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY"]
    with ctl.started("watch", "program", "--", *program) as watch, client_of(cluster) as client:
        # It watches from now on: put until it has seen one.
        lines: list[str] = []

        def has_run() -> bool:
            client.put(b"program", b"v")
            lines.extend(watch.lines(watch._lines.qsize()))
            return len(lines) >= 4

        wait_until(has_run, "the program has run")
    assert lines[:4] == ["PUT", "program", "v", 'ran for "PUT" "program"']


def test_leases(ctl: Control) -> None:
    """Grant, attach, time to live, keep alive, list, revoke."""
    granted = ctl("lease", "grant", "600")
    match = re.fullmatch(r"lease ([0-9a-f]{16}) granted with TTL\(600s\)\n", granted)
    assert match is not None, granted
    lease = match[1]
    assert ctl("put", "leased", "v", "--lease", lease) == "OK\n"
    left = ctl("lease", "timetolive", lease, "--keys")
    assert re.fullmatch(
        rf"lease {lease} granted with TTL\(600s\), remaining\(\d+s\), attached keys\(\[leased\]\)\n",
        left,
    )
    renewed = ctl("lease", "keep-alive", "--once", lease)
    assert renewed == f"lease {lease} keepalived with TTL(600)\n"
    assert ctl("lease", "list") == f"found 1 leases\n{lease}\n"
    assert ctl("lease", "revoke", lease) == f"lease {lease} revoked\n"
    assert ctl("get", "leased") == ""
    done = ctl.run("lease", "revoke", lease)
    assert done.returncode == 1
    assert "etcdserver: requested lease not found" in done.stderr


def test_lock(ctl: Control) -> None:
    """Who holds the lock prints its key; the next one has it when the first lets go."""
    with ctl.started("lock", "job") as first, ctl.started("lock", "job") as second:
        lines: dict[Running, str] = {}
        (holder_key,) = [line for line in first_line(first, second, lines) if line]
        assert holder_key.startswith("job/")
        holder, waiter = (first, second) if first in lines else (second, first)
        assert holder.interrupt() == 0
        (key,) = [line for line in waiter.lines(1) if line]
        assert key.startswith("job/")
        assert key != holder_key
        assert waiter.interrupt() == 0
    assert ctl("lock", "job", "--", "sh", "-c", "echo held $ETCD_LOCK_KEY").startswith("held job/")
    assert ctl.run("lock", "job", "--", "sh", "-c", "exit 7").returncode == 7


def first_line(first: Running, second: Running, lines: dict[Running, str]) -> list[str]:
    """Return the first line that one of two commands prints."""

    def came() -> bool:
        for each in (first, second):
            if not each._lines.empty():
                (lines[each],) = each.lines(1)
        return bool(lines)

    wait_until(came, "one of two holds the lock")
    assert len(lines) == 1, f"both hold the lock: {lines}"
    return list(lines.values())


def test_elect(ctl: Control) -> None:
    """A candidate leads with its proposal; observers are told of each leader."""
    with ctl.started("elect", "chair", "--listen") as observer:
        with ctl.started("elect", "chair", "Ada") as candidate:
            key, proposal = candidate.lines(2)
            assert key.startswith("chair/")
            assert proposal == "Ada"
            assert observer.lines(2) == [key, "Ada"]
            assert candidate.interrupt() == 0
        with ctl.started("elect", "chair", "Grace") as candidate:
            assert candidate.lines(2)[1] == "Grace"
            assert observer.lines(2)[1] == "Grace"


def test_endpoints(ctl: Control, cluster: Cluster) -> None:
    """Health, status and hash of each endpoint; one leader, one cluster, one history."""
    health = ctl("endpoint", "health").splitlines()
    assert len(health) == 3
    assert all("is healthy: successfully committed proposal" in line for line in health)
    statuses = ctl.json("endpoint", "status", "--cluster")
    assert isinstance(statuses, list)
    assert {each["Endpoint"] for each in statuses} == set(cluster.endpoints)
    leaders = {each["Status"]["leader"] for each in statuses}
    members = {each["Status"]["header"]["member_id"] for each in statuses}
    assert len(leaders) == 1
    assert leaders < members
    assert len(members) == 3
    table = ctl("endpoint", "status", "-w", "table")
    assert "ENDPOINT" in table.upper()
    assert all(endpoint in table for endpoint in cluster.endpoints)

    def hashes() -> set[int]:
        found = ctl.json("endpoint", "hashkv")
        assert isinstance(found, list)
        return {each["HashKV"]["hash"] for each in found}

    wait_until(lambda: len(hashes()) == 1, "every member has the same history")


def test_an_endpoint_that_is_down(ctl: Control, cluster: Cluster) -> None:
    """It is named on stderr, the others are shown, and the exit code says that something is wrong."""
    endpoints = ",".join([cluster.endpoints[0], "127.0.0.1:1"])
    done = ctl.run("--endpoints", endpoints, "--dial-timeout=1s", "endpoint", "health")
    assert done.returncode == 1
    assert f"{cluster.endpoints[0]} is healthy" in done.stdout
    assert "tcp://127.0.0.1:1 is unhealthy" in done.stderr
    assert ctl("--endpoints", f"127.0.0.1:1,{endpoints}", "put", "k", "v") == "OK\n"


def test_member_list(ctl: Control, cluster: Cluster) -> None:
    """Ids, names and addresses as configured."""
    rows = [line.split(", ") for line in ctl("member", "list").splitlines()]
    expected = sorted(
        (f"{node.config.member_id():x}", "started", node.name, node.peer_url)
        for node in cluster.nodes
    )
    assert sorted(tuple(row[:4]) for row in rows) == expected


def test_move_leader(ctl: Control, cluster: Cluster) -> None:
    """The transferee leads when the command returns."""
    leader = cluster.leader()
    target = cluster.followers()[0]
    from_id, to_id = leader.config.member_id(), target.config.member_id()
    output = ctl("move-leader", f"{to_id:x}")
    assert output == f"Leadership transferred from {from_id:x} to {to_id:x}\n"
    assert cluster.leader() is target


@pytest.mark.parametrize("arguments", [("check", "datascale"), ("role", "list")])
def test_what_is_not_there_says_so(ctl: Control, arguments: tuple[str, ...]) -> None:
    """A command of etcdctl's that does not exist yet fails with a clear text."""
    done = ctl.run(*arguments)
    assert done.returncode != 0
    assert "not implemented yet" in done.stderr


def test_the_installed_command_answers() -> None:
    """The entry point that `make run` names exists and works."""
    program = Path(sys.executable).parent / "zetcdctl"
    if not program.exists():
        pytest.skip("zetcd is not installed")
    done = subprocess.run(
        [program, "version"], capture_output=True, check=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.stdout.startswith("zetcdctl version: ")
