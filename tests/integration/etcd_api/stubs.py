"""A client of the etcd API: grpcio on the generated messages, methods found by their descriptors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar, cast

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from zetcd.gateway.etcd.proto import health_pb2, rpc_pb2, v3election_pb2, v3lock_pb2

R = TypeVar("R", bound=Message)
R_co = TypeVar("R_co", bound=Message, covariant=True)

SECONDS_MAX = 60.0
FILES = (rpc_pb2, v3lock_pb2, v3election_pb2, health_pb2)
METHODS: dict[str, MethodDescriptor] = {
    f"{service.name}.{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
Metadata = tuple[tuple[str, str], ...]


class Stream(Protocol[R_co]):
    """What grpcio returns for a call that streams."""

    def __iter__(self) -> Iterator[R_co]: ...

    def __next__(self) -> R_co: ...

    def cancel(self) -> None: ...


class EtcdClient:
    """Calls by the names of service and method, ``KV.Put``."""

    def __init__(
        self,
        target: str,
        credentials: grpc.ChannelCredentials | None = None,
        extra: tuple[tuple[str, str | int], ...] = (),
    ) -> None:
        """Connect to ``target``, with TLS if there are credentials."""
        options: list[tuple[str, str | int]] = [
            *extra,
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_retries", 0),
            # A channel of its own for each client.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self.channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )

    def close(self) -> None:
        self.channel.close()

    def _callable(self, name: str) -> Callable[..., Any]:
        method = METHODS[name]
        kinds = {
            (False, False): self.channel.unary_unary,
            (False, True): self.channel.unary_stream,
            (True, False): self.channel.stream_unary,
            (True, True): self.channel.stream_stream,
        }
        make = cast(
            Callable[..., Callable[..., Any]],
            kinds[method.client_streaming, method.server_streaming],
        )
        return make(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )

    def call(
        self,
        name: str,
        request: Message,
        answer: type[R],
        *,
        metadata: Metadata = (),
        timeout: float = SECONDS_MAX,
    ) -> R:
        """Call a unary method; ``answer`` is what it returns."""
        response = self._callable(name)(request, timeout=timeout, metadata=metadata)
        assert isinstance(response, answer)
        return response

    def stream(
        self,
        name: str,
        request: Message | Iterator[Message],
        answer: type[R],
        *,
        metadata: Metadata = (),
        timeout: float = SECONDS_MAX,
    ) -> Stream[R]:
        """Call a method that streams."""
        del answer
        return cast(Stream[R], self._callable(name)(request, timeout=timeout, metadata=metadata))


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    """Return code and text of the status that a call ends with, which must not be OK."""
    try:
        answer = call()
    except grpc.RpcError as error:
        status = cast(grpc.Call, error)
        return status.code(), status.details() or ""
    raise AssertionError(f"not refused: {answer}")
