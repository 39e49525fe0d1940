"""Responsible for rows 10 to 12: disks that are full, that fail, and that are slow."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import psutil

from tests.robustness.arena import ArenaNode, ArenaSetting
from tests.robustness.faults.fault import RECOVERY_SECONDS_MAX, Fault, Stage
from tests.robustness.faults.mounts import Mount, Tmpfs, mount_missing
from tests.robustness.faults.syscalls import Injection, strace_missing
from tests.robustness.history import Operation
from zetcd.errors import ExitCode
from zetcd.runtime import lmdb_trust

#: Small segments, so that a full disk shows when the next one is begun; they hold small requests only.
_SMALL_SEGMENTS: Final = """
max-request-bytes = 65536
[gateway]
batch-bytes-max = 65536
[wal]
segment-bytes = 262144
"""
_DISK_BYTES: Final = 32 * 1024 * 1024
#: Seconds that a slow disk lasts.
_SLOW_SECONDS: Final = 8.0


class DiskFull(Fault):
    """The disk of one member fills up; then there is room again, and the member starts."""

    row = 10

    def __init__(self, what: str, role: str) -> None:
        """Prepare for ``log`` or ``store``."""
        self.what, self.role = what, role
        self.name = f"disk full: {what} of the {role}"
        self._mounts: list[Mount] = []
        # The member says why it ends.
        self.expected_log = ("ENOSPC", "No space left on device", "DiskFailed", "Traceback (most")

    def missing(self) -> str:
        return mount_missing()

    def setting(self, directory: Path) -> ArenaSetting:
        wal_dirs: dict[int, str] = {}
        for number in range(3):
            if self.what == "log":
                path = directory / f"disk{number}"
                wal_dirs[number] = f'wal-dir = "{path}/wal"\n'
            else:
                data_dir = directory / f"node{number}" / "data"
                data_dir.mkdir(mode=0o700, parents=True)
                path = data_dir / "db"
            self._mounts.append(Tmpfs(path, _DISK_BYTES))
            if self.what == "store":
                # A store that nobody vouches for is removed, and a mount cannot be.
                lmdb_trust.mark_clean(path)
        return ArenaSetting(extra=_SMALL_SEGMENTS, extra_of=wal_dirs)

    def inject(self, stage: Stage) -> None:
        node = stage.victim(self.role)
        number = stage.arena.arena_nodes.index(node)
        self._filler = self._mounts[number].path / "filler"
        self._fill()
        processes = node.processes()
        began = time.monotonic()

        def is_full() -> bool:
            self._fill()
            return node.has_ended

        # Pages that the store frees and asks for again would find room: keep filling.
        has_ended = stage.wait(is_full, 3 * RECOVERY_SECONDS_MAX)
        stage.expect(has_ended, "the member went on with a full disk")
        if not has_ended:
            return
        stage.strikes += 1
        code = node.wait_exit(processes)
        stage.note(f"exit {code} after {time.monotonic() - began:.1f} s")
        stage.expect(code == ExitCode.DISK, f"ended with {code}, not with {ExitCode.DISK}")
        stage.wait_writes(50, "at the members that have room")

    def _fill(self) -> None:
        """Take all the room there is."""
        chunk = bytes(64 * 1024)
        with self._filler.open("ab", buffering=0) as file:
            while chunk:
                try:
                    file.write(chunk)
                except OSError:
                    chunk = chunk[: len(chunk) // 2]

    def heal(self, stage: Stage) -> None:
        self._filler.unlink(missing_ok=True)
        _start_missing(stage)

    def clean_up(self) -> None:
        for mount in self._mounts:
            mount.close()


class FailingDisk(Fault):
    """One write or sync of one actor fails with EIO; the member stops and says so."""

    row = 11

    def __init__(self, actor: str, call: str, role: str, nth: int) -> None:
        self.actor, self.call, self.role, self.nth = actor, call, role, nth
        self.name = f"EIO: {call} {nth} of {actor} of the {role}"
        self.expected_log = ("Input/output error", "DiskFailed", "Traceback (most")
        self._injection: Injection | None = None

    def missing(self) -> str:
        return strace_missing()

    def inject(self, stage: Stage) -> None:
        node = stage.victim(self.role)
        processes = node.processes()
        pid = node.actor(self.actor).pid
        action = f"error=EIO:when={self.nth}"
        self._injection = Injection(pid, self.call, action, stage.directory / "strace")
        injection = self._injection
        stage.expect(stage.wait(lambda: injection.count > 0), "no call failed")
        failed_at = time.monotonic()
        stage.strikes = injection.count
        has_ended = stage.wait(lambda: node.has_ended)
        stage.expect(has_ended, "the member went on after EIO")
        if not has_ended:
            return
        stage.note(f"stopped after {time.monotonic() - failed_at:.2f} s")
        code = node.wait_exit(processes)
        stage.expect(code == ExitCode.DISK, f"ended with {code}, not with {ExitCode.DISK}")
        stage.expect(injection.count == 1, f"{injection.count} calls were injected")
        stage.wait_writes(20, "at the other members")
        self._check_silence(stage, node, failed_at)

    def _check_silence(self, stage: Stage, node: ArenaNode, failed_at: float) -> None:
        """Complain of mutations that the member acknowledged a second or more after the error."""

        def is_late(operation: Operation) -> bool:
            is_here = operation.is_ok and operation.member == node.name and operation.is_mutation
            return is_here and operation.invoked > failed_at + 1.0

        late = [each for each in list(stage.load.history.operations) if is_late(each)]
        stage.expect(not late, f"{len(late)} writes were acknowledged after the disk had failed")

    def heal(self, stage: Stage) -> None:
        if self._injection is not None:
            self._injection.stop()
        _start_missing(stage)

    def clean_up(self) -> None:
        if self._injection is not None:
            self._injection.stop()


class SlowDisk(Fault):
    """Every fdatasync of one member's log takes longer for a while."""

    row = 12

    def __init__(self, role: str, delay_ms: int) -> None:
        """``role`` is ``leader``, ``follower`` or ``all``."""
        self.role, self.delay_ms = role, delay_ms
        self.name = f"fdatasync + {delay_ms} ms at {'all' if role == 'all' else f'the {role}'}"
        self._injections: list[Injection] = []

    def missing(self) -> str:
        return strace_missing()

    def inject(self, stage: Stage) -> None:
        nodes = stage.arena.arena_nodes if self.role == "all" else [stage.victim(self.role)]
        leader, term = stage.arena.leader_and_term()
        times = stage.load.counters.write_times
        healthy = len(times) / max(0.1, times[-1] - times[0])
        for node in nodes:
            self._injections.append(
                Injection(
                    node.actor("wal-0").pid,
                    "fdatasync",
                    f"delay_enter={self.delay_ms * 1000}",
                    stage.directory / f"strace-{node.name}",
                )
            )
        before, began = len(times), time.monotonic()
        stage.hold(_SLOW_SECONDS)
        rate = (len(times) - before) / (time.monotonic() - began)
        stage.note(f"{rate:.0f} writes/s, {healthy:.0f} before")
        new_leader, new_term = stage.arena.leader_and_term()
        stage.note(f"leader {'stays' if new_leader is leader else 'changes'}")
        stage.expect(new_term - term <= 1, f"{new_term - term} elections in {_SLOW_SECONDS:g} s")

    def heal(self, stage: Stage) -> None:
        stage.strikes = sum(each.count for each in self._injections)
        self.clean_up()

    def clean_up(self) -> None:
        for injection in self._injections:
            injection.stop()


def _start_missing(stage: Stage) -> None:
    """Start every member that has ended, and collect one that ends by itself meanwhile."""
    for node in stage.arena.arena_nodes:
        if node.is_running and node.has_ended:
            assert node.process is not None
            node.wait_exit([psutil.Process()][:0])
        if not node.is_running:
            node.start()
