"""Writes vectors.json: the conformance vectors of the native protocol (docs/protocol.md, section 14).

    python tests/testdata/protocol/generate.py

The positive ones are encoded with the messages of zetcd; a test decodes and encodes them with the
plain `msgpack` package, as other languages would. The negative ones are written by hand, with what
they must meet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgpack

from zetcd import errors
from zetcd.messages.base import Message
from zetcd.messages.client import ClientHello, ErrorBody, FrameType, GoAway, Welcome, pack_frame
from zetcd.messages.cluster import (
    AlarmAction,
    AlarmMember,
    AlarmRequest,
    AlarmResponse,
    AlarmType,
    HashKVRequest,
    HashKVResponse,
    Member,
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
    StatusRequest,
    StatusResponse,
)
from zetcd.messages.codec import encode
from zetcd.messages.kv import (
    CompactionRequest,
    CompactionResponse,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    DeleteRangeResponse,
    Event,
    EventType,
    KeyValue,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    ResponseHeader,
    SortOrder,
    SortTarget,
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
    WatchFilter,
    WatchProgressRequest,
    WatchResponse,
)

FILE = Path(__file__).with_name("vectors.json")
HEADER = ResponseHeader(1234, 7)
KV = KeyValue(b"foo", 2, 1234, 3, b"bar", 0)
UINT64_MAX = 2**64 - 1
INT63_MAX = 2**63 - 1

_ALL_BYTES = bytes(range(256))
_NESTED = TxnRequest(
    (
        Compare(CompareResult.EQUAL, CompareTarget.VALUE, b"k", b"v"),
        Compare(CompareResult.GREATER, CompareTarget.MOD, b"k", 5, b"l"),
        Compare(CompareResult.NOT_EQUAL, CompareTarget.LEASE, b"k", -1),
    ),
    (PutRequest(b"k", b"w"), RangeRequest(b"k"), DeleteRangeRequest(b"x", b"y")),
    (TxnRequest((), (PutRequest(b"n"),)),),
)

REQUESTS: dict[str, Message] = {
    "put": PutRequest(b"a", b"1"),
    "put with every field": PutRequest(b"a", b"1", 42, prev_kv=True),
    "put keeping value and lease": PutRequest(b"a", ignore_value=True, ignore_lease=True),
    "put of any bytes": PutRequest(_ALL_BYTES, _ALL_BYTES * 2),
    "put with a lease id of 63 bits": PutRequest(b"a", b"", INT63_MAX),
    "put with a negative lease id": PutRequest(b"a", b"", -(2**63)),
    "range of one key": RangeRequest(b"a"),
    "range of a prefix": RangeRequest(b"a", b"b", 10, 1000),
    "range of everything": RangeRequest(b"\0", b"\0"),
    "range with every field": RangeRequest(
        b"a",
        b"z",
        -1,
        INT63_MAX,
        SortOrder.DESCEND,
        SortTarget.VALUE,
        serializable=True,
        keys_only=True,
        count_only=True,
        min_mod_revision=1,
        max_mod_revision=128,
        min_create_revision=65_536,
        max_create_revision=2**32,
    ),
    "delete": DeleteRangeRequest(b"a"),
    "delete of a range": DeleteRangeRequest(b"a", b"b", prev_kv=True),
    "empty transaction": TxnRequest(),
    "nested transaction": _NESTED,
    "compaction": CompactionRequest(1000),
    "physical compaction": CompactionRequest(1000, physical=True),
    "lease grant": LeaseGrantRequest(60),
    "lease grant with an id": LeaseGrantRequest(60, 7),
    "lease revoke": LeaseRevokeRequest(7),
    "lease keep-alive": LeaseKeepAliveRequest(7),
    "lease time to live": LeaseTimeToLiveRequest(7),
    "lease time to live with keys": LeaseTimeToLiveRequest(7, keys=True),
    "leases": LeaseLeasesRequest(),
    "member list": MemberListRequest(),
    "member list of this member": MemberListRequest(linearizable=False),
    "member add": MemberAddRequest(("tcp://10.0.0.4:2380",)),
    "member add of a learner": MemberAddRequest(
        ("tcp://10.0.0.4:2380", "tcp://[::1]:2380"), is_learner=True
    ),
    "member remove": MemberRemoveRequest(UINT64_MAX),
    "member update": MemberUpdateRequest(7, ("tcp://10.0.0.5:2380",)),
    "member promote": MemberPromoteRequest(UINT64_MAX),
    "status": StatusRequest(),
    "hash": HashKVRequest(),
    "hash at a revision": HashKVRequest(99),
    "move leader": MoveLeaderRequest(UINT64_MAX),
    "alarms": AlarmRequest(),
    "alarm on": AlarmRequest(AlarmAction.ACTIVATE, UINT64_MAX, AlarmType.CORRUPT),
    "alarm off": AlarmRequest(AlarmAction.DEACTIVATE, 7, AlarmType.NOSPACE),
}

RESPONSES: dict[str, Message] = {
    "range": RangeResponse(HEADER, (KV,), more=True, count=2),
    "empty range": RangeResponse(HEADER),
    "put": PutResponse(HEADER),
    "put with the previous key": PutResponse(HEADER, KV),
    "delete": DeleteRangeResponse(HEADER, 1, (KV,)),
    "transaction": TxnResponse(
        HEADER,
        succeeded=True,
        responses=(
            PutResponse(ResponseHeader(1234, 0)),
            RangeResponse(ResponseHeader(1234, 0), (KV,), more=False, count=1),
            DeleteRangeResponse(ResponseHeader(1234, 0)),
            TxnResponse(ResponseHeader(1234, 0)),
        ),
    ),
    "compaction": CompactionResponse(HEADER),
    "lease grant": LeaseGrantResponse(HEADER, 7, 60),
    "lease revoke": LeaseRevokeResponse(HEADER),
    "lease keep-alive": LeaseKeepAliveResponse(HEADER, 7, 60),
    "lease keep-alive of an expired lease": LeaseKeepAliveResponse(HEADER, 7, 0),
    "lease time to live": LeaseTimeToLiveResponse(HEADER, 7, 33, 60, (b"a", b"b")),
    "lease time to live of an unknown lease": LeaseTimeToLiveResponse(HEADER, 7, -1),
    "leases": LeaseLeasesResponse(HEADER, (1, INT63_MAX)),
    "member list": MemberListResponse(
        HEADER,
        (
            Member(1),
            Member(
                UINT64_MAX,
                "node0 \N{GREEK SMALL LETTER ALPHA}",
                ("tcp://10.0.0.1:2380",),
                ("http://10.0.0.1:2379",),
                is_learner=True,
                native_urls=("tcp://10.0.0.1:2382", "tcp://10.0.0.1:2383"),
            ),
        ),
    ),
    "member add": MemberAddResponse(
        ResponseHeader(0, 7),
        Member(9, "", ("tcp://10.0.0.4:2380",), is_learner=True),
        (Member(1, "node1"), Member(9, "", ("tcp://10.0.0.4:2380",), is_learner=True)),
    ),
    "member remove": MemberRemoveResponse(ResponseHeader(0, 7), (Member(1, "node1"),)),
    "member update": MemberUpdateResponse(ResponseHeader(0, 7), (Member(1, "node1"),)),
    "member promote": MemberPromoteResponse(ResponseHeader(0, 7), (Member(1, "node1"),)),
    "status": StatusResponse(
        HEADER, "0.1.0", 1 << 20, UINT64_MAX, 10, 7, 9, (), 4096, False, "3.6.0", 2 << 30
    ),
    "status without a leader": StatusResponse(
        HEADER, "0.1.0", 0, 0, 10, 7, 9, ("etcdserver: no leader",)
    ),
    "hash": HashKVResponse(HEADER, 0xFFFFFFFF, 10, 1234),
    "move leader": MoveLeaderResponse(HEADER),
    "no alarms": AlarmResponse(HEADER),
    "alarms": AlarmResponse(
        HEADER,
        (AlarmMember(7, AlarmType.NOSPACE), AlarmMember(UINT64_MAX, AlarmType.CORRUPT)),
    ),
}

WATCH_REQUESTS: dict[str, Message] = {
    "watch of one key": WatchCreateRequest(4, b"a"),
    "watch with every field": WatchCreateRequest(
        4,
        b"a",
        b"b",
        1000,
        progress_notify=True,
        filters=(WatchFilter.NOPUT, WatchFilter.NODELETE),
        prev_kv=True,
        watch_id=9,
        fragment=True,
    ),
    "watch cancel": WatchCancelRequest(4, 9),
    "watch progress": WatchProgressRequest(4),
    "watch close": WatchCloseRequest(4),
}

WATCH_RESPONSES: dict[str, Message] = {
    "watcher created": WatchResponse(HEADER, 1, 0, created=True),
    "watcher refused": WatchResponse(
        HEADER, 2, -1, created=True, canceled=True, cancel_reason=errors.WatcherRangeEmpty.text
    ),
    "events": WatchResponse(
        HEADER,
        3,
        0,
        events=(
            Event(EventType.PUT, KV, KeyValue(b"foo", 2, 1000, 2, b"old")),
            Event(EventType.DELETE, KeyValue(b"gone", 0, 1234)),
        ),
    ),
    "first fragment": WatchResponse(
        HEADER, 4, 0, fragment=True, events=(Event(EventType.PUT, KV),)
    ),
    "progress": WatchResponse(HEADER, 5, -1),
    "watcher cancelled by compaction": WatchResponse(
        ResponseHeader(0, 7),
        6,
        0,
        canceled=True,
        compact_revision=900,
        cancel_reason=errors.Compacted.text,
    ),
}


class Frame(NamedTuple):
    """A positive vector before it is written."""

    name: str
    kind: FrameType
    request_id: int
    body: bytes
    deadline_ms: int = 0
    flags: int = 0
    canonical: bool = True


def session_frames() -> Iterator[Frame]:
    """Yield the frames of a session that carry no request."""
    hello = ClientHello((0, 1), ("partial-range",), "tool/1.0", "secret")
    yield Frame("hello with defaults", FrameType.HELLO, 0, encode(ClientHello()))
    yield Frame("hello", FrameType.HELLO, 0, encode(hello))
    welcome = Welcome(
        0, (), 77, UINT64_MAX, "node0", 1 << 40, "0.1.0", 1 << 20, 128, 4096, 2000, 6000
    )
    yield Frame("welcome", FrameType.WELCOME, 0, encode(welcome))
    error = errors.Compacted
    body = ErrorBody(error.number, error.code, error.text, error.retry, "revision 5")
    yield Frame("error of a request", FrameType.ERR, 12, encode(body))
    yield Frame("error of the session", FrameType.ERR, 0, encode(ErrorBody(101, 3, "x", 2)))
    yield Frame("error of the future", FrameType.ERR, 1, encode(ErrorBody(60_000, 99, "?", 77)))
    yield Frame("goaway of the server", FrameType.GOAWAY, 0, encode(GoAway("stopping", 500)))
    yield Frame("goaway of the client", FrameType.GOAWAY, 0, b"")
    yield Frame("cancel", FrameType.CANCEL, 12, b"")
    yield Frame("ping", FrameType.PING, UINT64_MAX, b"")
    yield Frame("pong", FrameType.PONG, UINT64_MAX, b"")
    yield Frame("credit", FrameType.CREDIT, 4, encode(WatchCredit(4, 256, 1 << 20)))
    yield Frame("deadline", FrameType.REQ, 1, encode(StatusRequest()), 2**32 - 1)


def variant_frames() -> Iterator[Frame]:
    """Yield frames that nobody has to write and everybody must read."""
    put = [2, b"a", b"1"]
    pack = msgpack.packb
    variants: dict[str, bytes] = {
        "put without its trailing defaults": pack(put),
        "put with a field of the future": pack([*put, 0, False, False, False, "new", [1]]),
        "put with an integer longer than needed": b"\x93\xcc\x02\xc4\x01a\xc4\x011",
        "put with an array header longer than needed": b"\xdc\x00\x03\x02\xc4\x01a\xc4\x011",
        "put with lengths longer than needed": b"\x93\x02\xc5\x00\x01a\xc6\x00\x00\x00\x011",
    }
    for name, body in variants.items():
        yield Frame(name, FrameType.REQ, 3, body, canonical=False)
    yield Frame("flags are ignored", FrameType.REQ, 3, pack(put), flags=0xFF, canonical=False)
    yield Frame("ping with a body", FrameType.PING, 1, b"ignored", canonical=False)


def all_frames() -> Iterator[Frame]:
    """Yield every positive vector."""
    yield from session_frames()
    for name, message in REQUESTS.items():
        yield Frame(f"request: {name}", FrameType.REQ, 1 << 33, encode(message), 5_000)
    for name, message in RESPONSES.items():
        yield Frame(f"response: {name}", FrameType.RES, 1 << 33, encode(message))
    part = encode(RangeResponse(HEADER, (KV, KV)))
    yield Frame("response: part of a range", FrameType.PARTIAL, 1 << 33, part)
    for name, message in WATCH_REQUESTS.items():
        yield Frame(f"request: {name}", FrameType.WATCH, 4, encode(message))
    for name, message in WATCH_RESPONSES.items():
        yield Frame(f"response: {name}", FrameType.WATCH, 4, encode(message))
    yield from variant_frames()


def plain(value: object) -> object:
    """Return a decoded body as JSON can hold it."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def positive(frame: Frame) -> dict[str, object]:
    """Return a positive vector as it is written."""
    packed = bytearray(pack_frame(frame.kind, frame.request_id, frame.body, frame.deadline_ms))
    packed[3] = frame.flags
    is_array = bool(frame.body) and frame.kind not in {FrameType.PING, FrameType.PONG}
    body = plain(msgpack.unpackb(frame.body, strict_map_key=False)) if is_array else None
    return {
        "name": frame.name,
        "frame": packed.hex(),
        "header": {
            "type": int(frame.kind),
            "flags": frame.flags,
            "request_id": frame.request_id,
            "deadline_ms": frame.deadline_ms,
        },
        "body": body,
        "canonical": frame.canonical,
    }


