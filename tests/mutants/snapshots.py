"""Planted bugs: checkpoints, marks, release of the log, snapshots to peers, restoring."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Edit, Mutant, NamedTests, Seeds

_APPLY_ACTOR: Final = "zetcd/actors/apply_actor.py"
_CHECKPOINTER: Final = "zetcd/actors/checkpointer.py"
_CHECKPOINT_FILES: Final = "zetcd/runtime/checkpoint_files.py"
_FOLLOWER: Final = "zetcd/raft/follower.py"
_INCOMING: Final = "zetcd/runtime/incoming_checkpoint.py"
_LOG_RELEASE: Final = "zetcd/actors/log_release.py"
_STORE_OPENING: Final = "zetcd/actors/store_opening.py"
_WAL_ACTOR: Final = "zetcd/actors/wal_actor.py"

SNAPSHOTS: Final = (
    Mutant(
        "mark before fsync of the checkpoint",
        "a checkpoint gets its name, and is marked, before its content is durable",
        (
            Edit(
                _CHECKPOINT_FILES,
                "        self._file.fdatasync()\n        self._file.close()\n        name = name_of",
                "        self._file.close()\n        name = name_of",
            ),
        ),
    ),
    Mutant(
        "name of a checkpoint not durable",
        "the directory is not synced after the rename, and the log lets go of what the checkpoint stands for",
        (
            Edit(
                _CHECKPOINT_FILES,
                "            self.filesystem.sync_directory(self.directory)\n"
                "        except OSError as error:",
                "            pass\n        except OSError as error:",
            ),
        ),
    ),
    Mutant(
        "log released before the mark is durable",
        "the segments go as soon as the mark is written, before its fdatasync",
        (
            Edit(
                _WAL_ACTOR,
                "        if self._storage.write(group):\n            started",
                "        if self._storage.write(group):\n"
                "            marked = self._storage.snapshot.index\n"
                "            while self._storage.release(marked):\n"
                "                pass\n"
                "            started",
            ),
        ),
        Seeds(count=150),
    ),
    Mutant(
        "install without digest check",
        "a snapshot is taken for whole because all of its bytes have come",
        (
            Edit(
                _CHECKPOINT_FILES,
                "        elif self._offset < self._end or self._digest.digest() != self._info.digest:",
                "        elif self._offset < self._end:",
            ),
        ),
        NamedTests(
            ("tests/unit/runtime/test_checkpoint_files.py",),
            "a chunk that is damaged on the way is rare, and more often no message any more",
        ),
    ),
    Mutant(
        "snapshot that is here taken unseen",
        "a member begins its log anew with a checkpoint of the right name, which the disk has damaged",
        (
            Edit(
                "zetcd/actors/snapshot_transfer.py",
                "            self._present = _Present(offer, self._files.verification(name))\n",
                "            self._files.verification(name).close()\n"
                "            self._send_to_raft(SnapshotFetched(offer))\n",
            ),
        ),
        NamedTests(
            ("tests/unit/actors/test_snapshot_transfer.py",),
            "the simulator's disks damage no checkpoints",
        ),
    ),
    Mutant(
        "snapshot's ConfState forgotten",
        "a member that installs a snapshot goes on with the membership of its old log",
        (
            Edit(
                _FOLLOWER,
                "        r.conf_index = snapshot.index\n"
                "        membership.switch_to(r, snapshot.conf_state)\n",
                "        r.conf_index = snapshot.index\n",
            ),
        ),
        Seeds(count=150),
    ),
    Mutant(
        "consistent index taken after the copy",
        "a checkpoint says that it is as far as the store was when the copy had been written",
        (
            Edit(
                _CHECKPOINT_FILES,
                "            tables = self._source.describe(self._path)\n",
                "            tables = self._source.describe(self._path)\n"
                "            import zetcd.mvcc.state as late\n"
                "            from msgspec.structs import replace\n"
                "            with self._source.read() as transaction:\n"
                "                state = late.load_state(transaction)\n"
                "            tables = tables._replace(snapshot=replace(tables.snapshot, "
                "index=state.consistent_index, term=state.applied_term))\n",
            ),
        ),
    ),
    Mutant(
        "watch keeps the old store open",
        "after an install, or a restart of apply, watch reads a file that nobody writes any more",
        (
            Edit(
                "zetcd/actors/watch_actor.py",
                "            self._release_store()\n"
                '            self._open_store_at = float("inf")\n'
                "        elif neighbour.role in GATEWAY_ROLES:\n",
                "            self._history.release()\n"
                "        elif neighbour.role in GATEWAY_ROLES:\n",
            ),
        ),
        Seeds(count=150),
    ),
    Mutant(
        "copy goes on after its store was closed",
        "a checkpoint is copied from pages that are used again, because apply was restarted meanwhile",
        (
            Edit(
                _CHECKPOINTER,
                "        if self._draft is not None and self._draft.is_copying:\n"
                "            self._draft.close()\n"
                "            self._draft = None\n\n"
                "    def log_size(",
                "        return\n\n    def log_size(",
            ),
        ),
        NamedTests(
            ("tests/unit/actors/test_checkpointer.py",),
            "pages are not simulated: tables in memory stay what they were",
        ),
    ),
    Mutant(
        "marked checkpoint removed",
        "a checkpoint that the log counts on goes as soon as there is a newer one",
        (
            Edit(
                _CHECKPOINT_FILES,
                "        marked = [name for name in self.names() if name.index <= marked_index]\n",
                "        marked = list(self.names())\n        keep = 1\n",
            ),
        ),
        NamedTests(
            ("tests/unit/runtime/test_checkpoint_files.py",),
            "nothing is missed unless the newest one is damaged, which the simulator does not do",
        ),
    ),
    Mutant(
        "fetched snapshot not synced",
        "a snapshot gets its name, and raft hears of it, before its content is durable",
        (
            Edit(
                _INCOMING,
                "        self._file.fdatasync()\n        self.close()\n",
                "        self.close()\n",
            ),
        ),
        Seeds(count=150),
    ),
    Mutant(
        "snapshot not loaded",
        "apply goes on with its old store although raft begins behind the snapshot",
        (
            Edit(
                _APPLY_ACTOR,
                "        if not self.is_running or snapshot.index <= applied:\n",
                "        if self.is_running or snapshot.index <= applied:\n",
            ),
        ),
        Seeds(count=150),
    ),
    Mutant(
        "clean mark without a sync",
        "a store is vouched for that was never written to the disk",
        (Edit(_APPLY_ACTOR, "                self._backend.sync()\n", "                pass\n"),),
        NamedTests(
            ("tests/unit/actors/test_apply_actor.py",),
            "takes a stop in good order and a power loss before the system writes back",
        ),
    ),
    Mutant(
        "store believed before it is adopted",
        "a process dies after it has restored another member's checkpoint, and the next finds a store that is "
        "not its own",
        (
            Edit(
                _STORE_OPENING,
                "        restored.append(name)\n",
                "        restored.append(name)\n        return\n",
            ),
            Edit(
                _STORE_OPENING,
                "    backend = open_tables(directory)\n",
                "    backend = open_tables(directory)\n"
                "    if restored:\n"
                "        adopt(backend, Identity(config.cluster_id(), config.member_id()))\n",
            ),
        ),
        NamedTests(
            ("tests/unit/actors/test_store_opening.py",),
            "takes a death between two transactions right after an install; one seed in some hundreds has it",
        ),
    ),
    Mutant(
        "log released without a catch-up window",
        "the log keeps nothing behind the newest mark for those who are a little behind",
        (
            Edit(
                _LOG_RELEASE,
                "        index = min(storage.snapshot.index, self._kept_index) - self._options.catchup_entries\n",
                "        index = min(storage.snapshot.index, self._kept_index)\n",
            ),
        ),
        NamedTests(
            ("tests/unit/actors/test_wal_actor.py",),
            "costs a snapshot where entries would do, and breaks no promise",
        ),
    ),
    Mutant(
        "resumed snapshot read from the cache",
        "what a failed sync has lost is verified in the cache and taken for durable",
        (
            Edit(
                _INCOMING,
                "        self._file.fdatasync()\n        self._file.drop_cache()\n",
                "",
            ),
        ),
        NamedTests(
            ("tests/unit/runtime/test_incoming_checkpoint.py",),
            "takes a sync that fails at the very end of a transfer, and another power loss",
        ),
    ),
    Mutant(
        "name that an earlier process has left not synced",
        "a process dies between the rename of a checkpoint and the sync, the next one takes it for durable",
        (
            Edit(
                _CHECKPOINT_FILES,
                "        # An earlier process may have died between a rename and this.\n"
                "        self.filesystem.sync_directory(self.directory)\n",
                "",
            ),
        ),
        NamedTests(
            ("tests/unit/runtime/test_checkpoint_files.py",),
            "takes a death between two calls, and a power loss before anything else is synced there",
        ),
    ),
    Mutant(
        "log released behind a snapshot on its way",
        "the leader's log goes up to the newest checkpoint while a member is being sent an older one",
        (
            Edit(
                "zetcd/raft/log_hold.py",
                "    return min([r.snapshot.index, *held])\n",
                "    return r.snapshot.index\n",
            ),
        ),
        NamedTests(
            ("tests/unit/raft/test_log_hold.py",),
            "costs another snapshot, and breaks no promise unless it happens for ever",
        ),
    ),
    Mutant(
        "log released below the newest checkpoint",
        "the older of the kept checkpoints is of no use: the log between the two is gone",
        (
            Edit(
                _CHECKPOINT_FILES,
                "        return whole[-keep] if len(whole) >= keep else None\n",
                "        return whole[-1] if whole else None\n",
            ),
        ),
        NamedTests(
            ("tests/unit/actors/test_checkpointer.py",),
            "nothing is missed unless the newest one is damaged, which the simulator does not do",
        ),
    ),
)
