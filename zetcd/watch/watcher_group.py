"""Responsible for a set of watchers and for finding those that want a key.

Watchers of the same range share a `Span`, so that a batch is matched and encoded once per range and
not once per watcher. Spans are found by

    one key        a dictionary
    a prefix       a dictionary per length of prefix: one lookup for each length in use
    from a key     a sorted list: all that start at or before the key
    other ranges   an `IntervalList`

Ranges that do not match cost nothing, but for a comparison per 128 ranges in the last.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final

from zetcd.watch.interval import IntervalList, prefix_end
from zetcd.watch.watcher import FROM_KEY, KeyRange, Watcher

#: Longer prefixes go to the interval list, so that an event costs at most this many lookups.
PREFIX_BYTES_MAX: Final = 128


class Span:
    """The watchers of one range, in order of arrival; never empty while it is in a group."""

    __slots__ = ("key_range", "watchers")

    def __init__(self, key_range: KeyRange) -> None:
        """Start without watchers."""
        self.key_range = key_range
        self.watchers: dict[Watcher, None] = {}


class WatcherGroup:
    """A set of watchers, indexed by what they watch, which never changes while they are in."""

    __slots__ = (
        "_from_keys",
        "_intervals",
        "_keys",
        "_prefix_lengths",
        "_prefixes",
        "_spans",
        "_watchers",
    )

    def __init__(self) -> None:
        """Start empty."""
        self._watchers: dict[Watcher, None] = {}
        self._spans: dict[KeyRange, Span] = {}
        self._keys: dict[bytes, Span] = {}
        #: By length of prefix, then prefix; no inner dictionary is empty.
        self._prefixes: dict[int, dict[bytes, Span]] = {}
        #: Keys of ``_prefixes``, ascending.
        self._prefix_lengths: list[int] = []
        #: Ranges without an end, by start.
        self._from_keys: tuple[list[bytes], list[Span]] = ([], [])
        self._intervals: IntervalList[Span] = IntervalList()

    def __len__(self) -> int:
        return len(self._watchers)

    def __iter__(self) -> Iterator[Watcher]:
        return iter(self._watchers)

    def __contains__(self, watcher: Watcher) -> bool:
        return watcher in self._watchers

    def add(self, watcher: Watcher) -> None:
        """Add a watcher that is not in the group."""
        assert watcher not in self._watchers
        self._watchers[watcher] = None
        span = self._spans.get(watcher.key_range)
        if span is None:
            span = self._spans[watcher.key_range] = Span(watcher.key_range)
            self._index(span)
        span.watchers[watcher] = None

    def remove(self, watcher: Watcher) -> None:
        """Remove a watcher that is in the group."""
        del self._watchers[watcher]
        span = self._spans[watcher.key_range]
        del span.watchers[watcher]
        if not span.watchers:
            del self._spans[watcher.key_range]
            self._unindex(span.key_range)

    def matching(self, key: bytes) -> list[Span]:
        """Return the spans that contain ``key``, each once, in an order given by the ranges."""
        found: list[Span] = []
        exact = self._keys.get(key)
        if exact is not None:
            found.append(exact)
        length_max = len(key)
        for length in self._prefix_lengths:
            if length > length_max:
                break
            span = self._prefixes[length].get(key[:length])
            if span is not None:
                found.append(span)
        starts, spans = self._from_keys
        if starts:
            found += spans[: bisect_right(starts, key)]
        found += self._intervals.containing(key)
        return found

    def check(self) -> None:
        """Assert the invariants."""
        self._intervals.check()
        assert self._prefix_lengths == sorted(self._prefixes)
        assert all(self._prefixes.values())
        assert self._from_keys[0] == sorted(self._from_keys[0])
        spans_indexed = len(self._keys) + len(self._from_keys[0]) + len(self._intervals)
        spans_indexed += sum(len(spans) for spans in self._prefixes.values())
        assert spans_indexed == len(self._spans)
        in_spans = [watcher for span in self._spans.values() for watcher in span.watchers]
        assert len(in_spans) == len(self._watchers)
        assert all(watcher in self._watchers for watcher in in_spans)
        assert all(span.watchers for span in self._spans.values())

    def _index(self, span: Span) -> None:
        key, end = span.key_range
        if end == b"":
            self._keys[key] = span
        elif end == FROM_KEY:
            starts, spans = self._from_keys
            at = bisect_left(starts, key)
            starts.insert(at, key)
            spans.insert(at, span)
        elif _is_prefix(key, end):
            if len(key) not in self._prefixes:
                self._prefixes[len(key)] = {}
                self._prefix_lengths = sorted(self._prefixes)
            self._prefixes[len(key)][key] = span
        else:
            self._intervals.add(key, end, span)

    def _unindex(self, key_range: KeyRange) -> None:
        key, end = key_range
        if end == b"":
            del self._keys[key]
        elif end == FROM_KEY:
            starts, spans = self._from_keys
            at = bisect_left(starts, key)
            del starts[at]
            del spans[at]
        elif _is_prefix(key, end):
            spans_of_length = self._prefixes[len(key)]
            del spans_of_length[key]
            if not spans_of_length:
                del self._prefixes[len(key)]
                self._prefix_lengths = sorted(self._prefixes)
        else:
            self._intervals.remove(key, end)


def _is_prefix(key: bytes, end: bytes) -> bool:
    return len(key) <= PREFIX_BYTES_MAX and prefix_end(key) == end