class Bad(NamedTuple):
    """A negative vector before it is written."""

    name: str
    frames: tuple[bytes, ...]
    error: type[errors.ZetcdError]
    request_id: int = 0
    survives: bool = False
    #: Sent after a HELLO and its WELCOME.
    session: bool = True


def req(body: bytes, request_id: int = 9) -> bytes:
    """Return a REQ frame."""
    return pack_frame(FrameType.REQ, request_id, body)


def bad_frames() -> Iterator[Bad]:
    """Yield what is no frame, or no frame for this place."""
    put = encode(PutRequest(b"a"))
    good = req(put)
    yield Bad("empty frame", (b"",), errors.BadFrame)
    for length in (1, 4, 15):
        yield Bad(f"only {length} bytes", (good[:length],), errors.BadFrame)
    yield Bad("another magic", (b"\x5b" + good[1:],), errors.BadFrame)
    yield Bad("an HTTP request", (b"GET / HTTP/1.1\r\nHost: example\r\n\r\n",), errors.BadFrame)
    for major in (0, 2, 255):
        frame = b"\x5a" + bytes([major]) + good[2:]
        yield Bad(f"major version {major}", (frame,), errors.UnsupportedVersion)
    yield Bad("an empty delimiter, as REQ sockets send", (b"", good), errors.BadFrame)
    yield Bad("two frames", (good, b"more"), errors.BadFrame)
    yield Bad("a hundred frames", (good,) * 100, errors.BadFrame)
    yield Bad("request id 0", (req(put, 0),), errors.BadFrame)
    for kind in (0, 14, 255):
        frame = pack_frame(kind, 9, put)
        yield Bad(f"frame type {kind}", (frame,), errors.UnknownMessage, 9, survives=True)
    for kind_ in (
        FrameType.WELCOME,
        FrameType.RES,
        FrameType.PARTIAL,
        FrameType.ERR,
        FrameType.REDIRECT,
    ):
        frame = pack_frame(kind_, 9, b"")
        name = f"{kind_.name} from a client"
        yield Bad(name, (frame,), errors.UnknownMessage, 9, survives=True)
    for kind_ in (FrameType.REQ, FrameType.WATCH, FrameType.PING, FrameType.PONG, FrameType.GOAWAY):
        frame = pack_frame(kind_, 9, put)
        name = f"{kind_.name} before HELLO"
        yield Bad(name, (frame,), errors.SessionExpired, session=False)


