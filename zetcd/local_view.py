"""Responsible for showing a local cluster: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

import click

from zetcd.node_status import NodeStatus
from zetcd.status import NodeReply

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_MIB = 1024 * 1024


class LocalView(Protocol):
    """What shows a cluster; a context manager that gives the terminal back."""

    #: The nodes must not write to the terminal meanwhile.
    owns_terminal: bool

    def __enter__(self) -> Self:
        """Take the terminal."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it back."""
        ...

    def say(self, line: str) -> None:
        """Show one line that stays."""
        ...

    def show(self, replies: Sequence[NodeReply], now: float) -> None:
        """Show the nodes as they are at ``now`` (monotonic seconds)."""
        ...


def view_for(stream: TextIO) -> LocalView:
    """Return the view that suits ``stream``."""
    return LiveView() if stream.isatty() else PlainView()


class WriteRates:
    """Writes per second of each node, from one look to the next."""

    def __init__(self) -> None:
        """Start without a look."""
        self._seen: dict[str, tuple[float, int]] = {}

    def rate(self, status: NodeStatus, now: float) -> float:
        """Return the writes that the node has applied per second since the last look."""
        count = status.fact_sum("apply", "requests")
        before = self._seen.get(status.name)
        self._seen[status.name] = (now, count)
        if before is None or now <= before[0] or count < before[1]:
            return 0.0
        return (count - before[1]) / (now - before[0])


class PlainView:
    """A line whenever a node changes its state, role or term; for logs and pipes."""

    owns_terminal = False

    def __init__(self) -> None:
        """Start with nothing shown."""
        self._shown: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Return itself: there is nothing to take."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Do nothing."""

    def say(self, line: str) -> None:
        """Write one line to standard output."""
        click.echo(line)

    def show(self, replies: Sequence[NodeReply], now: float) -> None:
        """Write a line for each node that has changed."""
        for reply in replies:
            line = _summary(reply)
            # Before its first answer a node is not down, it is not there yet.
            is_first_silence = reply.status is None and reply.name not in self._shown
            if not is_first_silence and self._shown.get(reply.name) != line:
                self._shown[reply.name] = line
                self.say(line)


def _summary(reply: NodeReply) -> str:
    status = reply.status
    if status is None:
        return f"{reply.name}: down"
    return f"{reply.name}: {status.state}, {status.role or 'no role'}, term {status.term}"


class LiveView:
    """A table that is redrawn in place; lines that stay scroll above it."""

    owns_terminal = True

    def __init__(self) -> None:
        """Build the view; rich is imported only now, after every fork that matters."""
        self._rates = WriteRates()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Begin to draw."""
        from rich.live import Live  # noqa: PLC0415 - rich costs start-up time elsewhere

        # Without its refresh thread: this process must stay single-threaded.
        self._live = Live(auto_refresh=False)
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last table on the screen."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        """Show a line above the table."""
        if self._live is None:
            click.echo(line)
        else:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, replies: Sequence[NodeReply], now: float) -> None:
        """Redraw the table."""
        if self._live is not None:
            self._live.update(cluster_table(replies, self._rates, now), refresh=True)


def cluster_table(replies: Sequence[NodeReply], rates: WriteRates, now: float) -> Table:
    """Return a table with one row per node."""
    from rich.markup import escape  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415

    # Without lines and wide gaps it fits into 80 columns; else pids are cut, which people need whole.
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("node", "state", "role"):
        table.add_column(heading, no_wrap=True)
    for heading in ("term", "commit", "applied", "clients", "writes/s", "CPU %", "RSS MiB", "pid"):
        table.add_column(heading, justify="right", no_wrap=True)
    for reply in replies:
        if reply.status is None:
            table.add_row(reply.name, "down", *("-",) * 9)
        else:
            table.add_row(*map(escape, _row(reply.status, rates.rate(reply.status, now))))
    return table


def _row(status: NodeStatus, writes_per_second: float) -> tuple[str, ...]:
    return (
        status.name,
        status.state,
        status.role,
        str(status.term),
        status.fact("raft", "committed"),
        status.fact("apply", "applied"),
        str(status.fact_sum("gateway", "sessions")),
        f"{writes_per_second:.0f}",
        f"{sum(actor.cpu_percent for actor in status.actors):.0f}",
        f"{sum(actor.rss_bytes for actor in status.actors) / _MIB:.0f}",
        str(status.pid),
    )
