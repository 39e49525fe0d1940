"""The benchmark itself: one workload for a second on both systems, and nothing left after Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.__main__ import parser
from bench.drivers import ask_members
from bench.guard import leftovers
from bench.histogram import bucket_of
from bench.peers.build import BuildUnavailable, build_program
from bench.results import from_json
from tests.integration.cluster import free_ports, is_free, wait_until

pytestmark = pytest.mark.integration
#: Members have ports at P, P+1 and P+2, P+10 and so on.
_PORTS_OF_A_CLUSTER = 23


def program(name: str) -> Path:
    """Return a Go program, or skip the test where it cannot be built."""
    try:
        return build_program(name)
    except BuildUnavailable as error:
        pytest.skip(str(error))


def base_port() -> int:
    """Return a port with enough free ones behind it."""
    while True:
        first = free_ports(1)[0]
        if all(is_free(first + each) for each in range(_PORTS_OF_A_CLUSTER)):
            return first


def command(tmp_path: Path, *arguments: str) -> list[str]:
    return [
        *(sys.executable, "-m", "bench", "run", *arguments, "--base-port", str(base_port())),
        *("--dir", str(tmp_path / "runs"), "--output", str(tmp_path / "report")),
    ]


@pytest.mark.timeout(2000)
def test_one_workload_runs_on_both_systems(tmp_path: Path) -> None:
    program("etcd")
    program("loadgen")
    done = subprocess.run(
        command(tmp_path, "put-10", "--rounds", "1", "--seconds", "1", "--warmup", "0.2"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    session = from_json((tmp_path / "report" / "results.json").read_bytes())
    assert session.notes == []
    assert {each.system for each in session.measurements} == {"etcd", "zetcd", "zetcd-native"}
    for each in session.measurements:
        assert each.report.measured > 0, each.system
        assert each.report.errors == {}
        assert each.usage.cpu_seconds
    assert "put-10" in (tmp_path / "report" / "report.html").read_text()
    assert leftovers(tmp_path / "runs") == []


@pytest.mark.timeout(2000)
def test_the_go_client_counts_in_the_same_buckets() -> None:
    values = [0, 1, 255, 256, 257, 511, 512, 70_000, 1_000_000, 2**40 + 12_345]
    done = subprocess.run(
        [program("loadgen"), "buckets", *map(str, values)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [int(line) for line in done.stdout.split()] == [bucket_of(value) for value in values]


@pytest.mark.timeout(2000)
def test_a_member_that_is_not_there_has_an_error_instead_of_figures() -> None:
    program("loadgen")
    (view,) = ask_members([f"127.0.0.1:{free_ports(1)[0]}"])
    assert view.error
    assert view.member_id == ""


def test_ctrl_c_leaves_nothing_and_reports_what_there_is(tmp_path: Path) -> None:
    arguments = ("put-1", "--systems", "zetcd-native", "--rounds", "1", "--seconds", "60")
    with subprocess.Popen(
        command(tmp_path, *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        wait_until(lambda: any(each.pids for each in leftovers(tmp_path / "runs")), "members run")
        pids = [pid for each in leftovers(tmp_path / "runs") for pid in each.pids]
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=100)
    assert process.returncode == 130, output
    assert leftovers(tmp_path / "runs") == []
    deadline = time.monotonic() + 20
    while any(psutil.pid_exists(pid) for pid in pids):
        assert time.monotonic() < deadline, "a member outlived the benchmark"
    assert "interrupted" in (tmp_path / "report" / "report.html").read_text()


def test_the_command_line_knows_its_parts() -> None:
    for part in (["short"], ["run", "put-1"], ["sweep"], ["scenarios"], ["list"], ["clean"]):
        assert callable(parser().parse_args(part).run)