def bad_hellos() -> Iterator[Bad]:
    """Yield HELLOs that open nothing."""
    pack = msgpack.packb
    bodies: dict[str, bytes] = {
        "empty": b"",
        "nil": pack(None),
        "a map": pack({1: 2}),
        "another message": encode(PutRequest(b"a")),
        "trailing bytes": encode(ClientHello()) + b"\xc0",
        "truncated": encode(ClientHello())[:-1],
        "minors are no array": pack([120, 0]),
        "a minor is text": pack([120, ["0"]]),
        "features that are not UTF-8": b"\x93\x78\x91\x00\x91\xa2\xc3\x28",
        "client that is not UTF-8": b"\x94\x78\x91\x00\x90\xa2\xff\xfe",
        "client with a length of 4 GiB": b"\x94\x78\x91\x00\x90\xdb\xff\xff\xff\xff",
        "4 G minors": b"\x92\x78\xdd\xff\xff\xff\xff",
        "deeper than can be decoded": b"\x96\x78\x91\x00\x90\xa0\xa0" + b"\x91" * 4_000 + b"\x90",
    }
    for name, body in bodies.items():
        frame = pack_frame(FrameType.HELLO, 0, body)
        yield Bad(f"HELLO: {name}", (frame,), errors.BadFrame, session=False)
    for minors in ((), (1,), (7, 8)):
        frame = pack_frame(FrameType.HELLO, 0, encode(ClientHello(minors)))
        name = f"HELLO: minor versions {list(minors)}"
        yield Bad(name, (frame,), errors.UnsupportedVersion, session=False)


