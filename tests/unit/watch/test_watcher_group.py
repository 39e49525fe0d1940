"""The group's indexes; the property test compares with a linear scan."""

from __future__ import annotations

import pytest

from zetcd.messages.watch import WatchCreateRequest
from zetcd.watch.interval import prefix_end
from zetcd.watch.stream import Gateway, Session, Stream
from zetcd.watch.watcher import Watcher
from zetcd.watch.watcher_group import PREFIX_BYTES_MAX, WatcherGroup


def watcher(key: bytes, end: bytes = b"") -> Watcher:
    stream = Stream(Session(Gateway(0), 1), 1, (1, 1))
    return Watcher(stream, 0, WatchCreateRequest(1, key, end), 1)


def test_watchers_of_the_same_range_share_a_span() -> None:
    group = WatcherGroup()
    watchers = [watcher(b"a", b"b") for _ in range(3)]
    for each in watchers:
        group.add(each)
    (span,) = group.matching(b"ab")
    assert list(span.watchers) == watchers
    for each in watchers:
        group.remove(each)
    assert group.matching(b"ab") == []
    group.check()


def test_long_prefixes_are_found_too() -> None:
    group = WatcherGroup()
    prefix = b"p" * (PREFIX_BYTES_MAX + 1)
    group.add(watcher(prefix, prefix_end(prefix)))
    assert len(group.matching(prefix + b"x")) == 1
    assert group.matching(prefix[:-1]) == []
    group.check()


def test_a_watcher_is_added_and_removed_once() -> None:
    group = WatcherGroup()
    each = watcher(b"a")
    group.add(each)
    with pytest.raises(AssertionError):
        group.add(each)
    group.remove(each)
    with pytest.raises(KeyError):
        group.remove(each)
