"""The conformance vectors: current, readable by the plain msgpack package, and kept by the server."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import msgpack
import pytest

from tests.testdata.protocol import generate
from tests.unit.gateway.stage import ALICE, Stage, decoded, options_of
from zetcd.errors import BY_NUMBER
from zetcd.messages.client import HEADER_BYTES, ErrorBody, FrameType, pack_frame, unpack_header

_VECTORS: Final = json.loads(generate.FILE.read_text())


def named(kind: str) -> list[object]:
    return [pytest.param(vector, id=vector["name"]) for vector in _VECTORS[kind]]


def test_the_file_is_what_the_script_writes() -> None:
    assert generate.FILE.read_text() == generate.text(), "run tests/testdata/protocol/generate.py"


def test_there_are_enough_of_both_kinds_and_no_name_twice() -> None:
    assert len(_VECTORS["positive"]) >= 60
    assert len(_VECTORS["negative"]) >= 60
    for kind in ("positive", "negative"):
        names = [vector["name"] for vector in _VECTORS[kind]]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("vector", named("positive"))
def test_a_positive_vector_reads_as_it_says(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["frame"])
    header = unpack_header(frame)
    assert header._asdict() == vector["header"]
    body = frame[HEADER_BYTES:]
    if vector["body"] is None:
        return
    plain = msgpack.unpackb(body, strict_map_key=False)
    assert generate.plain(plain) == vector["body"]
    if vector["canonical"]:
        assert msgpack.packb(plain) == body
        packed = pack_frame(header.type, header.request_id, body, header.deadline_ms)
        assert packed == frame
    if FrameType(header.type) is not FrameType.WATCH:
        decoded(frame)


@pytest.mark.parametrize(
    "vector",
    [param for param in named("positive") if param.id.startswith("request: ")],  # type: ignore[attr-defined]
)
def test_the_server_takes_every_positive_request(vector: dict[str, Any]) -> None:
    stage = Stage(options_of())
    stage.hello()
    header = vector["header"]
    stage.frame(ALICE, bytes.fromhex(vector["frame"]))
    stage.turn()
    for sent, body in stage.received():
        assert sent.request_id == header["request_id"]
        # Such as the move to a member that is not there: refused, but understood.
        if isinstance(body, ErrorBody):
            assert body.number not in {101, 102, 103, 104, 110}


@pytest.mark.parametrize("vector", named("negative"))
def test_a_negative_vector_meets_what_it_says(vector: dict[str, Any]) -> None:
    stage = Stage(replace(options_of(), request_bytes_max=1_572_864))
    if vector["session"]:
        stage.hello()
    if "frames" in vector:
        stage.frame(ALICE, None)
    else:
        stage.frame(ALICE, bytes.fromhex(vector["frame"]) + bytes(vector.get("zeros_appended", 0)))
    stage.turn()
    [(header, body)] = stage.received()
    assert header.type == FrameType.ERR
    assert isinstance(body, ErrorBody)
    kind = BY_NUMBER[vector["error"]]
    assert (body.number, body.code, body.text) == (kind.number, kind.code, kind.text), body
    assert header.request_id == vector["request_id"]
    assert not stage.proposals()
    stage.frame(ALICE, pack_frame(FrameType.PING, 77))
    stage.turn()
    [(header, _)] = stage.received()
    assert (header.type == FrameType.PONG) == vector["survives"]