def bad_bodies() -> Iterator[Bad]:
    """Yield requests whose body cannot be decoded; the session survives all of them."""
    pack = msgpack.packb
    put = encode(PutRequest(b"a", b"1"))
    invalid = errors.InvalidArgument
    bodies: dict[str, tuple[bytes, type[errors.ZetcdError]]] = {
        "empty body": (b"", invalid),
        "nil": (b"\xc0", invalid),
        "a number": (b"\x02", invalid),
        "a map": (pack({0: 2}), invalid),
        "an empty array": (b"\x90", invalid),
        "a tag that is text": (pack(["put", b"a"]), invalid),
        "a tag that is nil": (pack([None, b"a"]), invalid),
        "an unknown tag": (pack([63]), errors.UnknownMessage),
        "an unknown tag beyond 127": (pack([255]), errors.UnknownMessage),
        "an unknown tag beyond 255": (pack([256]), errors.UnknownMessage),
        "an unknown tag of 64 bits": (pack([UINT64_MAX]), errors.UnknownMessage),
        "a negative tag": (pack([-1]), invalid),
        "the tag of a response": (encode(PutResponse(HEADER)), invalid),
        "the tag of a watch": (encode(WatchCreateRequest(1, b"a")), invalid),
        "the tag of a message within the node": (pack([171, 1, b""]), invalid),
        "truncated": (put[:-1], invalid),
        "truncated in the key": (put[:4], invalid),
        "trailing bytes": (put + b"\x00", invalid),
        "two messages": (put + put, invalid),
        "a required field is missing": (pack([2]), invalid),
        "text for bytes": (pack([2, "a"]), invalid),
        "bytes for an integer": (pack([2, b"a", b"", b"1"]), invalid),
        "an integer for a boolean": (pack([2, b"a", b"", 0, 1]), invalid),
        "a fraction for an integer": (pack([5, 1.5]), invalid),
        "nil for a key": (pack([2, None]), invalid),
        "an extension type for a key": (pack([2, msgpack.ExtType(1, b"a")]), invalid),
        "a key of 4 GiB that is not there": (b"\x92\x02\xc6\xff\xff\xff\xff", invalid),
        "a value of 2 GiB that is not there": (b"\x93\x02\xc4\x01a\xc6\x7f\xff\xff\xff", invalid),
        "4 G compares that are not there": (b"\x92\x04\xdd\xff\xff\xff\xff", invalid),
        "4 G fields that are not there": (b"\xdd\xff\xff\xff\xff\x02", invalid),
        "an unused MessagePack byte": (b"\x92\x02\xc1", invalid),
        "an unknown sort order": (pack([1, b"a", b"", 0, 0, 9]), errors.InvalidSortOption),
        "an unknown sort target": (pack([1, b"a", b"", 0, 0, 0, 9]), errors.InvalidSortOption),
        "an unknown compare target": (pack([4, [[0, 9, b"a"]]]), invalid),
        "a boolean operand": (pack([4, [[0, 0, b"a", True]]]), invalid),
        "a watch within a transaction": (pack([4, [], [[20, 1, b"a"]]]), invalid),
        "nesting beyond any decoder": (b"\x93\x04\x90\x91" * 4_000, errors.TxnTooDeep),
    }
    for name, (body, error) in bodies.items():
        yield Bad(f"body: {name}", (req(body),), error, 9, survives=True)


