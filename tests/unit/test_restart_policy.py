"""Which actors are restarted together, when the member gives up, and whose silence counts."""

from __future__ import annotations

import dataclasses

import pytest

from zetcd.config import SupervisorConfig
from zetcd.errors import ExitCode
from zetcd.messages.node import ActorRole
from zetcd.restart_policy import Actions, ActorKey, Phase, RestartPolicy, Stop

RAFT: ActorKey = (ActorRole.RAFT, 0)
WAL: ActorKey = (ActorRole.WAL, 0)
APPLY: ActorKey = (ActorRole.APPLY, 0)
WATCH: ActorKey = (ActorRole.WATCH, 0)
GATEWAY: ActorKey = (ActorRole.GATEWAY, 0)
OTHER_GATEWAY: ActorKey = (ActorRole.GATEWAY, 1)
ALL = (RAFT, WAL, APPLY, WATCH, GATEWAY, OTHER_GATEWAY)
KILLED = -9

CONFIG = SupervisorConfig(
    restarts_max=5,
    restart_window_seconds=30.0,
    restart_pause_seconds=0.1,
    restart_pause_seconds_max=0.3,
    start_seconds_max=60.0,
    silent_seconds_max=5.0,
)


class Node:
    """A policy whose actors do as told: `start_due` forks and reports, `kill` dies on request."""

    def __init__(self, config: SupervisorConfig = CONFIG) -> None:
        self.now = 100.0
        self.policy = RestartPolicy(config, ALL, self.now)

    def ready(self) -> Actions:
        actions = self.policy.ready()
        self.policy.check()
        return actions

    def run(self) -> None:
        """Let every actor start and report that it is ready."""
        self.ready()
        self.report(*ALL)

    def report(self, *keys: ActorKey) -> None:
        for key in keys:
            self.policy.reported(key, self.now, is_ready=True)
        self.policy.check()

    def exit(self, key: ActorKey, code: int) -> Actions:
        self.policy.exited(key, code, self.now)
        self.policy.check()
        return self.ready()

    def wait(self, seconds: float, *, silent: tuple[ActorKey, ...] = ()) -> Actions:
        """Let time pass in small steps, in which all but ``silent`` report."""
        found = Actions()
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = min(end, self.now + 0.5)
            alive = (Phase.STARTING, Phase.RUNNING)
            self.report(*(k for k in ALL if k not in silent and self.policy.phase(k) in alive))
            self.policy.handle_timer(self.now)
            more = self.ready()
            found = Actions(
                found.gone + more.gone,
                found.kill + more.kill,
                found.start + more.start,
                found.stop or more.stop,
            )
        return found


@pytest.fixture
def node() -> Node:
    started = Node()
    started.run()
    return started


def test_everything_starts_at_once_and_is_ready_when_all_have_said_so() -> None:
    node = Node()
    assert node.ready() == Actions(start=tuple(sorted(ALL)))
    assert node.ready() == Actions()
    node.report(*ALL[1:])
    assert not node.policy.is_ready()
    node.report(ALL[0])
    assert node.policy.is_ready()


@pytest.mark.parametrize("key", [APPLY, WATCH, GATEWAY, OTHER_GATEWAY])
def test_these_restart_alone_after_the_pause(node: Node, key: ActorKey) -> None:
    assert node.exit(key, KILLED) == Actions(gone=(key,))
    assert not node.policy.is_ready()
    assert node.policy.next_timer() == pytest.approx(node.now + 0.1)
    assert node.wait(0.05) == Actions()
    assert node.wait(0.05) == Actions(start=(key,))
    assert node.policy.restarts(key) == 1
    assert [node.policy.restarts(other) for other in ALL if other != key] == [0] * (len(ALL) - 1)


@pytest.mark.parametrize(("key", "other"), [(RAFT, WAL), (WAL, RAFT)])
def test_raft_and_wal_share_fate(node: Node, key: ActorKey, other: ActorKey) -> None:
    assert node.exit(key, 1) == Actions(gone=(key,), kill=(other,))
    # The pause is over, but the other one still lives: two truths about the disk must not meet.
    assert node.wait(1.0) == Actions()
    assert node.exit(other, KILLED) == Actions(gone=(other,), start=(RAFT, WAL))


def test_an_unasked_clean_exit_is_a_death_too(node: Node) -> None:
    assert node.exit(WATCH, 0).gone == (WATCH,)
    assert node.wait(0.1).start == (WATCH,)


def test_the_fifth_death_within_the_window_stops_the_member(node: Node) -> None:
    for _ in range(4):
        assert node.exit(GATEWAY, 1).stop is None
        assert node.wait(0.5).start == (GATEWAY,)
        node.report(GATEWAY)
    reason = "gateway-0 ended with 1: death 5 of gateway-0 within 30 s"
    assert node.exit(GATEWAY, 1) == Actions(gone=(GATEWAY,), stop=Stop(ExitCode.GIVE_UP, reason))


def test_deaths_outside_the_window_do_not_count(node: Node) -> None:
    for _ in range(8):
        assert node.exit(GATEWAY, 1).stop is None
        assert node.wait(8.0).start == (GATEWAY,)


