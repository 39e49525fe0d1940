"""Responsible for zetcdutl's command line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

import zetcd
from zetcd.config.loading import config_from_table
from zetcd.ctl.go_text import duration_text, os_error_text, size_text
from zetcd.ctl.table import draw
from zetcd.errors import ExitCode, InvalidArgument, ZetcdError
from zetcd.etcd_snapshot import ImportOptions, hash_kv, status_of
from zetcd.utl.files import UnreadableFile, opened
from zetcd.utl.restoring import restore
from zetcd.utl.stopped import defragment, export

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_DIRECTORY: Final = click.Path(path_type=Path, file_okay=False)
_FORMATS: Final = ("simple", "fields", "json", "table")
_WRITE_OUT: Final = click.option(
    "-w", "--write-out", default="simple", type=click.Choice(_FORMATS), help="Output format."
)
_DEFAULT_PEER_URL: Final = "tcp://localhost:2380"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def root() -> None:
    """Administer the files of a member that does not run."""


@root.group("snapshot")
def snapshot() -> None:
    """Look at snapshot files, of zetcd or etcd, and restore them."""


def _show(
    write_out: str,
    columns: Sequence[str],
    cells: Sequence[str],
    shown: dict[str, object],
    labels: Sequence[str],
) -> None:
    """Print one row in a format of etcdutl's."""
    if write_out == "table":
        sys.stdout.write(draw(columns, [cells]).decode())
    elif write_out == "json":
        sys.stdout.write(json.dumps(shown, separators=(",", ":")) + "\n")
    elif write_out == "fields":
        for label, value in zip(labels, shown.values(), strict=True):
            sys.stdout.write(f'"{label}" : {value}\n')
    else:
        sys.stdout.write(", ".join(cells) + "\n")


@snapshot.command("status")
@click.argument("file", type=_FILE)
@_WRITE_OUT
def status(file: Path, write_out: str) -> None:
    """Show hash, revision, number of keys, size and version of FILE."""
    with opened(file, verifies=True, is_looked_up=True) as reader:
        found = status_of(reader)
    _show(
        write_out,
        ("hash", "revision", "total keys", "total size", "version"),
        (
            f"{found.hash:x}",
            str(found.revision),
            str(found.total_key),
            size_text(found.total_size),
            found.version,
        ),
        {
            "hash": found.hash,
            "revision": found.revision,
            "totalKey": found.total_key,
            "totalSize": found.total_size,
            "version": found.version,
        },
        ("Hash", "Revision", "Keys", "Size", "Version"),
    )


@root.command("hashkv")
@click.argument("file", type=_FILE)
@click.option("--rev", "revision", default=0, type=click.IntRange(0, 2**63 - 1))
@_WRITE_OUT
def hashkv(file: Path, revision: int, write_out: str) -> None:
    """Show etcd's HashKV of FILE up to a revision; it is another number than a zetcd member's."""
    with opened(file, verifies=False, is_looked_up=True) as reader:
        found = hash_kv(reader, revision)
    _show(
        write_out,
        ("hash", "hash revision", "compact revision"),
        tuple(map(str, found)),
        {
            "hash": found.hash,
            "hashRevision": found.hash_revision,
            "compactRevision": found.compact_revision,
        },
        ("Hash", "Hash revision", "Compact revision"),
    )


_MEMBER_OPTIONS: Final = (
    click.option("--data-dir", type=_DIRECTORY, help="Made anew. Default: <name>.zetcd"),
    click.option("--name", default="default", show_default=True, help="Of this member."),
    click.option("--initial-cluster", default="", help="name=url,... of every member."),
    click.option("--initial-cluster-token", default="etcd-cluster", show_default=True),
    click.option("--initial-advertise-peer-urls", default=_DEFAULT_PEER_URL, show_default=True),
    click.option(
        "--bump-revision",
        default=0,
        type=click.IntRange(0, 2**62),
        help="Raise the latest revision by this much, so that clients' caches see none twice.",
    ),
    click.option(
        "--mark-compacted",
        is_flag=True,
        help="Compact at the raised revision; required with --bump-revision, and only then.",
    ),
)


