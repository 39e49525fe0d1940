"""Renewing is cheap and leaves no litter; order and deletion are in the property test."""

from zetcd.lease.lease_queue import LeaseQueue


def test_renewing_a_lease_does_not_grow_the_heap() -> None:
    queue = LeaseQueue()
    for time in range(1000):
        queue.push(1, float(time))
    assert len(queue._heap) == 1
    assert queue.next_due() == 999.0


def test_bringing_leases_forward_again_and_again_is_bounded() -> None:
    queue = LeaseQueue()
    for time in range(10_000, 0, -1):
        queue.push(1, float(time))
        queue.check()
    assert queue.pop_due(1.0, 9) == [1]
    assert queue.next_due() is None


def test_removed_and_pushed_again_it_is_due_once() -> None:
    queue = LeaseQueue()
    queue.push(1, 5.0)
    queue.remove(1)
    queue.push(1, 3.0)
    assert queue.pop_due(9.0, 9) == [1]
    assert queue.pop_due(9.0, 9) == []
