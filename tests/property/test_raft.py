"""Random histories of clusters of raft cores, against the properties of Raft Figure 3.

The rules are what can happen to a cluster: time passes, messages are delivered late, twice, out of
order or never, disks are slow, nodes crash and lose what was not written, links break, members
change. After each step the model checks everything that was ever seen; at the end the faults stop
and the cluster has to agree.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.property.raft_driver import ACTIONS, RaftDriver, act

NODES = st.sampled_from([1, 2, 3])


class RaftMachine(RuleBasedStateMachine):
    """Three members under the adversary that Hypothesis shrinks to its shortest bad day."""

    driver: RaftDriver

    @initialize(seed=st.integers(0, 2**16), is_tail_short=st.booleans(), is_paper=st.booleans())
    def begin(self, seed: int, is_tail_short: bool, is_paper: bool) -> None:
        rng = random.Random(seed)
        tail = 64 if is_tail_short else 1 << 20
        self.driver = RaftDriver(rng.randint, log_tail_bytes_max=tail, is_as_in_the_paper=is_paper)

    @rule(node=NODES, count=st.integers(1, 6))
    def tick(self, node: int, count: int) -> None:
        self.driver.tick(node, count)

    @rule(node=NODES)
    def turn(self, node: int) -> None:
        self.driver.turn(node)

    @rule(rounds=st.integers(1, 4))
    def everybody_turns(self, rounds: int) -> None:
        for _ in range(rounds):
            for node in (1, 2, 3):
                self.driver.turn(node)
                self.driver.check()

    @rule(node=NODES)
    def ready(self, node: int) -> None:
        self.driver.ready(node)

    @rule(node=NODES)
    def write(self, node: int) -> None:
        self.driver.write(node)

    @rule(is_duplicate=st.booleans())
    def deliver(self, is_duplicate: bool) -> None:
        self.driver.deliver(is_duplicate=is_duplicate)

    @rule()
    def drop(self) -> None:
        self.driver.drop()

    @rule(node=NODES)
    def propose(self, node: int) -> None:
        self.driver.propose(node)

    @rule(node=NODES)
    def read(self, node: int) -> None:
        self.driver.read(node)

    @rule(node=NODES)
    def crash(self, node: int) -> None:
        self.driver.crash(node)

    @rule(node=NODES)
    def restart(self, node: int) -> None:
        self.driver.restart(node)

    @rule(node=NODES)
    def restart_apply(self, node: int) -> None:
        self.driver.restart_apply(node)

    @rule(node=NODES)
    def transfer(self, node: int) -> None:
        self.driver.transfer(node)

    @rule(node=NODES)
    def snapshot(self, node: int) -> None:
        self.driver.snapshot(node)

    @rule(node=NODES)
    def partition(self, node: int) -> None:
        self.driver.partition(node)

    @rule()
    def heal(self) -> None:
        self.driver.heal()

    @invariant()
    def properties_hold(self) -> None:
        if hasattr(self, "driver"):
            self.driver.check()

    def teardown(self) -> None:
        if hasattr(self, "driver"):
            self.driver.converge()


TestRaftMachine = RaftMachine.TestCase
TestRaftMachine.settings = settings(
    max_examples=120,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["plain", "paper", "short-tail", "everything"])
def test_long_histories(kind: str, seed: int) -> None:
    """Longer than Hypothesis likes them; with ``everything`` the membership changes too."""
    rng = random.Random(seed)
    is_everything = kind == "everything"
    driver = RaftDriver(
        rng.randint,
        extra=(4,) if is_everything else (),
        log_tail_bytes_max=100 if kind in {"short-tail", "everything"} else 1 << 20,
        is_as_in_the_paper=kind == "paper",
    )
    actions = [*ACTIONS, ("change", 8), ("snapshot", 2)] if is_everything else list(ACTIONS)
    names = [name for name, _ in actions]
    for name in rng.choices(names, [weight for _, weight in actions], k=1500):
        act(driver, name)
        driver.check()
    driver.converge()
    assert driver.model.committed_max > 1
