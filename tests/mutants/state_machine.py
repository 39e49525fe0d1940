"""Planted bugs: apply, the store, compaction, watches."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Edit, Mutant, NamedTests, Seeds

_APPLIER: Final = "zetcd/apply/applier.py"
_CATCH_UP: Final = "zetcd/watch/catch_up.py"
_HAND_OUT: Final = "zetcd/watch/hand_out.py"
_PROGRESS: Final = "zetcd/watch/progress.py"

STATE_MACHINE: Final = (
    Mutant(
        "consistent index in another transaction",
        "a crash between the two transactions lets the same entries be executed again",
        (
            Edit(
                _APPLIER,
                "            self.state.consistent_index = fresh[-1].index\n"
                "            self.state.applied_term = fresh[-1].term\n"
                "            save_state(transaction, self.state)\n"
                "        output.counts.entries",
                "            save_state(transaction, self.state)\n"
                "        self.state.consistent_index = fresh[-1].index\n"
                "        self.state.applied_term = fresh[-1].term\n"
                "        with self._backend.write() as transaction:\n"
                "            save_state(transaction, self.state)\n"
                "        output.counts.entries",
            ),
        ),
    ),
    Mutant(
        "entries applied twice after a restart",
        "what the store already holds is not skipped when raft hands it out again",
        (
            Edit(_APPLIER, "            skipped += 1\n", "            pass\n"),
            Edit(
                _APPLIER,
                "            if entry.index != applied + offset:\n",
                "            if entry.index > applied + offset:\n",
            ),
        ),
        NamedTests(
            ("tests/unit/apply/test_applier.py",),
            "raft hands out again only what apply has not said to have",
        ),
    ),
    Mutant(
        "failed compare changes something",
        "the wrong branch of a transaction is executed",
        (
            Edit(
                "zetcd/apply/batch_execution.py",
                "        path = choose_path(view, request)\n",
                "        path = choose_path(view, request)._replace(succeeded=True)\n",
            ),
        ),
    ),
    Mutant(
        "compaction drops a watched tombstone",
        "the deletion at the very revision that history is kept from is removed",
        (
            Edit(
                "zetcd/mvcc/compaction.py",
                "if flags & TOMBSTONE and main < revision:",
                "if flags & TOMBSTONE:",
            ),
        ),
        Seeds(count=150),
    ),
    Mutant(
        "tombstone of an unfinished compaction forgotten",
        "the next compaction takes over behind a tombstone that was kept, and never looks at it again",
        (
            Edit(
                "zetcd/mvcc/compaction.py",
                "    if state.compact_next_main == state.compact_revision:\n"
                "        state.compact_next_sub = 0\n",
                "",
            ),
        ),
        NamedTests(
            ("tests/unit/mvcc/test_compaction.py",),
            "takes a compaction while another one stands at a tombstone; one seed in some hundreds has it",
        ),
    ),
    Mutant(
        "watcher moved past a compaction",
        "a watcher whose history is gone goes on behind the gap instead of being told",
        (
            Edit(
                _CATCH_UP,
                "            cancel_compacted(self._hub, watcher, compact_revision)\n"
                "            return False",
                "            watcher.next_revision = compact_revision",
            ),
        ),
        Seeds(count=150),
    ),
    Mutant(
        "progress ahead of events",
        "a watcher that is still being caught up is told that it has everything",
        (
            Edit(
                _PROGRESS,
                "    if had_events or watcher.state is not WatcherState.SYNCED:\n        return\n",
                "",
            ),
            Edit(
                _PROGRESS,
                "if watcher.stream.can_send_events() and is_complete_at(watcher, hub.revision):",
                "if watcher.stream.can_send_events():",
            ),
        ),
        NamedTests(
            ("tests/datadriven/test_watch.py",),
            "takes a watcher that is being caught up when progress is told",
        ),
    ),
    Mutant(
        "event lost where catching up ends",
        "the first revision behind a window that was read from the store is skipped",
        (
            Edit(
                _CATCH_UP,
                "watcher.next_revision = stopped.get(watcher, reached + 1)",
                "watcher.next_revision = stopped.get(watcher, reached + 2)",
            ),
        ),
    ),
    Mutant(
        "event delivered twice",
        "a synced watcher gets what it had read from the store once more",
        (
            Edit(
                _HAND_OUT,
                "        if watcher.next_revision > self._first:\n",
                "        if watcher.next_revision < 0:\n",
            ),
        ),
    ),
    Mutant(
        "gap between batches not noticed",
        "watch takes a batch that does not follow the one before it",
        (
            Edit(
                _HAND_OUT,
                "if not is_complete or hub.queue_bytes",
                "if hub.queue_bytes",
            ),
        ),
    ),
    Mutant(
        "credit ignored",
        "events of a watcher that ran out of credit are dropped",
        (
            Edit(
                _HAND_OUT,
                "        watcher.next_revision = hub.revision + 1\n"
                "        hub.withhold(watcher, chunks[sent:], now)",
                "        watcher.next_revision = hub.revision + 1\n        hub.settle(watcher)",
            ),
        ),
        NamedTests(
            ("tests/datadriven/test_watch.py", "tests/property/test_hub.py"),
            "simulated watchers give credit for all that they are sent",
        ),
    ),
    Mutant(
        "store behind raft believed",
        "entries are handed to an apply that was restarted without asking where it stands",
        (
            Edit(
                "zetcd/raft/applying.py",
                "    log.applied = state.applied_index\n    log.applying = state.applied_index\n",
                "    log.applied = state.applied_index\n",
            ),
        ),
    ),
)
