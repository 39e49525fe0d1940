"""HTTP/1.1 and JSON that are wrong in any way are answered, and never break the gateway."""

from __future__ import annotations

import json

from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.gateway.http.browser import Browser, request_of
from zetcd.gateway.etcd.proto import kv_pb2
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.grpc import Call
from zetcd.gateway.http import Answer, HttpRequest
from zetcd.gateway.http.json_messages import BadJson, read_json, to_json
from zetcd.gateway.http.json_stream import JsonSplitter

GOOD = [
    request_of("GET", "/health"),
    request_of("POST", "/v3/kv/put", '{"key":"YQ=="}'),
    request_of("POST", "/v3/watch", '{"create_request":{"key":"YQ=="}}'),
    (
        "POST /v3/lease/keepalive HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        '8\r\n{"ID":1}\r\n0\r\n\r\n'
    ),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw requests with something wrong somewhere."""
    octets = bytearray(
        "".join(draw(st.lists(st.sampled_from(GOOD), min_size=1, max_size=3))), "ascii"
    )
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(0, len(octets) - 1)))
        match draw(st.integers(0, 2)):
            case 0:
                octets[place : place + 1] = draw(st.binary(max_size=3))
            case 1:
                octets[place:place] = octets[place : place + draw(st.integers(0, 40))]
            case _:
                del octets[place : place + draw(st.integers(1, 20))]
    return bytes(octets)


@given(damaged() | st.binary(max_size=200), st.lists(st.integers(1, 60), max_size=6))
def test_anything_may_come(octets: bytes, sizes: list[int]) -> None:
    browser = Browser()
    transport = browser.transport
    pieces, start = [], 0
    for size in sizes:
        pieces.append(octets[start : start + size])
        start += size
    for piece in (*pieces, octets[start:]):
        events = browser.say(piece) if piece else []
        while events:
            for event in events:
                if isinstance(event, HttpRequest):
                    transport.respond(event.token, Answer(200, "text/plain", b"fine"))
                elif isinstance(event, Call):
                    transport.answer(event.token, b"")
                else:
                    transport.send(event.token, b"")
            events = browser.listen()
    browser.wait(1000)
    transport.lost(browser.number)
    shared = transport._shared
    assert not shared.open
    assert (shared.body_bytes, shared.queued_bytes) == (0, 0)
    assert not browser.heard or browser.heard.startswith(b"HTTP/1.1 ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["key", "success", "compare", "request_put", "value", "lease", "result"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_a_message_or_is_refused(value: object) -> None:
    text = json.dumps(value).encode()
    for kind in (pb.TxnRequest, pb.PutRequest, pb.WatchRequest):
        try:
            message = read_json(text, kind)
        except BadJson as error:
            assert str(error)  # noqa: PT017 - either way is good, nothing else is
        else:
            assert kind.FromString(message.SerializeToString()) == message


@given(st.binary(max_size=200))
def test_any_octets_are_a_message_or_are_refused(octets: bytes) -> None:
    try:
        read_json(octets, pb.TxnRequest)
    except BadJson as error:
        assert str(error)  # noqa: PT017 - see above


KEY_VALUES = st.builds(
    kv_pb2.KeyValue,
    key=st.binary(max_size=20),
    value=st.binary(max_size=20),
    lease=st.integers(-(2**63), 2**63 - 1),
    version=st.integers(0, 2**63 - 1),
)
RESPONSES = st.builds(
    pb.WatchResponse,
    header=st.none()
    | st.builds(
        pb.ResponseHeader, cluster_id=st.integers(0, 2**64 - 1), revision=st.integers(0, 2**40)
    ),
    watch_id=st.integers(-1, 5),
    canceled=st.booleans(),
    cancel_reason=st.text(st.characters(codec="utf-8"), max_size=10),
    events=st.lists(
        st.builds(
            kv_pb2.Event, type=st.integers(0, 2), kv=KEY_VALUES, prev_kv=st.none() | KEY_VALUES
        ),
        max_size=3,
    ),
)


@given(RESPONSES)
def test_messages_are_written_as_protobuf_writes_them_and_can_be_read(
    message: pb.WatchResponse,
) -> None:
    found = to_json(message)
    assert found == json_format.MessageToDict(message, preserving_proto_field_name=True)
    text = json.dumps(found).encode()
    assert read_json(text, pb.WatchResponse) == message
    camel = json_format.MessageToJson(message).encode()
    assert read_json(camel, pb.WatchResponse) == message


@given(st.lists(RESPONSES, max_size=4), st.integers(1, 50))
def test_streams_are_cut_where_messages_end(messages: list[pb.WatchResponse], size: int) -> None:
    text = b"\n".join(json.dumps(to_json(each)).encode() for each in messages)
    splitter = JsonSplitter(1_000_000)
    found: list[bytes] = []
    for start in range(0, len(text), size):
        found += splitter.feed(text[start : start + size])
    splitter.end()
    assert [read_json(each, pb.WatchResponse) for each in found] == messages
