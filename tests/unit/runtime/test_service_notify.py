"""READY=1 reaches the service manager; without one nothing happens."""

from __future__ import annotations

import socket
from pathlib import Path

from zetcd.runtime.service_notify import notify


def test_sends_the_state(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(10)
        notify(path, "READY=1")
        assert receiver.recv(100) == b"READY=1"


def test_sends_to_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0zetcd-test-notify")
        receiver.settimeout(10)
        notify("@zetcd-test-notify", "STOPPING=1")
        assert receiver.recv(100) == b"STOPPING=1"


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    notify("", "READY=1")
    notify(str(tmp_path / "nobody"), "READY=1")
