"""Responsible for what every command needs: the global flags, a client, and a way to print.

As with etcdctl, global flags may stand anywhere on the command line, and each may come from a variable
``ETCDCTL_<FLAG>``; the command line wins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

import click

from zetcd.client import Client, ClientOptions
from zetcd.client.options import parse_endpoints
from zetcd.ctl.exits import CtlError, bad_arguments
from zetcd.ctl.go_text import parse_duration, parse_int, text_bytes
from zetcd.ctl.printer import Origin, Printable, renderer_of

_PREFIX: Final = "ETCDCTL_"
#: Arguments after ``--`` of commands that run another program.
_REST: Final = "zetcd.rest"


def duration(value: str | float) -> float:
    """Return the seconds of a flag such as ``1.5s``."""
    return value if isinstance(value, float) else parse_duration(str(value))


def raw_bytes(value: str | bytes) -> bytes:
    """Return a key or value: whatever bytes the shell passed."""
    return value if isinstance(value, bytes) else text_bytes(value)


def number(value: str | int) -> int:
    """Return the number of a flag such as ``--rev``."""
    return value if isinstance(value, int) else parse_int(value)


def lease_id(value: str | int) -> int:
    """Return the lease id of a flag, given in hexadecimal."""
    return value if isinstance(value, int) else parse_lease(value)


def parse_lease(text: str) -> int:
    """Return a lease id given in hexadecimal.

    Raises:
        CtlError: it is none.
    """
    try:
        return parse_int(text, 16)
    except ValueError:
        raise bad_arguments(f"bad lease ID ({text}), expecting ID in Hex") from None


@dataclass(slots=True)
class Flags:
    """The global flags; durations in seconds."""

    endpoints: str = "tcp://127.0.0.1:2382"
    write_out: str = "simple"
    hex: bool = False
    debug: bool = False
    dial_timeout: float = 2.0
    command_timeout: float = 5.0
    keepalive_time: float = 2.0
    keepalive_timeout: float = 6.0
    max_request_bytes: int = 0
    max_recv_bytes: int = 0
    insecure_transport: bool = True
    insecure_discovery: bool = True
    insecure_skip_tls_verify: bool = False
    cert: str = ""
    key: str = ""
    cacert: str = ""
    user: str = ""
    password: str = ""
    auth_jwt_token: str = ""
    discovery_srv: str = ""
    discovery_srv_name: str = ""


#: Flag, type, help; `*` marks those that would change who may do what, and are not implemented.
_GLOBALS: Final[tuple[tuple[str, object, str], ...]] = (
    ("endpoints", str, "native endpoints, separated by commas"),
    ("write-out", str, "output format (fields, json, simple, table)"),
    ("hex", bool, "print byte strings as hex encoded strings"),
    ("debug", bool, "print the global flags in use to stderr"),
    ("dial-timeout", duration, "time for one endpoint to accept the connection"),
    ("command-timeout", duration, "time for short running commands"),
    ("keepalive-time", duration, "accepted; the server sets the pace of PING"),
    ("keepalive-timeout", duration, "accepted; the server sets the pace of PING"),
    ("max-request-bytes", int, "accepted; the server sets the limit"),
    ("max-recv-bytes", int, "accepted; there is no limit"),
    ("insecure-transport", bool, "accepted; the transport is not encrypted"),
    ("insecure-discovery", bool, "accepted"),
    ("insecure-skip-tls-verify", bool, "accepted"),
    ("cert", str, "not implemented"),
    ("key", str, "not implemented"),
    ("cacert", str, "not implemented"),
    ("user", str, "not implemented"),
    ("password", str, "not implemented"),
    ("auth-jwt-token", str, "not implemented"),
    ("discovery-srv", str, "not implemented"),
    ("discovery-srv-name", str, "not implemented"),
)
_SHORT: Final = {"write-out": "-w", "discovery-srv": "-d"}
_NOT_IMPLEMENTED: Final = (
    "cert",
    "key",
    "cacert",
    "user",
    "password",
    "auth_jwt_token",
    "discovery_srv",
    "discovery_srv_name",
)


@dataclass(slots=True)
class Cli:
    """One run of zetcdctl."""

    flags: Flags = field(default_factory=Flags)
    _clients: list[Client] = field(default_factory=list)

    def check(self) -> None:
        """Refuse what cannot be honoured; pretending would be worse.

        Raises:
            CtlError: a flag is not implemented, or the format does not exist.
        """
        for name in _NOT_IMPLEMENTED:
            if getattr(self.flags, name):
                raise CtlError(f"--{name.replace('_', '-')}: not implemented yet")
        renderer_of(self.flags.write_out)
        if self.flags.debug:
            for name in Flags.__slots__:
                sys.stderr.write(f"{_PREFIX}{name.upper()}={getattr(self.flags, name)}\n")

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints as ZeroMQ wants them."""
        return parse_endpoints(self.flags.endpoints)

    def options(self, endpoints: Sequence[str] = ()) -> ClientOptions:
        """Return a client's options; without endpoints, those of the flags."""
        return ClientOptions(
            endpoints=tuple(endpoints) or self.endpoints,
            timeout=self.flags.command_timeout,
            connect_timeout=self.flags.dial_timeout,
            client="zetcdctl",
        )

    @property
    def client(self) -> Client:
        """The client of this run."""
        if not self._clients:
            self._clients.append(Client(options=self.options()))
        return self._clients[0]

    def client_of(self, endpoint: str) -> Client:
        """Return a further client, of one endpoint; the caller closes it."""
        return Client(options=self.options((endpoint,)))

    @property
    def origin(self) -> Origin:
        """Who answered last."""
        return Origin(self.client.cluster_id, self.client.member_id)

    @property
    def is_simple(self) -> bool:
        """Whether people read the output."""
        return self.flags.write_out == "simple"

    def show(self, what: Printable) -> None:
        """Print a response."""
        render = renderer_of(self.flags.write_out)
        origin = self.origin if self._clients else Origin()
        emit(render(what, origin, self.flags.hex))

    def close(self) -> None:
        """End the client's session."""
        for client in self._clients:
            client.close()


