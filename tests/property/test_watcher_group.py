"""Finding watchers by key, against looking at all of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zetcd.messages.watch import WatchCreateRequest
from zetcd.watch.interval import IntervalList, prefix_end
from zetcd.watch.stream import Gateway, Session, Stream
from zetcd.watch.watcher import Watcher
from zetcd.watch.watcher_group import PREFIX_BYTES_MAX, WatcherGroup

#: Few and awkward bytes, so that keys meet, nest and touch each other's ends.
KEYS = st.lists(st.sampled_from([0x00, 0x61, 0x62, 0xFE, 0xFF]), max_size=4).map(bytes)
LONG_PREFIX = st.integers(PREFIX_BYTES_MAX - 1, PREFIX_BYTES_MAX + 1).map(lambda n: b"a" * n)
PREFIXES = st.one_of(KEYS, LONG_PREFIX)


def watcher(key: bytes, end: bytes) -> Watcher:
    stream = Stream(Session(Gateway(0), 1), 1, (1, 1))
    return Watcher(stream, 0, WatchCreateRequest(1, key, end), 1)


class GroupMachine(RuleBasedStateMachine):
    """The group and a list of its watchers."""

    def __init__(self) -> None:
        super().__init__()
        self.group = WatcherGroup()
        self.model: list[Watcher] = []

    def _add(self, key: bytes, end: bytes) -> None:
        added = watcher(key, end)
        if not added.key_range.is_empty:
            self.group.add(added)
            self.model.append(added)

    @rule(key=KEYS, end=KEYS)
    def add_range(self, key: bytes, end: bytes) -> None:
        self._add(key, end)

    @rule(prefix=PREFIXES)
    def add_prefix(self, prefix: bytes) -> None:
        self._add(prefix, prefix_end(prefix))

    @rule(key=KEYS)
    def add_from_key(self, key: bytes) -> None:
        self._add(key, b"\0")

    @rule(key=KEYS)
    def add_key(self, key: bytes) -> None:
        self._add(key, b"")

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.model:
            at = data.draw(st.integers(0, len(self.model) - 1))
            self.group.remove(self.model.pop(at))

    @rule(key=st.one_of(KEYS, LONG_PREFIX))
    def match(self, key: bytes) -> None:
        spans = self.group.matching(key)
        assert len({span.key_range for span in spans}) == len(spans)
        found = [each for span in spans for each in span.watchers]
        expected = [each for each in self.model if each.key_range.contains(key)]
        assert sorted(map(id, found)) == sorted(map(id, expected))

    @invariant()
    def agrees(self) -> None:
        self.group.check()
        assert len(self.group) == len(self.model)
        assert list(self.group) == self.model
        assert all(each in self.group for each in self.model)


TestGroup = GroupMachine.TestCase

SHORT = st.binary(min_size=1, max_size=3)
RANGES = st.tuples(SHORT, SHORT).filter(lambda pair: pair[0] < pair[1])


@given(ranges=st.sets(RANGES, max_size=400), keys=st.lists(SHORT, max_size=20), data=st.data())
@settings(max_examples=30)
def test_interval_list_equals_linear_scan_over_many_blocks(
    ranges: set[tuple[bytes, bytes]], keys: list[bytes], data: st.DataObject
) -> None:
    # Many more ranges than fit into one block: add systematically wide ones around the drawn ones.
    wide = {(bytes((low,)), bytes((high,))) for low in range(20) for high in range(low + 1, 40)}
    everything = sorted(ranges | wide, key=lambda pair: pair[1][::-1] + pair[0])
    intervals: IntervalList[tuple[bytes, bytes]] = IntervalList()
    for pair in everything:
        intervals.add(*pair, pair)
    removed = data.draw(st.sets(st.sampled_from(everything), max_size=300))
    for pair in sorted(removed):
        intervals.remove(*pair)
    intervals.check()
    left = sorted(set(everything) - removed)
    assert len(intervals) == len(left)
    for key in [*keys, b"\x05", b"\x14\0", b"\xff\xff\xff\xff"]:
        assert intervals.containing(key) == [pair for pair in left if pair[0] <= key < pair[1]]


@given(prefix=KEYS, key=KEYS)
def test_prefix_end_bounds_exactly_the_keys_with_the_prefix(prefix: bytes, key: bytes) -> None:
    end = prefix_end(prefix)
    is_inside = key >= prefix and (end == b"\0" or key < end)
    assert is_inside == key.startswith(prefix)
