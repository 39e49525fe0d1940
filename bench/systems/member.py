"""Responsible for one member as a process: started, stopped, killed, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.guard import Directory, end_if_interrupted
from zetcd.runtime.process import die_with_parent

#: Beyond the drain time that both systems give themselves.
_STOP_SECONDS_MAX = 15.0
_LOG_TAIL_MAX = 2000


@dataclass(frozen=True)
class Tracing:
    """Makes every fdatasync of a member take longer, by letting strace hold its thread before the call.

    With a delay of 0 only the tracing itself is there, so that it is no part of the comparison.
    """

    delay_ms: int

    def command(self) -> list[str]:
        """Return what is put before the member's own command."""
        inject = f"inject=fdatasync:delay_enter={self.delay_ms * 1000}"
        return [
            *("strace", "-f", "-D", "--seccomp-bpf", "-qq", "-o", "/dev/null"),
            *("-e", "trace=fdatasync"),
            *(("-e", inject) if self.delay_ms else ()),
        ]


@dataclass(frozen=True)
class MemberPlan:
    """How a member is started and reached."""

    name: str
    command: tuple[str, ...]
    #: Where etcd's API is served: host and port.
    endpoint: str
    #: For ZeroMQ clients; empty: there is none.
    native: str = ""


class Member:
    """One member, running or not."""

    def __init__(self, plan: MemberPlan, directory: Directory) -> None:
        """Describe it; nothing is started."""
        self.plan = plan
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._is_asked = False

    @property
    def log(self) -> Path:
        """Return where its output goes."""
        return self._directory.path / f"{self.plan.name}.log"

    @property
    def pid(self) -> int:
        """Return its process; 0: it does not run."""
        return self._process.pid if self._process is not None else 0

    def start(self, tracing: Tracing | None = None) -> None:
        """Start it, in a session of its own: Ctrl-C is ours to handle."""
        assert self._process is None, f"{self.plan.name} runs already"
        before = tracing.command() if tracing is not None else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*before, *self.plan.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - one thread
            )
        self._directory.remember(self._process.pid)
        end_if_interrupted()

    def has_ended(self) -> bool:
        """Say whether it ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def ask_to_stop(self) -> None:
        """Ask it to stop, as an administrator would, without waiting for it."""
        if self._process is not None and not self._is_asked:
            self._is_asked = True
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Return once it has stopped; kill what is left of it."""
        self.ask_to_stop()
        process, self._process = self._process, None
        self._is_asked = False
        if process is None:
            return
        try:
            process.wait(timeout=_STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
        finally:
            # Its session is its process group: whatever it started is in it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=_STOP_SECONDS_MAX)

    def log_tail(self) -> str:
        """Return the end of its log, for a failure's message."""
        return self.log.read_text(errors="replace")[-_LOG_TAIL_MAX:] if self.log.exists() else ""
