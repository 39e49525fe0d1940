"""Responsible for the handshake of WebSocket (RFC 6455): who asks for one, and who gets it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import h11

from zetcd.gateway.http.exchange import Answer, Request
from zetcd.gateway.http.writing import text_error

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = "13"
_KEY_BYTES: Final = 16


def is_upgrade(request: Request) -> bool:
    """Whether a request asks for a WebSocket."""
    connection = {each.strip().lower() for each in request.header("connection").split(",")}
    return (
        request.method == "GET"
        and "upgrade" in connection
        and request.header("upgrade").lower() == "websocket"
    )


def refusal(request: Request) -> Answer | None:
    """Return why an upgrade cannot be had; None: it can."""
    if request.header("sec-websocket-version") != _VERSION:
        text = f"websocket: only version {_VERSION} is spoken\n"
        return text_error(426, text, (("Sec-WebSocket-Version", _VERSION),))
    try:
        key = base64.b64decode(request.header("sec-websocket-key"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        return text_error(400, "websocket: Sec-WebSocket-Key is not 16 bytes in base64\n")
    return None


def accept_key(request: Request) -> str:
    """Return what proves to the client that its key was read."""
    key = request.header("sec-websocket-key").encode("latin-1")
    # The protocol demands this digest; nothing depends on its strength.
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def switch(request: Request) -> h11.InformationalResponse:
    """Return the answer after which both sides speak in frames."""
    return h11.InformationalResponse(
        status_code=101,
        reason=b"Switching Protocols",
        headers=[
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept_key(request)),
        ],
    )
