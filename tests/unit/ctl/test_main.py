"""zetcdctl as a process against a scripted server: arguments in, bytes and exit code out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.unit.client.dialogue import put_event, watch_created, watch_events
from tests.unit.client.scripted_server import Received, ScriptedServer, answer_store, refuse
from zetcd.ctl.exits import Exit
from zetcd.ctl.main import run
from zetcd.errors import NoSpace
from zetcd.messages.client import FrameType
from zetcd.messages.kv import PutRequest, TxnRequest, TxnResponse
from zetcd.messages.watch import WatchCreateRequest, WatchResponse


def ctl(
    server: ScriptedServer,
    *arguments: str,
    stdin: bytes = b"",
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run zetcdctl against ``server``."""
    environment = {**os.environ, "ETCDCTL_ENDPOINTS": server.endpoint, **(variables or {})}
    return subprocess.run(
        [sys.executable, "-m", "zetcd.ctl.main", *arguments],
        input=stdin,
        env=environment,
        capture_output=True,
        check=False,
        timeout=30,
    )


def test_put_and_get_speak_as_etcdctl_does() -> None:
    with ScriptedServer() as server:
        assert ctl(server, "put", "k", "v").stdout == b"OK\n"
        done = ctl(server, "get", "k")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"k\nv\n", b"")


def test_a_value_comes_from_stdin_byte_for_byte() -> None:
    with ScriptedServer() as server:
        assert ctl(server, "put", "k", stdin=b"\xff\x00\n").stdout == b"OK\n"
        assert server.store[b"k"].value == b"\xff\x00\n"
        assert ctl(server, "get", "k", "--print-value-only").stdout == b"\xff\x00\n\n"


def test_keys_that_are_no_text_and_values_like_flags_are_passed_on() -> None:
    with ScriptedServer() as server:
        arguments: list[str | bytes] = [
            sys.executable,
            "-m",
            "zetcd.ctl.main",
            "put",
            "--",
            b"\xff",
            "--prefix",
        ]
        environment = {**os.environ, "ETCDCTL_ENDPOINTS": server.endpoint}
        subprocess.run(arguments, env=environment, check=True, capture_output=True, timeout=30)
        assert server.store[b"\xff"].value == b"--prefix"


def test_global_flags_may_stand_anywhere_and_win_over_variables() -> None:
    with ScriptedServer() as server:
        for arguments in (
            ("-w", "json", "get", "k"),
            ("get", "k", "-w", "json"),
            ("get", "--write-out=json", "k"),
        ):
            done = ctl(server, *arguments, variables={"ETCDCTL_WRITE_OUT": "fields"})
            assert done.stdout.startswith(b'{"header":')
        done = ctl(server, "get", "k", "--hex=true", variables={"ETCDCTL_WRITE_OUT": "fields"})
        assert done.stdout.startswith(b'"ClusterID" : 193\n')


def test_a_transaction_is_read_from_stdin() -> None:
    def answer(server: ScriptedServer, received: Received) -> None:
        if isinstance(received.body, TxnRequest):
            server.send(received, FrameType.RES, TxnResponse(server.header(), succeeded=True))

    stdin = b'value("k") = "v"\n\nput k "\\xff"\n\nget k\n'
    with ScriptedServer(answer) as server:
        assert ctl(server, "txn", stdin=stdin).stdout == b"SUCCESS\n"
        body = server.expect(FrameType.REQ).body
        assert isinstance(body, TxnRequest)
        assert body.success == (PutRequest(b"k", b"\xff"),)
        assert ctl(server, "txn", "-i", stdin=stdin).stdout.startswith(
            b"compares:\nsuccess requests (get,"
        )
        done = ctl(server, "txn", stdin=b"nonsense\n")
    assert (done.returncode, done.stderr) == (3, b"Error: malformed comparison: nonsense\n")


def answer_watch(server: ScriptedServer, received: Received) -> None:
    """Deliver one event, then cancel because of compaction."""
    if isinstance(received.body, WatchCreateRequest):
        server.send(received, FrameType.WATCH, watch_created())
        server.send(received, FrameType.WATCH, watch_events(2, put_event(b"k", 11, b"a b")))
        canceled = WatchResponse(server.header(), 3, 0, canceled=True, compact_revision=30)
        server.send(received, FrameType.WATCH, canceled)


def test_watch_prints_events_and_ends_with_an_error_when_canceled() -> None:
    with ScriptedServer(answer_watch) as server:
        done = ctl(server, "watch", "--rev=5", "--prefix", "k")
        create = server.expect(FrameType.WATCH).body
    assert isinstance(create, WatchCreateRequest)
    assert (create.key, create.range_end, create.start_revision) == (b"k", b"l", 5)
    assert done.stdout == b"PUT\nk\na b\n"
    assert done.returncode == 1
    assert b"compact revision 30" in done.stderr


def test_watch_runs_a_program_for_each_event() -> None:
    script = "echo $ETCD_WATCH_REVISION $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE"
    with ScriptedServer(answer_watch) as server:
        done = ctl(server, "watch", "k", "--", "sh", "-c", script)
    assert done.stdout == b'PUT\nk\na b\n11 "PUT" "k" "a b"\n'


