"""Responsible for connecting `zetcd.compactor` to a store and to the log.

Part of the snapshot actor. Samples on every member, proposes on the leader only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from zetcd.compactor import Compactor, PeriodicCompactor, RevisionCompactor, Standing
from zetcd.config import Config
from zetcd.config.auto_compaction import REVISION, parse_retention
from zetcd.messages.base import Message
from zetcd.messages.codec import encode
from zetcd.messages.kv import CompactionRequest
from zetcd.messages.node import ActorRole, LeaderInfo, Origin, ProposalBatch, Propose, Role
from zetcd.mvcc.backend import Backend
from zetcd.mvcc.state import load_state

#: The store is looked for again: apply has not made it yet, or is replacing it.
_STORE_RETRY_SECONDS: Final = 0.5


class AutoCompaction:
    """Compacts history as ``auto-compaction-mode`` and ``-retention`` say.

    The owner hands in `LeaderInfo` and calls `advance` once a turn.
    """

    def __init__(
        self,
        config: Config,
        incarnation: int,
        *,
        now: float,
        send_to_raft: Callable[[Message], bool],
    ) -> None:
        """Begin to sample, unless it is switched off."""
        self._origin = Origin(config.member_id(), ActorRole.SNAPSHOT, 0, incarnation)
        self._send = send_to_raft
        self._compactor = _compactor_of(config, now)
        self._next_at = float("inf") if self._compactor is None else self._compactor.next_at
        self._is_leading = False
        #: Nobody answers proposals of this actor, so their ids need not differ from others of it.
        self._last_batch_id = 0
        self._proposed_count = 0

    def leader_info(self, info: LeaderInfo) -> None:
        """Note whether this member leads."""
        self._is_leading = info.role is Role.LEADER

    def advance(self, backend: Backend | None, now: float) -> None:
        """Take a sample if one is due, and propose what follows from it."""
        if self._compactor is None or now < self._next_at:
            return
        if backend is None:
            self._next_at = now + _STORE_RETRY_SECONDS
            return
        with backend.read() as transaction:
            state = load_state(transaction)
        standing = Standing(state.current_revision, state.compact_revision, self._is_leading)
        revision = self._compactor.look(standing, now)
        self._next_at = self._compactor.next_at
        if revision is None:
            return
        self._last_batch_id += 1
        self._proposed_count += 1
        batch = ProposalBatch(self._origin, self._last_batch_id, (CompactionRequest(revision),))
        structlog.get_logger().info("automatic compaction", revision=revision)
        # One that is lost is proposed again at the next look.
        self._send(Propose(self._last_batch_id, encode(batch)))

    def wake_at(self) -> float:
        """Return when `advance` has something to do, infinity = never."""
        return self._next_at

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return what `zetcd status` shows."""
        return (("auto_compactions", str(self._proposed_count)),)


def _compactor_of(config: Config, now: float) -> Compactor | None:
    mode = config.auto_compaction_mode
    retention = parse_retention(mode, config.auto_compaction_retention)
    if not retention:
        return None
    if mode == REVISION:
        return RevisionCompactor(int(retention), now)
    return PeriodicCompactor(retention, now)
