"""Responsible for what is served under ``/debug`` where ``enable-pprof`` asks for it; pure.

``/debug/vars`` has the shape of Go's expvar: one JSON object, the names of etcd's variables where there
is something to say. ``/debug/pprof`` is there for tools that look for it: zetcd is no Go program, so each
profile is refused with what to do instead, and only ``cmdline`` is answered.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from zetcd.gateway.http import Answer
from zetcd.gateway.http.writing import NO_SNIFF, TEXT, text_error
from zetcd.messages.node import Figure, LeaderInfo, Role

VARS: Final = "/debug/vars"
_PPROF: Final = "/debug/pprof"
_CMDLINE: Final = f"{_PPROF}/cmdline"
#: Profiles of Go that tools ask for.
_PROFILES: Final = (
    *("allocs", "block", "goroutine", "heap", "mutex", "profile"),
    *("symbol", "threadcreate", "trace"),
)
#: The paths that are Go's ``net/http/pprof`` in etcd.
PPROF_PATHS: Final = frozenset(
    {_PPROF, f"{_PPROF}/", _CMDLINE, *(f"{_PPROF}/{each}" for each in _PROFILES)}
)
#: Every path under ``/debug``.
DEBUG_PATHS: Final = PPROF_PATHS | {VARS}
_JSON: Final = "application/json; charset=utf-8"

_STATES: Final[Mapping[Role, str]] = {
    Role.FOLLOWER: "StateFollower",
    Role.PRE_CANDIDATE: "StatePreCandidate",
    Role.CANDIDATE: "StateCandidate",
    Role.LEADER: "StateLeader",
}


class Process(NamedTuple):
    """What a process knows of itself."""

    pid: int
    command_line: tuple[str, ...]


def this_process() -> Process:
    """Return the process that answers."""
    return Process(os.getpid(), tuple(sys.orig_argv))


def _sum(figures: Iterable[Figure], name: str) -> int:
    return int(sum(each.value for each in figures if each.name == name))


def vars_answer(
    process: Process, member_id: int, info: LeaderInfo, figures: Sequence[Figure]
) -> Answer:
    """Return the variables of the member; ``figures`` are those of all its processes."""
    memory = {
        each.labels[0]: int(each.value)
        for each in figures
        if each.name == "zetcd_actor_resident_memory_bytes"
    }
    applied = _sum(figures, "etcd_server_proposals_applied_total")
    # Each process says its figures when it is asked: raft may do so before the last entries are
    # committed that apply has already heard of.
    committed = max(applied, _sum(figures, "etcd_server_proposals_committed_total"))
    variables = {
        "cmdline": process.command_line,
        "file_descriptor_limit": _sum(figures, "os_fd_limit"),
        # Go's name for what the system has given; of all processes of the member.
        "memstats": {"Sys": _sum(figures, "process_resident_memory_bytes"), "ByActor": memory},
        "raft.status": {
            "id": f"{member_id:x}",
            "term": info.term,
            "commit": committed,
            "lead": f"{info.leader:x}",
            "raftState": _STATES[info.role],
            "applied": applied,
        },
    }
    lines = (
        f"{msgspec.json.encode(name).decode()}: {msgspec.json.encode(value).decode()}"
        for name, value in variables.items()
    )
    body = "{\n" + ",\n".join(lines) + "\n}\n"
    return Answer(200, _JSON, body.encode())


def pprof_answer(path: str, process: Process) -> Answer:
    """Answer a request for a profile."""
    if path == _CMDLINE:
        return Answer(200, TEXT, "\0".join(process.command_line).encode(), NO_SNIFF)
    text = (
        "zetcd is no Go program and has none of its profiles. `zetcd status` lists the processes of a "
        "member;\n"
        f"of this gateway, for example: py-spy record --pid {process.pid} --output profile.svg\n"
    )
    if path.rstrip("/") == _PPROF:
        return Answer(200, TEXT, f"{_CMDLINE}\n{VARS}\n\n{text}".encode(), NO_SNIFF)
    return text_error(501, text)
