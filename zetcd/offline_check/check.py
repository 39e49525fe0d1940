"""Responsible for checking one stopped member: log, checkpoints, store, and whether they agree."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import lmdb

from zetcd.config.tree import MAP_BYTES_WITHOUT_QUOTA
from zetcd.errors import (
    CorruptCheckpoint,
    DataDirMismatch,
    InvariantViolation,
    NotCapable,
    WalCorruption,
)
from zetcd.mvcc.backend import Backend, ReadTransaction, Table
from zetcd.mvcc.compaction import compact_step, is_compacting
from zetcd.mvcc.revision import pack_key
from zetcd.mvcc.state import StoreState, load_state, save_state
from zetcd.offline_check.checkpoints import Checkpoints
from zetcd.offline_check.comparison import compare_table
from zetcd.offline_check.log_check import (
    LogContent,
    Progress,
    cluster_of,
    log_part,
    no_progress,
    read_log,
)
from zetcd.offline_check.plan import Comparison, Plan, plan_replay
from zetcd.offline_check.replay import Replay, hash_of
from zetcd.offline_check.report import CheckReport, Part, Verdict, verdict_of
from zetcd.offline_check.stillness import MemberPaths, held_still
from zetcd.offline_check.store import open_store, probe
from zetcd.runtime import lmdb_trust
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.scalars import Revision

#: Records of history removed from a copy in one transaction.
_RECORDS_PER_STEP: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """How to check."""

    #: Replay from the oldest checkpoint that there is, instead of from the newest.
    prefers_oldest: bool = False
    #: Where temporary stores are made; None = where the system keeps temporary files.
    scratch: Path | None = None
    progress: Progress = no_progress


def check_member(paths: MemberPaths, options: CheckOptions | None = None) -> CheckReport:
    """Check everything that a stopped member keeps, and change nothing.

    Raises:
        DataDirMismatch: the member runs, or there is no log.
        OSError: a directory or file cannot be read, or there is no room for temporary stores.
    """
    options = options or CheckOptions()
    with ExitStack() as stack:
        stack.enter_context(held_still(paths))
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="zetcd-check-", dir=options.scratch)
        )
        return _Check(paths, options, Path(scratch), stack).run()


@dataclass(slots=True)
class _Check:
    """One check; the stack closes what it opens."""

    paths: MemberPaths
    options: CheckOptions
    scratch: Path
    stack: ExitStack
    parts: list[Part] = field(default_factory=list)

    def run(self) -> CheckReport:
        log = self._log()
        checkpoints = self._checkpoints(log)
        store = self._store()
        if log is not None and checkpoints is not None:
            self._replay(log, checkpoints, store)
        parts = tuple(self.parts)
        return CheckReport(
            str(self.paths.data_dir),
            "" if log is None else f"{log.cluster_id:016x}",
            "" if log is None else f"{log.member_id:016x}",
            verdict_of(parts),
            parts,
        )

    # --- each by itself ------------------------------------------------------------------------

    def _log(self) -> LogContent | None:
        try:
            log = read_log(OSFileSystem(), str(self.paths.wal_dir), self.options.progress)
        except WalCorruption as error:
            self.parts.append(Part("log", Verdict.CORRUPT, error.detail))
            return None
        if log is None:
            self.parts.append(Part("log", Verdict.SKIPPED, "there are no segments"))
            return None
        self.stack.callback(log.close)
        self.parts.append(log_part(log))
        return log

    def _checkpoints(self, log: LogContent | None) -> Checkpoints | None:
        """Verify all checkpoints, also beside a damaged log as long as that says whose they are."""
        directory, progress = self.paths.checkpoint_dir, self.options.progress
        if log is not None:
            checkpoints = Checkpoints(directory, log.cluster_id, progress)
            self.parts += checkpoints.parts
            self.parts += checkpoints.missing(log.index.snapshot.index)
            return checkpoints
        cluster_id = cluster_of(OSFileSystem(), str(self.paths.wal_dir))
        if cluster_id is not None:
            self.parts += Checkpoints(directory, cluster_id, progress).parts
        return None

    def _store(self) -> LmdbBackend | None:
        """Open the store if there is one that a start would believe."""
        directory = self.paths.store_dir
        reason = ""
        if not (directory / "data.mdb").exists():
            reason = "there is none; the next start rebuilds it from checkpoint and log"
        elif not lmdb_trust.is_trusted(directory, lmdb_trust.boot_id()):
            reason = (
                "not written in this boot and not closed cleanly; "
                "the next start discards it and rebuilds it from checkpoint and log"
            )
        if reason:
            self.parts.append(Part("store", Verdict.SKIPPED, reason))
            return None
        self.options.progress("store pages", 0, 1)
        damage = probe(directory)
        self.options.progress("store pages", 1, 1)
        if damage:
            self.parts.append(Part("store", Verdict.CORRUPT, damage))
            return None
        try:
            store = open_store(directory)
        except (lmdb.Error, NotCapable) as error:
            self.parts.append(Part("store", Verdict.CORRUPT, f"cannot be opened: {error}"))
            return None
        self.stack.callback(store.close)
        return store

    # --- together ------------------------------------------------------------------------------

    def _replay(self, log: LogContent, checkpoints: Checkpoints, store: LmdbBackend | None) -> None:
        state = None if store is None else _state_of(store)
        plan = plan_replay(
            log.index, checkpoints.bases, state, prefers_oldest=self.options.prefers_oldest
        )
        if store is not None and state is not None:
            self.parts.append(_store_part(store, state, log))
        if plan.base is None:
            verdict = Verdict.CORRUPT if plan.is_corrupt else Verdict.SKIPPED
            self.parts.append(Part("replay", verdict, plan.reason))
            return
        directory = self.scratch / "replayed"
        directory.mkdir()
        try:
            if plan.base.name:
                checkpoints.restore(plan.base, directory)
            replay = Replay(log, directory, self.options.progress, is_restored=bool(plan.base.name))
            self.stack.callback(replay.close)
            self._replay_plan(plan, replay, store)
        except (InvariantViolation, WalCorruption, CorruptCheckpoint, DataDirMismatch) as error:
            # In a node this ends the process; here it is what was looked for.
            self.parts.append(
                Part("replay", Verdict.CORRUPT, f"the log cannot be replayed: {error}")
            )

    def _replay_plan(self, plan: Plan, replay: Replay, store: LmdbBackend | None) -> None:
        assert plan.base is not None
        if store is not None and plan.comparison is not Comparison.NONE:
            replay.advance(plan.compare_index)
            self._compare(plan, replay, self._finished(store))
        elif store is not None:
            verdict = Verdict.CORRUPT if plan.is_corrupt else Verdict.SKIPPED
            self.parts.append(Part("comparison", verdict, plan.reason))
        replay.advance(plan.end_index)
        state, name = replay.state, plan.base.name or "the empty store"
        facts: dict[str, int | str] = {
            "from_index": plan.base.index,
            "index": state.consistent_index,
            "term": state.applied_term,
            "revision": state.current_revision,
            "compact_revision": state.compact_revision,
            "hash": hash_of(replay.backend, 0).hash,
        }
        summary = f"from {name} to index {plan.end_index}, revision {state.current_revision}"
        self.parts.append(Part("replay", Verdict.OK, summary, facts))

    def _finished(self, store: LmdbBackend) -> LmdbBackend:
        """Return a store whose compaction is finished: how far its removal is differs by member."""
        if not is_compacting(_state_of(store)):
            return store
        directory = self.scratch / "compacted"
        directory.mkdir()
        shutil.copyfile(self.paths.store_dir / "data.mdb", directory / "data.mdb")
        copy = LmdbBackend(directory, map_bytes=MAP_BYTES_WITHOUT_QUOTA)
        self.stack.callback(copy.close)
        state = _state_of(copy)
        while is_compacting(state):
            with copy.write() as transaction:
                compact_step(transaction, state, records_max=_RECORDS_PER_STEP)
                save_state(transaction, state)
        return copy

    def _compare(self, plan: Plan, replay: Replay, store: LmdbBackend) -> None:
        """Compare both, at the same index or as far as the log goes."""
        state, revision = _state_of(store), replay.state.current_revision
        is_exact = plan.comparison is Comparison.EXACT
        if not is_exact:
            if state.compact_revision > revision or state.current_revision < revision:
                self.parts.append(_incomparable(state, revision))
                return
            replay.compact_to(state.compact_revision)
        tables = tuple(Table) if is_exact else (Table.REV,)
        stop = None if is_exact else pack_key(revision + 1, 0)
        parts: list[Part] = []
        with store.read() as found, replay.backend.read() as expected:
            for number, table in enumerate(tables):
                self.options.progress("compared tables", number, len(tables))
                parts.append(_compared(table, found, expected, stop))
        self.options.progress("compared tables", len(tables), len(tables))
        self.parts.append(_hash_part(store, replay.backend, revision))
        self.parts.extend(parts)


def _compared(
    table: Table, found: ReadTransaction, expected: ReadTransaction, stop: bytes | None
) -> Part:
    try:
        return compare_table(table, found, expected, stop)
    except lmdb.Error as error:
        return Part(f"table {table.name.lower()}", Verdict.CORRUPT, f"cannot be read: {error}")


def _state_of(backend: Backend) -> StoreState:
    with backend.read() as transaction:
        return load_state(transaction)


def _store_part(store: LmdbBackend, state: StoreState, log: LogContent) -> Part:
    commit = log.index.hard_state.commit
    lag = commit - state.consistent_index
    where = ""
    if lag > 0:
        where = f", {lag} committed entries behind the log; the next start applies them"
    elif state.consistent_index > log.index.last_index:
        where = ", ahead of the log on this disk; the other members have what is missing"
    summary = f"at index {state.consistent_index}, revision {state.current_revision}{where}"
    facts: dict[str, int | str] = {
        "index": state.consistent_index,
        "term": state.applied_term,
        "revision": state.current_revision,
        "compact_revision": state.compact_revision,
        "bytes": store.size().file_bytes,
    }
    return Part("store", Verdict.OK, summary, facts)


def _incomparable(state: StoreState, revision: Revision) -> Part:
    if state.current_revision < revision:
        summary = (
            f"the store is ahead of the log, but at revision {state.current_revision}, "
            f"before the log's {revision}"
        )
        return Part("comparison", Verdict.CORRUPT, summary)
    summary = (
        f"the store is ahead of the log and compacted at {state.compact_revision}, "
        f"beyond the log's revision {revision}"
    )
    return Part("comparison", Verdict.SKIPPED, summary)


def _hash_part(store: Backend, replayed: Backend, revision: Revision) -> Part:
    """Compare the hash that members compare among each other."""
    state = _state_of(store)
    if not state.compact_revision <= revision <= state.current_revision:
        summary = f"the store is at revision {state.current_revision}, the log says {revision}"
        return Part("hash", Verdict.CORRUPT, summary)
    found, expected = hash_of(store, revision), hash_of(replayed, revision)
    facts: dict[str, int | str] = {
        "revision": revision,
        "hash": found.hash,
        "hash_of_log": expected.hash,
        "compact_revision": found.compact_revision,
    }
    if found[:3] == expected[:3]:
        summary = f"{found.hash:08x} at revision {revision}, as the log says"
        return Part("hash", Verdict.OK, summary, facts)
    summary = f"{found.hash:08x} at revision {revision}, the log says {expected.hash:08x}"
    return Part("hash", Verdict.CORRUPT, summary, facts)
