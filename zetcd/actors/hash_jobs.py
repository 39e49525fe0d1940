"""Responsible for computing the hashes that members ask for, a slice at a time, mostly resting.

Each slice has a read transaction of its own, so that no page is held up, and a rest of nine times
its length follows it: a store of any size costs at most a tenth of the time of this process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zetcd.errors import Compacted, FutureRev
from zetcd.messages.node import HashAnswer, HashProgress, HashQuery
from zetcd.mvcc.backend import Backend
from zetcd.mvcc.hash import HashKV
from zetcd.runtime.clock import Clock
from zetcd.scalars import NodeID, Revision

#: Records hashed in one slice: about two milliseconds, unless they are large.
SLICE_RECORDS: Final = 1_000
#: Rest after a slice, in lengths of that slice.
REST_FACTOR: Final = 9
#: A revision that is not there yet is looked for again after this long.
BEHIND_PAUSE_SECONDS: Final = 0.1
#: Whoever has not asked again for so long does not want to know any more.
FORGET_SECONDS: Final = 20.0
#: Members that may wait for a hash at once: only the leader asks, and a few who were leader.
JOBS_MAX: Final = 8


@dataclass(slots=True)
class _Job:
    """What one member waits for."""

    query: HashQuery
    hashing: HashKV
    asked_at: float
    progress: HashProgress = HashProgress.WORKING
    hash: int = 0
    compact_revision: Revision = 0

    @property
    def is_over(self) -> bool:
        return self.progress in (HashProgress.DONE, HashProgress.COMPACTED)

    def answer(self) -> HashAnswer:
        query = self.query
        return HashAnswer(
            query.to, query.sender, query.round_id, self.progress, self.hash, self.compact_revision
        )


class HashJobs:
    """The hashes under way in this process.

    Invariant: at most one for each member that asks: the one it asked for last.
    """

    def __init__(self, clock: Clock) -> None:
        """Start idle."""
        self._clock = clock
        #: By who asked, the one to go on with first.
        self._jobs: dict[NodeID, _Job] = {}
        self._rest_until = 0.0

    def ask(self, query: HashQuery, now: float) -> HashAnswer:
        """Begin what a query asks for, or go on with it; return how far it is."""
        job = self._jobs.get(query.sender)
        if job is None or job.query.round_id != query.round_id:
            while len(self._jobs) >= JOBS_MAX:
                del self._jobs[next(iter(self._jobs))]
            job = self._jobs[query.sender] = _Job(query, HashKV(query.revision), now)
        job.asked_at = now
        return job.answer()

    def advance(self, backend: Backend, now: float) -> HashAnswer | None:
        """Compute one slice, unless a rest is due; return an answer that became final."""
        for asker in [key for key, job in self._jobs.items() if _is_forgotten(job, now)]:
            del self._jobs[asker]
        job = next((each for each in self._jobs.values() if not each.is_over), None)
        if job is None or now < self._rest_until:
            return None
        # The next slice is another one's turn.
        self._jobs[job.query.sender] = self._jobs.pop(job.query.sender)
        began = self._clock.now()
        self._step(job, backend)
        ended = self._clock.now()
        rest = (ended - began) * REST_FACTOR
        if job.progress is HashProgress.BEHIND:
            rest = max(rest, BEHIND_PAUSE_SECONDS)
        self._rest_until = ended + rest
        return job.answer() if job.is_over else None

    def _step(self, job: _Job, backend: Backend) -> None:
        try:
            with backend.read() as transaction:
                result = job.hashing.step(transaction, records_max=SLICE_RECORDS)
        except FutureRev:
            job.progress = HashProgress.BEHIND
        except Compacted:
            job.progress = HashProgress.COMPACTED
        else:
            job.progress = HashProgress.WORKING
            if result is not None:
                job.progress = HashProgress.DONE
                job.hash, job.compact_revision = result.hash, result.compact_revision

    def wake_at(self) -> float:
        """Return when `advance` has something to do, infinity = never without input."""
        if all(job.is_over for job in self._jobs.values()):
            return float("inf")
        return self._rest_until


def _is_forgotten(job: _Job, now: float) -> bool:
    return now - job.asked_at > FORGET_SECONDS
