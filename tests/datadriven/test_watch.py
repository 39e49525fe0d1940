"""Scenarios of the watch hub: what clients say, what apply commits, what each watcher is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datadriven.runner import Command, run
from tests.unit.watch.stage import Stage
from zetcd.messages.kv import Event, EventType
from zetcd.messages.node import RevisionEvents, WatchResume, WatchSessionClosed
from zetcd.messages.watch import (
    WatchCancelRequest,
    WatchCloseRequest,
    WatchCreateRequest,
    WatchCredit,
    WatchFilter,
    WatchProgressRequest,
    WatchResponse,
)

SCENARIOS = sorted((Path(__file__).parents[1] / "testdata" / "watch").glob("*.txt"))


class Scenario:
    """The verbs of a scenario; every answer is what the clients received since the last one."""

    def __init__(self) -> None:
        self.stage = Stage(progress_interval=10.0, fragment_bytes=400)
        #: Batches committed but still in the mailbox of watch.
        self.held: list[RevisionEvents] = []

    def handle(self, command: Command) -> str:
        verb = getattr(self, f"do_{command.verb.replace('-', '_')}")
        verb(command)
        if command.verb not in {"silent-commit", "compact"}:
            self.stage.settle()
        return self._output()

    # --- clients ---------------------------------------------------------------------------------

    def do_watch(self, command: Command) -> None:
        options = command.options
        flags = set(command.words)
        filters = [each for each in WatchFilter if each.name.lower() in flags]
        request = WatchCreateRequest(
            command.number("stream", 1),
            _bytes(options.get("key", "")),
            _bytes(options.get("end", "")),
            start_revision=command.number("rev", 0),
            progress_notify="progress" in flags,
            filters=tuple(filters),
            prev_kv="prev" in flags,
            watch_id=command.number("id", 0),
            fragment="fragment" in flags,
        )
        self.stage.say(request, session_id=command.number("session", 1))

    def do_cancel(self, command: Command) -> None:
        request = WatchCancelRequest(command.number("stream", 1), command.number("id", 0))
        self.stage.say(request, session_id=command.number("session", 1))

    def do_progress(self, command: Command) -> None:
        stream_id = command.number("stream", 1)
        self.stage.say(WatchProgressRequest(stream_id), session_id=command.number("session", 1))

    def do_close(self, command: Command) -> None:
        stream_id = command.number("stream", 1)
        self.stage.say(WatchCloseRequest(stream_id), session_id=command.number("session", 1))

    def do_leave(self, command: Command) -> None:
        self.stage.hub.step(WatchSessionClosed(command.number("session", 1)))

    def do_credit(self, command: Command) -> None:
        credit = WatchCredit(
            command.number("stream", 1),
            command.number("messages", 0),
            command.number("bytes", 0),
        )
        self.stage.say(credit, session_id=command.number("session", 1))

    def do_starve(self, command: Command) -> None:
        """Take all credit of a stream but some messages."""
        stream_id, session_id = command.number("stream", 1), command.number("session", 1)
        left = command.number("messages", 0)
        stream = self.stage.hub.gateways[0].sessions[session_id].streams[stream_id]
        stream.credit_messages = left
        self.stage.credit[0, session_id, stream_id][0] = left

    # --- the store ---------------------------------------------------------------------------------

    def _commit(self, command: Command) -> RevisionEvents | None:
        """`put=key:value` and `delete=key` words in order, as one revision."""
        changes: list[tuple[bytes, bytes | None]] = []
        for word in command.words:
            verb, key, *value = word.split(":")
            assert verb in {"put", "delete"}
            size = int(value[1]) if len(value) > 1 else 1
            changes.append((_bytes(key), _bytes(value[0]) * size if verb == "put" else None))
        return self.stage.store.commit(*changes)

    def do_commit(self, command: Command) -> None:
        item = self._commit(command)
        if item is not None:
            self.stage.hub.step(self.stage.store.batch(*self.held, item))
            self.held.clear()

    def do_silent_commit(self, command: Command) -> None:
        """The store has it; the batch is still on its way, or lost."""
        item = self._commit(command)
        if item is not None and "lost" not in command.options:
            self.held.append(item)

    def do_batch(self, command: Command) -> None:
        del command
        self.stage.hub.step(self.stage.store.batch(*self.held))
        self.held.clear()

    def do_compact(self, command: Command) -> None:
        self.stage.store.compact_revision = command.number("rev", 0)

    def do_resync(self, command: Command) -> None:
        """A new incarnation of apply."""
        del command
        self.stage.hub.resynchronise()

    # --- the node ----------------------------------------------------------------------------------

    def do_restart(self, command: Command) -> None:
        """Watch restarts and the gateway registers stream 1; `id:next:key:end` words name watchers."""
        self.stage.new_hub()
        resumes: list[WatchResume] = []
        for word in command.words:
            watch_id, next_revision, key, end = word.split(":")
            create = WatchCreateRequest(1, _bytes(key), _bytes(end))
            resumes.append(WatchResume(create, int(watch_id), int(next_revision)))
        self.stage.register(1, 1, resumes)

    def do_stick(self, command: Command) -> None:
        """The gateway takes nothing."""
        del command
        self.stage.stuck_gateways.add(0)

    def do_unstick(self, command: Command) -> None:
        del command
        self.stage.stuck_gateways.clear()

    def do_wait(self, command: Command) -> None:
        self.stage.now += float(command.options["seconds"])

    def do_groups(self, command: Command) -> None:
        del command

    # --- what is shown ------------------------------------------------------------------------------

    def _output(self) -> str:
        fresh, self.stage.fresh = self.stage.fresh, []
        lines = [f"{session_id}/{stream_id} {show(r)}" for (_, session_id, stream_id), r in fresh]
        counts = self.stage.hub.watchers_count
        groups = ", ".join(f"{counts[name]} {name}" for name in counts if counts[name])
        return "\n".join([*lines, f"= {groups or 'no watchers'}"])


def _bytes(text: str) -> bytes:
    return text.encode().decode("unicode_escape").encode("latin-1")


def show(response: WatchResponse) -> str:
    """Return one line: sequence, watcher, flags, header revision, events."""
    flags = [name for name in ("created", "canceled", "fragment") if getattr(response, name)]
    if response.compact_revision:
        flags.append(f"compact_revision={response.compact_revision}")
    if response.cancel_reason:
        flags.append(f"reason={response.cancel_reason!r}")
    events = [_show_event(event) for event in response.events]
    watcher = "stream" if response.watch_id == -1 else f"w{response.watch_id}"
    head = f"#{response.sequence} {watcher} @{response.header.revision}"
    return " ".join([head, *flags, *events])


def _show_event(event: Event) -> str:
    kv = event.kv
    key = kv.key.decode("latin-1").encode("unicode_escape").decode()
    value = _short(kv.value)
    text = f"PUT {key}={value}" if event.type is EventType.PUT else f"DELETE {key}"
    prev = f"(was {_short(event.prev_kv.value)})" if event.prev_kv else ""
    return f"[{kv.mod_revision} {text}{prev}]"


def _short(value: bytes) -> str:
    return value.decode() if len(value) <= 8 else f"{value[:1].decode()}x{len(value)}"


@pytest.mark.parametrize("path", SCENARIOS, ids=[path.stem for path in SCENARIOS])
def test_scenario(path: Path) -> None:
    run(path, Scenario().handle)
