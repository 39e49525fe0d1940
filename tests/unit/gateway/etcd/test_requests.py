"""What etcd's messages mean in ours."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from zetcd.errors import ZetcdError
from zetcd.gateway.etcd import requests
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.messages.base import Message
from zetcd.watch.watcher import watched_range


def test_a_watch_without_key_and_end_is_one_of_the_first_possible_key() -> None:
    alone = requests.watch_create_request(pb.WatchCreateRequest(), 1)
    everything = requests.watch_create_request(pb.WatchCreateRequest(range_end=b"\0"), 1)
    up_to_b = requests.watch_create_request(pb.WatchCreateRequest(range_end=b"b"), 1)
    named = requests.watch_create_request(pb.WatchCreateRequest(key=b"a"), 1)
    assert watched_range(alone.key, alone.range_end) == watched_range(b"\0", b"")
    assert watched_range(everything.key, everything.range_end) == watched_range(b"\0", b"\0")
    assert watched_range(up_to_b.key, up_to_b.range_end) == watched_range(b"\0", b"b")
    assert (named.key, named.range_end) == (b"a", b"")


def as_protobuf(read: Callable[[], Message]) -> Message | type[Exception]:
    try:
        return read()
    except (DecodeError, ZetcdError) as error:
        return type(error)


SIZES = st.sampled_from([0, 1, 2, 126, 127, 128, 129, 16_382, 16_383, 16_384, 16_385])
OCTETS = st.one_of(
    st.binary(max_size=4),
    st.builds(lambda size, octet: octet * size, SIZES, st.binary(min_size=1, max_size=1)),
)
PUTS = st.builds(
    lambda key, value, more: pb.PutRequest(key=key, value=value, **more).SerializeToString(),
    OCTETS,
    OCTETS,
    st.sampled_from([{}, {"lease": 1}, {"prev_kv": True}]),
)
RANGES = st.builds(
    lambda key, more: pb.RangeRequest(key=key, **more).SerializeToString(),
    OCTETS,
    st.sampled_from(
        [{}, {"serializable": True}, {"range_end": b"b"}, {"limit": 1, "serializable": True}]
    ),
)
#: What may be wrong with them: cut, octets changed or added, numbers longer than they need be.
EDITS = st.lists(
    st.tuples(st.integers(0, 300), st.binary(max_size=2), st.integers(0, 2)), max_size=3
)


def edited(octets: bytes, edits: list[tuple[int, bytes, int]]) -> bytes:
    for at, added, removed in edits:
        octets = octets[:at] + added + octets[at + removed :]
    return octets


@given(st.one_of(PUTS, RANGES, st.binary(max_size=12)), EDITS)
@example(b"\x0a\x01a\x12\x80\x00", [])
@example(b"\x0a\x01a\x12\x81\x00v", [])
@example(b"\x0a\x01a\x0a\x01b", [])
def test_what_is_read_by_hand_is_what_protobuf_reads(
    octets: bytes, edits: list[tuple[int, bytes, int]]
) -> None:
    octets = edited(octets, edits)
    by_protobuf = as_protobuf(lambda: requests.put_request(pb.PutRequest.FromString(octets)))
    assert as_protobuf(lambda: requests.read_put(octets)) == by_protobuf
    by_protobuf = as_protobuf(lambda: requests.range_request(pb.RangeRequest.FromString(octets)))
    assert as_protobuf(lambda: requests.read_range(octets)) == by_protobuf
