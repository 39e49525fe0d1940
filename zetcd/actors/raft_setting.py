"""Responsible for what the raft actor takes from its configuration, and the names of the core's refusals."""

from __future__ import annotations

import os
from typing import Final

import structlog

from zetcd.config import Config
from zetcd.errors import LeaderChanged, NoLeader, RequestTooManyRequests, Timeout
from zetcd.raft.options import RaftOptions
from zetcd.raft.ready import Refusal


def raise_priority(nice: int) -> None:
    """Let raft run before its siblings where the operating system allows it."""
    try:
        os.nice(nice)
    except PermissionError:
        structlog.get_logger().debug("raft keeps the default scheduling priority", nice=nice)


def raft_options(config: Config, incarnation: int) -> RaftOptions:
    """Return the core's options; the id of a read round is never used twice, not even across restarts."""
    raft = config.raft
    return RaftOptions(
        node_id=config.member_id(),
        election_ticks=config.election_ticks(),
        heartbeat_ticks=raft.ticks_per_heartbeat,
        pre_vote=config.pre_vote,
        initial_election_elapsed=config.initial_election_ticks(),
        read_round_seed=incarnation << 32,
        append_bytes_max=raft.append_bytes_max,
        inflight_messages_max=raft.inflight_messages_max,
        inflight_bytes_max=raft.inflight_bytes_max,
        uncommitted_bytes_max=raft.uncommitted_bytes_max,
        unstable_bytes_max=raft.unstable_bytes_max,
        unstable_writes_max=raft.unstable_writes_max,
        unstable_ticks_max=config.unstable_ticks_max(),
        log_tail_bytes_max=raft.log_tail_bytes_max,
        apply_bytes_max=raft.apply_bytes_max,
        applying_bytes_max=raft.applying_bytes_max,
        reads_waiting_max=raft.reads_waiting_max,
        apply_lag_entries_max=config.apply.lag_entries_max,
        defers_news=True,
    )


#: What a refusal is called in the error catalogue; any other one means that nobody leads.
_REFUSALS: Final = {
    Refusal.LEADER_CHANGED: LeaderChanged.number,
    Refusal.READ_TIMEOUT: Timeout.number,
}


def error_number(refusal: Refusal) -> int:
    """Return the number of the error that a client gets for ``refusal``."""
    if refusal.is_too_many_requests:
        return RequestTooManyRequests.number
    return _REFUSALS.get(refusal, NoLeader.number)
