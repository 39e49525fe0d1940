"""Responsible for changing keys: puts and deletes of one main revision at a time.

`StoreWriter` lives as long as one write transaction of the backend and executes many requests in
it. Each request is a group: `begin`, changes, `end`. All changes of a group share one main
revision; a group without changes takes none. A writer never validates: its callers reject a
request before the first change, so that a failed request leaves nothing behind.
"""

from __future__ import annotations

from zetcd.messages.kv import DeleteRangeRequest, Event, EventType, KeyValue, PutRequest
from zetcd.messages.node import RevisionEvents
from zetcd.mvcc.backend import Table, WriteTransaction
from zetcd.mvcc.index_key import index_key
from zetcd.mvcc.lease_key import pack_lease
from zetcd.mvcc.record import lease_of, pack_header
from zetcd.mvcc.revision import (
    ENTRY_FLAGS,
    HAS_LEASE,
    MAIN_MAX,
    SUB_MAX,
    TOMBSTONE,
    pack_entry,
    pack_key,
    record_key_of,
    unpack_entry,
)
from zetcd.mvcc.state import StoreState
from zetcd.mvcc.view import Found, View
from zetcd.scalars import LeaseID, Revision


class StoreWriter:
    """Executes changes in one write transaction.

    Invariants:
        - ``state.current_revision`` is the main revision of the last group that changed something.
        - The sub-revision of a change is its position in ``events``.
    """

    __slots__ = ("_append_record", "_index", "_lease_keys", "_rev", "events", "state", "view")

    def __init__(self, transaction: WriteTransaction, state: StoreState) -> None:
        """Write to the tables of ``transaction``; ``state`` is changed in place."""
        self._rev = transaction.table(Table.REV)
        self._index = transaction.table(Table.INDEX)
        self._lease_keys = transaction.table(Table.LEASE_KEYS)
        self._append_record = self._rev.append
        self.state = state
        #: Sees every change as soon as it is made.
        self.view = View(transaction, state)
        #: Changes of the open group, in sub-revision order.
        self.events: list[Event] = []

    @property
    def revision(self) -> Revision:
        """The revision that the open group stands at: the new one once it has changed something."""
        return self.state.current_revision + (1 if self.events else 0)

    def end(self) -> RevisionEvents | None:
        """Close the group and begin the next; return its changes, or None if there are none."""
        if not self.events:
            return None
        self.state.current_revision += 1
        changes = RevisionEvents(self.state.current_revision, tuple(self.events))
        self.events.clear()
        return changes

    def put(self, key: bytes, value: bytes, lease: LeaseID, *, entry: bytes | None) -> None:
        """Write a key.

        Args:
            key: The whole key.
            value: Its new value.
            lease: Its new lease, which must exist; 0 = none. The old one loses the key.
            entry: The newest index entry of the key, tombstones included; None = there is none.
        """
        main = self.state.current_revision + 1
        sub = len(self.events)
        flags = HAS_LEASE if lease else 0
        create_revision, version = main, 1
        place = index_key(key)
        if entry is not None and not entry[ENTRY_FLAGS] & TOMBSTONE:
            _, _, create_revision, version, old_flags = unpack_entry(entry)
            version += 1
            if old_flags & HAS_LEASE:
                self._detach(place, entry)
        header = pack_header(create_revision, version, lease, flags, len(key))
        self._append_record(pack_key(main, sub), header + key + value)
        self._index.add(
            place, pack_entry(MAIN_MAX - main, SUB_MAX - sub, create_revision, version, flags)
        )
        if lease:
            self._lease_keys.add(pack_lease(lease), place)
        self.events.append(
            Event(EventType.PUT, KeyValue(key, create_revision, main, version, value, lease))
        )

    def execute_put(self, request: PutRequest) -> KeyValue | None:
        """Execute a valid put in the open group; return the key before, if asked for."""
        key = request.key
        entry = self._index.get(index_key(key))
        if not (request.prev_kv or request.ignore_value or request.ignore_lease):
            self.put(key, request.value, request.lease, entry=entry)
            return None
        before = self.view.get(key)
        value, lease = request.value, request.lease
        if request.ignore_value:
            assert before is not None, "ignore_value on a missing key was not rejected"
            value = before.value
        if request.ignore_lease:
            assert before is not None, "ignore_lease on a missing key was not rejected"
            lease = before.lease
        self.put(key, value, lease, entry=entry)
        return before if request.prev_kv else None

    def execute_delete_range(self, request: DeleteRangeRequest) -> tuple[int, tuple[KeyValue, ...]]:
        """Execute a valid delete in the open group.

        Returns:
            The number of keys deleted, and what they held if ``prev_kv`` asks for it.
        """
        found = list(self.view.live(request.key, request.range_end))
        before = self.view.kvs(found) if request.prev_kv else ()
        self.delete(found)
        return len(found), before

    def delete(self, found: list[Found]) -> None:
        """Delete live keys, in the order given."""
        main = self.state.current_revision + 1
        for key, entry in found:
            sub = len(self.events)
            place = index_key(key)
            if entry[ENTRY_FLAGS] & HAS_LEASE:
                self._detach(place, entry)
            self._append_record(
                pack_key(main, sub), pack_header(0, 0, 0, TOMBSTONE, len(key)) + key
            )
            self._index.add(place, pack_entry(MAIN_MAX - main, SUB_MAX - sub, 0, 0, TOMBSTONE))
            self.events.append(Event(EventType.DELETE, KeyValue(key, 0, main)))

    def keys_of_lease(self, lease: LeaseID) -> list[bytes]:
        """Return the keys attached to a lease, sorted."""
        return keys_of_lease(self.view, self._lease_keys.values(pack_lease(lease)))

    def delete_keys_of_lease(self, lease: LeaseID) -> int:
        """Delete every key attached to a lease in the open group; return their number."""
        found: list[Found] = []
        for key in self.keys_of_lease(lease):
            entry = self.view.entry(key)
            assert entry is not None, "a lease holds a key that is not live"
            found.append((key, entry))
        self.delete(found)
        return len(found)

    def _detach(self, place: bytes, entry: bytes) -> None:
        """Take a key from the lease that its record names."""
        record = self._rev.get(record_key_of(entry))
        assert record is not None, "index entry without its record"
        was_attached = self._lease_keys.discard(pack_lease(lease_of(record)), place)
        assert was_attached, "a key names a lease that does not know it"


def keys_of_lease(view: View, places: list[bytes]) -> list[bytes]:
    """Return the whole keys that index keys stand for, sorted."""
    return sorted(view.whole_key(place) for place in places)