def _member_options(command: click.Command) -> click.Command:
    for option in reversed(_MEMBER_OPTIONS):
        option(command)
    return command


@snapshot.command("restore")
@click.argument("file", type=_FILE)
@click.option("--skip-hash-check", is_flag=True, help="Take a file without digest, or a wrong one.")
def restore_command(file: Path, *, skip_hash_check: bool, **member: object) -> None:
    """Make the data directory of one member of a new cluster from FILE."""
    _restore(file, member, verifies=not skip_hash_check, needs_digest=not skip_hash_check)


@root.command("import")
@click.argument("source", type=click.Path(path_type=Path))
def import_command(source: Path, **member: object) -> None:
    """Make the data directory of one member of a new cluster from a stopped etcd's data.

    SOURCE is etcd's data directory, its member/snap/db, or a snapshot file.
    """
    file = source / "member" / "snap" / "db" if source.is_dir() else source
    _restore(file, member, verifies=True, needs_digest=False)


def _restore(file: Path, member: dict[str, object], *, verifies: bool, needs_digest: bool) -> None:
    bump, is_marked = member["bump_revision"], bool(member["mark_compacted"])
    assert isinstance(bump, int)
    if is_marked != (bump > 0):
        raise InvalidArgument("--mark-compacted is required with --bump-revision, and only then")
    urls = str(member["initial_advertise_peer_urls"]).split(",")
    name = str(member["name"])
    config = config_from_table(
        {
            "name": name,
            "data-dir": str(member["data_dir"] or f"{name}.zetcd"),
            "initial-advertise-peer-urls": urls,
            "initial-cluster": str(
                member["initial_cluster"] or ",".join(f"{name}={url}" for url in urls)
            ),
            "initial-cluster-token": str(member["initial_cluster_token"]),
        }
    )
    options = ImportOptions(bump_revision=bump, mark_compacted=is_marked)
    with opened(file, verifies=verifies, needs_digest=needs_digest) as reader:
        state = restore(config, reader, options)
    sys.stdout.write(
        f"Restored {file} into {config.data_dir}: member {config.member_id():x} of cluster "
        f"{config.cluster_id():x}, revision {state.current_revision}\n"
    )


for _command in (restore_command, import_command):
    _member_options(_command)


@root.command("export")
@click.argument("file", type=_FILE)
@click.option("--data-dir", type=_DIRECTORY, required=True)
def export_command(file: Path, data_dir: Path) -> None:
    """Write the store of a stopped member as a snapshot file that etcdutl restores, too."""
    size = export(data_dir, file)
    sys.stdout.write(f"Snapshot saved at {file}, {size_text(size)}\n")


@root.command("defrag")
@click.option("--data-dir", type=_DIRECTORY, required=True)
def defrag(data_dir: Path) -> None:
    """Make the file of a stopped member's store small."""
    begun = time.monotonic()
    before, after = defragment(data_dir)
    took = duration_text(time.monotonic() - begun)
    sys.stdout.write(
        f"Finished defragmenting {data_dir}, {size_text(before)} to {size_text(after)}. took {took}\n"
    )


@root.command("version")
def version() -> None:
    """Show the version."""
    sys.stdout.write(f"zetcdutl version: {zetcd.__version__}\n")


def run(arguments: list[str]) -> int:
    """Run one command line; return the exit code."""
    try:
        root.main(arguments, prog_name="zetcdutl", standalone_mode=False)
    except ZetcdError as error:
        sys.stderr.write(f"Error: {error}\n")
        return int(error.exit_code or ExitCode.FAILED)
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stdout.write(f"{error.format_message()}\n")
    except click.ClickException as error:
        sys.stderr.write(f"Error: {error.format_message()}\n")
        return ExitCode.USAGE
    except UnreadableFile as error:
        sys.stderr.write(f"Error: {error}\n")
        return ExitCode.FAILED
    except OSError as error:
        sys.stderr.write(f"Error: {os_error_text(error)}\n")
        return ExitCode.FAILED
    return 0


def main() -> None:
    """Run the process's command line."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
