"""Header blocks of answers: percent encoding, details, and their limits."""

from __future__ import annotations

import base64
import urllib.parse

import hpack
import pytest

from zetcd.errors import Code
from zetcd.gateway.grpc.answers import OK_TRAILERS, percent_encode, trailers_of
from zetcd.gateway.grpc.codes import OK, Status


@pytest.mark.parametrize(
    "text",
    ["", "etcdserver: no leader", "100 %", "a\r\nb\t\x00\x7f", "größer 日本 🙂", "%41"],
)
def test_texts_survive_percent_encoding(text: str) -> None:
    encoded = percent_encode(text)
    assert all(0x20 <= octet < 0x7F for octet in encoded)
    assert urllib.parse.unquote(encoded.decode()) == text


def test_a_long_text_is_cut_between_characters() -> None:
    text = urllib.parse.unquote(percent_encode("ä" * 10_000 + "x").decode())
    assert set(text) == {"ä"}
    assert len(text) == 2048
    odd = urllib.parse.unquote(percent_encode("x" + "ä" * 10_000).decode())
    assert len(odd) == 2048


def test_a_lone_surrogate_does_not_fail() -> None:
    assert percent_encode("a\ud800") == b"a?"


def fields_of(status: Status) -> dict[str, str]:
    decoded = hpack.Decoder().decode(trailers_of(status), raw=False)
    return {str(name): str(value) for name, value in decoded}


def test_status_text_and_details() -> None:
    fields = fields_of(Status(Code.NOT_FOUND, "not there", b"\x08\x05"))
    assert fields["grpc-status"] == "5"
    assert fields["grpc-message"] == "not there"
    details = fields["grpc-status-details-bin"]
    assert base64.b64decode(details + "=" * (-len(details) % 4)) == b"\x08\x05"
    assert trailers_of(OK) == OK_TRAILERS


def test_details_too_large_for_a_frame_are_left_out() -> None:
    fields = fields_of(Status(Code.NOT_FOUND, "not there", b"x" * 20_000))
    assert set(fields) == {"grpc-status", "grpc-message"}
