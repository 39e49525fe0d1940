"""Responsible for turning errors into gRPC statuses as etcd's clients expect them.

etcd's clients know an error by its code and *exact* text, so the detail that zetcd adds for people
goes along only with errors that etcd does not have.
"""

from __future__ import annotations

from typing import Final

import msgspec

from zetcd.errors import Code, ZetcdError, from_wire
from zetcd.gateway.grpc import Status
from zetcd.messages.client import ErrorBody
from zetcd.messages.codec import decoder_of

#: Numbers below are etcd's catalogue and texts; see `zetcd.errors`.
_OWN_NUMBERS_FROM: Final = 100
_DETAIL_CHARACTERS_MAX: Final = 300

_decode_error: Final = decoder_of(ErrorBody).decode


def status_of(error: ZetcdError) -> Status:
    """Return the status that ends a call with ``error``."""
    if error.number >= _OWN_NUMBERS_FROM and error.text.startswith("zetcd:") and error.detail:
        return Status(error.code, f"{error.text}: {error.detail[:_DETAIL_CHARACTERS_MAX]}")
    return Status(error.code, error.text)


def error_of_body(body: bytes | msgspec.Raw) -> ZetcdError:
    """Return the error that another actor encoded."""
    decoded = _decode_error(body)
    return from_wire(decoded.number, decoded.code, decoded.text, decoded.retry, decoded.detail)


def malformed(reason: object) -> Status:
    """Return the status of a message that is no protobuf of its type, as grpc-go words it."""
    return Status(Code.INTERNAL, f"grpc: error unmarshalling request: {reason}")


def reason_text(error: ZetcdError) -> str:
    """Return an error as a cancel reason of a watch has it: Go's text of a status."""
    name = "".join(word.capitalize() for word in error.code.name.split("_"))
    return f"rpc error: code = {name} desc = {error.text}"
