"""Responsible for calls that are answered at once: health, what is not served, and why not.

Whatever a client may call is here or in `unary`: a method that cannot be served yet says so by
itself, with UNIMPLEMENTED, rather than by a service that seems to be missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from zetcd.errors import (
    AuthNotEnabled,
    Code,
    InvalidDowngradeTargetVersion,
    NotImplementedYet,
    UnknownMethod,
    WrongDowngradeVersionFormat,
)
from zetcd.gateway.etcd.call_transport import CallTransport
from zetcd.gateway.etcd.proto import health_pb2
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.etcd.responses import Responses
from zetcd.gateway.grpc import Status
from zetcd.messages.kv import ResponseHeader
from zetcd.version import API_MINOR

#: What etcd takes for a version: with or without a patch.
_VERSION: Final = re.compile(r"\d+\.\d+(\.\d+)?")
#: Revision of the store of users before anything was changed in it (etcd).
_AUTH_REVISION: Final = 1


class LocalCall(NamedTuple):
    """A call, where the member stands, and how that is encoded."""

    transport: CallTransport
    token: int
    message: bytes
    header: ResponseHeader
    responses: Responses

    def answer(self, rest: bytes = b"") -> None:
        """Answer with a header and the rest of a response."""
        self.transport.answer(self.token, self.responses.header(self.header) + rest)


LocalAnswer = Callable[[LocalCall], None]


def _check_health(call: LocalCall) -> None:
    """Say that this member serves; etcd registers the empty name only."""
    request = health_pb2.HealthCheckRequest.FromString(call.message)
    if request.service:
        call.transport.finish(call.token, Status(Code.NOT_FOUND, "unknown service"))
        return
    serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    call.transport.answer(call.token, serving.SerializeToString())


def _watch_health(call: LocalCall) -> None:
    """Say once how it is; it stays so until the member stops, which ends the call."""
    request = health_pb2.HealthCheckRequest.FromString(call.message)
    status = (
        health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        if request.service
        else health_pb2.HealthCheckResponse.SERVING
    )
    call.transport.send(
        call.token, health_pb2.HealthCheckResponse(status=status).SerializeToString()
    )


def _auth_status(call: LocalCall) -> None:
    pb.AuthStatusRequest.FromString(call.message)
    rest = pb.AuthStatusResponse(enabled=False, authRevision=_AUTH_REVISION)
    call.answer(rest.SerializeToString())


def _auth_disable(call: LocalCall) -> None:
    """Answer as etcd does when it is disabled already."""
    pb.AuthDisableRequest.FromString(call.message)
    call.answer()


def _authenticate(call: LocalCall) -> None:
    pb.AuthenticateRequest.FromString(call.message)
    raise AuthNotEnabled


def _downgrade(call: LocalCall) -> None:
    """Answer as etcd does where there is nothing to downgrade to: its store has no older form."""
    request = pb.DowngradeRequest.FromString(call.message)
    if request.action == pb.DowngradeRequest.CANCEL:
        # etcd cancels what was never begun, too.
        call.answer(pb.DowngradeResponse(version=API_MINOR).SerializeToString())
        return
    if request.action not in (pb.DowngradeRequest.VALIDATE, pb.DowngradeRequest.ENABLE):
        raise UnknownMethod
    if not _VERSION.fullmatch(request.version):
        raise WrongDowngradeVersionFormat
    raise InvalidDowngradeTargetVersion


def _absent(what: str) -> LocalAnswer:
    def refuse(call: LocalCall) -> None:
        del call
        raise NotImplementedYet(what)

    return refuse


_USERS: Final = _absent("users and roles")

#: By path.
LOCAL_ANSWERS: Final[Mapping[str, LocalAnswer]] = {
    "/grpc.health.v1.Health/Check": _check_health,
    "/grpc.health.v1.Health/Watch": _watch_health,
    "/etcdserverpb.Maintenance/Downgrade": _downgrade,
    "/etcdserverpb.Auth/AuthStatus": _auth_status,
    "/etcdserverpb.Auth/AuthDisable": _auth_disable,
    "/etcdserverpb.Auth/Authenticate": _authenticate,
    "/etcdserverpb.Auth/AuthEnable": _absent("authentication"),
    **{
        f"/etcdserverpb.Auth/{method}": _USERS
        for method in (
            "UserAdd",
            "UserGet",
            "UserList",
            "UserDelete",
            "UserChangePassword",
            "UserGrantRole",
            "UserRevokeRole",
            "RoleAdd",
            "RoleGet",
            "RoleList",
            "RoleDelete",
            "RoleGrantPermission",
            "RoleRevokePermission",
        )
    },
}
