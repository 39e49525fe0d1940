"""Nothing is left behind, and what was left is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.guard import Directory, Refused, clean, interruptible, leftovers, only_one


def test_a_directory_that_was_left_is_refused_and_can_be_cleaned(tmp_path: Path) -> None:
    left = Directory("etcd", tmp_path)
    with pytest.raises(Refused, match="python -m bench clean"), only_one(tmp_path):
        pass
    assert [each.path for each in clean(tmp_path)] == [left.path]
    with only_one(tmp_path):
        assert leftovers(tmp_path) == []


def test_processes_that_were_left_are_named_and_ended(tmp_path: Path) -> None:
    left = Directory("zetcd", tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        left.remember(process.pid)
        assert leftovers(tmp_path)[0].pids == (process.pid,)
        assert str(process.pid) in str(leftovers(tmp_path)[0])
        clean(tmp_path)
        # Its exit code went to whoever waited for it first.
        assert not psutil.pid_exists(process.pid)


def test_a_process_that_only_has_the_same_number_is_left_alone(tmp_path: Path) -> None:
    left = Directory("zetcd", tmp_path)
    started = psutil.Process().create_time() - 100
    (left.path / "pids").write_text(f"{os.getpid()} {started}\n")
    assert leftovers(tmp_path)[0].pids == ()
    clean(tmp_path)


def test_two_benchmarks_at_once_are_refused(tmp_path: Path) -> None:
    with (
        only_one(tmp_path),
        pytest.raises(Refused, match="another benchmark"),
        only_one(tmp_path),
    ):
        pass


def test_sigterm_ends_a_benchmark_as_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
