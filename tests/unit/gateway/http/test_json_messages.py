"""proto3 as JSON, both ways."""

from __future__ import annotations

import json

import pytest

from zetcd.gateway.etcd.proto import kv_pb2
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.http.json_messages import BadJson, read_json, to_json


def test_out_names_are_those_of_the_file_and_big_numbers_are_text() -> None:
    message = pb.RangeResponse(
        header=pb.ResponseHeader(cluster_id=2**64 - 1, revision=7),
        kvs=[kv_pb2.KeyValue(key=b"\xff\x00", mod_revision=5, lease=-1)],
        count=1,
    )
    assert to_json(message) == {
        "header": {"cluster_id": "18446744073709551615", "revision": "7"},
        "kvs": [{"key": "/wA=", "mod_revision": "5", "lease": "-1"}],
        "count": "1",
    }


def test_out_defaults_are_left_out_but_empty_messages_are_there() -> None:
    put = pb.ResponseOp(response_put=pb.PutResponse())
    message = pb.TxnResponse(succeeded=False, responses=[put])
    assert to_json(message) == {"responses": [{"response_put": {}}]}


def test_out_small_numbers_are_numbers_and_enumerations_have_names() -> None:
    alarm = pb.AlarmMember(memberID=3, alarm=pb.CORRUPT)
    assert to_json(alarm) == {"memberID": "3", "alarm": "CORRUPT"}
    assert to_json(pb.HashResponse(hash=4294967295)) == {"hash": 4294967295}
    unknown = pb.AlarmMember.FromString(b"\x10\x63")
    assert to_json(unknown) == {"alarm": 99}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", pb.RangeRequest()),
        ("  \n", pb.RangeRequest()),
        ("{}", pb.RangeRequest()),
        ('{"key":"Zm9v"}', pb.RangeRequest(key=b"foo")),
        ('{"key":"Zm9"}', pb.RangeRequest(key=b"fo")),
        ('{"key":"_-8="}', pb.RangeRequest(key=b"\xff\xef")),
        ('{"key":"/+8"}', pb.RangeRequest(key=b"\xff\xef")),
        ('{"range_end":"AA=="}', pb.RangeRequest(range_end=b"\0")),
        ('{"rangeEnd":"AA=="}', pb.RangeRequest(range_end=b"\0")),
        ('{"limit":3}', pb.RangeRequest(limit=3)),
        ('{"limit":"3"}', pb.RangeRequest(limit=3)),
        ('{"limit":3.0}', pb.RangeRequest(limit=3)),
        ('{"limit":-9223372036854775808}', pb.RangeRequest(limit=-(2**63))),
        ('{"limit":null}', pb.RangeRequest()),
        ('{"serializable":true}', pb.RangeRequest(serializable=True)),
        ('{"sort_order":"DESCEND"}', pb.RangeRequest(sort_order=pb.RangeRequest.DESCEND)),
        ('{"sort_order":2}', pb.RangeRequest(sort_order=pb.RangeRequest.DESCEND)),
        ('{"sort_order":"NO_SUCH"}', pb.RangeRequest()),
        ('{"no_such":[1,{"a":2}],"limit":1}', pb.RangeRequest(limit=1)),
        ('{"limit":1} and more', pb.RangeRequest(limit=1)),
    ],
)
def test_in(text: str, expected: pb.RangeRequest) -> None:
    assert read_json(text.encode(), pb.RangeRequest) == expected


def test_in_messages_within_messages() -> None:
    text = """{
      "compare": [{"result":"EQUAL","target":"CREATE","key":"YQ==","create_revision":"0"}],
      "success": [{"requestPut":{"key":"YQ==","value":"Yg=="}}, {"request_range":{}}]
    }"""
    txn = read_json(text.encode(), pb.TxnRequest)
    assert txn.compare[0].WhichOneof("target_union") == "create_revision"
    assert txn.success[0].request_put.value == b"b"
    assert txn.success[1].WhichOneof("request") == "request_range"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{", "invalid JSON"),
        ("[]", "the message: is a list, must be an object"),
        ("3", "the message: is 3"),
        ("null", "the message: is null, must be an object"),
        (" null x", "the message: is null"),
        ("true", "the message: is true"),
        ("nope", "invalid JSON"),
        ('{"key":"a b"}', "key: is 'a b', must be base64"),
        ('{"key":"Z"}', "must be base64"),
        ('{"key":"é"}', "must be base64"),
        ('{"key":5}', "key: is 5, must be base64"),
        ('{"limit":1.5}', "limit: is 1.5, must be a whole number"),
        ('{"limit":"x"}', "limit: is 'x'"),
        ('{"limit":true}', "limit: is true"),
        ('{"limit":9223372036854775808}', "must be a whole number between"),
        ('{"limit":1e999}', "limit: is inf"),
        ('{"limit":' + "9" * 5000 + "}", "invalid JSON"),
        ('{"limit":NaN}', "NaN is no JSON"),
        ('{"limit":1,"limit":2}', "given twice"),
        ('{"range_end":"AA==","rangeEnd":"AA=="}', "only one of it and range_end can be set"),
        ('{"serializable":"true"}', "must be true or false"),
        ('{"sort_order":2147483648}', "must be a whole number"),
        ("\ufeff{}", "invalid JSON"),
        ("[" * 100_000, "nested too deep"),
        ('{"x":' * 100_000, "nested too deep"),
    ],
)
def test_in_says_what_is_wrong(text: str, wrong: str) -> None:
    with pytest.raises(BadJson, match=r".*") as caught:
        read_json(text.encode(), pb.RangeRequest)
    assert wrong in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (b'{"name":"\xff"}', "invalid UTF-8"),
        (b'{"name":"\\ud800"}', "name: is"),
        (b'{"name":7}', "name: is 7, must be a text"),
    ],
)
def test_in_texts_are_unicode(text: bytes, wrong: str) -> None:
    with pytest.raises(BadJson, match=wrong):
        read_json(text, pb.AuthenticateRequest)


def test_in_wrong_places_are_named() -> None:
    text = b'{"success":[{},{"request_put":{"key":"?"}}]}'
    with pytest.raises(BadJson, match=r"^success\[1\]\.request_put\.key: is '\?', must be base64$"):
        read_json(text, pb.TxnRequest)
    with pytest.raises(BadJson, match=r"^success\[0\]: is null, must be an object$"):
        read_json(b'{"success":[null]}', pb.TxnRequest)
    with pytest.raises(BadJson, match=r"^success: is 1, must be a list$"):
        read_json(b'{"success":1}', pb.TxnRequest)
    with pytest.raises(BadJson, match=r"only one of it and request_range can be set"):
        read_json(b'{"success":[{"request_range":{},"request_put":{}}]}', pb.TxnRequest)


def test_in_transactions_nest_so_deep_and_no_deeper() -> None:
    text = '{"success":[{"request_txn":' * 60 + "{}" + "}]}" * 60
    with pytest.raises(BadJson, match="nested too deep"):
        read_json(text.encode(), pb.TxnRequest)


def test_what_is_written_can_be_read() -> None:
    message = pb.WatchResponse(
        watch_id=-1, canceled=True, events=[kv_pb2.Event(kv=kv_pb2.KeyValue(key=bytes(range(256))))]
    )
    text = json.dumps(to_json(message)).encode()
    assert read_json(text, pb.WatchResponse) == message
