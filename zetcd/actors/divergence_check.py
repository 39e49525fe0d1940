"""Responsible for connecting `zetcd.divergence` to a store, to raft's links and to the log.

Part of the snapshot actor. On the leader it runs rounds; on every member it computes the hashes
that a leader asks for. A difference becomes the alarm CORRUPT, proposed in every round until the
store shows it. Must never change the store itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from zetcd.actors.hash_jobs import HashJobs
from zetcd.apply.alarms import load_alarms
from zetcd.apply.tables import load_members
from zetcd.config import Config
from zetcd.divergence import Outcome, RandomSource, Round, RoundResult, Schedule
from zetcd.messages.base import Message
from zetcd.messages.cluster import AlarmAction, AlarmMember, AlarmRequest, AlarmType
from zetcd.messages.codec import encode
from zetcd.messages.node import (
    ActorRole,
    HashAnswer,
    HashQuery,
    LeaderInfo,
    Origin,
    ProposalBatch,
    Propose,
    Role,
)
from zetcd.mvcc.backend import Backend
from zetcd.mvcc.state import load_state
from zetcd.runtime.clock import Clock
from zetcd.scalars import NodeID

#: The store is looked for again: apply has not made it yet.
_STORE_RETRY_SECONDS: Final = 0.5
#: Fewer have nothing to compare.
_MEMBERS_MIN: Final = 2


class DivergenceCheck:
    """Compares this member's history with the others'.

    The owner hands in `LeaderInfo`, `HashQuery` and `HashAnswer`, and calls `advance` once a turn.
    """

    def __init__(
        self,
        config: Config,
        incarnation: int,
        *,
        clock: Clock,
        rng: RandomSource,
        send_to_raft: Callable[[Message], bool],
    ) -> None:
        """Start as a follower."""
        self._node_id = config.member_id()
        self._origin = Origin(self._node_id, ActorRole.SNAPSHOT, 0, incarnation)
        self._jobs = HashJobs(clock)
        self._schedule = Schedule(config.corrupt_check_time, rng)
        self._send = send_to_raft
        #: The round under way; only on the leader.
        self._round: Round | None = None
        #: Ids of rounds are never used twice, not even across restarts.
        self._last_round_id = incarnation << 32
        self._last_batch_id = 0
        self._is_leading = False
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger()

    # --- input -----------------------------------------------------------------------------------

    def leader_info(self, info: LeaderInfo, now: float) -> None:
        """Begin or stop to run rounds."""
        is_leading = info.role is Role.LEADER
        if is_leading and not self._is_leading:
            self._schedule.lead(now)
        elif not is_leading:
            self._schedule.stop()
            self._round = None
        self._is_leading = is_leading

    def query(self, query: HashQuery, now: float) -> None:
        """Answer a leader at once with how far its hash is."""
        self._send(self._jobs.ask(query, now))

    def answer(self, answer: HashAnswer, now: float) -> None:
        """Take a member's answer."""
        if self._round is not None:
            self._round.step(answer, now)

    # --- turns -----------------------------------------------------------------------------------

    def advance(self, backend: Backend | None, now: float) -> None:
        """Hash a slice, and move the round on.

        Args:
            backend: The store; None while there is none.
            now: Monotonic seconds.
        """
        if now >= self._schedule.next_at:
            self._begin(backend, now)
        if backend is not None:
            answer = self._jobs.advance(backend, now)
            if answer is not None:
                self._deliver(answer, now)
        if self._round is not None:
            self._move_on(self._round, backend, now)

    def _begin(self, backend: Backend | None, now: float) -> None:
        if backend is None:
            self._schedule.next_at = now + _STORE_RETRY_SECONDS
            return
        with backend.read() as transaction:
            revision = load_state(transaction).current_revision
            members = tuple(load_members(transaction).values())
        if len(members) < _MEMBERS_MIN:
            self._schedule.skip(now)
            return
        self._schedule.stop()
        self._last_round_id += 1
        self._round = Round(self._node_id, self._last_round_id, revision, members, now)

    def _move_on(self, current: Round, backend: Backend | None, now: float) -> None:
        for query in current.queries(now):
            if query.to == self._node_id:
                current.step(self._jobs.ask(query, now), now)
            else:
                # A query that is lost is repeated.
                self._send(query)
        result = current.result()
        if result is None:
            return
        self._round = None
        self._schedule.finished(result, now)
        self._note(result)
        if result.comparison.outcome is Outcome.DIFFERENT and backend is not None:
            self._raise_alarms(result.comparison.suspects, backend)

    def _deliver(self, answer: HashAnswer, now: float) -> None:
        """Send a final answer without being asked again."""
        if answer.to == self._node_id:
            self.answer(answer, now)
        else:
            self._send(answer)

    def _note(self, result: RoundResult) -> None:
        tally = self._schedule.tally
        if result.comparison.outcome is Outcome.DIFFERENT:
            suspects = [f"{each:016x}" for each in result.comparison.suspects]
            self._log.error(
                "members hold different histories", revision=result.revision, members=suspects
            )
        if not result.is_passed:
            self._log.warning(
                "comparison of histories did not pass",
                revision=result.revision,
                outcome=result.comparison.outcome.value,
                failures=[f"{member_id:016x}: {why}" for member_id, why in result.failures],
                failed_rounds=tally.failed,
            )

    def _raise_alarms(self, suspects: tuple[NodeID, ...], backend: Backend) -> None:
        """Propose the alarms that are not on yet; one that is lost is proposed by the next round."""
        with backend.read() as transaction:
            active = load_alarms(transaction)
        requests = tuple(
            AlarmRequest(AlarmAction.ACTIVATE, suspect, AlarmType.CORRUPT)
            for suspect in suspects
            if AlarmMember(suspect, AlarmType.CORRUPT) not in active
        )
        if not requests:
            return
        self._last_batch_id += 1
        batch = ProposalBatch(self._origin, self._last_batch_id, requests)
        self._send(Propose(self._last_batch_id, encode(batch)))

    def wake_at(self) -> float:
        """Return when `advance` has something to do, infinity = never without input."""
        due = min(self._schedule.next_at, self._jobs.wake_at())
        return due if self._round is None else min(due, self._round.wake_at())

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return the rounds that this process has led, for `zetcd status`; sorted."""
        tally = self._schedule.tally
        return (
            ("checks_different", str(tally.different)),
            ("checks_failed", str(tally.failed)),
            ("checks_last", tally.last or ("none yet" if self._is_leading else "by the leader")),
            ("checks_passed", str(tally.passed)),
        )
