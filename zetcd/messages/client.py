"""Responsible for the frames of the native client protocol (`docs/protocol.md`).

One ZeroMQ message (after the routing id) is one frame: a fixed 16-byte header and a MessagePack body.

    0       1       2       3       4               12              16
    +-------+-------+-------+-------+---------------+---------------+------
    | magic | major | type  | flags | request id    | deadline (ms) | body
    +-------+-------+-------+-------+---------------+---------------+------
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from zetcd.messages.base import Message
from zetcd.messages.cluster import (
    AlarmRequest,
    AlarmResponse,
    DefragmentRequest,
    DefragmentResponse,
    HashKVRequest,
    HashKVResponse,
    MemberAddRequest,
    MemberAddResponse,
    MemberListRequest,
    MemberListResponse,
    MemberPromoteRequest,
    MemberPromoteResponse,
    MemberRemoveRequest,
    MemberRemoveResponse,
    MemberUpdateRequest,
    MemberUpdateResponse,
    MoveLeaderRequest,
    MoveLeaderResponse,
    SnapshotReadRequest,
    SnapshotReadResponse,
    StatusRequest,
    StatusResponse,
)
from zetcd.messages.kv import (
    CompactionRequest,
    CompactionResponse,
    DeleteRangeRequest,
    DeleteRangeResponse,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.lease import (
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseLeasesRequest,
    LeaseLeasesResponse,
    LeaseRevokeRequest,
    LeaseRevokeResponse,
    LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
)
from zetcd.messages.watch import (
    WatchCancelRequest,
    WatchCloseRequest,
    WatchCreateRequest,
    WatchCredit,
    WatchProgressRequest,
)
from zetcd.scalars import NodeID

#: First byte of every frame: "Z".
MAGIC: Final = 0x5A
#: Changes only when old and new cannot talk to each other.
MAJOR: Final = 1
_HEADER: Final = struct.Struct(">BBBBQI")
#: Bytes of the frame header.
HEADER_BYTES: Final = _HEADER.size
#: Credit every watch stream starts with: messages, and bytes of bodies.
WATCH_CREDIT_INITIAL: Final = (1024, 4 * 1024 * 1024)


class FrameType(IntEnum):
    """What the body of a frame is, and who may send it."""

    #: client → server, first frame of a session; body `ClientHello`.
    HELLO = 1
    #: server → client; body `Welcome`.
    WELCOME = 2
    #: client → server; body one of `UnaryRequest`.
    REQ = 3
    #: server → client, ends the request; body one of `UnaryResponse`.
    RES = 4
    #: server → client, a part of a `RangeResponse`; more parts and one RES follow.
    PARTIAL = 5
    #: server → client, ends the request (request id 0: concerns the session); body `ErrorBody`.
    ERR = 6
    #: client → server: no answer is wanted any more; no body. A proposed mutation still happens.
    CANCEL = 7
    #: client → server: one of `WatchRequest`; server → client: `WatchResponse`. Request id = stream id.
    WATCH = 8
    #: client → server: body `WatchCredit`.
    CREDIT = 9
    #: Either way, at least every ping interval of silence; no body.
    PING = 10
    #: Answers PING, echoing its request id; no body.
    PONG = 11
    #: server → client: the session ends; body `GoAway`. client → server: the client leaves; no body.
    GOAWAY = 12
    #: server → client: reserved for "ask this member instead"; never sent by this version.
    REDIRECT = 13


class FrameHeader(NamedTuple):
    """The fixed part of a frame."""

    type: int
    flags: int
    request_id: int
    #: Milliseconds the client is still willing to wait; 0 = the server's own limit.
    deadline_ms: int


def pack_frame(frame_type: int, request_id: int, body: bytes = b"", deadline_ms: int = 0) -> bytes:
    """Return the bytes of one frame."""
    return _HEADER.pack(MAGIC, MAJOR, frame_type, 0, request_id, deadline_ms) + body


def unpack_header(frame: bytes | memoryview) -> FrameHeader:
    """Return the header of ``frame``.

    Raises:
        ValueError: the frame is too short, or its magic or major version is another one's.
    """
    if len(frame) < HEADER_BYTES:
        message = f"frame has {len(frame)} bytes, its header alone needs {HEADER_BYTES}"
        raise ValueError(message)
    magic, major, frame_type, flags, request_id, deadline_ms = _HEADER.unpack_from(frame)
    if magic != MAGIC:
        message = f"frame starts with {magic:#04x}, expected {MAGIC:#04x}"
        raise ValueError(message)
    if major != MAJOR:
        message = f"protocol major version {major} is not supported, this server speaks {MAJOR}"
        raise ValueError(message)
    return FrameHeader(frame_type, flags, request_id, deadline_ms)


class ClientHello(Message, frozen=True, tag=120):
    """Opens a session."""

    #: Minor versions the client speaks, ascending.
    minors: tuple[int, ...] = (0,)
    features: tuple[str, ...] = ()
    #: Free text for logs, for example ``zetcdctl/0.1.0``.
    client: str = ""
    #: Authentication token; empty = none.
    token: str = ""


class Welcome(Message, frozen=True, tag=121):
    """Accepts a session and states the limits the client must keep."""

    minor: int
    features: tuple[str, ...]
    cluster_id: int
    member_id: NodeID
    member_name: str
    session_id: int
    server_version: str
    request_bytes_max: int
    txn_ops_max: int
    requests_inflight_max: int
    ping_interval_ms: int
    #: Silence after which either side gives the session up.
    dead_after_ms: int


class ErrorBody(Message, frozen=True, tag=122):
    """Why a request failed; also the result of a failed request inside the node."""

    #: `zetcd.errors` number, never reused; 0 = not in the catalogue.
    number: int
    #: gRPC status code.
    code: int
    #: etcd's exact text.
    text: str
    #: `zetcd.errors.RetryClass`.
    retry: int
    detail: str = ""


class GoAway(Message, frozen=True, tag=123):
    """Ends a session: the member stops, or the client broke the protocol."""

    reason: str
    #: Milliseconds the client should wait before it connects again, plus jitter.
    reconnect_after_ms: int = 0


UnaryRequest = (
    RangeRequest
    | PutRequest
    | DeleteRangeRequest
    | TxnRequest
    | CompactionRequest
    | LeaseGrantRequest
    | LeaseRevokeRequest
    | LeaseKeepAliveRequest
    | LeaseTimeToLiveRequest
    | LeaseLeasesRequest
    | MemberListRequest
    | StatusRequest
    | HashKVRequest
    | MoveLeaderRequest
    | AlarmRequest
    | MemberAddRequest
    | MemberRemoveRequest
    | MemberUpdateRequest
    | MemberPromoteRequest
    | DefragmentRequest
    | SnapshotReadRequest
)

UnaryResponse = (
    RangeResponse
    | PutResponse
    | DeleteRangeResponse
    | TxnResponse
    | CompactionResponse
    | LeaseGrantResponse
    | LeaseRevokeResponse
    | LeaseKeepAliveResponse
    | LeaseTimeToLiveResponse
    | LeaseLeasesResponse
    | MemberListResponse
    | StatusResponse
    | HashKVResponse
    | MoveLeaderResponse
    | AlarmResponse
    | MemberAddResponse
    | MemberRemoveResponse
    | MemberUpdateResponse
    | MemberPromoteResponse
    | DefragmentResponse
    | SnapshotReadResponse
)

WatchRequest = WatchCreateRequest | WatchCancelRequest | WatchProgressRequest | WatchCloseRequest

__all__ = [
    "HEADER_BYTES",
    "MAGIC",
    "MAJOR",
    "WATCH_CREDIT_INITIAL",
    "ClientHello",
    "ErrorBody",
    "FrameHeader",
    "FrameType",
    "GoAway",
    "UnaryRequest",
    "UnaryResponse",
    "WatchCredit",
    "WatchRequest",
    "Welcome",
    "pack_frame",
    "unpack_header",
]
