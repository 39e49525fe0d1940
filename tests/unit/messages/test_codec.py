"""The codec: the tag registry, the documented bytes, and how old and new versions read each other."""

from __future__ import annotations

import msgspec
import pytest

from zetcd.messages import raft, storage
from zetcd.messages.base import Message
from zetcd.messages.client import UnaryRequest, UnaryResponse
from zetcd.messages.codec import DECODE_ERRORS, TAGS, UnionDecoder, decoder_of, encode
from zetcd.messages.kv import DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest
from zetcd.messages.node import Hello, ProposalBatch
from zetcd.messages.raft import Heartbeat, LogEntry, PeerMessage

_KeyRequest = PutRequest | DeleteRangeRequest
KEY_REQUESTS = UnionDecoder(_KeyRequest)
REQUESTS = UnionDecoder(UnaryRequest)
PEERS = UnionDecoder(PeerMessage)


class NewPut(Message, frozen=True, tag=2):
    """`PutRequest` as a later version may have it."""

    key: bytes
    value: bytes = b""
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False
    reason: str = "none"


def test_a_put_has_the_documented_bytes() -> None:
    assert encode(PutRequest(b"a", b"1")).hex(" ") == "97 02 c4 01 61 c4 01 31 00 c2 c2 c2"


def test_a_heartbeat_is_small() -> None:
    assert len(encode(Heartbeat(1, 2, 3, 4, 5))) == 8


def test_tags_are_where_the_registry_says() -> None:
    assert list(TAGS) == sorted(TAGS)
    assert all(1 <= tag <= 255 for tag in TAGS)
    ranges = {raft: (130, 149), storage: (150, 169)}
    for module, (low, high) in ranges.items():
        found = [tag for tag, owner in TAGS.items() if owner.__module__ == module.__name__]
        assert found
        assert low <= min(found)
        assert max(found) <= high
    for union, (low, high) in ((UnaryRequest, (1, 63)), (UnaryResponse, (64, 119))):
        tags = [each.__struct_config__.tag for each in union.__args__]
        assert all(low <= tag <= high for tag in tags)


def test_every_message_knows_its_tag() -> None:
    for tag, owner in TAGS.items():
        assert owner.__struct_config__.tag == tag
        assert owner.__struct_config__.array_like
        assert owner.__struct_config__.frozen


def test_a_decoder_chooses_by_the_tag() -> None:
    for message in (PutRequest(b"a"), RangeRequest(b"a"), TxnRequest()):
        assert REQUESTS.decode(encode(message)) == message


def test_an_old_decoder_skips_what_it_does_not_know() -> None:
    assert KEY_REQUESTS.decode(encode(NewPut(b"a", b"1", reason="why"))) == PutRequest(b"a", b"1")


def test_a_new_decoder_fills_in_what_it_does_not_find() -> None:
    old = encode(PutRequest(b"a", b"1"))
    assert decoder_of(NewPut).decode(old) == NewPut(b"a", b"1", reason="none")


def test_fields_with_defaults_may_be_left_out() -> None:
    short = msgspec.msgpack.encode([2, b"a"])
    assert KEY_REQUESTS.decode(short) == PutRequest(b"a")


def test_memory_views_are_decoded_like_bytes() -> None:
    body = memoryview(b"head" + encode(PutRequest(b"a")))[4:]
    assert KEY_REQUESTS.decode(body) == PutRequest(b"a")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        encode(RangeRequest(b"a")),  # another union's
        msgspec.msgpack.encode([255]),  # nobody's tag
        msgspec.msgpack.encode(["2", b"a"]),  # a tag is a number
        msgspec.msgpack.encode([2]),  # the key is missing
        msgspec.msgpack.encode([2, "text"]),
        msgspec.msgpack.encode([2, b"a", b"", 1.5]),
        msgspec.msgpack.encode([2, b"a", b"", 1 << 63, 0]),
        msgspec.msgpack.encode({"key": b"a"}),
        encode(PutRequest(b"a")) + b"x",  # something behind it
        b"\xdd\xff\xff\xff\xff\x02",  # an array of 4 billion
        b"\x92\x02\xc6\xff\xff\xff\xff",  # a key of 4 GiB
    ],
)
def test_what_is_no_message_of_the_union_is_an_error(body: bytes) -> None:
    with pytest.raises(DECODE_ERRORS):
        KEY_REQUESTS.decode(body)


def test_nesting_without_end_is_an_error() -> None:
    txn = msgspec.msgpack.encode([4, [], []])[:-1]
    depth = 100_000
    with pytest.raises(DECODE_ERRORS):
        REQUESTS.decode((txn + b"\x91") * depth + txn + b"\x90" + b"\x90" * depth)


def test_bad_text_is_an_error() -> None:
    with pytest.raises(DECODE_ERRORS):
        decoder_of(NewPut).decode(b"\x98\x02\xc4\x01a\xc4\x00\x00\xc2\xc2\xc2\xa1\xff")


def test_enumerations_have_no_other_values() -> None:
    with pytest.raises(DECODE_ERRORS):
        decoder_of(LogEntry).decode(msgspec.msgpack.encode([9, 1, 1, b""]))


def test_a_union_consists_of_tagged_messages() -> None:
    untagged = Hello | ProposalBatch
    with pytest.raises(AssertionError, match="ProposalBatch has no tag"):
        UnionDecoder(untagged)


def test_every_peer_message_is_registered() -> None:
    for owner in PeerMessage.__args__:
        assert TAGS[owner.__struct_config__.tag] is owner
