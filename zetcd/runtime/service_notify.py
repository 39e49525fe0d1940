"""Responsible for telling a service manager how the node is (the sd_notify protocol)."""

from __future__ import annotations

import contextlib
import socket


def notify(address: str, state: str) -> None:
    """Send ``state`` (for example ``READY=1``) to the datagram socket ``address``; empty = nobody.

    A service manager that does not listen is no reason to fail.
    """
    if not address:
        return
    # "@" stands for the zero byte of an abstract socket.
    target = "\0" + address[1:] if address.startswith("@") else address
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        sender.sendto(state.encode(), target)
