"""Responsible for commands of tests that must end, with whatever they start."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path


def run_bounded(
    command: list[str],
    directory: Path,
    seconds: float,
    environment: Mapping[str, str] | None = None,
) -> tuple[int | None, str]:
    """Return the exit code and what was printed; None: it took too long and was killed, with all that it had started.

    ``environment`` is added to that of the tests.
    """
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None, process.communicate()[0]
    return process.returncode, said
