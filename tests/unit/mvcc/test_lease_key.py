"""Lease ids of either sign are table keys."""

from tests.unit.mvcc.small_store import SmallStore
from zetcd.mvcc.lease_key import pack_lease, places_of_lease, unpack_lease


def test_ids_of_either_sign_come_back() -> None:
    for lease in (1, 2**63 - 1, -(2**63), -1):
        assert unpack_lease(pack_lease(lease)) == lease


def test_the_keys_of_a_lease_are_those_attached_to_it() -> None:
    store = SmallStore()
    store.put(b"b", b"", 7)
    store.put(b"a", b"", 7)
    store.put(b"c", b"", 8)
    with store.backend.read() as transaction:
        assert places_of_lease(transaction, 7) == [b"a", b"b"]
        assert places_of_lease(transaction, 9) == []
