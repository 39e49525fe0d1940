"""Responsible for what the application hears of beside the calls of the JSON gateway."""

from __future__ import annotations

import msgspec

from zetcd.gateway.http.exchange import Request
from zetcd.gateway.http.options import Surface


class HttpRequest(msgspec.Struct, frozen=True, gc=False):
    """A request for one of the endpoints; answered with `HttpTransport.respond`."""

    token: int
    request: Request
    surface: Surface
