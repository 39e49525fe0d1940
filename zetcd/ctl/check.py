"""Responsible for ``check perf``: whether the cluster keeps up with a load for a minute, as etcdctl asks."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import click

from zetcd.client import AsyncClient
from zetcd.ctl.absent import absent
from zetcd.ctl.cli import Cli, command, emit
from zetcd.ctl.exits import CtlError, Exit, bad_arguments
from zetcd.errors import ZetcdError


class Load(NamedTuple):
    """How hard the cluster is worked."""

    #: Puts per second that are attempted at most.
    rate: int
    clients: int


_LOADS: Final = {
    "s": Load(150, 50),
    "m": Load(1_000, 200),
    "l": Load(8_000, 500),
    "xl": Load(15_000, 1_000),
}
_ALIASES: Final = {"small": "s", "medium": "m", "large": "l", "xlarge": "xl", "xLarge": "xl"}
_SECONDS: Final = 60
_VALUE: Final = b"v" * 1_024
_KEY_BYTES: Final = 256
#: Connections that the clients share.
_CONNECTIONS: Final = 10
#: What passes: share of the rate, slowest request and standard deviation in seconds.
_RATE_SHARE: Final = 0.9
_SLOWEST_SECONDS: Final = 0.5
_DEVIATION_SECONDS: Final = 0.1


@dataclass(slots=True)
class Tally:
    """What the puts came to."""

    seconds: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def failed(self, error: ZetcdError) -> None:
        """Count an error."""
        text = str(error)
        self.errors[text] = self.errors.get(text, 0) + 1


@click.group("check", short_help="Commands for checking properties of the cluster")
def check() -> None:
    """Check whether the cluster is up to a task."""


@command("perf", short_help="Checks the performance of the cluster")
@click.option("--load", default="s", help="s(mall), m(edium), l(arge) or xl(arge)")
@click.option("--prefix", default="/etcdctl-check-perf/", help="prefix of the keys written")
@click.option(
    "--auto-compact", is_flag=True, help="compact storage with the last revision afterwards"
)
@click.option("--auto-defrag", is_flag=True, help="not implemented")
@click.pass_obj
def perf(cli: Cli, *, load: str, prefix: str, auto_compact: bool, auto_defrag: bool) -> None:
    """Write at a fixed rate for a minute and judge what came of it; deletes the keys afterwards."""
    cli.check()
    if auto_defrag:
        raise CtlError("--auto-defrag: not implemented yet")
    chosen = _LOADS.get(_ALIASES.get(load, load))
    if chosen is None:
        raise bad_arguments(f"unknown load option {load}")
    base = prefix.encode("utf-8", "surrogateescape")
    if cli.client.get_prefix(base, limit=1).kvs:
        message = f"prefix {prefix!r} has keys. Delete with 'del --prefix {prefix}' first"
        raise CtlError(message, Exit.INVALID_INPUT)
    begun = time.monotonic()
    tally = asyncio.run(_put_all(cli, chosen, base))
    elapsed = time.monotonic() - begun
    deleted = cli.client.delete_prefix(base, timeout=max(cli.flags.command_timeout, 60.0))
    if auto_compact:
        cli.client.compact(deleted.header.revision, physical=True, timeout=60.0)
        emit(b"Compacting with revision %d\n" % deleted.header.revision)
    lines, is_ok = verdict(tally, chosen, elapsed)
    emit("".join(f"{line}\n" for line in lines).encode())
    if not is_ok:
        raise click.exceptions.Exit(Exit.ERROR)


def verdict(tally: Tally, load: Load, elapsed: float) -> tuple[list[str], bool]:
    """Return what is printed of a run, and whether it passed."""
    seconds = tally.seconds
    count = len(seconds)
    rate = count / elapsed
    mean = sum(seconds) / count if count else 0.0
    deviation = math.sqrt(sum((each - mean) ** 2 for each in seconds) / count) if count else 0.0
    slowest = max(seconds, default=0.0)
    judged = [
        (
            not tally.errors,
            "No errors",
            f"{sum(tally.errors.values())} errors: {dict(tally.errors)}",
        ),
        (
            rate >= load.rate * _RATE_SHARE,
            f"Throughput is {int(rate + 0.5)} writes/s",
            f"Throughput too low: {int(rate + 0.5)} writes/s",
        ),
        (
            0 < slowest <= _SLOWEST_SECONDS,
            f"Slowest request took {slowest:f}s",
            f"Slowest request took too long: {slowest:f}s",
        ),
        (
            deviation <= _DEVIATION_SECONDS,
            f"Stddev is {deviation:f}s",
            f"Stddev too high: {deviation:f}s",
        ),
    ]
    lines = [
        f"{'PASS' if is_ok else 'FAIL'}: {good if is_ok else bad}" for is_ok, good, bad in judged
    ]
    if not tally.errors:
        del lines[0]
    is_ok = all(each[0] for each in judged)
    return [*lines, "PASS" if is_ok else "FAIL"], is_ok


async def _put_all(cli: Cli, load: Load, prefix: bytes) -> Tally:
    """Let all clients put at the rate of ``load``, for a minute."""
    tally = Tally()
    until = time.monotonic() + _SECONDS
    clients = [AsyncClient(options=cli.options()) for _ in range(min(_CONNECTIONS, load.clients))]
    progress = asyncio.create_task(_show_progress(until))
    try:
        await asyncio.gather(
            *(
                _put_paced(clients[each % len(clients)], prefix + b"%d/" % each, load, tally, until)
                for each in range(load.clients)
            )
        )
    finally:
        progress.cancel()
        for client in clients:
            client.close()
    return tally


async def _put_paced(
    client: AsyncClient, prefix: bytes, load: Load, tally: Tally, until: float
) -> None:
    """Put one key after another, evenly spread, never earlier than the rate allows."""
    interval = load.clients / load.rate
    due = time.monotonic() + interval * (hash(prefix) % 1000) / 1000
    number = 0
    while due < until:
        await asyncio.sleep(due - time.monotonic())
        number += 1
        key = (prefix + b"%d" % number).ljust(_KEY_BYTES, b".")
        begun = time.monotonic()
        try:
            await client.put(key, _VALUE)
            tally.seconds.append(time.monotonic() - begun)
        except ZetcdError as error:
            tally.failed(error)
        due += interval


async def _show_progress(until: float) -> None:
    """Count the seconds down on a terminal; elsewhere there is nobody to see it."""
    if not sys.stderr.isatty():
        return
    while True:
        left = max(until - time.monotonic(), 0.0)
        sys.stderr.write(f"\r{100 * (1 - left / _SECONDS):5.1f} % {left:3.0f} s left ")
        sys.stderr.flush()
        await asyncio.sleep(0.5)


check.add_command(perf)
check.add_command(absent("datascale"))
