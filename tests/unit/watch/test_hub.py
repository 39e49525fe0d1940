"""The hub as a whole; scenarios are in testdata/watch, the model in tests/property/test_hub.py."""

from __future__ import annotations

import doctest

import pytest

import zetcd.watch
import zetcd.watch.interval
from tests.unit.watch.stage import Stage, events_of
from zetcd.messages.node import LeaderInfo, Role
from zetcd.messages.watch import WatchCreateRequest, WatchCredit


@pytest.mark.interpreted
def test_the_examples_of_the_documentation_are_true() -> None:
    for module in (zetcd.watch, zetcd.watch.interval):
        failures, tests = doctest.testmod(module)
        assert tests > 0
        assert failures == 0


def test_an_idle_hub_needs_no_timer() -> None:
    stage = Stage()
    stage.say(WatchCreateRequest(1, b"a"))
    stage.settle()
    assert stage.hub.next_timer(stage.now) is None


def test_a_thousand_watchers_share_one_encoding_but_not_sequences() -> None:
    stage = Stage()
    for session_id in range(1000):
        stage.say(WatchCreateRequest(1, b"a", b"b"), session_id=session_id)
    stage.settle()
    stage.put(b"ab")
    responses = stage.turn()
    assert len(responses) == 1000
    assert {response.sequence for response in responses} == {2}
    assert len({response.events for response in responses}) == 1


def test_a_stopped_client_is_bounded_while_others_go_on() -> None:
    stage = Stage(victim_bytes_max=5000)
    for session_id in (1, 2):
        stage.say(WatchCreateRequest(1, b"a"), session_id=session_id)
    stage.settle()
    stage.hub.gateways[0].sessions[1].streams[1].credit_messages = 0
    stage.credit[0, 1, 1][0] = 0
    for _ in range(200):
        stage.put(b"a", b"x" * 500)
        assert len(stage.advance(0.1)) == 1
        assert stage.hub.victim_bytes <= 5000
        assert not stage.hub.queue
    stage.say(WatchCredit(1, 1000, 1 << 25))
    assert [revision for revision, _ in events_of(stage.settle(), 0)] == list(range(2, 202))


def test_the_term_of_headers_never_goes_back() -> None:
    stage = Stage()
    stage.hub.step(LeaderInfo(9, 1, Role.FOLLOWER))
    stage.hub.step(LeaderInfo(7, 1, Role.FOLLOWER))
    stage.say(WatchCreateRequest(1, b"a"))
    (created,) = stage.settle()
    assert created.header.raft_term == 9


def test_a_victim_sent_in_part_goes_on_with_the_rest() -> None:
    """Credit for one of three responses; then the rest is given up for its position, and read."""
    stage = Stage(sync_bytes_max=100)
    stage.say(WatchCreateRequest(1, b"a", prev_kv=True))
    stage.settle()
    stage.put(b"a", b"x" * 200)
    stage.settle()
    stream = stage.hub.gateways[0].sessions[1].streams[1]
    stream.credit_messages, stage.credit[0, 1, 1][0] = 0, 0
    # Small events with a large prev_kv: more than one response comes of one batch.
    stage.put(b"a", b"y" * 10)
    stage.put(b"a", b"z" * 200)
    stage.turn()
    victim_bytes = stage.hub.victim_bytes
    stage.say(WatchCredit(1, 1, 1))
    first = stage.settle()
    assert [revision for revision, _ in events_of(first, 0)] == [3]
    assert 0 < stage.hub.victim_bytes < victim_bytes
    stage.advance(2.0)
    assert stage.hub.watchers_count == {"synced": 0, "unsynced": 1, "victim": 0}
    stage.say(WatchCredit(1, 10, 10_000))
    assert [revision for revision, _ in events_of(stage.settle(), 0)] == [4]
