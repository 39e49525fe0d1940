"""Responsible for rows 1 to 4: processes that die, and processes that stand still."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Final

import lmdb
import psutil

from tests.robustness.arena import ArenaNode, ArenaSetting
from tests.robustness.faults.fault import RECOVERY_SECONDS_MAX, Fault, Stage
from zetcd.client import Client
from zetcd.errors import ZetcdError

#: More deaths than a member puts up with would otherwise end it: rounds hurt it again and again.
_PATIENT: Final = "[supervisor]\nrestarts-max = 100\n"
#: Seconds of silence after which a supervisor replaces an actor, and some for it to notice.
_SILENT_SECONDS: Final = 5.0
#: Most that the store may grow while a reader of it stands still.
_GROWTH_BYTES_MAX: Final = 64 * 1024 * 1024
#: Threads that keep a gateway reading.
_READERS: Final = 2


class KillActor(Fault):
    """kill -9 of one actor of the leader or of a follower."""

    row = 1

    def __init__(self, actor: str, role: str) -> None:
        self.actor, self.role = actor, role
        self.name = f"kill -9 {actor} of the {role}"

    def setting(self, directory: Path) -> ArenaSetting:
        return ArenaSetting(extra=_PATIENT)

    def inject(self, stage: Stage) -> None:
        node = stage.victim(self.role)
        began = time.monotonic()
        pid = node.kill_actor(self.actor)
        stage.strikes += 1

        def is_back() -> bool:
            actor = node.actor(self.actor)
            return actor.pid not in (0, pid) and actor.state == "ready"

        is_done = stage.wait(is_back)
        stage.expect(is_done, f"{self.actor} of {node.name} did not come back")
        stage.note(f"back after {time.monotonic() - began:.2f} s")
        stage.hold(0.5)
        if self.role == "follower":
            stage.expect_others_unharmed(node, began)


class KillMember(Fault):
    """kill -9 of a whole member, or of all at once; then they start again."""

    row = 2

    def __init__(self, who: str) -> None:
        self.who = who
        self.name = f"kill -9 {'all members' if who == 'all' else f'the {who}'}"

    def inject(self, stage: Stage) -> None:
        began = time.monotonic()
        if self.who == "all":
            stage.arena.kill_all()
            stage.strikes += len(stage.arena.nodes)
            return
        stage.victim(self.who).kill()
        stage.strikes += 1
        stage.wait_writes(1, "without the member")
        stage.note(f"writes resumed after {time.monotonic() - began:.2f} s")
        stage.hold(1.0)

    def heal(self, stage: Stage) -> None:
        for node in stage.arena.nodes:
            if not node.is_running:
                node.start()


class StopActor(Fault):
    """SIGSTOP of one actor for some time, then SIGCONT."""

    row = 3

    def __init__(self, actor: str, role: str, seconds: float) -> None:
        self.actor, self.role, self.seconds = actor, role, seconds
        self.name = f"SIGSTOP {actor} of the {role}, {seconds:g} s"

    def setting(self, directory: Path) -> ArenaSetting:
        return ArenaSetting(extra=_PATIENT)

    def inject(self, stage: Stage) -> None:
        node = stage.victim(self.role)
        pid, began = node.actor(self.actor).pid, time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        try:
            stage.strikes += _is_stopped(stage, pid)
            stage.hold(self.seconds)
        finally:
            _continue(pid)
        if self.role == "follower":
            stage.expect_others_unharmed(node, began)
        if self.seconds > 2 * _SILENT_SECONDS - 1 and self.actor != "wal-0":
            is_new = stage.wait(lambda: node.actor(self.actor).pid not in (0, pid))
            stage.expect(is_new, f"{self.actor}, silent for {self.seconds:g} s, was not replaced")


def _is_stopped(stage: Stage, pid: int) -> bool:
    """Say whether a process that was sent SIGSTOP has come to stand still."""
    process = psutil.Process(pid)
    return stage.wait(lambda: process.status() == psutil.STATUS_STOPPED, 1.0)


def _continue(pid: int) -> None:
    """Let a process go on, if it is still there."""
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


class StopReader(Fault):
    """SIGSTOP of a process within a read transaction of LMDB, under writes, until it is replaced.

    Pages that a reader may see cannot be used again: the store grows until the reader is gone and
    somebody has cleared its slot.
    """

    row = 4

    def __init__(self, actor: str) -> None:
        self.actor = actor
        self.name = f"SIGSTOP {actor} within a read transaction"

    def setting(self, directory: Path) -> ArenaSetting:
        return ArenaSetting(extra=_PATIENT)

    def inject(self, stage: Stage) -> None:
        node = stage.victim("leader")
        pid = node.actor(self.actor).pid
        file = Path(node.config.store_dir()) / "data.mdb"
        with _Readers(node.endpoint):
            has_stopped = _stop_in_transaction(stage, node, pid)
        if not has_stopped:
            return
        stage.strikes += 1
        before, began = file.stat().st_size, time.monotonic()
        is_new = stage.wait(lambda: node.actor(self.actor).pid not in (0, pid))
        stage.expect(is_new, f"{self.actor}, which stood still, was not replaced")
        stage.note(f"replaced after {time.monotonic() - began:.1f} s")
        stage.hold(2.0)
        growth = file.stat().st_size - before
        stage.note(f"store grew by {growth / 1e6:.1f} MB")
        stage.expect(growth <= _GROWTH_BYTES_MAX, f"the store grew by {growth} bytes")
        stage.expect(
            not _pids_in_transaction(node) & {pid}, "the dead reader's slot is still taken"
        )
        settled = file.stat().st_size
        stage.hold(2.0)
        later = file.stat().st_size - settled
        stage.note(f"then by {later / 1e6:.1f} MB")


class _Readers:
    """Threads that read the whole store again and again, so that its gateway mostly is in a transaction."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(_READERS)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        with Client(self._endpoint, timeout=1.0) as client:
            while not self._is_over.is_set():
                # It stands still, or is gone: that is what they are there for.
                with contextlib.suppress(ZetcdError):
                    client.get_prefix(b"", serializable=True)


def _stop_in_transaction(stage: Stage, node: ArenaNode, pid: int) -> bool:
    """Stop a process again and again until it stands still within a transaction."""
    deadline = time.monotonic() + RECOVERY_SECONDS_MAX
    while time.monotonic() < deadline:
        os.kill(pid, signal.SIGSTOP)
        if _is_stopped(stage, pid) and pid in _pids_in_transaction(node):
            return True
        os.kill(pid, signal.SIGCONT)
        time.sleep(stage.rng.uniform(0.001, 0.02))
    return False


def _pids_in_transaction(node: ArenaNode) -> set[int]:
    """Return the processes that hold a read transaction of a node's store."""
    environment = lmdb.open(node.config.store_dir(), readonly=True, max_dbs=16, lock=True)
    try:
        text = environment.readers()
    finally:
        environment.close()
    rows = [line.split() for line in str(text).splitlines()]
    return {int(row[0]) for row in rows if len(row) == 3 and row[0].isdigit() and row[2] != "-"}
