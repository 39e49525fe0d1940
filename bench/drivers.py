"""Responsible for running the clients: a process of its own each time, with a limit in time."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from bench.guard import ROOT
from bench.peers.build import build_program
from bench.results import Report, Spec

#: Beyond the time that a run is planned to take: connecting, last answers, writing the report.
_EXTRA_SECONDS = 60.0
_COMMAND_SECONDS_MAX = 60.0


class DriverFailed(Exception):
    """A client could not do its work."""


class MemberView(msgspec.Struct, frozen=True):
    """What a member says of itself over etcd's API."""

    endpoint: str
    #: Why it says nothing.
    error: str = ""
    member_id: str = ""
    #: Id of the leader; 0: none.
    leader: str = ""
    version: str = ""
    term: int = 0
    applied: int = 0
    revision: int = 0
    db_bytes: int = 0


def run_go(spec: Spec, seconds_max: float = 0.0) -> Report:
    """Run the load generator that speaks etcd's API."""
    return _run([str(build_program("loadgen")), "run"], spec, seconds_max)


def load_keys(spec: Spec) -> None:
    """Load the keys that a workload reads, so that its own run need not."""
    run_go({**spec, "kind": "preload", "clients": 16, "connections": 3, "rate": 0.0})


def run_native(spec: Spec, seconds_max: float = 0.0) -> Report:
    """Run the client that speaks zetcd's own protocol."""
    return _run([sys.executable, "-m", "bench.native_driver"], spec, seconds_max)


def _run(command: list[str], spec: Spec, seconds_max: float) -> Report:
    planned = float(spec["seconds"]) + float(spec["warmup_seconds"])
    limit = max(seconds_max, planned) + float(spec.get("timeout_seconds", 7.0)) + _EXTRA_SECONDS
    try:
        done = subprocess.run(
            command,
            input=msgspec.json.encode(spec),
            capture_output=True,
            timeout=limit,
            cwd=ROOT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DriverFailed(f"{spec['kind']}: the client did not end within {limit:.0f} s") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise DriverFailed(f"{spec['kind']}: {' '.join(last) or f'exit code {done.returncode}'}")
    return msgspec.json.decode(done.stdout, type=Report)


def _say(*arguments: str) -> bytes:
    done = subprocess.run(
        [str(build_program("loadgen")), *arguments],
        capture_output=True,
        timeout=_COMMAND_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        raise DriverFailed(done.stderr.decode(errors="replace").strip()[-300:])
    return done.stdout


def ask_members(endpoints: list[str]) -> list[MemberView]:
    """Ask each member how it is."""
    lines = _say("status", *endpoints).splitlines()
    return [msgspec.json.decode(line, type=MemberView) for line in lines]


def move_leader(member_id: str, endpoints: list[str]) -> bool:
    """Ask the leader to hand over to a member; return whether it did."""
    try:
        _say("move-leader", member_id, *endpoints)
    except DriverFailed:
        return False
    return True


class Listed(msgspec.Struct, frozen=True):
    """A list of everything."""

    keys: int
    seconds: float


def list_all(endpoint: str) -> Listed:
    """Read all keys in pages."""
    return msgspec.json.decode(_say("list", endpoint), type=Listed)
