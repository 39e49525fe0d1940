"""Responsible for starting zetcdctl: which module holds which command, and how errors end the process."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

import click

from zetcd.ctl.cli import Cli, global_options
from zetcd.ctl.exits import CtlError, Exit
from zetcd.errors import NotConnected, ZetcdError

#: Command → module and attribute, imported when it is used.
_COMMANDS: Final = {
    "alarm": "alarm:alarm",
    "auth": "absent:auth",
    "check": "check:check",
    "compaction": "keys:compaction",
    "completion": "about:completion",
    "defrag": "defrag:defrag",
    "del": "keys:delete",
    "downgrade": "absent:downgrade",
    "elect": "lock:elect",
    "endpoint": "endpoint:endpoint",
    "get": "keys:get",
    "lease": "lease:lease",
    "lock": "lock:lock",
    "make-mirror": "absent:make_mirror",
    "member": "member:member",
    "move-leader": "member:move_leader",
    "options": "about:options",
    "put": "keys:put",
    "role": "absent:role",
    "snapshot": "snapshot:snapshot",
    "txn": "txn:txn",
    "user": "absent:user",
    "version": "about:version",
    "watch": "watch:watch",
}


class LazyGroup(click.Group):
    """The commands of zetcdctl, imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None if there is none of that name."""
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, attribute = place.split(":")
        found: click.Command = getattr(import_module(f"zetcd.ctl.{module}"), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names."""
        if args and args[0] not in _COMMANDS:
            raise CtlError(f'unknown command "{args[0]}" for "zetcdctl"')
        return super().resolve_command(ctx, args)


@click.pass_context
def _start(context: click.Context) -> None:
    context.obj = context.obj or Cli()


root: Final = LazyGroup(
    "zetcdctl",
    callback=_start,
    params=list(global_options(with_environment=True)),
    help="A simple command line client for zetcd.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(arguments: list[str]) -> int:
    """Run one command line; return the exit code."""
    cli = Cli()
    try:
        result = root.main(arguments, prog_name="zetcdctl", standalone_mode=False, obj=cli)
    except CtlError as error:
        return _end(str(error), error.code)
    except NotConnected as error:
        return _end(str(error), Exit.BAD_CONNECTION)
    except ZetcdError as error:
        return _end(str(error), Exit.ERROR)
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stdout.write(f"{error.format_message()}\n")
        return Exit.SUCCESS
    except click.ClickException as error:
        return _end(error.format_message(), Exit.ERROR)
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.IO
    except OSError as error:
        return _end(str(error), Exit.IO)
    finally:
        cli.close()
    return result if isinstance(result, int) else Exit.SUCCESS


def _end(message: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"Error: {message}\n")
    return code


def main() -> None:
    """Run the process's command line."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
