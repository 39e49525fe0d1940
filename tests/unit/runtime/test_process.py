"""Names, age and state of a process, and that a child without a parent ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from zetcd.runtime.process import is_stopped, process_age_seconds

ROOT = Path(__file__).parents[3]
SHOW = """
import pathlib, sys
from zetcd.runtime.process import set_process_name
set_process_name("zetcd:a-long-name-of-an-actor", sys.argv[1])
print(pathlib.Path("/proc/self/comm").read_text(), end="")
print(pathlib.Path("/proc/self/cmdline").read_bytes())
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_name_is_cut_to_what_the_kernel_keeps() -> None:
    comm, cmdline = run(SHOW, "zetcd: node0 raft-0").stdout.splitlines()
    assert comm == "zetcd:a-long-na"
    assert cmdline.startswith("b'zetcd: node0 raft-0\\x00")


def test_a_name_longer_than_the_arguments_is_cut() -> None:
    _, cmdline = run(SHOW, "x" * 10_000).stdout.splitlines()
    assert cmdline.startswith("b'xxxx")
    assert cmdline.endswith("\\x00'")


def test_a_child_whose_parent_is_another_one_ends_at_once() -> None:
    ended = run("from zetcd.runtime.process import *; die_with_parent(1 << 22); print('alive')")
    assert (ended.returncode, ended.stdout) == (1, "")


def test_the_age_is_that_of_the_process() -> None:
    began = time.monotonic()
    program = "from zetcd.runtime.process import *; print(process_age_seconds())"
    age = float(run(program).stdout)
    # The kernel counts in hundredths of a second.
    assert -0.011 <= age <= time.monotonic() - began + 0.011
    assert process_age_seconds() >= age


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one() -> None:
    program = (
        "import resource; from zetcd.runtime.process import *\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))\n"
        "print(raise_descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert run(program).stdout.split() == ["256"] * 3


def test_only_a_stopped_or_ended_process_is_stopped() -> None:
    """One that sleeps, as while it waits for input or a disk, is not."""
    assert not is_stopped(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert not is_stopped(process.pid)
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: is_stopped(process.pid), "it is stopped")
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: not is_stopped(process.pid), "it goes on")
        process.kill()
        wait_until(lambda: is_stopped(process.pid), "it has ended, and nobody has collected it")
    assert is_stopped(process.pid)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"not within 30 s: {what}"
        time.sleep(0.01)


def test_a_policy_that_somebody_has_chosen_is_left_alone() -> None:
    program = "import os; from zetcd.runtime.process import *; {}; print(os.sched_getscheduler(0))"
    reset = "os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))"
    usual = program.format(f"{reset}; let_others_go_first()")
    assert int(run(usual).stdout) == os.SCHED_BATCH
    choose = "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))"
    chosen = program.format(f"{choose}; let_others_go_first()")
    assert int(run(chosen).stdout) == os.SCHED_IDLE
