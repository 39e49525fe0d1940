"""What raft counts for /metrics."""

from __future__ import annotations

from tests.unit.metrics.values import count_of, value_of
from zetcd.actors.raft_figures import RaftFigures
from zetcd.messages.node import LeaderInfo, Role
from zetcd.messages.raft import Heartbeat, HeartbeatResp
from zetcd.raft.status import Status

OWN, OTHER, THIRD = 0xA, 0xB, 0xC
HEARTBEAT = Heartbeat(OWN, OTHER, 1, 0)
ANSWER = HeartbeatResp(OTHER, OWN, 1)
ROUND_TRIP = "etcd_network_peer_round_trip_time_seconds"


def status_of(role: Role = Role.LEADER, leader: int = OWN) -> Status:
    return Status(
        node_id=OWN,
        term=1,
        vote=OWN,
        leader=leader,
        role=role,
        first_index=1,
        last_index=9,
        durable_index=9,
        committed=8,
        applying=8,
        applied=8,
        voters=(OWN, OTHER, THIRD),
        learners=(),
        is_learner=False,
        is_member=True,
        transferee=0,
        pending_conf_index=0,
        unstable_bytes=0,
        uncommitted_bytes=0,
        tail_bytes=0,
        unstable_ticks=0,
        is_storage_stalled=False,
        is_fit=True,
    )


def new_figures() -> RaftFigures:
    figures = RaftFigures(OWN, active_seconds=1.0)
    figures.set_members((OWN, OTHER, THIRD))
    return figures


def test_leadership() -> None:
    figures = new_figures()
    nobody, first = LeaderInfo(1, 0, Role.FOLLOWER), LeaderInfo(1, OTHER, Role.FOLLOWER)
    for before, after in (
        (nobody, first),
        (first, first),
        (first, nobody),
        (nobody, LeaderInfo(2, OWN, Role.LEADER)),
    ):
        figures.led(before, after)
    found = figures.figures(status_of(), 0.0)
    assert value_of(found, "etcd_server_leader_changes_seen_total") == 2
    assert value_of(found, "etcd_server_has_leader") == 1
    assert value_of(found, "etcd_server_is_leader") == 1
    assert value_of(found, "etcd_server_proposals_committed_total") == 8
    lost = figures.figures(status_of(Role.FOLLOWER, 0), 0.0)
    assert value_of(lost, "etcd_server_has_leader") == 0
    assert value_of(lost, "etcd_server_is_leader") == 0


def test_bytes_and_failures_of_each_peer() -> None:
    figures = new_figures()
    figures.sent(HEARTBEAT, OTHER, 100, 1.0, is_sent=True)
    figures.sent(HEARTBEAT, OTHER, 100, 1.0, is_sent=False)
    figures.sent(ANSWER, THIRD, 7, 1.0, is_sent=True)
    figures.received(OTHER, 30, 1.0)
    found = figures.figures(status_of(), 1.5)
    assert value_of(found, "etcd_network_peer_sent_bytes_total", "b") == 100
    assert value_of(found, "etcd_network_peer_sent_failures_total", "b") == 1
    assert value_of(found, "etcd_server_heartbeat_send_failures_total") == 1
    assert value_of(found, "etcd_network_peer_sent_bytes_total", "c") == 7
    assert value_of(found, "etcd_network_peer_received_bytes_total", "b") == 30
    assert value_of(found, "etcd_network_active_peers", "a", "b") == 1
    assert value_of(found, "etcd_network_active_peers", "a", "c") == 0
    later = figures.figures(status_of(), 2.5)
    assert value_of(later, "etcd_network_active_peers", "a", "b") == 0
    assert value_of(later, "etcd_network_known_peers", "a", "b") == 1
    assert value_of(later, "etcd_network_known_peers", "a", "a") == 1


def test_the_way_of_a_heartbeat() -> None:
    figures = new_figures()
    figures.answered(ANSWER, OTHER, 1.0)
    figures.sent(HEARTBEAT, OTHER, 10, 1.0, is_sent=True)
    figures.answered(ANSWER, OTHER, 1.25)
    figures.answered(ANSWER, OTHER, 9.0)
    found = figures.figures(status_of(), 2.0)
    assert count_of(found, ROUND_TRIP, "b") == 1
    assert value_of(found, ROUND_TRIP, "b") == 0.25


def test_members_that_are_gone_are_not_shown() -> None:
    figures = new_figures()
    figures.received(OTHER, 30, 1.0)
    figures.set_members((OWN, THIRD))
    names = {each.labels for each in figures.figures(status_of(), 1.0)}
    assert ("a", "c") in names
    assert ("a", "b") not in names


def test_ticks_and_reads() -> None:
    figures = new_figures()
    figures.ticked(0.002)
    figures.ticked(-0.001)
    figures.read_failed()
    found = figures.figures(status_of(), 1.0)
    assert count_of(found, "zetcd_raft_tick_lateness_seconds") == 2
    assert value_of(found, "etcd_server_read_indexes_failed_total") == 1
