"""Go programs of this repository, each built once into ``.go-programs`` at its root.

    python -m bench.peers.build              the list, with what is built already
    python -m bench.peers.build etcd         builds one and prints its path

A program is built again when its module or the Go compiler changes. Versions are pinned by each module's
go.mod and go.sum. Test processes side by side wait for each other; ``PROGRAMS`` names what there is.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
#: Ignored by git; removed by `make clean`.
PROGRAMS_DIR: Final = ROOT / ".go-programs"
BUILD_SECONDS_MAX: Final = 1800
#: What Go says when it has not fetched a module before and cannot do so now.
_UNREACHABLE: Final = (
    "dial tcp",
    "i/o timeout",
    "no such host",
    "connection refused",
    "TLS handshake timeout",
    "403 Forbidden",
    "502 Bad Gateway",
    "503 Service Unavailable",
)


class BuildUnavailable(Exception):
    """A program cannot be built here: Go is absent or too old, or its modules cannot be fetched."""


class BuildFailed(Exception):
    """A program does not compile."""


@dataclass(frozen=True)
class Program:
    """A command of a pinned Go module."""

    #: Directory of the module, from the root of the repository.
    module: str
    #: The package to build, as Go names it.
    package: str = "."


PROGRAMS: Final[dict[str, Program]] = {
    "etcd": Program("bench/peers/etcd"),
    "etcdutl": Program("bench/peers/etcd", "go.etcd.io/etcd/etcdutl/v3"),
    "loadgen": Program("bench/peers/loadgen"),
    "etcdctl": Program("tests/clients/etcdctl", "go.etcd.io/etcd/etcdctl/v3"),
    "goclient": Program("tests/clients/go"),
}


def go_version() -> str:
    """Return what Go says of itself.

    Raises:
        BuildUnavailable: there is no Go.
    """
    if shutil.which("go") is None:
        raise BuildUnavailable("go is not installed: https://go.dev/dl")
    return _run_go(["env", "GOVERSION", "GOOS", "GOARCH"], ROOT)


@cache
def build_program(name: str) -> Path:
    """Return the program of this name, building it if it is not there yet.

    Raises:
        BuildUnavailable: this machine cannot build it.
        BuildFailed: it does not compile.
    """
    program = PROGRAMS[name]
    module = ROOT / program.module
    built = PROGRAMS_DIR / f"{name}-{_digest(module)}"
    if built.exists():
        return built
    with locked(name):
        if not built.exists():
            # Appears under its name only when it is whole.
            unfinished = built.with_name(f"{built.name}.{os.getpid()}")
            _run_go(["build", "-trimpath", "-o", str(unfinished), program.package], module)
            for old in PROGRAMS_DIR.glob(f"{name}-*"):
                if old != unfinished:
                    old.unlink(missing_ok=True)
            unfinished.rename(built)
    return built


def _digest(module: Path) -> str:
    """Return a digest of everything a program is made from."""
    found = hashlib.sha256(go_version().encode())
    for path in sorted(module.rglob("*")):
        if path.suffix in (".go", ".mod", ".sum"):
            found.update(path.relative_to(module).as_posix().encode() + b"\0")
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let nobody else make what goes by this name meanwhile; `PROGRAMS_DIR` comes to be there."""
    PROGRAMS_DIR.mkdir(exist_ok=True)
    with (PROGRAMS_DIR / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run_go(arguments: list[str], directory: Path) -> str:
    done = subprocess.run(
        ["go", *arguments],
        cwd=directory,
        env=os.environ | {"GOFLAGS": "-buildvcs=false -mod=readonly", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS_MAX,
    )
    if not done.returncode:
        return done.stdout
    last = done.stderr[-3000:]
    if any(word in done.stderr for word in _UNREACHABLE):
        raise BuildUnavailable(f"Go cannot fetch modules: {last[-300:]}")
    if "go.mod requires go" in done.stderr:
        raise BuildUnavailable(last)
    raise BuildFailed(last)


def main() -> int:
    """Build what the command line names, or list everything."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.build", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROGRAMS))
    names = parser.parse_args().names
    unknown = [name for name in names if name not in PROGRAMS]
    if unknown:
        parser.error(f"no such program: {', '.join(unknown)} (there are {', '.join(PROGRAMS)})")
    try:
        for name in names:
            print(build_program(name))
        if not names:
            _list()
    except (BuildUnavailable, BuildFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _list() -> None:
    for name, program in PROGRAMS.items():
        built = next(PROGRAMS_DIR.glob(f"{name}-*"), None)
        print(f"{name:12} {program.module:28} {built.name if built else 'not built'}")


if __name__ == "__main__":
    sys.exit(main())