def bad_requests() -> Iterator[Bad]:
    """Yield requests that decode and that no store could accept."""
    deep = TxnRequest((), (PutRequest(b"a"),))
    for _ in range(16):
        deep = TxnRequest((), (deep,))
    many = tuple(RangeRequest(b"a") for _ in range(129))
    value_compare = Compare(CompareResult.EQUAL, CompareTarget.VALUE, b"a", 1)
    cases: dict[str, tuple[Message, type[errors.ZetcdError]]] = {
        "put without a key": (PutRequest(b""), errors.EmptyKey),
        "range without a key": (RangeRequest(b""), errors.EmptyKey),
        "delete without a key": (DeleteRangeRequest(b""), errors.EmptyKey),
        "compare without a key": (
            TxnRequest((Compare(CompareResult.EQUAL, CompareTarget.MOD, b""),)),
            errors.EmptyKey,
        ),
        "put with a value to be ignored": (
            PutRequest(b"a", b"v", ignore_value=True),
            errors.ValueProvided,
        ),
        "put with a lease to be ignored": (
            PutRequest(b"a", lease=1, ignore_lease=True),
            errors.LeaseProvided,
        ),
        "put with a lease id of 64 bits": (
            PutRequest(b"a", lease=UINT64_MAX),
            errors.InvalidArgument,
        ),
        "too many operations": (TxnRequest((), many), errors.TooManyOps),
        "transactions 17 deep": (deep, errors.TxnTooDeep),
        "one key put twice": (
            TxnRequest((), (PutRequest(b"a"), PutRequest(b"a"))),
            errors.DuplicateKey,
        ),
        "a key put and deleted": (
            TxnRequest((), (PutRequest(b"a"), DeleteRangeRequest(b"a", b"b"))),
            errors.DuplicateKey,
        ),
        "a value compared with a number": (TxnRequest((value_compare,)), errors.InvalidArgument),
        "a TTL beyond the limit": (LeaseGrantRequest(9_000_000_001), errors.LeaseTTLTooLarge),
        "a negative lease id": (LeaseGrantRequest(60, -7), errors.InvalidArgument),
        "a lease id of 64 bits": (LeaseGrantRequest(60, UINT64_MAX), errors.InvalidArgument),
        "a revision of 64 bits": (CompactionRequest(UINT64_MAX), errors.InvalidArgument),
        "a limit of 64 bits": (RangeRequest(b"a", b"b", limit=1 << 63), errors.InvalidArgument),
        "a limit of 64 bits in a transaction": (
            TxnRequest((), (PutRequest(b"a"), RangeRequest(b"a", b"b", limit=1 << 63))),
            errors.InvalidArgument,
        ),
        "an alarm of a negative member id": (
            AlarmRequest(AlarmAction.ACTIVATE, -1, AlarmType.NOSPACE),
            errors.InvalidArgument,
        ),
    }
    for name, (message, error) in cases.items():
        yield Bad(f"request: {name}", (req(encode(message)),), error, 9, survives=True)
    # Without its trailing defaults, so that it ends with the zeros of its value.
    large = req(msgpack.packb([2, b"a", bytes(1_572_864)]))
    yield Bad("request: beyond 1.5 MiB", (large,), errors.RequestTooLarge, 9, survives=True)


