"""What `zetcd etcd` prints, and its exit codes, without a member that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zetcd", "etcd", *arguments],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_version_has_etcds_four_lines() -> None:
    done = run("--version")
    heads = [line.partition(":")[0] for line in done.stdout.splitlines()]
    assert heads == ["etcd Version", "Git SHA", "Go Version", "Go OS/Arch"]
    assert (done.returncode, done.stderr) == (0, "")


def test_help_names_every_flag_on_standard_output() -> None:
    done = run("--name", "a", "-h")
    assert done.returncode == 0
    assert "--listen-client-urls 'http://localhost:2379'" in done.stdout
    assert "Usage:" in done.stderr


def test_a_bad_flag_shows_the_usage_on_standard_error() -> None:
    done = run("--listen-clients=x")
    assert done.returncode == 2
    assert done.stderr.startswith("flag provided but not defined: -listen-clients\nUsage:\n")
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "environment", "level", "message", "error"),
    [
        (["stray"], {}, "warn", "failed to verify flags", '"stray" is not a valid flag'),
        (
            ["--heartbeat-interval=300"],
            {},
            "warn",
            "failed to verify flags",
            "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[300ms]",
        ),
        (
            ["--config-file=/no/such"],
            {},
            "warn",
            "failed to verify flags",
            "open /no/such: no such file or directory",
        ),
        (
            ["--name=a"],
            {"ETCD_NAME": "b"},
            "fatal",
            (
                "conflicting environment variable is shadowed by corresponding command-line flag "
                "(either unset environment variable or disable flag))"
            ),
            "",
        ),
    ],
)
def test_what_cannot_be_used_is_logged_as_etcd_does(
    arguments: list[str], environment: dict[str, str], level: str, message: str, error: str
) -> None:
    done = run(*arguments, **environment)
    assert done.returncode == 1
    line = json.loads(done.stderr.splitlines()[-1])
    assert list(line)[:4] == ["level", "ts", "caller", "msg"]
    assert (line["level"], line["msg"]) == (level, message)
    assert error in line.get("error", "")


def test_etcds_other_programs_are_not_there() -> None:
    done = run("grpc-proxy", "start")
    assert (done.returncode, done.stderr) == (1, "zetcd etcd grpc-proxy is not implemented\n")
