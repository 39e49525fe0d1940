"""Planted bugs: the log on disk, recovery, and the messages between the actors of a node."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Edit, Mutant, NamedTests

_BATCH: Final = "zetcd/wal/batch.py"
_LOG_SCAN: Final = "zetcd/runtime/log_scan.py"
_LOG_STORAGE: Final = "zetcd/runtime/log_storage.py"
_MAILBOX: Final = "zetcd/runtime/mailbox.py"
_RUNTIME_DIRECTORY: Final = "zetcd/runtime/runtime_directory.py"
_WAL_ACTOR: Final = "zetcd/actors/wal_actor.py"

DURABILITY: Final = (
    Mutant(
        "acknowledge before fdatasync",
        "wal releases the answers as soon as the batch is written",
        (
            Edit(
                _WAL_ACTOR,
                "        if self._storage.write(group):\n            started",
                "        is_due = self._storage.write(group)\n"
                "        is_urgent = self._release(group)\n"
                "        if is_due:\n            started",
            ),
            Edit(_WAL_ACTOR, "        if self._release(group):\n", "        if is_urgent:\n"),
        ),
    ),
    Mutant(
        "no fdatasync",
        "the log is written and never synced",
        (
            Edit(
                _LOG_STORAGE,
                "        self._sync(self._current_file())\n        self._is_sync_due = False",
                "        self._is_sync_due = False",
            ),
        ),
    ),
    Mutant(
        "fdatasync tried again",
        "a failed fdatasync is repeated; the second one succeeds and has written nothing",
        (
            Edit(
                _LOG_STORAGE,
                "            file.fdatasync()\n"
                "        except OSError as error:\n"
                "            self._fail(error)",
                "            file.fdatasync()\n"
                "        except OSError:\n"
                "            file.fdatasync()",
            ),
        ),
    ),
    Mutant(
        "incarnation not durable",
        "a number is given out that may be given out again after the power failed",
        (Edit(_RUNTIME_DIRECTORY, "        os.fdatasync(self._counter)\n", ""),),
        NamedTests(
            ("tests/unit/runtime/test_runtime_directory.py",),
            "the simulator numbers its processes itself",
        ),
    ),
    Mutant(
        "recovery believes the page cache",
        "what was written and never synced is read after a restart and counts as durable",
        (
            Edit(
                _LOG_SCAN,
                "                    file.fdatasync()\n                    file.drop_cache()\n",
                "                    pass\n",
            ),
        ),
    ),
    Mutant(
        "new segment not synced",
        "a segment gets its name before its content is durable",
        (
            Edit(
                _LOG_STORAGE,
                "        self._sync(self._file)\n        self._filesystem.rename(",
                "        self._filesystem.rename(",
            ),
        ),
    ),
    Mutant(
        "directory not synced",
        "the name of a new segment is not made durable",
        (
            Edit(
                _LOG_STORAGE,
                "        self._sync_directory()\n        self._segments[number] = segment",
                "        self._segments[number] = segment",
            ),
        ),
    ),
    Mutant(
        "torn batch accepted",
        "the checksum of a batch's body is not looked at",
        (
            Edit(
                _BATCH,
                "if google_crc32c.extend(cursor.chain, body) != header.chain "
                "or body[-8:] != END_MARK:",
                "if not body:",
            ),
        ),
        NamedTests(
            ("tests/unit/runtime/test_log_storage.py",),
            "a disk tears the very batch that was the last one in one of some 150 clusters",
        ),
    ),
    Mutant(
        "damaged log is cut",
        "a damaged batch that was durable is taken for a torn one",
        (
            Edit(
                _LOG_SCAN,
                "            raise self.error(verdict.reason)\n        return verdict",
                "            return TailVerdict(Tail.TORN, verdict.reason, len(rest))\n"
                "        return verdict",
            ),
        ),
        NamedTests(
            ("tests/unit/runtime/test_log_storage.py", "tests/property/test_wal_recovery.py"),
            "simulated disks lose pages and do not damage them",
        ),
    ),
    Mutant(
        "torn batch not zeroed",
        "recovery goes on writing over a torn batch without wiping it",
        (
            Edit(
                _LOG_STORAGE,
                "            self._zero(end.cursor.offset, end.verdict.dirty_bytes)\n",
                "",
            ),
        ),
        NamedTests(
            ("tests/unit/runtime/test_log_storage.py", "tests/property/test_wal_recovery.py"),
            "takes a torn batch, a shorter one in its place, and another crash",
        ),
    ),
    Mutant(
        "receiver's incarnation not checked",
        "a message that was meant for an earlier incarnation of an actor is acted upon",
        (
            Edit(
                _MAILBOX,
                "if meant_for == self.incarnation and type(message) is not Hello:",
                "if type(message) is not Hello:",
            ),
            Edit(
                _MAILBOX, "        return meant_for == self.incarnation\n", "        return True\n"
            ),
        ),
        NamedTests(
            ("tests/unit/runtime/test_mailbox.py",),
            "what an old message could spoil is mostly told anew by the resync that follows",
        ),
    ),
    Mutant(
        "sender's incarnation not checked",
        "the results of a batch go to whoever now is in the place of its proposer",
        (
            Edit(
                "zetcd/actors/apply_actor.py",
                "if self.mailbox.incarnation_of(to) == origin.incarnation:",
                "if True:",
            ),
        ),
        NamedTests(
            ("tests/unit/actors/test_apply_actor.py",),
            "takes two gateways with a batch of the same number: one of several hundred clusters",
        ),
    ),
)
