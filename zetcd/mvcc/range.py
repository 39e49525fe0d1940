"""Responsible for answering `RangeRequest`, whole or in chunks; etcd reference KV.Range.

Order of work: find the live keys (index only), count them, drop what the revision filters refuse,
sort, cut at the limit, and only then read values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from zetcd.messages.kv import (
    KeyValue,
    RangeRequest,
    RangeResponse,
    ResponseHeader,
    SortOrder,
    SortTarget,
)
from zetcd.mvcc.index_key import has_plain_bounds, scan_bounds
from zetcd.mvcc.revision import decode_entry
from zetcd.mvcc.view import Found, View
from zetcd.scalars import Revision, Term

#: Keys that `RangeCursor` counts in one step at most, once it has returned all it may.
COUNT_STEP_KEYS_MAX: Final = 10_000

#: Places that `ListCounts` remembers: 1 MiB with the longest keys that it takes.
_LISTS_MAX: Final = 1_024

#: Values that `RangeCursor` reads at once: with values at the request limit, 12 MiB.
PORTION_KEYS: Final = 8


def execute_range(
    view: View, request: RangeRequest, *, header_revision: Revision = 0, raft_term: Term = 0
) -> RangeResponse:
    """Answer a request that `validation.check_range` accepts.

    Args:
        view: The key space to read.
        request: What to read.
        header_revision: Revision for the header; 0 = the current one.
        raft_term: Term for the header.

    Raises:
        Compacted, FutureRev: see `View.resolve_revision`.
    """
    revision = view.resolve_revision(request.revision)
    header = ResponseHeader(header_revision or view.state.current_revision, raft_term)
    if request.count_only:
        count = view.count(request.key, request.range_end, revision)
        return RangeResponse(header, (), False, count)
    needs_all = needs_all_keys(request)
    if not (request.range_end or request.keys_only or needs_all):
        # By far the most frequent read.
        kv = view.get(request.key, revision)
        if kv is None:
            return RangeResponse(header, (), False, 0)
        return RangeResponse(header, (kv,), False, 1)
    live = view.live(request.key, request.range_end, revision)
    if needs_all:
        found = list(live)
        count = len(found)
        if _is_cut_before_sorting(request):
            found = found[: request.limit + 1]
        kvs = _filtered_and_sorted(view, request, found)
        more = 0 < request.limit < len(kvs)
        return RangeResponse(header, kvs[: request.limit] if more else kvs, more, count)
    found, count = _head_and_count(live, request.limit)
    kvs = view.kvs(found, keys_only=request.keys_only)
    return RangeResponse(header, kvs, count > len(kvs), count)


def needs_all_keys(request: RangeRequest) -> bool:
    """Return whether the keys must be sorted or filtered before the limit cuts."""
    is_sorted = request.sort_target is not SortTarget.KEY
    return is_sorted or request.sort_order is SortOrder.DESCEND or _is_filtered(request)


def _is_filtered(request: RangeRequest) -> bool:
    return bool(
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def _is_cut_before_sorting(request: RangeRequest) -> bool:
    """Return whether the first keys by name are sorted rather than the first ones of all when sorted.

    That is what etcd does with a target and no order: the target is sorted by all the same.
    """
    return request.limit > 0 and request.sort_order is SortOrder.NONE and not _is_filtered(request)


def _head_and_count(live: Iterator[Found], limit: int) -> tuple[list[Found], int]:
    """Return the first ``limit`` keys (0 or less = all) and the number of all."""
    if limit <= 0:
        found = list(live)
        return found, len(found)
    found = list(islice(live, limit))
    return found, len(found) + sum(1 for _ in live)


def _filtered_and_sorted(
    view: View, request: RangeRequest, found: list[Found]
) -> tuple[KeyValue, ...]:
    """Return the keys that pass the filters, in order, perhaps beyond the limit."""
    found = [item for item in found if _passes(request, item[1])]
    descending = request.sort_order is SortOrder.DESCEND
    if request.sort_target is SortTarget.VALUE:
        kvs = sorted(view.kvs(found), key=lambda kv: kv.value, reverse=descending)
        if request.keys_only:
            return tuple([_without_value(kv) for kv in kvs])
        return tuple(kvs)
    found.sort(key=_SORT_KEYS[request.sort_target], reverse=descending)
    if request.limit > 0:
        found = found[: request.limit + 1]
    return view.kvs(found, keys_only=request.keys_only)


def _passes(request: RangeRequest, entry: bytes) -> bool:
    """Return whether a key passes the revision filters."""
    head = decode_entry(entry)
    return (
        (not request.max_mod_revision or head.main <= request.max_mod_revision)
        and (not request.min_mod_revision or head.main >= request.min_mod_revision)
        and (not request.max_create_revision or head.create_revision <= request.max_create_revision)
        and (not request.min_create_revision or head.create_revision >= request.min_create_revision)
    )


def _without_value(kv: KeyValue) -> KeyValue:
    """Return ``kv`` with an empty value."""
    return KeyValue(kv.key, kv.create_revision, kv.mod_revision, kv.version, b"", kv.lease)


_SORT_KEYS: Final[dict[SortTarget, Callable[[Found], bytes | int]]] = {
    SortTarget.KEY: lambda item: item[0],
    SortTarget.VERSION: lambda item: decode_entry(item[1]).version,
    SortTarget.CREATE: lambda item: decode_entry(item[1]).create_revision,
    SortTarget.MOD: lambda item: decode_entry(item[1]).main,
}


@dataclass(frozen=True, slots=True)
class RangeChunk:
    """A part of a big answer, in key order."""

    kvs: tuple[KeyValue, ...]
    #: Nothing follows; ``count`` and ``more`` are meant.
    is_last: bool
    #: Keys in the whole range; 0 unless ``is_last``.
    count: int = 0
    #: The limit cut the result; False unless ``is_last``.
    more: bool = False


class ListCounts:
    """How many keys are left of lists that clients read page by page.

    Each page has the count of all that is left (etcd), so a list of n keys in pages would have n² / 2
    keys counted. At one revision the next page has those that this one has, less its own: remembered
    are the newest `_LISTS_MAX` places where a page ended, and where one began that may be asked for again.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        """Know nothing."""
        self._left: dict[tuple[Revision, bytes, bytes], int] = {}

    def note(self, revision: Revision, key: bytes, range_end: bytes, left: int) -> None:
        """Note that ``[key, range_end)`` has ``left`` keys at ``revision``; not for long keys."""
        if has_plain_bounds(key, range_end):
            self._left[revision, key, range_end] = left
            if len(self._left) > _LISTS_MAX:
                del self._left[next(iter(self._left))]

    def left(self, revision: Revision, key: bytes, range_end: bytes) -> int | None:
        """Return the number of keys of ``[key, range_end)`` at ``revision``, None = not known."""
        return self._left.get((revision, key, range_end))


