"""What clients say, beyond the scenarios in testdata/watch."""

from __future__ import annotations

import pytest

from tests.unit.watch.stage import Stage
from zetcd.errors import RequestTooManyRequests
from zetcd.messages.node import WatchResume, WatchSessionClosed
from zetcd.messages.watch import (
    WatchCancelRequest,
    WatchCloseRequest,
    WatchCreateRequest,
    WatchCredit,
    WatchProgressRequest,
)


def starve(stage: Stage, messages: int = 0) -> None:
    stage.hub.gateways[0].sessions[1].streams[1].credit_messages = messages
    stage.credit[0, 1, 1][0] = messages


def test_only_a_create_opens_a_stream() -> None:
    stage = Stage()
    stage.say(WatchCredit(1, 5, 5))
    stage.say(WatchCancelRequest(1, 0))
    stage.say(WatchProgressRequest(1))
    stage.say(WatchCloseRequest(1))
    stage.hub.step(WatchSessionClosed(1))
    assert stage.settle() == []
    assert stage.hub.streams_count == 0


def test_a_client_that_asks_on_without_reading_loses_its_stream_only() -> None:
    stage = Stage(answers_waiting_max=3)
    stage.say(WatchCreateRequest(1, b"a"))
    stage.say(WatchCreateRequest(2, b"a"))
    stage.settle()
    starve(stage)
    for _ in range(10):
        stage.say(WatchCreateRequest(1, b"a"))
    assert stage.settle() == []
    assert stage.hub.watchers_count["synced"] == 1
    stage.say(WatchCredit(1, 100, 100))
    (last,) = stage.settle()
    assert (last.watch_id, last.canceled) == (-1, True)
    assert last.cancel_reason == RequestTooManyRequests.text
    stage.say(WatchCreateRequest(1, b"a"))
    stage.say(WatchProgressRequest(1))
    assert stage.settle() == []
    stage.put(b"a")
    assert len(stage.settle()) == 1


def test_a_cancelled_victim_leaves_nothing_behind() -> None:
    stage = Stage()
    stage.say(WatchCreateRequest(1, b"a"))
    stage.settle()
    starve(stage)
    stage.put(b"a")
    stage.settle()
    assert stage.hub.victim_bytes > 0
    stage.say(WatchCancelRequest(1, 0))
    stage.advance(10.0)
    assert stage.hub.victim_bytes == 0
    stage.say(WatchCredit(1, 10, 10))
    (response,) = stage.settle()
    assert response.canceled


def test_ids_of_registered_watchers_are_not_given_again() -> None:
    stage = Stage()
    stage.say(WatchCreateRequest(1, b"a"))
    stage.settle()
    stage.new_hub()
    create = WatchCreateRequest(1, b"a")
    far = 1 << 60
    stage.register(1, 1, [WatchResume(create, 4, 2), WatchResume(create, far, 2)])
    stage.say(WatchCancelRequest(1, 4))
    stage.say(WatchCreateRequest(1, b"a"))
    assert [response.watch_id for response in stage.settle()] == [4, 5]


def test_a_stream_is_registered_once() -> None:
    stage = Stage()
    stage.say(WatchCreateRequest(1, b"a"))
    stage.settle()
    with pytest.raises(AssertionError):
        stage.register(1, 1, [])


def test_a_gateway_that_restarts_is_forgotten() -> None:
    stage = Stage()
    stage.say(WatchCreateRequest(1, b"a"), gateway=3)
    stage.say(WatchCreateRequest(1, b"a"), gateway=4)
    stage.settle()
    stage.hub.gateway_started(3)
    stage.hub.gateway_started(9)
    stage.put(b"a")
    assert len(stage.settle()) == 1
