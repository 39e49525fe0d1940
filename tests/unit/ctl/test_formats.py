"""Every output format, of everything that is printed, against a golden file."""

from __future__ import annotations

from pathlib import Path

import pytest

from zetcd.ctl.exits import CtlError, Exit
from zetcd.ctl.printer import (
    Hash,
    HashList,
    Health,
    HealthList,
    LeaderMoved,
    MemberAdded,
    MemberChange,
    Origin,
    Printable,
    Revoked,
    Status,
    StatusList,
    TimeToLive,
    renderer_of,
)
from zetcd.messages.cluster import (
    AlarmMember,
    AlarmResponse,
    AlarmType,
    HashKVResponse,
    Member,
    MemberAddResponse,
    MemberListResponse,
    MemberPromoteResponse,
    MemberRemoveResponse,
    MemberUpdateResponse,
    StatusResponse,
)
from zetcd.messages.kv import (
    CompactionResponse,
    DeleteRangeResponse,
    Event,
    EventType,
    KeyValue,
    PutResponse,
    RangeResponse,
    ResponseHeader,
    TxnResponse,
)
from zetcd.messages.lease import (
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    LeaseLeasesResponse,
    LeaseRevokeResponse,
    LeaseTimeToLiveResponse,
)
from zetcd.messages.watch import WatchResponse

GOLDEN = Path(__file__).parents[2] / "testdata" / "ctl"
FORMATS = ("simple", "fields", "json", "table")

ORIGIN = Origin(0xC1, 0xA1)
OTHER = Origin(0xC1, 0xA2)
HEADER = ResponseHeader(12, 3)
KV = KeyValue(b"k", 5, 9, 3, b"v\n\xff<&>", 0x1F)
BEFORE = KeyValue(b"k", 5, 8, 2, b"old")
RANGE = RangeResponse(HEADER, (KV, KeyValue(b"l", 7, 7, 1, b"")), more=True, count=5)
DELETED = DeleteRangeResponse(HEADER, 1, (BEFORE,))
STATUS = StatusResponse(
    HEADER,
    "0.1.0",
    20_480,
    0xA1,
    100,
    3,
    99,
    (),
    8_192,
    storage_version="3.6",
    db_size_quota=2 << 30,
)
LAGGING = StatusResponse(
    HEADER, "0.1.0", 0, 0, 100, 3, 9, ("etcdserver: no leader",), is_learner=True
)

