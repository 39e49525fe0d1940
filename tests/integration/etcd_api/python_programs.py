"""Python clients that others have written, each in an environment of its own with pinned versions."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from bench.peers.build import PROGRAMS_DIR, ROOT, locked

INSTALL_SECONDS_MAX = 600
_UNREACHABLE = ("No matching distribution", "Failed to establish", "Could not find a version")


def python_of(client: str) -> tuple[Path, Path]:
    """Return the interpreter that has a client and the program that uses it; skip without a registry."""
    directory = ROOT / "tests" / "clients" / client
    requirements = directory / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    environment = PROGRAMS_DIR / f"python-{client}-{digest}"
    with locked(f"python-{client}"):
        if not (environment / "complete").exists():
            _install(environment, requirements)
    return environment / "bin" / "python", directory / "client.py"


def _install(environment: Path, requirements: Path) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    venv.create(environment, with_pip=True)
    done = subprocess.run(
        [
            *(environment / "bin" / "python", "-m", "pip", "install", "--quiet"),
            *("--disable-pip-version-check", "--no-deps", "--requirement", requirements),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_SECONDS_MAX,
    )
    if done.returncode:
        if any(words in done.stderr for words in _UNREACHABLE):
            pytest.skip(f"{requirements} cannot be installed here: {done.stderr[-300:]}")
        pytest.fail(done.stderr[-3000:])
    (environment / "complete").touch()
