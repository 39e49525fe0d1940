"""Responsible for forking the actors of a node quickly and safely, and for reaping them.

The supervisor has ZeroMQ sockets, and a process with a ZeroMQ context must not fork: its threads
are missing in the copy, and its sockets shared. So before it makes one, the supervisor forks the
*spawner*, a small process that has everything imported and does nothing but fork on request. A
restart then costs a fork, not an interpreter and its imports.

    supervisor ──SPAWN number name──► spawner ──fork──► actor
               ◄─FORKED number pid──
               ──KILL pid──────────►          ──SIGKILL─► actor
               ◄─EXITED pid code────          ◄─SIGCHLD──

Over a sequenced-packet socket pair: one message is one packet, in order, never partial.

Invariants
    - An actor dies with the spawner and the spawner with the supervisor (PDEATHSIG; the parent is
      looked at again afterwards, because it may have died before). SIGKILL leaves no orphan.
    - Only the spawner reaps, and only it signals its children: never a reused pid.
    - FORKED of a process comes before its EXITED.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple, NoReturn

from zetcd.runtime.process import die_with_parent, set_process_name

#: Runs in the forked process; what it returns is the exit code.
Work = Callable[[str, int], int]

_REQUEST: Final = struct.Struct(">BI")
_EVENT: Final = struct.Struct(">BIi")
#: Bytes of the longest request: a header and a name.
_REQUEST_BYTES_MAX: Final = 256
#: Exit code of a process whose work raised: the same as an uncaught exception of the interpreter.
_EXIT_RAISED: Final = 1


class _RequestKind(IntEnum):
    SPAWN = 0
    KILL = 1


class EventKind(IntEnum):
    """What the spawner reports."""

    #: ``key`` is the number given to `Spawner.spawn`, ``value`` the pid; 0 if fork failed.
    FORKED = 0
    #: ``key`` is the pid, ``value`` the exit code; negative: ended by that signal.
    EXITED = 1


class SpawnerEvent(NamedTuple):
    """Something that happened to a process."""

    kind: EventKind
    key: int
    value: int


class SpawnerGone(Exception):
    """The spawner died, and with it every process it forked."""


class Spawner:
    """The supervisor's end: asks, and learns what became of it. Never waits."""

    def __init__(self, pid: int, link: socket.socket) -> None:
        """Talk to the spawner process ``pid`` over ``link``."""
        self.pid = pid
        self._link = link

    @classmethod
    def start(cls, work: Work, label: str = "") -> Spawner:
        """Fork the spawner. Call it before any ZeroMQ context exists, with everything imported.

        Args:
            work: called in each forked process with the name and number of the request.
            label: put before the names of the processes, for people.
        """
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # What exists now is shared copy-on-write with every actor: keep the collector away.
        gc.collect()
        gc.freeze()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            near.close()
            _in_child(lambda: _Server(far, work, label).serve(parent))
        far.close()
        near.setblocking(False)
        return cls(pid, near)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there are events."""
        return self._link.fileno()

    def spawn(self, name: str, number: int) -> None:
        """Ask for a process that runs the work with ``name`` and ``number``; answered by FORKED."""
        self._send(_RequestKind.SPAWN, number, name.encode())

    def kill(self, pid: int) -> None:
        """Ask to SIGKILL a process; nothing happens if it is gone. Answered by EXITED."""
        self._send(_RequestKind.KILL, pid, b"")

    def events(self) -> list[SpawnerEvent]:
        """Return what happened since last time, in order.

        Raises:
            SpawnerGone: after the last event, if the spawner is dead.
        """
        events: list[SpawnerEvent] = []
        while True:
            try:
                packet = self._link.recv(_EVENT.size)
            except BlockingIOError:
                return events
            except OSError as error:
                raise SpawnerGone(str(error)) from error
            if not packet:
                # What came before the end is worth more than the end; the next call finds it again.
                if events:
                    return events
                raise SpawnerGone("its socket is closed")
            kind, key, value = _EVENT.unpack(packet)
            events.append(SpawnerEvent(EventKind(kind), key, value))

    def close(self) -> None:
        """End the spawner and everything it forked, at once, and reap it."""
        self._link.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _send(self, kind: _RequestKind, key: int, body: bytes) -> None:
        try:
            self._link.send(_REQUEST.pack(kind, key) + body)
        except OSError as error:
            # A full socket: hundreds of unread requests. A stuck spawner is as good as dead.
            raise SpawnerGone(str(error)) from error


def _in_child(function: Callable[[], int]) -> NoReturn:
    """Run ``function`` and leave without ever returning into the parent's code."""
    code = _EXIT_RAISED
    try:
        code = function()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else _EXIT_RAISED
    except BaseException:  # noqa: BLE001 - the last frame of a process: nothing above could report it
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)


class _Server:
    """The loop of the spawner process."""

    def __init__(self, link: socket.socket, work: Work, label: str) -> None:
        self._link = link
        self._work = work
        self._label = label
        self._children: dict[int, int] = {}
        #: Becomes readable on SIGCHLD.
        self._wake, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self, parent: int) -> int:
        die_with_parent(parent)
        self._set_name("spawner")
        # Ctrl-C reaches the whole process group; who stops when is the supervisor's matter.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _note_child)
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
                self._reap()
            if self._link.fileno() in ready and not self._serve_request():
                return 0

    def _serve_request(self) -> bool:
        """Serve one request; False if the supervisor is gone."""
        packet = self._link.recv(_REQUEST_BYTES_MAX)
        if not packet:
            return False
        kind, key = _REQUEST.unpack_from(packet)
        if kind == _RequestKind.SPAWN:
            self._report(EventKind.FORKED, key, self._fork(packet[_REQUEST.size :].decode(), key))
        elif key in self._children:
            # Not yet reaped, so the pid still is this child's.
            os.kill(key, signal.SIGKILL)
        return True

    def _fork(self, name: str, number: int) -> int:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOMEM):
                raise
            return 0
        if pid == 0:
            self._become_child(name, parent)
            _in_child(lambda: self._work(name, number))
        self._children[pid] = number
        return pid

    def _become_child(self, name: str, parent: int) -> None:
        """Undo in the new process what belongs to the spawner."""
        die_with_parent(parent)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        self._link.close()
        os.close(self._wake)
        os.close(self._wake_writer)
        self._set_name(name)

    def _set_name(self, name: str) -> None:
        set_process_name(f"zetcd:{name}", f"zetcd: {self._label} {name}".replace("  ", " "))

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            del self._children[pid]
            self._report(EventKind.EXITED, pid, os.waitstatus_to_exitcode(status))

    def _report(self, kind: EventKind, key: int, value: int) -> None:
        self._link.send(_EVENT.pack(kind, key, value))


def _note_child(_signal: int, _frame: object) -> None:
    """Do nothing: the wake-up descriptor has already been written."""
