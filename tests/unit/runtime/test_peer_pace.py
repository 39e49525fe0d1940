"""How soon a member that refuses is asked again."""

from __future__ import annotations

import asyncio

import uvloop

from zetcd.runtime.peer_pace import PeerPace
from zetcd.runtime.peer_routes import Channel, Destination

HERE = Destination(Channel.RAFT, "127.0.0.1", 1)
OTHER = Destination(Channel.RAFT, "127.0.0.1", 2)


def test_refusals_make_pauses_and_a_good_connection_ends_them() -> None:
    async def play() -> None:
        pace, loop = PeerPace(), asyncio.get_running_loop()
        began = loop.time()
        for _ in range(3):
            # Three connections at the same time count as one.
            for _ in range(3):
                pace.lost(HERE, is_refusal=True)
            await pace.wait(HERE)
        assert loop.time() - began >= 0.65
        pace.lost(HERE, is_refusal=True)
        pace.lost(HERE, is_refusal=False)
        # Neither this one nor one that was never refused waits: the task does not even yield.
        for each in (HERE, OTHER):
            task = pace.wait(each)
            try:
                task.send(None)
            except StopIteration:
                continue
            raise AssertionError("it waits")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())


def test_only_so_many_are_remembered() -> None:
    async def play() -> None:
        pace = PeerPace()
        for port in range(10_000):
            pace.lost(Destination(Channel.RAFT, "h", port), is_refusal=True)
        assert len(pace._pauses) <= 256

    asyncio.run(play())
