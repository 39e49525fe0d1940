from __future__ import annotations

import pytest

from zetcd.client.options import ClientOptions, parse_endpoint, parse_endpoints
from zetcd.client.requests import prefix_end, prefix_range
from zetcd.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("tcp://127.0.0.1:2392", "tcp://127.0.0.1:2392"),
        ("db1:2392", "tcp://db1:2392"),
        ("db1", "tcp://db1:2382"),
        (" [::1]:5 ", "tcp://[::1]:5"),
        ("ipc:///run/z/socket", "ipc:///run/z/socket"),
    ],
)
def test_scheme_and_port_may_be_missing(text: str, endpoint: str) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text", ["", "http://a:1", "a:b", "a:0", "a:65536", "a b:1", "tcp://", "::1:5", "ipc://"]
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_endpoint(text)


def test_endpoints_are_kept_once_and_in_order() -> None:
    assert parse_endpoints("b:2,a:1,b:2,") == ("tcp://b:2", "tcp://a:1")
    with pytest.raises(InvalidArgument):
        parse_endpoints(" , ")


def test_options_with_which_nothing_could_work_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        ClientOptions(endpoints=())
    with pytest.raises(InvalidArgument):
        ClientOptions(timeout=0)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"a\xfe", b"a\xff"), (b"\xff\xff", b"\0"), (b"", b"\0")],
)
def test_the_end_of_a_prefix_carries(prefix: bytes, end: bytes) -> None:
    assert prefix_end(prefix) == end


def test_the_empty_prefix_means_every_key() -> None:
    assert prefix_range(b"") == (b"\0", b"\0")
