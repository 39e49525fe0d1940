"""The lease queue against a sorted list."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zetcd.lease.lease_queue import LeaseQueue

leases = st.integers(1, 12)
times = st.integers(0, 40).map(float)


class LeaseQueueMachine(RuleBasedStateMachine):
    """The model is a dictionary, sorted at every look."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = LeaseQueue()
        self.due: dict[int, float] = {}

    @rule(lease=leases, time=times)
    def push(self, lease: int, time: float) -> None:
        self.queue.push(lease, time)
        self.due[lease] = time

    @rule(lease=leases)
    def remove(self, lease: int) -> None:
        self.queue.remove(lease)
        self.due.pop(lease, None)

    @rule(now=times, limit=st.integers(0, 5))
    def pop_due(self, now: float, limit: int) -> None:
        ordered = sorted((time, lease) for lease, time in self.due.items() if time <= now)
        expected = [lease for _, lease in ordered[:limit]]
        assert self.queue.pop_due(now, limit) == expected
        for lease in expected:
            del self.due[lease]

    @rule()
    def next_due(self) -> None:
        assert self.queue.next_due() == min(self.due.values(), default=None)

    @rule()
    def clear(self) -> None:
        self.queue.clear()
        self.due.clear()

    @invariant()
    def holds(self) -> None:
        self.queue.check()
        assert len(self.queue) == len(self.due)
        assert all((lease in self.queue) is (lease in self.due) for lease in range(1, 13))


TestLeaseQueue = LeaseQueueMachine.TestCase
