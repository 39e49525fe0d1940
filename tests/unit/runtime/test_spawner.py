"""The spawner: forks on request, reports every end, and nothing outlives its parent."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from zetcd.runtime.spawner import EventKind, Spawner, SpawnerEvent, SpawnerGone

PATIENCE_SECONDS = 20.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.005)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def work(name: str, number: int) -> int:
    """What the forked processes of these tests do: the name says it."""
    if name.startswith("exit"):
        return number
    if name.startswith("raise"):
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - the traceback is expected
        raise RuntimeError("on purpose")
    if name.startswith("handlers"):
        is_default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        return 10 if is_default and signal.set_wakeup_fd(-1) == -1 else 11
    while True:
        signal.pause()


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    started = Spawner.start(work)
    yield started
    started.close()


def events(spawner: Spawner, count: int) -> list[SpawnerEvent]:
    """Return the next ``count`` events."""
    found: list[SpawnerEvent] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(found) < count:
        select.select([spawner], [], [], max(0.0, deadline - time.monotonic()))
        assert time.monotonic() < deadline, f"only {found}"
        found += spawner.events()
    return found


def test_reports_the_pid_before_the_exit_code(spawner: Spawner) -> None:
    spawner.spawn("exit", 7)
    forked, exited = events(spawner, 2)
    assert forked == (EventKind.FORKED, 7, forked.value)
    assert exited == (EventKind.EXITED, forked.value, 7)


def test_many_requests_are_answered_one_by_one(spawner: Spawner) -> None:
    for number in range(20):
        spawner.spawn("exit", number)
    found = events(spawner, 40)
    pids = {each.value: each.key for each in found if each.kind is EventKind.FORKED}
    codes = {each.key: each.value for each in found if each.kind is EventKind.EXITED}
    assert sorted(pids.values()) == list(range(20))
    assert {pids[pid]: code for pid, code in codes.items()} == {each: each for each in range(20)}


def test_a_killed_process_is_reported_with_its_signal(spawner: Spawner) -> None:
    spawner.spawn("wait", 1)
    (forked,) = events(spawner, 1)
    spawner.kill(forked.value)
    assert events(spawner, 1) == [(EventKind.EXITED, forked.value, -signal.SIGKILL)]


def test_work_that_raises_ends_its_process_with_1(spawner: Spawner) -> None:
    spawner.spawn("raise", 1)
    _, exited = events(spawner, 2)
    assert exited.value == 1


def test_a_forked_process_has_the_default_signal_handlers(spawner: Spawner) -> None:
    spawner.spawn("handlers", 1)
    _, exited = events(spawner, 2)
    assert exited.value == 10


def test_only_children_of_the_spawner_are_killed(spawner: Spawner) -> None:
    spawner.kill(os.getpid())
    spawner.spawn("exit", 0)
    assert len(events(spawner, 2)) == 2


def test_processes_carry_their_name(spawner: Spawner) -> None:
    spawner.spawn("wal-0", 1)
    (forked,) = events(spawner, 1)
    comm = Path(f"/proc/{forked.value}/comm")
    wait_until(lambda: comm.read_text().strip() == "zetcd:wal-0", "the name is set")


def test_the_death_of_the_spawner_ends_its_processes_and_is_noticed(spawner: Spawner) -> None:
    spawner.spawn("wait", 1)
    (forked,) = events(spawner, 1)
    os.kill(spawner.pid, signal.SIGKILL)
    wait_until(lambda: is_gone(forked.value), "the process is gone")
    select.select([spawner], [], [], PATIENCE_SECONDS)
    with pytest.raises(SpawnerGone):
        spawner.events()


def test_sigkill_of_the_parent_leaves_nothing(tmp_path: Path) -> None:
    report = tmp_path / "pids"
    parent = os.fork()
    if parent == 0:
        spawner = Spawner.start(work)
        spawner.spawn("wait", 1)
        (forked,) = events(spawner, 1)
        report.with_suffix(".new").write_text(f"{spawner.pid} {forked.value}")
        report.with_suffix(".new").rename(report)
        while True:
            signal.pause()
    wait_until(report.exists, "the processes run")
    pids = [int(each) for each in report.read_text().split()]
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    for pid in pids:
        wait_until(lambda pid=pid: is_gone(pid), f"{pid} is gone")  # type: ignore[misc]


def test_close_ends_everything_and_reaps_the_spawner() -> None:
    spawner = Spawner.start(work)
    spawner.spawn("wait", 1)
    (forked,) = events(spawner, 1)
    spawner.close()
    wait_until(lambda: is_gone(forked.value), "the process is gone")
    assert not psutil.pid_exists(spawner.pid)
