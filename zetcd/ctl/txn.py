"""Responsible for the command txn: three sections of lines, each ended by an empty one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import click

from zetcd.ctl.cli import Cli, command
from zetcd.ctl.exits import bad_arguments
from zetcd.ctl.txn_syntax import parse_compare, parse_operation
from zetcd.messages.kv import TxnRequest, TxnResponse

T = TypeVar("T")

#: Prompts of the three sections, shown with ``--interactive`` only.
PROMPTS: Final = (
    "compares:",
    "success requests (get, put, del):",
    "failure requests (get, put, del):",
)


def read_txn(lines: Iterable[str], prompt: Callable[[str], None]) -> TxnRequest:
    """Return the transaction that ``lines`` spell.

    Raises:
        CtlError: a line makes no sense.
    """
    remaining = iter(lines)
    prompt(PROMPTS[0])
    compares = _section(remaining, parse_compare)
    prompt(PROMPTS[1])
    success = _section(remaining, parse_operation)
    prompt(PROMPTS[2])
    failure = _section(remaining, parse_operation)
    return TxnRequest(compares, success, failure)


def _section(lines: Iterator[str], parse: Callable[[str], T]) -> tuple[T, ...]:
    """Parse up to an empty line or the end."""
    parsed = []
    for line in lines:
        line = line.rstrip("\r\n")
        if not line.strip():
            break
        parsed.append(parse(line))
    return tuple(parsed)


def stdin_lines() -> Iterator[str]:
    """Yield the lines of stdin as they come; bytes that are no text survive."""
    for line in sys.stdin.buffer:
        yield line.decode("utf-8", "surrogateescape")


@command("txn", short_help="Txn processes all the requests in one transaction")
@click.argument("arguments", nargs=-1, metavar="")
@click.option("-i", "--interactive", is_flag=True, help="prompt for each section")
@click.pass_obj
def txn(cli: Cli, arguments: tuple[str, ...], *, interactive: bool) -> None:
    r"""Read compares, success requests and failure requests from stdin; execute them as one.

    For example: mod("key") > "0", then an empty line, put key "new value", an empty line, get key.
    """
    cli.check()
    if arguments:
        raise bad_arguments("txn command does not accept argument")

    def prompt(text: str) -> None:
        if interactive:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    cli.show(cli.client.call(read_txn(stdin_lines(), prompt), TxnResponse))
