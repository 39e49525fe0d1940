"""Responsible for the facts about this machine and its software that figures depend on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil
import zmq

from bench.guard import ROOT
from bench.peers.build import BuildUnavailable, go_version
from zetcd.compiled import kind_of_modules


def machine_facts(directory: Path) -> dict[str, str]:
    """Return what the machine is; members keep their files in ``directory``."""
    disk = shutil.disk_usage(directory)
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "kernel": platform.release(),
        "system": _os_name(),
        "file system": f"{_file_system(directory)}, {disk.free / 2**30:.0f} GiB free",
        "load before": " ".join(f"{each:.2f}" for each in os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """Return what was measured and with what."""
    return {
        "zetcd": f"{version('zetcd')} {_revision()} {kind_of_modules()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "libzmq": zmq.zmq_version(),
        "etcd": _pinned("bench/peers/etcd/go.mod", "go.etcd.io/etcd/server/v3"),
        "clientv3": _pinned("bench/peers/loadgen/go.mod", "go.etcd.io/etcd/client/v3"),
        "Go": _go(),
    }


def name_of_machine() -> str:
    """Return a short name for a directory of results: architecture and cores, nothing personal."""
    return f"{platform.machine()}-{os.cpu_count()}cores".lower()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _os_name() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())


def _file_system(path: Path) -> str:
    """Return the type of the file system that holds ``path``."""
    mounts = sorted(psutil.disk_partitions(all=True), key=lambda each: -len(each.mountpoint))
    resolved = path.resolve()
    return next((m.fstype for m in mounts if resolved.is_relative_to(m.mountpoint)), "unknown")


def _revision() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _pinned(module: str, name: str) -> str:
    words = (ROOT / module).read_text().split()
    return words[words.index(name) + 1] if name in words else ""


def _go() -> str:
    try:
        return go_version().split()[0]
    except BuildUnavailable as error:
        return str(error)
