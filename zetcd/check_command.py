"""Responsible for ``zetcd check`` on the command line: progress, the table, JSON, the exit code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import click

from zetcd.errors import ConfigError, DataDirMismatch, ExitCode

if TYPE_CHECKING:
    # At run time imported lazily: `zetcd --help` must not pay for LMDB and rich.
    from rich.progress import Progress as ProgressBar
    from rich.progress import TaskID
    from rich.table import Table

    from zetcd.offline_check.report import CheckReport
    from zetcd.offline_check.stillness import MemberPaths

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_DIRECTORY: Final = click.Path(path_type=Path, file_okay=False)
_STYLES: Final = {"ok": "green", "corrupt": "bold red", "skipped": "yellow"}


@click.command(name="check")
@click.argument("config_file", required=False, type=_FILE)
@click.option("--data-dir", type=_DIRECTORY, help="Data directory; instead of CONFIG_FILE.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--from",
    "base",
    default="newest",
    show_default=True,
    type=click.Choice(["newest", "oldest"]),
    help="Checkpoint that the replay starts from; the oldest shows more and takes longer.",
)
@click.option("--scratch", type=_DIRECTORY, help="Directory for temporary stores.")
def check_command(
    config_file: Path | None,
    data_dir: Path | None,
    base: str,
    scratch: Path | None,
    *,
    is_json: bool,
) -> None:
    """Verify what a stopped member keeps: log, checkpoints, store, and whether they agree.

    Changes nothing. Exit code 0: all is well; 4: something is corrupt; any other: it could not be
    checked, or not all of it (1), or the member runs (7).
    """
    from zetcd.offline_check.check import CheckOptions, check_member  # noqa: PLC0415 - see the top

    paths = _paths(config_file, data_dir)
    prefers_oldest = base == "oldest"
    try:
        with _Shown() as shown:
            options = CheckOptions(
                prefers_oldest=prefers_oldest, scratch=scratch, progress=shown.note
            )
            report = check_member(paths, options)
    except DataDirMismatch as error:
        click.echo(f"cannot check: {error.detail}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"cannot check: {error}", err=True)
        sys.exit(ExitCode.FAILED)
    if is_json:
        click.echo(to_json(report))
    else:
        _print(report)
    sys.exit(exit_code_of_report(report))


def exit_code_of_report(report: CheckReport) -> ExitCode:
    """Return 0 only if everything was looked at and is well."""
    from zetcd.offline_check.report import Verdict  # noqa: PLC0415

    if report.verdict is Verdict.CORRUPT:
        return ExitCode.CORRUPTION
    return ExitCode.OK if report.verdict is Verdict.OK else ExitCode.FAILED


def to_json(report: CheckReport) -> str:
    """Return one JSON object."""
    import msgspec  # noqa: PLC0415

    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def report_table(report: CheckReport) -> Table:
    """Return the table for people."""
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    title = f"{report.data_dir}  member {report.member_id or 'unknown'}  {report.verdict.value}"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("part", no_wrap=True)
    table.add_column("verdict")
    table.add_column("found", overflow="fold")
    for part in report.parts:
        verdict = part.verdict.value
        found = "\n".join([part.summary, *(f"  {each}" for each in part.differences)])
        style = _STYLES[verdict]
        table.add_row(part.name, f"[{style}]{verdict}[/]", escape(found))
    return table


def _print(report: CheckReport) -> None:
    from rich.console import Console  # noqa: PLC0415

    # What was found must survive a pipe: a width that does not depend on the terminal there.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(report_table(report))


def _paths(config_file: Path | None, data_dir: Path | None) -> MemberPaths:
    from zetcd.config import load_config  # noqa: PLC0415
    from zetcd.offline_check.stillness import MemberPaths  # noqa: PLC0415

    if config_file is not None and data_dir is not None:
        raise click.UsageError("CONFIG_FILE and --data-dir exclude each other")
    if data_dir is not None:
        return MemberPaths.of_data_dir(data_dir)
    try:
        return MemberPaths.of_config(load_config(config_file))
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(ExitCode.CONFIG)


class _Shown:
    """A progress bar on stderr, on terminals only."""

    def __init__(self) -> None:
        self._bar: ProgressBar | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console  # noqa: PLC0415
            from rich.progress import Progress as ProgressBar  # noqa: PLC0415

            self._bar = ProgressBar(console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, what: str, done: int, total: int) -> None:
        """Show how far ``what`` is."""
        if self._bar is None:
            return
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what)
        self._bar.update(self._tasks[what], completed=done, total=total)
