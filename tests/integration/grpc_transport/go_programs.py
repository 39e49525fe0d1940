"""Go programs that prove the transport from outside: built once, or the reason why not."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import pytest

CLIENT: Final = Path(__file__).parents[2] / "clients" / "grpc_transport"
#: The newest version that a Go module proxy can serve (later tags lack the suffix Go wants).
H2SPEC: Final = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"
BUILD_SECONDS_MAX: Final = 900


def _directory() -> Path:
    # Of this user and outside of the repository; Go's own cache makes building again cheap.
    path = Path(tempfile.gettempdir()) / f"zetcd-go-programs-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def _run_go(arguments: list[str], cwd: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    done = subprocess.run(
        ["go", *arguments],
        cwd=cwd,
        env=os.environ | {"GOBIN": str(_directory()), "GOFLAGS": "-buildvcs=false"},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS_MAX,
    )
    if done.returncode:
        # Without the network, Go cannot fetch what it has not fetched before.
        unreachable = (
            "dial tcp",
            "i/o timeout",
            "no such host",
            "connection refused",
            "403 Forbidden",
        )
        if any(word in done.stderr for word in unreachable):
            pytest.skip(f"the Go module proxy cannot be reached: {done.stderr[-300:]}")
        pytest.fail(done.stderr[-3000:])


@cache
def build_client() -> Path:
    """Return the program of ``tests/clients/grpc_transport``."""
    program = _directory() / "grpc_transport"
    _run_go(["build", "-o", str(program), "."], CLIENT)
    return program


@cache
def install_h2spec() -> Path:
    """Return h2spec, one from the search path if there is one."""
    found = shutil.which("h2spec")
    if found is not None:
        return Path(found)
    _run_go(["install", H2SPEC], _directory())
    return _directory() / "h2spec"