def bad_watches() -> Iterator[Bad]:
    """Yield watch frames that end their stream; the session survives all of them."""
    cases: dict[str, tuple[FrameType, bytes, type[errors.ZetcdError]]] = {
        "empty": (FrameType.WATCH, b"", errors.InvalidArgument),
        "a put": (FrameType.WATCH, encode(PutRequest(b"a")), errors.InvalidArgument),
        "another stream id": (
            FrameType.WATCH,
            encode(WatchCreateRequest(5, b"a")),
            errors.BadFrame,
        ),
        "an unknown filter": (
            FrameType.WATCH,
            msgpack.packb([20, 9, b"a", b"", 0, False, [7]]),
            errors.InvalidArgument,
        ),
        "a start revision of 64 bits": (
            FrameType.WATCH,
            encode(WatchCreateRequest(9, b"a", start_revision=UINT64_MAX)),
            errors.InvalidArgument,
        ),
        "credit that is a watch": (
            FrameType.CREDIT,
            encode(WatchCreateRequest(9, b"a")),
            errors.InvalidArgument,
        ),
    }
    for name, (kind, body, error) in cases.items():
        frame = pack_frame(kind, 9, body)
        yield Bad(f"watch: {name}", (frame,), error, 9, survives=True)


def negative(bad: Bad) -> dict[str, object]:
    """Return a negative vector as it is written."""
    sent = (
        {"frame": bad.frames[0].hex()}
        if len(bad.frames) == 1
        else {"frames": [frame.hex() for frame in bad.frames]}
    )
    return {
        "name": bad.name,
        **sent,
        "session": bad.session,
        "error": bad.error.number,
        "request_id": bad.request_id,
        "survives": bad.survives,
    }


