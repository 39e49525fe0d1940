"""Responsible for choosing the ids of leases whose client left the choice to the server."""

from __future__ import annotations

from typing import Final

from zetcd.scalars import LeaseID, NodeID

#: Greatest lease id; ids are positive int63, as in etcd.
LEASE_ID_MAX: Final = 2**63 - 1
_MASK_64: Final = 2**64 - 1


def _mix(value: int) -> int:
    """Permute 64-bit numbers so that neighbours spread (the finalizer of SplitMix64)."""
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK_64
    return value ^ (value >> 31)


class LeaseIDs:
    """Lease ids of one gateway.

    An id is ``mix(mix(member id) xor (incarnation << 32 | counter))`` without its top bit. The mix
    is a permutation, so within one member two ids can only collide in the bit that is cut off;
    between members, ids are as unlikely to collide as random ones (a million leases: about 1 in
    10^7). Should it happen, the grant fails with "lease already exists" and nothing else.
    """

    __slots__ = ("_member", "_next")

    def __init__(self, node_id: NodeID, incarnation: int) -> None:
        """Start counting for one incarnation of a gateway."""
        self._member = _mix(node_id & _MASK_64)
        self._next = incarnation << 32

    def take(self) -> LeaseID:
        """Return a new positive id."""
        while True:
            self._next += 1
            lease_id = _mix(self._member ^ (self._next & _MASK_64)) & LEASE_ID_MAX
            if lease_id:
                return lease_id
