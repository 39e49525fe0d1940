"""Responsible for the list of methods served, taken from the descriptors that protoc made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from google.protobuf.descriptor import FileDescriptor

from zetcd.gateway.etcd.proto import health_pb2, rpc_pb2, v3election_pb2, v3lock_pb2
from zetcd.gateway.grpc import HandlingTimes, Method, MethodFigures

_FILES: Final[tuple[FileDescriptor, ...]] = (
    rpc_pb2.DESCRIPTOR,
    v3lock_pb2.DESCRIPTOR,
    v3election_pb2.DESCRIPTOR,
    health_pb2.DESCRIPTOR,
)


def etcd_methods(handling_clock: Callable[[], float] | None = None) -> dict[str, Method]:
    """Return every method of every service by its path, ``/package.Service/Method``.

    With a clock (monotonic seconds) it is measured how long calls take.
    """
    methods = [
        Method(
            f"/{service.full_name}/{method.name}",
            client_streams=method.client_streaming,
            server_streams=method.server_streaming,
            figures=MethodFigures(times=handling_clock and HandlingTimes(handling_clock)),
        )
        for file in _FILES
        for service in file.services_by_name.values()
        for method in service.methods
    ]
    return {method.path: method for method in methods}