def shortened(vector: dict[str, object]) -> dict[str, object]:
    """Write a long frame as its head and a run of one byte, so that the file stays readable."""
    frame = vector.get("frame")
    if not isinstance(frame, str) or len(frame) < 4_000_000 // 4:
        return vector
    raw = bytes.fromhex(frame)
    body = raw.rstrip(b"\0")
    tail = len(raw) - len(body)
    if tail < 1_000:
        return vector
    return {**vector, "frame": body.hex(), "zeros_appended": tail}


def document() -> dict[str, object]:
    """Return everything that the file holds."""
    bad = [*bad_frames(), *bad_hellos(), *bad_bodies(), *bad_requests(), *bad_watches()]
    return {
        "about": "Conformance vectors of docs/protocol.md, section 14. A frame with zeros_appended "
        "has that many zero bytes behind what is written.",
        "positive": [positive(frame) for frame in all_frames()],
        "negative": [shortened(negative(each)) for each in bad],
    }


def text() -> str:
    """Return the file's text: one vector per line."""
    whole = document()
    parts = [f' "about": {json.dumps(whole["about"])}']
    for key in ("positive", "negative"):
        vectors = whole[key]
        assert isinstance(vectors, list)
        lines = ",\n".join("  " + json.dumps(vector) for vector in vectors)
        parts.append(f' "{key}": [\n{lines}\n ]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(text())
