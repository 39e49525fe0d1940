"""What belongs to which actor, and how large batches were."""

from __future__ import annotations

import os

from bench.accounting import Account, role_of
from bench.systems.zetcd import batches_between


def test_an_actor_is_known_by_its_command_line() -> None:
    assert role_of("zetcd: node0 raft-0") == "raft"
    assert role_of("zetcd: node0 etcd-gateway-0") == "etcd-gateway"
    assert role_of("zetcd: node0 supervisor") == "supervisor"
    assert role_of("/somewhere/etcd-badc20 --name etcd0") == "etcd"
    assert role_of("sleep 5") == "other"


def test_an_account_is_of_what_is_spent_between_two_looks() -> None:
    account = Account([os.getpid()])
    account.start()
    before = os.times()
    while sum(os.times()[:2]) - sum(before[:2]) < 0.05:
        pass
    usage = account.stop()
    assert sum(usage.cpu_seconds.values()) >= 0.04
    assert sum(usage.rss_bytes.values()) > 1_000_000
    assert usage.wall_seconds > 0


def test_an_account_of_a_process_that_is_gone_is_empty() -> None:
    account = Account([2**22 + 1])
    account.start()
    assert account.stop().cpu_seconds == {}


def test_batches_are_what_was_counted_between_two_looks() -> None:
    before = {"proposed": 10, "proposals": 10, "reads": 5, "rounds": 5}
    after = {"proposed": 70, "proposals": 20, "reads": 5, "rounds": 5}
    assert batches_between(before, after) == {"requests per proposal": 6.0}
