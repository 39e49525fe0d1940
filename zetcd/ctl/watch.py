"""Responsible for the command watch: one watch or, interactively, many, printed and handed to a program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypedDict, Unpack, cast

import click

from zetcd.client import Watch, WatchCompacted
from zetcd.ctl.cli import (
    Cli,
    command,
    emit,
    environment,
    number,
    raw_bytes,
    rest_of_line,
)
from zetcd.ctl.exits import CtlError, bad_arguments
from zetcd.ctl.go_text import quote, text_bytes
from zetcd.ctl.keys import key_range
from zetcd.ctl.txn_syntax import invalid, split_line
from zetcd.messages.kv import EventType
from zetcd.messages.watch import WatchCreateRequest, WatchResponse

#: How long one of several watches may keep the others and stdin waiting, in seconds.
_TURN_SECONDS: Final = 0.05
_USAGE: Final = "watch command needs a key, as argument or in ETCDCTL_WATCH_KEY"


class WatchFlags(TypedDict):
    """Parameters of watch, also of a line ``watch ...``."""

    arguments: tuple[bytes, ...]
    interactive: bool
    prefix: bool
    rev: int
    prev_kv: bool
    progress_notify: bool


@dataclass(slots=True)
class Watching:
    """A watch and the program that each of its events is handed to (empty: none)."""

    watch: Watch
    program: list[str] = field(default_factory=list)


def watch_create_request(flags: WatchFlags) -> WatchCreateRequest:
    """Return the request of a watch; the key may come from the environment."""
    arguments = flags["arguments"]
    if not arguments:
        names = ("WATCH_KEY", "WATCH_RANGE_END")
        arguments = tuple(text_bytes(value) for value in map(environment, names) if value)
    key, range_end = key_range(arguments, _USAGE, is_prefix=flags["prefix"], is_from_key=False)
    return WatchCreateRequest(
        0,
        key,
        range_end,
        start_revision=flags["rev"],
        prev_kv=flags["prev_kv"],
        progress_notify=flags["progress_notify"],
    )


@command("watch", keeps_rest=True, short_help="Watches events stream on keys or prefixes")
@click.argument("arguments", nargs=-1, type=raw_bytes, metavar="[KEY [RANGE_END]] [-- PROGRAM ...]")
@click.option("-i", "--interactive", is_flag=True, help="read watch and progress lines from stdin")
@click.option("--prefix", is_flag=True, help="watch on a prefix")
@click.option("--rev", type=number, default=0, help="revision to start watching")
@click.option("--prev-kv", is_flag=True, help="get the previous key-value pair")
@click.option("--progress-notify", is_flag=True, help="get periodic watch progress notification")
@click.pass_obj
def watch(cli: Cli, **flags: Unpack[WatchFlags]) -> None:
    """Print every change of a key, of the keys from KEY to RANGE_END, or of a prefix.

    With a program after --, also run it for each event, with ETCD_WATCH_REVISION,
    ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and ETCD_WATCH_VALUE in its environment.
    """
    cli.check()
    if flags["interactive"]:
        _interact(cli)
        return
    program = rest_of_line()
    # Without a key of its own, etcdctl takes what follows -- as the program alone.
    watching = Watching(cli.client.open_watch(watch_create_request(flags)), program)
    try:
        for response in watching.watch:
            _handle(cli, watching, response)
    except WatchCompacted as error:
        raise _compacted(error) from error


def _compacted(error: WatchCompacted) -> CtlError:
    sys.stderr.write(
        f"watch was canceled (etcdserver: mvcc: required revision has been compacted;"
        f" compact revision {error.compact_revision})\n"
    )
    return CtlError("watch is canceled by the server")


def _handle(cli: Cli, watching: Watching, response: WatchResponse) -> None:
    """Print a response, and run the program for each of its events."""
    if cli.is_simple and not response.events:
        emit(b"progress notify: %d\n" % response.header.revision)
    else:
        cli.show(response)
    if watching.program:
        _run_program(watching.program, response)


def _run_program(program: list[str], response: WatchResponse) -> None:
    """Run the program once for each event; it sees what happened in its environment."""
    for event in response.events:
        variables = os.environb.copy()
        variables[b"ETCD_WATCH_REVISION"] = b"%d" % response.header.revision
        variables[b"ETCD_WATCH_EVENT_TYPE"] = quote(EventType(event.type).name).encode()
        variables[b"ETCD_WATCH_KEY"] = _variable(event.kv.key)
        variables[b"ETCD_WATCH_VALUE"] = _variable(event.kv.value)
        try:
            done = subprocess.run(program, env=variables, check=False)  # noqa: S603 - the user's own
        except OSError as error:
            raise CtlError(f"command {program[0]!r} could not be run: {error.strerror}") from None
        if done.returncode:
            sys.stderr.write(f"command {program} error (exit status {done.returncode})\n")


def _variable(value: bytes) -> bytes:
    """Return bytes quoted, as etcdctl passes them: an environment cannot hold every byte."""
    return quote(value).encode("utf-8", "surrogateescape")


# --- interactive ------------------------------------------------------------------------------------


def _interact(cli: Cli) -> None:
    """Serve stdin and all watches in turns, until stdin ends."""
    watchings: list[Watching] = []
    try:
        for line in _lines(cli, watchings):
            _obey(cli, line, watchings)
    except WatchCompacted as error:
        raise _compacted(error) from error


def _lines(cli: Cli, watchings: list[Watching]) -> Iterator[str]:
    """Yield the lines of stdin as they come, printing what the watches have to say meanwhile."""
    from select import select  # noqa: PLC0415 - needed here only

    pending = b""
    descriptor = sys.stdin.fileno()
    while True:
        readable, _, _ = select([descriptor], [], [], 0 if watchings else None)
        if readable:
            read = os.read(descriptor, 65536)
            if not read:
                yield from (each.decode("utf-8", "surrogateescape") for each in [pending] if each)
                _drain(cli, watchings)
                return
            *lines, pending = (pending + read).split(b"\n")
            yield from (line.decode("utf-8", "surrogateescape") for line in lines)
        _serve(cli, watchings)


def _drain(cli: Cli, watchings: list[Watching]) -> None:
    """Go on printing after the end of stdin, as etcdctl does not end either."""
    while watchings:
        _serve(cli, watchings)


def _serve(cli: Cli, watchings: list[Watching]) -> None:
    """Print what has come, waiting a moment for the first watch."""
    for position, watching in enumerate(watchings):
        response = watching.watch.next(0 if position else _TURN_SECONDS)
        while response is not None:
            _handle(cli, watching, response)
            response = watching.watch.next(0)


def _obey(cli: Cli, line: str, watchings: list[Watching]) -> None:
    """Do what a line says."""
    words = split_line(line)
    if not words:
        return
    if words[0] == "progress":
        for watching in watchings:
            watching.watch.request_progress()
        return
    if words[0] != "watch":
        raise invalid(f'Invalid command {line} (command type should be "watch" or "progress")')
    position = words.index("--") if "--" in words else len(words)
    try:
        context = watch.make_context("watch", words[1:position])
        request = watch_create_request(cast(WatchFlags, context.params))
    except click.ClickException as error:
        raise bad_arguments(error.format_message()) from None
    watchings.append(Watching(cli.client.open_watch(request), words[position + 1 :]))
