"""Responsible for connecting the watch hub to apply, the gateways and the store.

Must never decide who is told what (the hub does), and never hold a read transaction across a wait: a
reader that is stopped while it holds one would keep the store's pages from being used again.

Order of one turn: messages in, one bounded turn of the hub, deliveries to the gateways, and the read
transaction, if one was needed, is given back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final

from zetcd.actors.actor import (
    APPLY,
    GATEWAY_ROLES,
    RAFT,
    SUPERVISOR,
    Actor,
    Pollable,
    gateway_addresses,
)
from zetcd.actors.entry import ActorSetting
from zetcd.actors.store_history import StoreHistory
from zetcd.config import Config
from zetcd.errors import NotCapable, RequestTooManyRequests
from zetcd.messages.base import Message
from zetcd.messages.codec import UnionDecoder
from zetcd.messages.node import (
    ActorGone,
    EventBatch,
    Figure,
    Hello,
    LeaderInfo,
    Shutdown,
    StoreReplaced,
    WatchDelivery,
    WatchForward,
    WatchInterest,
    WatchRegister,
    WatchSessionClosed,
)
from zetcd.metrics import figure
from zetcd.mvcc.backend import Backend
from zetcd.runtime.clock import Clock
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.mailbox import Address, Mailbox
from zetcd.watch import Delivery, Hub, WatchOptions

_Inbox = (
    Hello
    | Shutdown
    | ActorGone
    | LeaderInfo
    | EventBatch
    | StoreReplaced
    | WatchForward
    | WatchRegister
    | WatchSessionClosed
)
#: Decodes what watch may be sent.
INBOX: Final = UnionDecoder(_Inbox)

#: The store is opened once apply has made it; asked for this often until then.
_STORE_RETRY_SECONDS: Final = 0.05
#: Messages that may wait for the store. More than a restart of apply can bring: give up, be restarted
#: by the supervisor and let the gateways register again.
_MESSAGES_WAITING_MAX: Final = 65_536


def neighbours(config: Config, instance: int) -> tuple[Address, ...]:
    """Return the actors that watch talks to."""
    del instance
    return (SUPERVISOR, RAFT, APPLY, *gateway_addresses(config))


def watch_options(config: Config) -> WatchOptions:
    """Return what the hub is told of the configuration."""
    watch = config.watch
    return WatchOptions(
        progress_interval=config.watch_progress_notify_interval,
        # etcd: the request limit and 512 KiB for what gRPC adds.
        fragment_bytes=config.max_request_bytes + 512 * 1024,
        sync_watchers_max=watch.sync_watchers_max,
        sync_revisions_max=watch.sync_revisions_max,
        catch_up_retry_interval=watch.sync_interval,
        victim_retry_interval=watch.victim_retry_interval,
        victim_bytes_max=watch.queue_bytes_max,
        queue_bytes_max=watch.queue_bytes_max,
        credit_messages_max=watch.credit_messages_max,
        credit_bytes_max=watch.credit_bytes_max,
    )


class WatchActor(Actor):
    """The fan-out of one member.

    Until the store is open (apply makes it, and may make it anew when it restarts) messages wait.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        clock: Clock,
        *,
        options: WatchOptions,
        rng: Random,
        open_store: Callable[[], Backend | None],
        close_store: Callable[[], None],
    ) -> None:
        """Wire the hub; ``open_store`` returns None as long as there is no store."""
        super().__init__(mailbox, clock)
        self._history = StoreHistory()
        self._options = options
        self._hub = Hub(self._history, rng, options)
        self._open_store = open_store
        self._close_store = close_store
        #: Not before apply has said that the store is what it should be.
        self._open_store_at = float("inf")
        self._waiting: deque[tuple[Address, Message]] = deque()
        #: Deliveries that the mailbox refused; nothing is made for these gateways until they left.
        self._refused: dict[int, deque[Delivery]] = {}
        self._gateways: dict[int, Address] = {}
        #: Who was told that there are watchers.
        self._told_interest: dict[Address, bool] = {}

    def neighbour_started(self, neighbour: Address) -> None:
        """Resync with a new incarnation."""
        self._told_interest.pop(neighbour, None)
        if neighbour == APPLY:
            # It may put a new file in the place of one that it does not trust; the old one would
            # never change again. It has done so, or not, by the time it sends its first batch.
            self._release_store()
            self._open_store_at = float("inf")
        elif neighbour.role in GATEWAY_ROLES:
            self._forget_gateway(neighbour)

    def handle(self, sender: Address, message: Message, now: float) -> None:
        """Step the hub with a message, once there is a store."""
        if type(message) is ActorGone:
            gone = Address(message.role, message.instance)
            is_known = gone in self._gateways.values()
            # Its next incarnation may have said hello before the supervisor noticed the death.
            if is_known and self.mailbox.incarnation_of(gone) == message.incarnation:
                self._forget_gateway(gone)
        elif type(message) is StoreReplaced:
            self._release_store()
            self._open_store_at = now
        elif self._history.backend is None:
            if len(self._waiting) >= _MESSAGES_WAITING_MAX:
                raise RequestTooManyRequests("apply has no store and requests pile up")
            self._waiting.append((sender, message))
            if isinstance(message, EventBatch):
                self._open_store_at = now
        else:
            self._step(sender, message, now)

    def advance(self, now: float) -> None:
        """Let the hub do one turn and deliver what comes of it."""
        if self._history.backend is None and now >= self._open_store_at:
            self._open(now)
        if self._history.backend is None:
            return
        self._make_room()
        for delivery in self._hub.ready(now):
            self._deliver(delivery)
        self._history.release()
        self._tell_interest()

    def _tell_interest(self) -> None:
        """Spare apply, raft and this actor every event as long as nobody watches."""
        is_wanted = any(self._hub.watchers_count.values())
        for each in (APPLY, RAFT):
            if is_wanted != self._told_interest.get(each, False) and self.mailbox.send(
                each, WatchInterest(is_wanted)
            ):
                self._told_interest[each] = is_wanted

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until the hub or this actor has something to do."""
        if self._history.backend is None:
            return min(max(0.0, self._open_store_at - now), super().wait_seconds(now))
        timer = self._hub.next_timer(now)
        seconds = super().wait_seconds(now) if timer is None else max(0.0, timer - now)
        return min(seconds, self._options.victim_retry_interval) if self._refused else seconds

    def figures(self) -> tuple[Figure, ...]:
        """Return watchers and streams for /metrics."""
        counts = self._hub.watchers_count
        return (
            figure("etcd_debugging_mvcc_watcher_total", sum(counts.values())),
            figure("etcd_debugging_mvcc_slow_watcher_total", counts["unsynced"] + counts["victim"]),
            figure("etcd_debugging_mvcc_watch_stream_total", self._hub.streams_count),
        )

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return watchers by group, streams and position for `zetcd status`."""
        facts = {f"watchers_{name}": count for name, count in self._hub.watchers_count.items()}
        facts["streams"] = self._hub.streams_count
        facts["revision"] = self._hub.revision
        return tuple(sorted((key, str(value)) for key, value in facts.items()))

    def close(self) -> None:
        """Close the store."""
        self._history.release()
        self._close_store()

    def _step(self, sender: Address, message: Message, now: float) -> None:
        # The inbox decodes nothing else; the base has taken Hello and Shutdown.
        assert isinstance(
            message, EventBatch | LeaderInfo | WatchForward | WatchRegister | WatchSessionClosed
        )
        self._hub.step(message, gateway=self._number(sender), now=now)

    def _open(self, now: float) -> None:
        """Open the store, read on from where it stands, and take what has waited."""
        self._history.backend = self._open_store()
        if self._history.backend is None:
            self._open_store_at = now + _STORE_RETRY_SECONDS
            return
        self._hub.resynchronise()
        waiting, self._waiting = self._waiting, deque()
        for sender, message in waiting:
            self._step(sender, message, now)
        self.become_ready()

    def _release_store(self) -> None:
        self._history.release()
        self._history.backend = None
        self._close_store()

    def _number(self, address: Address) -> int:
        """Return the hub's number of a gateway."""
        number = (address.role << 8) + address.instance
        if address.role in GATEWAY_ROLES:
            self._gateways[number] = address
        return number

    def _forget_gateway(self, address: Address) -> None:
        number = self._number(address)
        self._hub.gateway_started(number)
        self._refused.pop(number, None)
        self._waiting = deque(item for item in self._waiting if item[0] != address)

    def _make_room(self) -> None:
        """Tell the hub how much each gateway may be sent in this turn."""
        options = self._options
        for number, address in self._gateways.items():
            while (refused := self._refused.get(number)) and self._send(refused[0], address):
                refused.popleft()
                if not refused:
                    del self._refused[number]
            waiting_bytes = self.mailbox.backlog(address) * options.delivery_bytes_max
            room_bytes = 0 if number in self._refused else options.queue_bytes_max - waiting_bytes
            self._hub.set_room(number, room_bytes)

    def _deliver(self, delivery: Delivery) -> None:
        refused = self._refused.get(delivery.gateway)
        if refused is not None:
            refused.append(delivery)
        elif not self._send(delivery, self._gateways[delivery.gateway]):
            self._refused[delivery.gateway] = deque((delivery,))

    def _send(self, delivery: Delivery, address: Address) -> bool:
        return self.mailbox.send(address, WatchDelivery(delivery.session_id, delivery.bodies))


def build(setting: ActorSetting) -> tuple[Actor, Sequence[Pollable]]:
    """Build the actor from its configuration."""
    config = setting.config
    opened: list[LmdbBackend] = []

    def open_store() -> LmdbBackend | None:
        try:
            directory = Path(config.store_dir())
            backend = LmdbBackend(directory, map_bytes=config.map_bytes(), readonly=True)
        except NotCapable:
            return None
        opened.append(backend)
        return backend

    def close_store() -> None:
        while opened:
            opened.pop().close()

    actor = WatchActor(
        setting.mailbox,
        setting.clock,
        options=watch_options(config),
        rng=Random(),  # noqa: S311 - spreads progress notifications, protects no secret
        open_store=open_store,
        close_store=close_store,
    )
    return actor, ()