def emit(output: bytes) -> None:
    """Write to stdout now: whoever reads a pipe wants each answer when it is there."""
    sys.stdout.flush()
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()


def read_stdin() -> bytes:
    """Return all of stdin."""
    return sys.stdin.buffer.read()


@contextmanager
def opened() -> Iterator[Cli]:
    """Yield the `Cli` of the running command."""
    yield cast(Cli, click.get_current_context().find_root().obj)


# --- commands ---------------------------------------------------------------------------------------


def global_options(*, with_environment: bool) -> list[click.Option]:
    """Return the global flags as options that note themselves."""
    options = []
    for name, kind, text in _GLOBALS:
        variable = _PREFIX + name.upper().replace("-", "_")
        names = [f"--{name}", *((_SHORT[name],) if name in _SHORT else ())]
        settings: dict[str, Any] = {"is_flag": True} if kind is bool else {"type": kind}
        options.append(
            click.Option(
                names,
                default=None,
                envvar=variable if with_environment else None,
                expose_value=False,
                hidden=not with_environment,
                is_eager=True,
                callback=_note,
                help=text,
                **settings,
            )
        )
    return options


def _note(context: click.Context, option: click.Parameter, value: object) -> None:
    if value is not None:
        root = context.find_root()
        root.obj = root.obj or Cli()
        setattr(cast(Cli, root.obj).flags, str(option.name), value)


class CtlCommand(click.Command):
    """A command that takes the global flags too, and keeps what follows ``--`` apart."""

    def __init__(self, *arguments: Any, keeps_rest: bool = False, **settings: Any) -> None:  # noqa: ANN401 - click's own signature
        """Add the global flags."""
        super().__init__(*arguments, **settings)
        self.keeps_rest = keeps_rest
        self.params.extend(global_options(with_environment=False))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``args``, but for what follows ``--`` if another program is to be run."""
        # Go takes --flag=true, which click does not.
        flags = [each for each in self.params if isinstance(each, click.Option) and each.is_flag]
        args = _with_flag_values(args, frozenset(name for each in flags for name in each.opts))
        rest: list[str] = []
        if self.keeps_rest and "--" in args:
            position = args.index("--")
            args, rest = args[:position], args[position + 1 :]
        ctx.meta[_REST] = rest
        return super().parse_args(ctx, args)


def _with_flag_values(arguments: list[str], flags: frozenset[str]) -> list[str]:
    """Return arguments in which ``--flag=true`` is ``--flag``, and ``--flag=false`` is gone."""
    shown: list[str] = []
    for position, argument in enumerate(arguments):
        if argument == "--":
            return shown + arguments[position:]
        name, separator, value = argument.partition("=")
        if separator and name in flags and value.lower() in ("true", "false"):
            if value.lower() == "true":
                shown.append(name)
        else:
            shown.append(argument)
    return shown


def rest_of_line() -> list[str]:
    """Return what followed ``--``."""
    return list(click.get_current_context().meta.get(_REST, ()))


def command(name: str, **settings: Any) -> Callable[[Callable[..., int | None]], CtlCommand]:  # noqa: ANN401 - click's own signature
    """Make a function a command of zetcdctl."""
    return click.command(name, cls=CtlCommand, **settings)


def environment(name: str) -> str:
    """Return a variable of etcdctl's, "" if it is not set."""
    return os.environ.get(_PREFIX + name, "")
