"""grpc-go as a client, and h2spec, HTTP/2's conformance suite, against the transport."""

from __future__ import annotations

import re
import subprocess
from typing import Final

import pytest

from tests.integration.grpc_transport.echo import EchoThread
from tests.integration.grpc_transport.go_programs import build_client, install_h2spec
from zetcd.gateway.grpc import TransportOptions

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

CHECKS: Final = 14


def test_grpc_go_finds_nothing_wrong() -> None:
    program = build_client()
    with EchoThread() as server:
        done = subprocess.run(
            [program, "check", server.target],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        lines = done.stdout.splitlines()
        assert done.returncode == 0, done.stdout + done.stderr
        assert [line for line in lines if not line.startswith("ok ")] == []
        assert len(lines) == CHECKS
        transport = server.echo.transport
        assert transport.queued_bytes_total == 0
        assert transport.assembling_bytes_total == 0


def test_grpc_go_under_load_with_deadlines() -> None:
    program = build_client()
    with EchoThread() as server:
        for more in ([], ["-streams"]):
            done = subprocess.run(
                [
                    *(program, "load", "-clients", "200", "-connections", "4"),
                    *("-seconds", "1", "-timeout", "60s", *more, server.target),
                ],
                capture_output=True,
                text=True,
                check=False,
                timeout=600,
            )
            assert done.returncode == 0, done.stderr
            assert int(done.stdout.split()[0]) >= 200


@pytest.mark.parametrize("strictness", [[], ["--strict"]], ids=["lenient", "strict"])
def test_h2spec_finds_nothing_wrong(strictness: list[str]) -> None:
    program = install_h2spec()
    # With a limit of streams, the checks of that limit are made too.
    with EchoThread(TransportOptions(streams_max=100)) as server:
        done = subprocess.run(
            [program, "-h", "127.0.0.1", "-p", str(server.port), "-o", "20", *strictness],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
    totals = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    assert totals is not None, done.stdout + done.stderr
    tests, passed, skipped, failed = map(int, totals.groups())
    failures = done.stdout[done.stdout.find("Failures:") :]
    assert (failed, skipped) == (0, 0), failures
    assert tests == passed
    assert tests >= 145
