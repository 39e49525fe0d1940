"""What runs beside a test: a writer that notes what became of each put, and a watcher that notes events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

from tests.integration.cluster import wait_until
from zetcd.client import Client
from zetcd.errors import RetryClass, ZetcdError
from zetcd.messages.kv import Event, KeyValue

#: Seconds one put of a writer may take; longer than an election.
_PUT_SECONDS_MAX = 10.0


class Outcome(Enum):
    """What a client knows about a put."""

    ACKNOWLEDGED = "acknowledged"
    #: Nothing was done.
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PutRecord:
    """One put, in the order in which they were made."""

    key: bytes
    value: bytes
    outcome: Outcome
    #: 0 unless acknowledged.
    revision: int = 0
    error: str = ""


class _Background:
    """A thread with a client of its own, whose failure fails the test."""

    def __init__(self, run: Callable[[], None], name: str) -> None:
        self._run = run
        self._failure: BaseException | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name=name, daemon=True)

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as failure:  # noqa: BLE001 - raised again where the test waits
            self._failure = failure

    def start(self) -> None:
        self._thread.start()

    @property
    def is_ending(self) -> bool:
        return self._ending.is_set()

    def assert_well(self) -> None:
        if self._failure is not None:
            raise self._failure

    def join(self) -> None:
        self._ending.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


class Writer:
    """Puts new keys ``<prefix><number>``, one after the other, from `__enter__` to `stop`."""

    def __init__(
        self,
        endpoints: Iterable[str],
        prefix: bytes = b"load/",
        put_seconds_max: float = _PUT_SECONDS_MAX,
    ) -> None:
        self._endpoints = list(endpoints)
        self._put_seconds_max = put_seconds_max
        self.prefix = prefix
        self.records: list[PutRecord] = []
        self._background = _Background(self._write, "writer")

    def __enter__(self) -> Self:
        self._background.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._background.join()
        if error is None:
            self._background.assert_well()

    def stop(self) -> None:
        """End the load; the put under way has its outcome when this returns."""
        self._background.join()
        self._background.assert_well()

    def _write(self) -> None:
        with Client(self._endpoints, timeout=self._put_seconds_max) as client:
            number = 0
            while not self._background.is_ending:
                key, value = self.prefix + b"%08d" % number, b"value of %d" % number
                self.records.append(_put(client, key, value))
                if number % 16 == 0:
                    self._read_back(client)
                number += 1

    def _read_back(self, client: Client) -> None:
        """A linearizable read sees what was acknowledged, and no revision before it."""
        acknowledged = self.acknowledged
        if not acknowledged:
            return
        last = acknowledged[-1]
        try:
            response = client.get(last.key)
        except ZetcdError:
            return
        assert response.header.revision >= last.revision, (response.header, last)
        assert [kv.mod_revision for kv in response.kvs] == [last.revision], (response, last)

    # --- what the test asks -------------------------------------------------------------------

    @property
    def acknowledged(self) -> list[PutRecord]:
        return [each for each in self.records if each.outcome is Outcome.ACKNOWLEDGED]

    def wait_progress(self, count: int = 20, what: str = "writes go on") -> None:
        """Return once ``count`` more puts have been acknowledged."""
        goal = len(self.acknowledged) + count

        def is_reached() -> bool:
            self._background.assert_well()
            return len(self.acknowledged) >= goal

        wait_until(is_reached, what)

    def assert_kept(self, client: Client) -> None:
        """Assert that the store holds what the writer was told, and nothing that it cannot explain."""
        kept = {kv.key: kv for kv in client.get_prefix(self.prefix).kvs}
        revisions = [record.revision for record in self.acknowledged]
        assert revisions == sorted(set(revisions)), "acknowledged out of order"
        for record in self.records:
            kv = kept.pop(record.key, None)
            if record.outcome is Outcome.ACKNOWLEDGED:
                assert kv is not None, f"lost: {record}"
                assert kv.mod_revision == record.revision, (kv, record)
            elif record.outcome is Outcome.REFUSED:
                assert kv is None, f"refused, and done all the same: {record}"
            if kv is not None:
                assert (kv.value, kv.version) == (record.value, 1), f"done twice: {kv} {record}"
        assert not kept, f"never written: {sorted(kept)}"


def _put(client: Client, key: bytes, value: bytes) -> PutRecord:
    try:
        revision = client.put(key, value).header.revision
    except ZetcdError as error:
        is_unknown = error.retry is RetryClass.AMBIGUOUS
        outcome = Outcome.UNKNOWN if is_unknown else Outcome.REFUSED
        return PutRecord(key, value, outcome, error=f"{type(error).__name__}: {error}")
    return PutRecord(key, value, Outcome.ACKNOWLEDGED, revision)


class Watcher:
    """Notes every event of a prefix, from its first revision to the last one asked for."""

    def __init__(
        self, endpoints: Iterable[str], prefix: bytes = b"load/", start_revision: int = 1
    ) -> None:
        self._endpoints = list(endpoints)
        self._prefix = prefix
        self._start_revision = start_revision
        self.events: list[Event] = []
        #: The endpoint in use.
        self.endpoint = ""
        self._background = _Background(self._watch, "watcher")

    def __enter__(self) -> Self:
        self._background.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._background.join()
        if error is None:
            self._background.assert_well()

    def _watch(self) -> None:
        with (
            Client(self._endpoints, timeout=30.0) as client,
            client.watch_prefix(self._prefix, start_revision=self._start_revision) as watch,
        ):
            while not self._background.is_ending:
                response = watch.next(timeout=0.1)
                self.endpoint = client.endpoint
                if response is not None:
                    self.events.extend(response.events)

    @property
    def last_revision(self) -> int:
        return self.events[-1].kv.mod_revision if self.events else 0

    def wait_revision(self, revision: int) -> None:
        """Return once the event of ``revision`` is here."""

        def is_here() -> bool:
            self._background.assert_well()
            return self.last_revision >= revision

        wait_until(is_here, f"the watch delivers revision {revision}")

    def assert_saw(self, kvs: Iterable[KeyValue]) -> None:
        """Assert that the events are the puts of ``kvs``, each once, in the order of revisions."""
        expected = sorted((kv.mod_revision, kv.key, kv.value) for kv in kvs)
        seen = [(each.kv.mod_revision, each.kv.key, each.kv.value) for each in self.events]
        assert seen == expected, _first_difference(seen, expected)


def _first_difference(
    seen: list[tuple[int, bytes, bytes]], expected: list[tuple[int, bytes, bytes]]
) -> str:
    for position, (one, other) in enumerate(zip(seen, expected, strict=False)):
        if one != other:
            return f"event {position} is {one}, expected {other}"
    return f"{len(seen)} events, expected {len(expected)}"
