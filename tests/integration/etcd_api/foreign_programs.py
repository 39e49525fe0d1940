"""Clients of Node.js, Rust and Java, each fetched and built once, or the reason why a test cannot have one.

Each lies in a copy of its directory below ``.go-programs``, named after what it is made from. Nothing waits
for a registry without end: what takes too long to come, or does not come, is a test that is skipped.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.peers.build import PROGRAMS_DIR, ROOT, locked
from tests.bounded import run_bounded


class _Limits(NamedTuple):
    """How a command ends that cannot have what it needs."""

    seconds: float
    #: What it says then.
    reasons: tuple[str, ...]


#: npm names a code for each; those of a wrong lock file are not among them.
_NPM = _Limits(
    45,
    (
        *("ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH"),
        *("ERR_SOCKET_TIMEOUT", "E403", "E404", "E502", "E503", "EBADENGINE"),
    ),
)
_CARGO = _Limits(
    1200,
    (
        *("failed to download", "Unable to update registry", "failed to get", "failed to query"),
        *("requires rustc", "is not supported by this version", "linker `cc` not found"),
    ),
)
_MAVEN = _Limits(
    600,
    (
        *("Could not transfer", "Could not resolve", "could not be resolved", "Could not find"),
        *("release version 11 not supported", "Unknown host", "No plugin found"),
    ),
)


def npm_client() -> list[str]:
    """Return the command of etcd3 of npm, to which endpoints are added."""
    _need("node", "npm")
    directory = _prepared("npm", _install_packages)
    return ["node", str(directory / "client.js")]


def rust_client() -> list[str]:
    """Return the command of the crate etcd-client."""
    _need("cargo")
    return [str(_prepared("rust", _build_crate) / "target" / "debug" / "zetcd-client-check")]


def java_client() -> list[str]:
    """Return the command of jetcd."""
    _need("mvn", "java", "javac")
    target = _prepared("java", _build_classes) / "target"
    return ["java", "-cp", f"{target / 'classes'}:{target / 'dependency'}/*", "Client"]


def _need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def _install_packages(directory: Path) -> None:
    # Scripts of packages are not run: none is needed.
    environment = {"npm_config_fetch_retries": "1", "npm_config_fetch_timeout": "15000"}
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    _execute(command, directory, _NPM, environment)


def _build_crate(directory: Path) -> None:
    environment = {
        "CARGO_TARGET_DIR": str(directory / "target"),
        "CARGO_NET_RETRY": "1",
        "CARGO_HTTP_TIMEOUT": "30",
    }
    if shutil.which("protoc") is None:
        # The crate makes its messages with protoc; grpcio-tools has one.
        protoc = directory / "protoc"
        protoc.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m grpc_tools.protoc "$@"\n')
        protoc.chmod(0o755)
        environment["PROTOC"] = str(protoc)
    _execute(["cargo", "build", "--locked", "-j1"], directory, _CARGO, environment)


def _build_classes(directory: Path) -> None:
    goals = ["compiler:compile", "dependency:copy-dependencies"]
    offline = ["mvn", "-q", "-B", "-o", *goals]
    # With everything in the local repository there is nothing to ask a registry for.
    if _run(offline, directory, _MAVEN.seconds, {})[0]:
        patience = ["-Dmaven.wagon.http.retryHandler.count=1", "-Dmaven.wagon.rto=30000"]
        _execute(["mvn", "-q", "-B", *patience, *goals], directory, _MAVEN, {})


def _prepared(name: str, build: Callable[[Path], None]) -> Path:
    """Return a copy of a client's directory in which it is built."""
    source = ROOT / "tests" / "clients" / name
    files = sorted(each for each in source.rglob("*") if each.is_file())
    made_from = hashlib.sha256()
    for each in files:
        made_from.update(each.relative_to(source).as_posix().encode() + b"\0" + each.read_bytes())
    directory = PROGRAMS_DIR / f"{name}-{made_from.hexdigest()[:16]}"
    with locked(name):
        if not (directory / "complete").exists():
            for old in PROGRAMS_DIR.glob(f"{name}-*"):
                shutil.rmtree(old)
            shutil.copytree(source, directory)
            build(directory)
            (directory / "complete").touch()
    return directory


def _execute(
    command: list[str], directory: Path, limits: _Limits, environment: Mapping[str, str]
) -> None:
    """Run what fetches and builds; skip the test if that cannot be had here, fail it otherwise."""
    code, said = _run(command, directory, limits.seconds, environment)
    shown = f"{' '.join(command[:2])}: {said[-600:]}"
    if code is None:
        pytest.skip(f"not done within {limits.seconds} s: {shown}")
    if code:
        if any(reason in said for reason in limits.reasons):
            pytest.skip(f"cannot be had here: {shown}")
        pytest.fail(f"{' '.join(command)} failed: {said[-6000:]}")


def _run(
    command: list[str], directory: Path, seconds: float, environment: Mapping[str, str]
) -> tuple[int | None, str]:
    """See `run_bounded`; at a low priority."""
    return run_bounded(["nice", "-n", "10", *command], directory, seconds, environment)