MEMBER_HEADER = ResponseHeader(0, 3)
LEARNER = Member(0xA2, "", ("tcp://i:1",), is_learner=True)
ADDED = MemberAddResponse(
    MEMBER_HEADER,
    Member(0xA2, "", ("tcp://i:1",)),
    (Member(0xA1, "node0", ("tcp://h:1",)), Member(0xA2, "", ("tcp://i:1",))),
)
SHOWN: dict[str, Printable] = {
    "put": PutResponse(HEADER),
    "put with the previous pair": PutResponse(HEADER, BEFORE),
    "get": RANGE,
    "get of nothing": RangeResponse(HEADER),
    "del": DELETED,
    "del of nothing": DeleteRangeResponse(HEADER),
    "txn that succeeded": TxnResponse(HEADER, True, (PutResponse(HEADER), RANGE, DELETED)),
    "txn that failed, nested": TxnResponse(
        HEADER, False, (TxnResponse(HEADER, True, (PutResponse(HEADER),)),)
    ),
    "compaction": CompactionResponse(HEADER),
    "watch": WatchResponse(
        HEADER,
        2,
        0,
        events=(
            Event(EventType.PUT, KV, BEFORE),
            Event(EventType.DELETE, KeyValue(b"k", mod_revision=12)),
        ),
    ),
    "lease grant": LeaseGrantResponse(HEADER, 0x1F, 10),
    "lease revoke": Revoked(0x1F, LeaseRevokeResponse(HEADER)),
    "lease keep-alive": LeaseKeepAliveResponse(HEADER, 0x1F, 10),
    "lease timetolive": TimeToLive(LeaseTimeToLiveResponse(HEADER, 0x1F, 7, 10), False),
    "lease timetolive with keys": TimeToLive(
        LeaseTimeToLiveResponse(HEADER, 0x1F, 7, 10, (b"a", b"b")), True
    ),
    "lease timetolive of an expired one": TimeToLive(
        LeaseTimeToLiveResponse(HEADER, 0x1F, -1), False
    ),
    "lease list": LeaseLeasesResponse(HEADER, (0x1F, 0x20)),
    "member list": MemberListResponse(
        HEADER,
        (
            Member(
                0xA1,
                "node0",
                ("tcp://h:1",),
                ("http://h:2", "http://h:3"),
                native_urls=("tcp://h:4",),
            ),
            Member(0xA2, "", ("tcp://i:1",), is_learner=True),
        ),
    ),
    "member add": MemberAdded("new", "tcp://i:1", 0xC1, ADDED),
    "member add of a learner": MemberAdded(
        "new",
        "tcp://i:1",
        0xC1,
        MemberAddResponse(MEMBER_HEADER, LEARNER, (*ADDED.members[:1], LEARNER)),
    ),
    "member remove": MemberChange(
        0xA2, "removed from", 0xC1, MemberRemoveResponse(MEMBER_HEADER, ADDED.members[:1])
    ),
    "member update": MemberChange(
        0xA2, "updated in", 0xC1, MemberUpdateResponse(MEMBER_HEADER, ADDED.members)
    ),
    "member promote": MemberChange(
        0xA2, "promoted in", 0xC1, MemberPromoteResponse(MEMBER_HEADER, ADDED.members)
    ),
    "endpoint status": StatusList(
        (Status("tcp://h:4", ORIGIN, STATUS), Status("tcp://i:4", OTHER, LAGGING))
    ),
    "endpoint health": HealthList(
        (
            Health("tcp://h:4", True, 0.0025),
            Health("tcp://i:4", False, 5.0, "etcdserver: no leader"),
        )
    ),
    "endpoint hashkv": HashList(
        (Hash("tcp://h:4", ORIGIN, HashKVResponse(HEADER, 123_456, 4, 12)),)
    ),
    "alarm list": AlarmResponse(
        HEADER, (AlarmMember(0xA1, AlarmType.NOSPACE), AlarmMember(0, AlarmType.CORRUPT))
    ),
    "alarm list without any": AlarmResponse(HEADER),
    "move-leader": LeaderMoved(0xA1, 0xA2),
}


def rendered(name: str) -> str:
    """Return everything in one format, each part under its title; bytes that are no text as escapes."""
    render = renderer_of(name)
    parts = []
    for title, what in SHOWN.items():
        try:
            text = render(what, ORIGIN, False).decode("utf-8", "backslashreplace")
        except CtlError as error:
            text = f"Error: {error} (exit code {error.code})\n"
        parts.append(f"# {title}\n{text}")
    return "\n".join(parts)


@pytest.mark.parametrize("name", FORMATS)
def test_output_is_as_the_golden_file_says(name: str, rewrite: bool) -> None:
    path = GOLDEN / f"output_{name}.txt"
    text = rendered(name)
    if rewrite:
        path.write_text(text)
    assert text == path.read_text()


def test_hex_shows_every_byte_of_keys_and_values() -> None:
    assert (
        renderer_of("simple")(PutResponse(HEADER, BEFORE), ORIGIN, True)
        == b"OK\n\\x6b\n\\x6f\\x6c\\x64\n"
    )


def test_hex_shows_ids_of_members_in_hexadecimal() -> None:
    output = renderer_of("json")(SHOWN["member list"], ORIGIN, True)
    assert b'"cluster_id":"c1","member_id":"a1"' in output
    assert b'"ID":"a2"' in output


def test_a_format_that_does_not_exist_is_a_bad_feature() -> None:
    with pytest.raises(CtlError) as caught:
        renderer_of("protobuf")
    assert caught.value.code == Exit.BAD_FEATURE
