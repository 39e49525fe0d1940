"""Values of flags in Go's notation."""

from __future__ import annotations

import pytest

from zetcd.launcher.flags import FLAGS
from zetcd.launcher.values import check_url, parse, parse_bool, parse_duration, parse_urls


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("5s", 5),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("100ms", 0.1),
        ("-1s", -1),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "1d", "s", "1 s", "1s2"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="parse error"):
        parse_duration(text)


def test_booleans_are_gos() -> None:
    assert parse_bool("T") is True
    assert parse_bool("False") is False
    with pytest.raises(ValueError, match="parse error"):
        parse_bool("yes")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("snapshot-count", "0x10", 16),
        ("snapshot-count", "010", 8),
        ("quota-backend-bytes", "-1", -1),
        ("max-concurrent-streams", "4294967295", 2**32 - 1),
        ("log-outputs", "stderr,/tmp/a", ("stderr", "/tmp/a")),
        ("initial-cluster-state", "existing", "existing"),
    ],
)
def test_values(name: str, text: str, value: object) -> None:
    assert parse(FLAGS[name], text) == value


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("snapshot-count", "many", "parse error"),
        ("snapshot-count", "-1", "parse error"),
        ("snapshot-count", "09", "parse error"),
        ("max-concurrent-streams", "4294967296", "value out of range"),
        ("quota-backend-bytes", "9223372036854775808", "value out of range"),
        ("initial-cluster-state", "old", "invalid value"),
    ],
)
def test_values_that_mean_nothing(name: str, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(FLAGS[name], text)


def test_urls_are_sorted_and_each_is_there_once() -> None:
    assert parse_urls("http://b:2, http://a:1,http://b:2") == ("http://a:1", "http://b:2")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:2379", "URL scheme must be http, https, unix, or unixs: localhost:2379"),
        ("tcp://a:1", "URL scheme must be http, https, unix, or unixs: tcp://a:1"),
        ("http://a", 'URL address does not have the form "host:port": http://a'),
        ("http://a:x", 'URL address does not have the form "host:port": http://a:x'),
        ("http://a:1/path", "URL must not contain a path: http://a:1/path"),
        ("unix://", 'URL address does not have the form "host:port": unix://'),
    ],
)
def test_what_is_no_url(url: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_url(url)
    assert str(caught.value) == why
