"""Responsible for the limits of the fan-out; the actor fills them in from the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from zetcd.messages.client import WATCH_CREDIT_INITIAL

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """Limits of a `Hub`. Times are seconds."""

    #: Between two progress notifications of a watcher (etcd: 10 min).
    progress_interval: float = 600.0
    #: Bytes of a response body above which a ``fragment`` watcher gets it in parts (etcd: request
    #: limit + 512 KiB).
    fragment_bytes: int = 2 * _MIB
    #: Unsynced watchers caught up in one turn (etcd: 512).
    sync_watchers_max: int = 512
    #: Revisions read for them, or handed to the synced ones, in one turn (etcd: 1000).
    sync_revisions_max: int = 1000
    #: Bytes of events after which a turn reads no further revision, and a response is cut between
    #: two
    #: revisions; one revision is never divided, so this is exceeded by at most one.
    sync_bytes_max: int = 2 * _MIB
    #: Pause before a store that is behind the watchers' positions is read again (etcd: 100 ms).
    catch_up_retry_interval: float = 0.1
    #: Pause before a gateway that takes nothing is tried again (etcd: 10 ms).
    victim_retry_interval: float = 0.01
    #: A victim older than this gives up its pending batch and keeps only its position.
    victim_age_max: float = 1.0
    #: Bytes of pending batches of all victims; a watcher beyond it keeps only its position.
    victim_bytes_max: int = 64 * _MIB
    #: Bytes of batches not yet handed out; beyond it the synced watchers read them from the store
    #: instead.
    queue_bytes_max: int = 64 * _MIB
    #: Bytes of one `WatchDelivery`, exceeded by at most one response (with its fragments).
    delivery_bytes_max: int = 1 * _MIB
    #: Messages and bytes of credit with which a stream begins; the protocol says how much.
    credit_initial: tuple[int, int] = WATCH_CREDIT_INITIAL
    #: Credit that may be open on a stream, so that a client cannot count without end.
    credit_messages_max: int = 65_536
    credit_bytes_max: int = 64 * _MIB
    #: Answers to requests that may wait for credit; a client that asks on without reading loses the
    #: stream.
    answers_waiting_max: int = 16_384
    #: Time without a batch after which revisions in the store that nobody announced are read from
    #: there.
    stale_interval: float = 0.5
