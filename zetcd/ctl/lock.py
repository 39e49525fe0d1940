"""Responsible for the commands lock and elect: both hold something until they are told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

import click

from zetcd.client import Election, LeaseSession, Lock
from zetcd.client.lock import observe
from zetcd.ctl.cli import Cli, command, number, rest_of_line
from zetcd.ctl.exits import CtlError, bad_arguments
from zetcd.ctl.go_text import text_bytes
from zetcd.messages.kv import RangeResponse, ResponseHeader

_ELECT_TTL_SECONDS: Final = 60
_LOST: Final = "session expired"


class _Stopped(BaseException):
    """A signal asked the command to let go; no error, so nothing that handles errors sees it."""


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn the signals that end a command into `_Stopped`, as long as the block runs."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Stopped

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, stop) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


# --- lock -------------------------------------------------------------------------------------------


@command("lock", keeps_rest=True, short_help="Acquires a named lock")
@click.argument(
    "arguments", nargs=-1, metavar="NAME [PROGRAM ARGUMENTS ...]", type=click.UNPROCESSED
)
@click.option("--ttl", type=number, default=10, help="timeout for session, in seconds")
@click.pass_obj
def lock(cli: Cli, arguments: tuple[str, ...], *, ttl: int) -> int:
    """Hold a lock while a program runs, or until interrupted; the program's exit code is ours.

    The program sees ETCD_LOCK_KEY and ETCD_LOCK_REV, the fencing token.
    """
    cli.check()
    if not arguments:
        raise bad_arguments("lock takes a lock name argument and an optional command to execute")
    program = [*arguments[1:], *rest_of_line()]
    code = 0
    with LeaseSession(cli.client, ttl) as session:
        held = Lock(session, text_bytes(arguments[0]))
        try:
            with _stoppable():
                held.acquire()
                code = _run(held, program) if program else _hold_lock(cli, session, held)
        except _Stopped:
            code = 0
        finally:
            if not session.is_lost:
                held.release()
    return code


def _hold_lock(cli: Cli, session: LeaseSession, held: Lock) -> int:
    """Print the key and wait until the lease is lost or a signal comes."""
    response = cli.client.get(held.key)
    if not response.kvs:
        raise CtlError("lock lost on init")
    cli.show(response)
    session.lost.wait()
    raise CtlError(_LOST)


def _run(held: Lock, program: Sequence[str]) -> int:
    variables = dict(os.environb)
    variables[b"ETCD_LOCK_KEY"] = held.key
    variables[b"ETCD_LOCK_REV"] = b"%d" % held.fencing_token
    try:
        code = subprocess.run(program, env=variables, check=False).returncode  # noqa: S603 - the user's own
    except OSError as error:
        raise CtlError(f"{program[0]}: {error.strerror}") from None
    return code if code >= 0 else 128 - code


# --- elect ------------------------------------------------------------------------------------------


@command("elect", short_help="Observes and participates in leader election")
@click.argument("arguments", nargs=-1, metavar="NAME [PROPOSAL]")
@click.option("-l", "--listen", is_flag=True, help="observation mode")
@click.pass_obj
def elect(cli: Cli, arguments: tuple[str, ...], *, listen: bool) -> None:
    """Campaign with a proposal and lead until interrupted; with --listen, print each leader."""
    cli.check()
    if not 1 <= len(arguments) <= 2:
        raise bad_arguments(
            "elect takes one election name argument and an optional proposal argument"
        )
    name = text_bytes(arguments[0])
    if len(arguments) == 1 and not listen:
        raise bad_arguments("no proposal argument but -l not set")
    try:
        with _stoppable():
            if listen:
                if len(arguments) == 2:
                    raise bad_arguments("proposal given but -l is set")
                _listen(cli, name)
            else:
                _campaign(cli, name, text_bytes(arguments[1]))
    except _Stopped:
        return


def _listen(cli: Cli, name: bytes) -> None:
    for leader in observe(cli.client, name):
        header = ResponseHeader(leader.mod_revision, 0)
        cli.show(RangeResponse(header, (leader,), count=1))


def _campaign(cli: Cli, name: bytes, proposal: bytes) -> None:
    with LeaseSession(cli.client, _ELECT_TTL_SECONDS) as session:
        election = Election(session, name)
        try:
            election.campaign(proposal)
            cli.show(cli.client.get(election.key))
            session.lost.wait()
            raise CtlError(_LOST)
        finally:
            if not session.is_lost:
                election.resign()