def test_watch_takes_its_key_from_the_environment_and_lines_from_stdin() -> None:
    with ScriptedServer(answer_watch) as server:
        ctl(server, "watch", variables={"ETCDCTL_WATCH_KEY": "x", "ETCDCTL_WATCH_RANGE_END": "y"})
        create = server.expect(FrameType.WATCH).body
        assert isinstance(create, WatchCreateRequest)
        assert (create.key, create.range_end) == (b"x", b"y")
        done = ctl(server, "watch", "-i", stdin=b"watch k --rev 7\n")
        assert done.stdout == b"PUT\nk\na b\n"
        assert ctl(server, "watch", "-i", stdin=b"look k\n").returncode == Exit.INVALID_INPUT


def test_an_error_of_the_server_is_printed_with_its_text() -> None:
    answer = refuse(NoSpace.number, NoSpace.code, NoSpace.text, NoSpace.retry)
    with ScriptedServer(answer) as server:
        done = ctl(server, "put", "k", "v")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"Error: etcdserver: mvcc: database space exceeded\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["get"], Exit.BAD_ARGUMENTS),
        (["get", "a", "--prefix", "--from-key"], Exit.BAD_ARGUMENTS),
        (["get", "a", "--count-only"], Exit.BAD_ARGUMENTS),
        (["put"], Exit.BAD_ARGUMENTS),
        (["put", "a", "b", "--lease=xyz"], Exit.BAD_ARGUMENTS),
        (["lease", "grant"], Exit.BAD_ARGUMENTS),
        (["lease", "grant", "soon"], Exit.BAD_ARGUMENTS),
        (["lease", "revoke", "xyz"], Exit.BAD_ARGUMENTS),
        (["compaction", "now"], Exit.BAD_ARGUMENTS),
        (["compaction", "9" * 20], Exit.BAD_ARGUMENTS),
        (["lease", "grant", "9" * 20], Exit.BAD_ARGUMENTS),
        (["lease", "revoke", "f" * 17], Exit.BAD_ARGUMENTS),
        (["move-leader", "f" * 17], Exit.BAD_ARGUMENTS),
        (["move-leader", "leader"], Exit.BAD_ARGUMENTS),
        (["get", "a", "--rev=" + "9" * 20], Exit.ERROR),
        (["watch", "a", "--rev=soon"], Exit.ERROR),
        (["lock"], Exit.BAD_ARGUMENTS),
        (["elect", "n"], Exit.BAD_ARGUMENTS),
        (["get", "a", "-w", "protobuf"], Exit.BAD_FEATURE),
        (["nonsense"], Exit.ERROR),
        (["get", "a", "--nonsense"], Exit.ERROR),
        (["get", "a", "--command-timeout=soon"], Exit.ERROR),
        (["--user=root", "get", "a"], Exit.ERROR),
        (["check", "perf", "--load=huge"], Exit.BAD_ARGUMENTS),
        (
            ["--endpoints", "tcp://127.0.0.1:9", "--command-timeout=100ms", "get", "a"],
            Exit.BAD_CONNECTION,
        ),
    ],
)
def test_a_command_that_cannot_work_ends_with_etcdctls_exit_code(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["user", "list"],
        ["role", "add", "r"],
        ["auth", "enable"],
        ["make-mirror", "h:1"],
        ["downgrade", "cancel"],
        ["check", "datascale"],
    ],
)
def test_what_is_not_implemented_says_so(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == Exit.ERROR
    assert capsys.readouterr().err == "Error: not implemented yet\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add"], "member name not provided"),
        (["add", "n"], "member peer urls not provided"),
        (["add", "n", "tcp://h:1"], "too many arguments, did you mean --peer-urls=tcp://h:1"),
        (["remove"], "member ID is not provided"),
        (["remove", "1", "2"], "member ID is not provided"),
        (["remove", "xyz"], "bad member ID arg"),
        (["update", "1"], "member peer urls not provided"),
        (["update", "--peer-urls=tcp://h:1"], "member ID is not provided"),
        (["promote", "1ffffffffffffffff"], "bad member ID arg"),
    ],
)
def test_a_change_of_members_that_is_not_complete_is_refused_here(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["member", *arguments]) == Exit.BAD_ARGUMENTS
    assert said in capsys.readouterr().err


def test_help_version_options_and_completion_need_no_server(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    for arguments, text in (
        (["--help"], b"move-leader"),
        (["get", "--help"], b"--sort-by"),
        (["version"], b"zetcdctl version: "),
        (["options"], b"--endpoints"),
        (["completion", "bash"], b"_ZETCDCTL_COMPLETE"),
    ):
        assert run(arguments) == 0
        assert text in capfdbinary.readouterr().out


def test_a_short_command_imports_nothing_that_it_does_not_need() -> None:
    code = "import sys, zetcd.ctl.main, zetcd.ctl.keys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "asyncio",
        "rich",
        "uvloop",
        "structlog",
        "lmdb",
        "zetcd.config",
        "zetcd.raft",
    }


def test_the_store_of_the_scripted_server_is_what_put_wrote() -> None:
    with ScriptedServer(answer_store) as server:
        ctl(server, "put", "--endpoints", server.endpoint.removeprefix("tcp://"), "a", "b")
        assert server.store[b"a"].value == b"b"
