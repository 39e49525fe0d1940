"""Responsible for making system calls of a running process slow or failing, by strace."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

#: Seconds that strace has to attach.
_ATTACH_SECONDS_MAX: Final = 10.0
_INJECTED: Final = re.compile(r"\((INJECTED|DELAYED)\)")


class Injection:
    """strace at one process, from construction to `stop`."""

    def __init__(self, pid: int, calls: str, action: str, output: Path) -> None:
        """Attach; ``action`` is strace's, for example ``error=EIO:when=3+``."""
        self._output = output
        self._process = subprocess.Popen(
            [
                *("strace", "-f", "-p", str(pid), "-o", str(output)),
                *("-e", f"trace={calls}", "-e", f"inject={calls}:{action}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait_attached(pid)

    def _wait_attached(self, pid: int) -> None:
        deadline = time.monotonic() + _ATTACH_SECONDS_MAX
        status = Path(f"/proc/{pid}/status")
        while time.monotonic() < deadline and self._process.poll() is None:
            if re.search(r"TracerPid:\t[1-9]", status.read_text()):
                return
            time.sleep(0.02)
        raise AssertionError("strace could not attach")

    @property
    def count(self) -> int:
        """How many calls were hurt."""
        if not self._output.exists():
            return 0
        return len(_INJECTED.findall(self._output.read_text(errors="replace")))

    def stop(self) -> None:
        """Detach."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def strace_missing() -> str:
    """Return what is missing for injections; "" = nothing."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run(
        ["strace", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO", "true"],
        capture_output=True,
        check=False,
        text=True,
    )
    return "" if probe.returncode == 0 else f"strace cannot trace: {probe.stderr.strip()[:200]}"
