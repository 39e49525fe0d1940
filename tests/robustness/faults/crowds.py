"""Responsible for rows 18 and 19: thousands of leases that end at once, and floods of watches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

import msgspec
import psutil

from tests.robustness.arena import ArenaSetting
from tests.robustness.changes import changes_of
from tests.robustness.checkers.watch_guarantees import check_is_complete, check_watch
from tests.robustness.faults.fault import Fault, Stage
from tests.robustness.history import WatchHistory, WatchRecord
from tests.robustness.loop_thread import LoopThread
from zetcd.client import AsyncClient, Client, put
from zetcd.errors import ZetcdError
from zetcd.messages.client import UnaryRequest
from zetcd.messages.kv import Event
from zetcd.messages.lease import LeaseGrantRequest, LeaseGrantResponse

_LEASES: Final = 10_000
_TTL_SECONDS: Final = 8
#: Leases end at most this long after their time, all together.
_EXPIRY_SECONDS_MAX: Final = 30.0
_LEASE_PREFIX: Final = b"mass/"
_FLOOD_PREFIX: Final = b"flood/"
_WATCHERS: Final = 50
_FLOOD_PUTS_PER_SECOND: Final = 100
_STOPPED_CLIENTS: Final = 10
_GROWTH_BYTES_MAX: Final = 64 * 1024 * 1024


class MassExpiry(Fault):
    """Ten thousand leases end in the same second, while the leader is killed."""

    row = 18

    def __init__(self, *, kills_leader: bool) -> None:
        self.kills_leader = kills_leader
        extra = ", and the leader is killed meanwhile" if kills_leader else ""
        self.name = f"{_LEASES} leases end at once{extra}"

    def inject(self, stage: Stage) -> None:
        with Client(stage.arena.endpoints, timeout=30.0) as client:
            granted_at = time.monotonic()
            _grant_many(client)
            stage.note(f"granted in {time.monotonic() - granted_at:.1f} s")
            last_granted_at = time.monotonic()
            count = client.get_prefix(_LEASE_PREFIX, count_only=True).count
            is_early = time.monotonic() < granted_at + _TTL_SECONDS and count < _LEASES
            stage.expect(not is_early, f"{_LEASES - count} of {_LEASES} leases ended early")
            stage.strikes = count
        stage.hold(max(0.0, last_granted_at + _TTL_SECONDS - time.monotonic()))
        began = time.monotonic()
        if self.kills_leader:
            stage.arena.arena_leader().kill()
        limit = _EXPIRY_SECONDS_MAX + (_TTL_SECONDS + 2 if self.kills_leader else 0)
        with Client([node.endpoint for node in stage.arena.running], timeout=10.0) as client:

            def are_gone() -> bool:
                try:
                    return client.get_prefix(_LEASE_PREFIX, count_only=True).count == 0
                except ZetcdError:
                    return False

            stage.expect(stage.wait(are_gone, 2 * limit), "leases that have ended are still there")
        stage.note(f"all gone {time.monotonic() - began:.1f} s after their time")
        latencies = sorted(
            each.returned - each.invoked
            for each in list(stage.load.history.operations)
            if each.is_ok and each.is_mutation and each.invoked >= began
        )
        if latencies:
            stage.note(f"put p99 {latencies[len(latencies) * 99 // 100] * 1000:.0f} ms meanwhile")

    def heal(self, stage: Stage) -> None:
        for node in stage.arena.nodes:
            if not node.is_running:
                node.start()


def _grant_many(client: Client) -> None:
    """Grant the leases, each with one key."""
    for begin in range(0, _LEASES, 500):
        grants: list[UnaryRequest] = [LeaseGrantRequest(_TTL_SECONDS) for _ in range(500)]
        answers = client.call_many(grants)
        leases = [each.id for each in answers if isinstance(each, LeaseGrantResponse)]
        assert len(leases) == len(grants), "a grant failed"
        puts: list[UnaryRequest] = [
            put(_LEASE_PREFIX + b"%06d" % (begin + number), b"", lease=lease)
            for number, lease in enumerate(leases)
        ]
        client.call_many(puts)


# --- watches ------------------------------------------------------------------------------------------


class WatchFlood(Fault):
    """Many watchers and writes, and clients that stand still for a long time."""

    row = 19

    def __init__(self, seconds: float) -> None:
        """Let clients stand still for so many seconds."""
        self.seconds = seconds
        flood = f"{_WATCHERS} watchers x {_FLOOD_PUTS_PER_SECOND}/s"
        self.name = f"{flood}, {_STOPPED_CLIENTS} clients stopped for {seconds:g} s"
        self._stopped: subprocess.Popen[bytes] | None = None
        self._crowd: LoopThread | None = None

    def setting(self, directory: Path) -> ArenaSetting:
        return ArenaSetting()

    def inject(self, stage: Stage) -> None:
        node = stage.victim("follower")
        gateway = psutil.Process(node.actor("gateway-0").pid)
        crowd = self._crowd = LoopThread("crowd")
        watches = [WatchHistory(f"flood watch {n}", _FLOOD_PREFIX, 1) for n in range(_WATCHERS)]
        for watch in watches:
            crowd.loop.call_soon_threadsafe(_begin_watch, crowd, node.endpoint, watch)
        output = stage.directory / "stopped-clients"
        self._stopped = _start_client_process(node.endpoint, output)
        stage.expect(stage.wait(lambda: _lines(output) >= _STOPPED_CLIENTS), "no client watches")
        before = gateway.memory_info().rss
        os.kill(self._stopped.pid, signal.SIGSTOP)
        stage.strikes = _STOPPED_CLIENTS
        written = _flood(stage, node.endpoint, self.seconds)
        growth = gateway.memory_info().rss - before
        stage.note(f"gateway grew by {growth / 1e6:.1f} MB, {written} puts")
        stage.expect(growth <= _GROWTH_BYTES_MAX, f"the gateway grew by {growth} bytes")
        os.kill(self._stopped.pid, signal.SIGCONT)
        with Client(node.endpoint, timeout=10.0) as client:
            last = client.put(_FLOOD_PREFIX + b"end", b"the end").header.revision
        is_done = stage.wait(lambda: all(each.revision >= last for each in watches))
        stage.expect(is_done, "watchers of a healthy client do not come to the end")
        is_done = stage.wait(lambda: _ends(output) >= _STOPPED_CLIENTS)
        stage.expect(is_done, f"only {_ends(output)} stopped clients came to the end")
        self._compare(stage, watches, output, last)

    def _compare(self, stage: Stage, watches: list[WatchHistory], output: Path, last: int) -> None:
        """All watchers have seen the same: take one for the truth that the final check verifies."""
        changes = changes_of(watches[0])
        for watch in [*watches, *_histories(output)]:
            found = [*check_watch(watch, changes), *check_is_complete(watch, last)]
            stage.complaints += found[:1]

    def heal(self, stage: Stage) -> None:
        self.clean_up()

    def clean_up(self) -> None:
        if self._crowd is not None:
            self._crowd.close()
            self._crowd = None
        if self._stopped is not None:
            self._stopped.kill()
            self._stopped.wait()
            self._stopped = None


def _begin_watch(crowd: LoopThread, endpoint: str, watch: WatchHistory) -> None:
    crowd.loop.create_task(_follow(endpoint, watch))


async def _follow(endpoint: str, history: WatchHistory) -> None:
    async with AsyncClient(endpoint, timeout=20.0) as client:
        watch = await client.watch_prefix(history.prefix, start_revision=1)
        async for response in watch:
            record = WatchRecord(time.monotonic(), response.header.revision, response.events)
            history.records.append(record)


def _flood(stage: Stage, endpoint: str, seconds: float) -> int:
    """Put at a steady rate while the clients stand still; return how many puts."""
    count, began = 0, time.monotonic()
    with Client(endpoint, timeout=10.0) as client:
        while (passed := time.monotonic() - began) < seconds:
            due = int(passed * _FLOOD_PUTS_PER_SECOND) - count
            requests: list[UnaryRequest] = [
                put(_FLOOD_PREFIX + b"%d" % (number % 100), b"%d" % number + b"x" * 1000)
                for number in range(count, count + due)
            ]
            if requests:
                client.call_many(requests)
            count += due
            stage.hold(0.02)
    return count


# --- clients in a process of their own, which can be stopped ------------------------------------------


class _Line(msgspec.Struct):
    """One response of one client, as the process writes it."""

    client: int
    revision: int
    events: tuple[Event, ...]


def _start_client_process(endpoint: str, output: Path) -> subprocess.Popen[bytes]:
    output.touch()
    return subprocess.Popen(
        [sys.executable, "-m", "tests.robustness.faults.crowds", endpoint, str(output)],
        stdin=subprocess.DEVNULL,
    )


def _lines(output: Path) -> int:
    return output.read_bytes().count(b"\n")


def _read(output: Path) -> list[_Line]:
    text = output.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    return [msgspec.json.decode(line, type=_Line) for line in whole.splitlines()]


def _ends(output: Path) -> int:
    """Return how many clients have seen the last put."""
    text = output.read_bytes()
    return (
        0
        if b"Zmxvb2QvZW5k" not in text
        else len(
            {
                line.client
                for line in _read(output)
                if any(event.kv.key == _FLOOD_PREFIX + b"end" for event in line.events)
            }
        )
    )


def _histories(output: Path) -> list[WatchHistory]:
    histories = [
        WatchHistory(f"stopped client {number}", _FLOOD_PREFIX, 1)
        for number in range(_STOPPED_CLIENTS)
    ]
    for line in _read(output):
        record = WatchRecord(0.0, line.revision, line.events)
        histories[line.client].records.append(record)
    return histories


def _client_process(endpoint: str, output: str) -> None:
    """Be several clients, each with one watch, that write down what they are given."""
    lock = threading.Lock()
    with Path(output).open("ab", buffering=0) as file:

        def follow(number: int) -> None:
            with Client(endpoint, timeout=20.0) as client:
                watch = client.watch_prefix(_FLOOD_PREFIX, start_revision=1)
                line = _Line(number, 0, ())
                while True:
                    with lock:
                        file.write(msgspec.json.encode(line) + b"\n")
                    response = watch.next()
                    assert response is not None
                    line = _Line(number, response.header.revision, response.events)

        threads = [
            threading.Thread(target=follow, args=(number,)) for number in range(_STOPPED_CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    _client_process(*sys.argv[1:])