class RangeCursor:
    """Reads a big range in chunks, each in a transaction of its own, all at one revision.

    Only for requests in key order without filters (`RangeCursor.can_read`): everything else must be
    seen whole before the first key is known.

    Invariants:
        - Every chunk is read at ``revision``, pinned at the first one.
        - Chunks together are exactly the answer of `execute_range` at that revision.
    """

    __slots__ = (
        "_count",
        "_count_from",
        "_counts",
        "_is_counting",
        "_left",
        "_next_key",
        "_request",
        "revision",
    )

    def __init__(self, request: RangeRequest, counts: ListCounts | None = None) -> None:
        """Start at the beginning of the range; ``counts`` is shared by the lists of one store."""
        assert self.can_read(request), "a range that must be sorted cannot be read in chunks"
        self._request = request
        #: Revision of all chunks; 0 until the first one.
        self.revision: Revision = 0
        self._next_key = request.key
        #: Keys still to return; None = all there are.
        self._left = request.limit if request.limit > 0 else None
        self._count = 0
        self._is_counting = request.count_only
        #: Where to count on, beyond what was returned: a key, or an index key; None = not begun.
        self._count_from: bytes | None = None
        self._counts = counts or ListCounts()

    @staticmethod
    def can_read(request: RangeRequest) -> bool:
        """Return whether a request can be read in chunks."""
        return not needs_all_keys(request)

    def next_chunk(self, view: View, *, keys_max: int, bytes_max: int) -> RangeChunk:
        """Return the next chunk; at least one key whatever its size, unless none is left.

        Args:
            view: A fresh view.
            keys_max: Keys in the chunk at most.
            bytes_max: Bytes of keys and values after which the chunk ends.

        Raises:
            Compacted, FutureRev: the revision cannot be read (any more).
        """
        assert keys_max > 0
        asked = self.revision or self._request.revision
        revision = view.resolve_revision(asked)
        self.revision = revision or view.state.current_revision
        if self._is_counting:
            return self._count_on(view)
        wanted = keys_max if self._left is None else min(keys_max, self._left)
        # One more key than wanted tells whether this chunk is the last.
        found = list(islice(self._live(view, self._next_key), wanted + 1))
        kvs = self._take(view, found[:wanted], bytes_max)
        self._advance(kvs)
        if len(kvs) == len(found):
            return RangeChunk(kvs, is_last=True, count=self._count)
        if self._left == 0:
            self._is_counting = True
            request = self._request
            count = self._counts.left(self.revision, request.key, request.range_end)
            if count is not None:
                return self._counted(count, kvs)
        return RangeChunk(kvs, is_last=False)

    def _live(self, view: View, key: bytes) -> Iterator[Found]:
        """Yield what the range has from ``key`` on."""
        if not self._request.range_end and key != self._request.key:
            return iter(())
        return view.live(key, self._request.range_end, self.revision)

    def _take(self, view: View, found: list[Found], bytes_max: int) -> tuple[KeyValue, ...]:
        """Return the first keys, up to ``bytes_max`` bytes; reads few values beyond that."""
        kvs: list[KeyValue] = []
        total = 0
        for low in range(0, len(found), PORTION_KEYS):
            portion = found[low : low + PORTION_KEYS]
            for kv in view.kvs(portion, keys_only=self._request.keys_only):
                total += len(kv.key) + len(kv.value)
                if total > bytes_max and kvs:
                    return tuple(kvs)
                kvs.append(kv)
        return tuple(kvs)

    def _advance(self, kvs: tuple[KeyValue, ...]) -> None:
        """Remember that ``kvs`` were returned."""
        self._count += len(kvs)
        if self._left is not None:
            self._left -= len(kvs)
        if kvs:
            self._next_key = kvs[-1].key + b"\0"

    def _count_on(self, view: View) -> RangeChunk:
        """Count the next keys beyond the limit."""
        range_end = self._request.range_end
        start = self._next_key if self._count_from is None else self._count_from
        if range_end and has_plain_bounds(self._next_key, range_end):
            stop = scan_bounds(start, range_end)[1]
            counted, following = view.count_some(start, stop, self.revision, COUNT_STEP_KEYS_MAX)
        else:
            counted, following = self._count_one_by_one(view, start)
        self._count += counted
        self._count_from = following
        if following is None:
            return self._counted(self._count)
        return RangeChunk((), is_last=False)

    def _count_one_by_one(self, view: View, start: bytes) -> tuple[int, bytes | None]:
        """Count as `View.count_some` where index keys are not enough to know what is in the range."""
        last, counted = b"", 0
        for key, _ in islice(self._live(view, start), COUNT_STEP_KEYS_MAX):
            last, counted = key, counted + 1
        return counted, None if counted < COUNT_STEP_KEYS_MAX else last + b"\0"

    def _counted(self, count: int, kvs: tuple[KeyValue, ...] = ()) -> RangeChunk:
        """Return the last chunk, all of ``count`` keys having been counted."""
        request = self._request
        if request.count_only:
            return RangeChunk(kvs, is_last=True, count=count)
        # The limit is reached, and one more key at least was found.
        self._counts.note(self.revision, request.key, request.range_end, count)
        self._counts.note(self.revision, self._next_key, request.range_end, count - request.limit)
        return RangeChunk(kvs, is_last=True, count=count, more=True)
