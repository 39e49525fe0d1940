"""What the integration tests believe about processes."""

from __future__ import annotations

import subprocess
import sys

import psutil

from tests.integration.cluster import has_ended, wait_until

#: The first thread ends at once, as one that a signal reaches first; another holds what is open.
_FIRST_THREAD_ENDS = """
import ctypes, sys, threading
other = threading.Thread(target=sys.stdin.read)
other.start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_has_ended_when_its_last_thread_has() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _FIRST_THREAD_ENDS], stdin=subprocess.PIPE
    ) as started:
        process = psutil.Process(started.pid)
        try:
            wait_until(
                lambda: process.status() == psutil.STATUS_ZOMBIE, "the first thread has ended"
            )
            assert not has_ended(process)
        finally:
            started.kill()
        wait_until(lambda: has_ended(process), "the process has ended")
    assert has_ended(process)
