"""Responsible for what a path of the JSON gateway stands for."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message as ProtoMessage

from zetcd.gateway.grpc import Method


@dataclass(frozen=True, slots=True)
class Binding:
    """A call, and what its messages are."""

    method: Method
    request: type[ProtoMessage]
    response: type[ProtoMessage]