def test_deaths_of_other_groups_do_not_count(node: Node) -> None:
    for key in (APPLY, WATCH, GATEWAY, OTHER_GATEWAY):
        for _ in range(4):
            assert node.exit(key, KILLED).stop is None
            node.wait(0.5)
    node.report(*ALL)
    assert node.policy.is_ready()


def test_deaths_of_raft_and_wal_count_together_and_casualties_do_not(node: Node) -> None:
    for died, killed in ((RAFT, WAL), (WAL, RAFT), (RAFT, WAL), (WAL, RAFT)):
        assert node.exit(died, KILLED).stop is None
        assert node.exit(killed, KILLED).stop is None
        node.wait(0.5)
    stop = node.exit(RAFT, KILLED).stop
    assert stop is not None
    assert stop.reason == ("raft-0 was ended by signal 9: death 5 of raft-0 and wal-0 within 30 s")


def test_the_pause_doubles_up_to_its_limit(node: Node) -> None:
    pauses = []
    for _ in range(4):
        node.exit(WATCH, 1)
        pauses.append(round(node.policy.next_timer() - node.now, 6))
        node.wait(0.5)
    assert pauses == [0.1, 0.2, 0.3, 0.3]


def test_no_restart_at_all_when_none_is_allowed() -> None:
    node = Node(dataclasses.replace(CONFIG, restarts_max=0))
    node.run()
    assert node.exit(WATCH, 1).stop is not None


@pytest.mark.parametrize(
    "code",
    [ExitCode.CORRUPTION, ExitCode.DISK, ExitCode.DATA_DIR, ExitCode.CONFIG, ExitCode.PORT_IN_USE],
)
def test_some_exit_codes_stop_the_member_at_once(node: Node, code: ExitCode) -> None:
    reason = f"wal-0 ended with {code.name} ({int(code)})"
    assert node.exit(WAL, code) == Actions(gone=(WAL,), stop=Stop(code, reason))
    assert node.wait(100) == Actions()


def test_a_fatal_exit_code_counts_even_from_an_actor_that_is_being_killed(node: Node) -> None:
    assert node.exit(RAFT, 1).kill == (WAL,)
    stop = node.exit(WAL, ExitCode.DISK).stop
    assert stop is not None
    assert stop.exit_code is ExitCode.DISK


def test_a_silent_actor_is_killed_and_restarted_with_its_group(node: Node) -> None:
    assert node.wait(5.0, silent=(RAFT,)) == Actions()
    assert node.wait(0.5, silent=(RAFT,)) == Actions(kill=(RAFT, WAL))
    assert node.exit(WAL, KILLED).start == ()
    assert node.exit(RAFT, KILLED).start == ()
    assert node.wait(0.5).start == (RAFT, WAL)


def test_a_wal_that_waits_for_a_slow_disk_is_not_taken_for_stuck_too_soon(node: Node) -> None:
    assert node.wait(29.5, silent=(WAL,)) == Actions()
    assert node.wait(1.0, silent=(WAL,)) == Actions(kill=(RAFT, WAL))


def test_a_stopped_wal_is_not_taken_for_one_that_waits_for_its_disk(node: Node) -> None:
    assert node.policy.suspects(node.now) == ()
    assert node.wait(5.0, silent=(WAL,)) == Actions()
    node.now += 0.5
    node.report(*(key for key in ALL if key != WAL))
    assert node.policy.suspects(node.now) == (WAL,)
    node.policy.handle_timer(node.now)
    assert node.ready() == Actions()
    node.policy.handle_timer(node.now, (WAL,))
    assert node.ready().kill == (RAFT, WAL)
    assert node.policy.suspects(node.now) == ()


def test_a_pause_of_the_supervisor_is_nobodys_silence(node: Node) -> None:
    node.now += 60.0
    node.policy.handle_timer(node.now)
    assert node.ready() == Actions()
    assert node.wait(5.5, silent=(APPLY,)).kill == (APPLY,)


def test_a_starting_actor_may_be_silent_until_it_counts_as_failed_to_start() -> None:
    node = Node()
    node.ready()
    assert node.wait(60.0, silent=(WAL,)) == Actions()
    stop = node.wait(0.5, silent=(WAL,)).stop
    assert stop == Stop(ExitCode.FAILED, "wal-0 did not start within 60 s")


def test_an_actor_that_waits_for_a_quorum_is_not_failed(node: Node) -> None:
    for _ in range(200):
        node.now += 0.5
        for key in ALL:
            node.policy.reported(key, node.now, is_ready=False)
        node.policy.handle_timer(node.now)
        assert node.ready() == Actions()


def test_a_late_report_of_a_killed_actor_does_not_revive_it(node: Node) -> None:
    node.exit(RAFT, 1)
    node.report(WAL)
    assert node.policy.phase(WAL) is Phase.KILLED


def test_nothing_is_started_after_a_stop(node: Node) -> None:
    node.policy.stop()
    assert node.exit(WATCH, 0) == Actions(gone=(WATCH,))
    assert node.wait(10.0, silent=ALL) == Actions()
