"""Responsible for the command line of ``zetcd``: flags to a `Config`, and a `Config` to a process.

The only place that reads the environment. Imports lazily: ``zetcd --help`` must answer at once.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, cast

import click

from zetcd import __version__
from zetcd.compiled import kind_of_modules
from zetcd.errors import ConfigError, ExitCode, require_asserts

if TYPE_CHECKING:
    from zetcd.config import Config
    from zetcd.status import NodeReply

#: Commands that live elsewhere and are imported only when they are asked for.
_LAZY_COMMANDS: Final = {
    "check": ("zetcd.check_command", "check_command"),
    "etcd": ("zetcd.launcher.command", "etcd_command"),
    "wal": ("zetcd.wal_dump", "wal_group"),
}
_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_DIRECTORY: Final = click.Path(path_type=Path, file_okay=False)


class LazyGroup(click.Group):
    """A group some of whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, sorted."""
        return sorted([*super().list_commands(ctx), *_LAZY_COMMANDS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, importing it if need be."""
        if cmd_name in _LAZY_COMMANDS:
            module, attribute = _LAZY_COMMANDS[cmd_name]
            return cast(click.Command, getattr(import_module(module), attribute))
        return super().get_command(ctx, cmd_name)


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="zetcd")
def main() -> None:
    """A distributed key-value store: etcd's job, done by actor processes joined by ZeroMQ."""
    require_asserts()


@main.command()
@click.argument("config_file", required=False, type=_FILE)
@click.option("--name", help="Name of the node; only without CONFIG_FILE.")
@click.option("--data-dir", help="Its data directory; only without CONFIG_FILE.")
def supervise(config_file: Path | None, name: str | None, data_dir: str | None) -> None:
    """Run one node until SIGTERM or SIGINT.

    Without CONFIG_FILE: a cluster of one node with defaults, in ./default.zetcd.
    """
    settings = {"name": name, "data-dir": data_dir}
    given = {key: value for key, value in settings.items() if value is not None}
    if config_file is not None and given:
        options = " and ".join(f"--{key}" for key in given)
        raise click.UsageError(f"{options}: set it in {config_file} instead")
    config = _load(config_file, given)
    from zetcd.supervision import supervise as run  # noqa: PLC0415 - see the module's docstring

    sys.exit(run(config, notify_socket=os.environ.get("NOTIFY_SOCKET", "")))


@main.command()
@click.option("--nodes", default=1, show_default=True, type=click.IntRange(1, 9))
@click.option(
    "--dir", "directory", type=_DIRECTORY, help="Keeps configuration and data; default: temporary."
)
@click.option(
    "--base-port",
    default=2380,
    show_default=True,
    type=click.IntRange(1024, 65_000),
    help="Node i listens on this port + 10*i (etcd API), + 1 (peers), + 2 (native clients).",
)
@click.option("--demo", "with_demo", is_flag=True, help="Show a put, a get and a watch.")
def local(nodes: int, directory: Path | None, base_port: int, *, with_demo: bool) -> None:
    """Run a cluster on this machine until SIGTERM or SIGINT."""
    from zetcd.local import LocalOptions, run_local  # noqa: PLC0415

    demo = None
    if with_demo:
        from zetcd.demo import run_demo  # noqa: PLC0415

        demo = run_demo
    sys.exit(run_local(LocalOptions(nodes, directory, base_port, demo)))


@main.command()
@click.option("--config", "config_file", type=_FILE, help="Configuration of the node.")
@click.option("--data-dir", help="Data directory of a node that runs without a configuration.")
@click.option("--dir", "directory", type=_DIRECTORY, help="Directory of a local cluster.")
@click.option(
    "-w", "--write-out", default="table", show_default=True, type=click.Choice(["table", "json"])
)
def status(
    config_file: Path | None, data_dir: str | None, directory: Path | None, write_out: str
) -> None:
    """Show the actors of a running node, or of all nodes of a local cluster.

    The exit code is 1 if a node is not running.
    """
    from zetcd.status import ask, local_configs, node_table, to_json  # noqa: PLC0415

    if sum(each is not None for each in (config_file, data_dir, directory)) > 1:
        raise click.UsageError("--config, --data-dir and --dir exclude each other")
    if directory is not None:
        try:
            configs = local_configs(directory)
        except FileNotFoundError as error:
            raise click.UsageError(str(error)) from error
        except ConfigError as error:
            _refuse(error)
    else:
        configs = (_load(config_file, {} if data_dir is None else {"data-dir": data_dir}),)
    replies: list[NodeReply] = [ask(each) for each in configs]
    if write_out == "json":
        click.echo(to_json(replies))
    else:
        from rich.console import Console  # noqa: PLC0415

        # Facts must survive a pipe: a width that does not depend on the terminal there.
        console = Console(width=None if sys.stdout.isatty() else 160)
        for reply in replies:
            if reply.status is not None:
                console.print(node_table(reply.status))
    for reply in replies:
        if reply.status is None:
            click.echo(f"{reply.name}: {reply.reason}", err=True)
    sys.exit(ExitCode.FAILED if any(reply.status is None for reply in replies) else ExitCode.OK)


@main.group()
def config() -> None:
    """Look at configurations."""


@config.command()
@click.argument("config_file", type=_FILE)
@click.option("--show", is_flag=True, help="Print every setting, defaults included.")
def check(config_file: Path, *, show: bool) -> None:
    """Check CONFIG_FILE and print every problem at once."""
    found = _load(config_file, {})
    click.echo(found.to_toml(is_whole=True) if show else f"{config_file}: no problems")


@main.command()
def version() -> None:
    """Print versions and exit."""
    import zmq  # noqa: PLC0415

    click.echo(f"zetcd {__version__}, {kind_of_modules()}")
    click.echo(f"Python {sys.version.split()[0]}  ZeroMQ {zmq.zmq_version()}")


def _load(file: Path | None, settings: dict[str, str]) -> Config:
    """Return the configuration of ``file``, or of ``settings`` alone; ends the process if wrong."""
    from zetcd.config import config_from_table, load_config  # noqa: PLC0415

    try:
        return load_config(file) if file is not None else config_from_table(settings)
    except ConfigError as error:
        _refuse(error)


def _refuse(error: ConfigError) -> NoReturn:
    click.echo(str(error), err=True)
    sys.exit(ExitCode.CONFIG)
