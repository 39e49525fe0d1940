"""What is stored beside keys, and whose store it is."""

from __future__ import annotations

import pytest

from zetcd.apply.tables import (
    Identity,
    conf_state_of,
    delete_member,
    initialise,
    load_conf_state,
    load_leases,
    load_members,
    save_lease,
    save_member,
)
from zetcd.errors import DataDirMismatch
from zetcd.lease import Lease
from zetcd.messages.cluster import Member
from zetcd.messages.raft import ConfState
from zetcd.runtime.memory_backend import MemoryBackend

MEMBERS = (Member(5), Member(2), Member(3, is_learner=True))


def test_the_first_start_fills_an_empty_store_once() -> None:
    backend = MemoryBackend()
    assert initialise(backend, Identity(9, 5), MEMBERS)
    assert not initialise(backend, Identity(9, 5), ())
    with backend.read() as transaction:
        assert list(load_members(transaction)) == [2, 3, 5]
        assert load_conf_state(transaction) == ConfState((2, 5), (3,))
    assert conf_state_of(MEMBERS) == ConfState((2, 5), (3,))


@pytest.mark.parametrize(
    ("identity", "names"),
    [
        (Identity(8, 5), "cluster"),
        (Identity(9, 6), "member"),
        (Identity(9, 5, schema_version=2), "version"),
    ],
)
def test_the_store_of_another_is_refused(identity: Identity, names: str) -> None:
    backend = MemoryBackend()
    initialise(backend, Identity(9, 5), MEMBERS)
    with pytest.raises(DataDirMismatch) as caught:
        initialise(backend, identity, MEMBERS)
    assert names in caught.value.detail


def test_members_and_leases_come_back() -> None:
    backend = MemoryBackend()
    with backend.write() as transaction:
        save_member(transaction, Member(2**64 - 1, "big"))
        save_member(transaction, Member(1))
        delete_member(transaction, 1)
        save_lease(transaction, Lease(-7, 60, 12))
        assert load_members(transaction) == {2**64 - 1: Member(2**64 - 1, "big")}
        assert load_leases(transaction) == [Lease(-7, 60, 12)]
        assert load_conf_state(transaction) == ConfState()
