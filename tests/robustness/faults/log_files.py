"""Responsible for rows 14 to 16: what a crash or a bad disk does to the log files of a stopped member.

The cluster is loaded and stopped; then the real log of one member is damaged in a copy, again and again,
and recovered each time. What recovery returns is compared with what was there before.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.robustness.arena import ArenaNode, ArenaSetting
from tests.robustness.checkers.hygiene import SECRET
from tests.robustness.checkers.replay import check_replay
from tests.robustness.faults.fault import Fault, Stage
from zetcd.config import Config
from zetcd.errors import ExitCode, WalCorruption
from zetcd.messages.raft import LogEntry
from zetcd.mvcc.hash import HashKV
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.log_scan import BatchFound, LogScan, SegmentBegin, SegmentEnd
from zetcd.runtime.log_storage import LogOptions, open_log
from zetcd.wal.segment import SECTOR_BYTES, SEGMENT_HEADER_BYTES

#: A segment of this size is read in a moment, and holds what a round writes.
_SEGMENTS: Final = "[wal]\nsegment-bytes = 4194304\n"
_TAIL_BYTES: Final = 64 * 1024
#: Positions tried of each kind; every byte and every bit is left to the tests of the log itself.
_CUTS: Final = 120
_SUBSET_SECTORS_MAX: Final = 8
_SUBSETS: Final = 256
_FLIPS: Final = 100
_STORE_FLIPS: Final = 12


@dataclass(frozen=True, slots=True)
class _Batch:
    """Where one batch of the last segment is, and where the log ends with it."""

    offset: int
    end: int
    last_index: int


class _LogCopy:
    """The last segment of a copied log: damaged, recovered, and put back as it was."""

    def __init__(self, config: Config, directory: Path) -> None:
        shutil.copytree(config.wal_dir, directory)
        self._directory = directory
        self._options = LogOptions(config.cluster_id(), config.member_id())
        self.batches: list[_Batch] = []
        self._entries: tuple[LogEntry, ...] = ()
        name = ""
        for event in LogScan(OSFileSystem(), str(directory)).events():
            if isinstance(event, SegmentBegin):
                self.batches.clear()
                name = event.header.name
            elif isinstance(event, BatchFound):
                header = event.batch.header
                end = header.offset + header.length
                self.batches.append(_Batch(header.offset, end, header.last_index))
            elif isinstance(event, SegmentEnd):
                assert event.header.name == name
        self._path = directory / name
        self._original = self._path.read_bytes()
        self._entries = self.recover()

    @property
    def end(self) -> int:
        """Where the last batch ends."""
        return self.batches[-1].end

    @property
    def content(self) -> bytes:
        return self._original

    def recover(self) -> tuple[LogEntry, ...]:
        """Recover as the member would; return every entry.

        Raises:
            WalCorruption: the log is refused.
        """
        log = open_log(OSFileSystem(), str(self._directory), self._options)
        try:
            return log.read(log.first_index, log.last_index + 1, 1 << 40)
        finally:
            log.close()

    def damage(self, content: bytes) -> None:
        """Let the last segment have this content."""
        self._path.write_bytes(content)

    def entries_up_to(self, index: int) -> tuple[LogEntry, ...]:
        return tuple(entry for entry in self._entries if entry.index <= index)

    def last_index_before(self, offset: int) -> int:
        """Return where the log ends if only what is before ``offset`` is there."""
        return max((each.last_index for each in self.batches if each.end <= offset), default=0)


class _LogFault(Fault):
    """What the faults of log files share."""

    def setting(self, directory: Path) -> ArenaSetting:
        return ArenaSetting(extra=_SEGMENTS)

    def inject(self, stage: Stage) -> None:
        """Nothing yet: the files are damaged after the end."""
        stage.hold(1.0)

    def after_stop(self, stage: Stage) -> None:
        node = stage.rng.choice(stage.arena.arena_nodes)
        # Hundreds of recoveries sync, which memory does at once.
        memory = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
            copy = _LogCopy(node.config, Path(directory) / "log")
            found = list(self.damage(copy, stage))
        stage.complaints += found[:5]
        stage.expect(not found, f"{len(found)} of {stage.strikes} were recovered wrongly")
        stage.note(f"{stage.strikes} damaged logs of {len(copy.batches)} batches")

    def damage(self, copy: _LogCopy, stage: Stage) -> Iterator[str]:
        """Damage the log in many ways; yield what recovery did wrong."""
        raise NotImplementedError


class TornTail(_LogFault):
    """The file ends within its last bytes: what was before is recovered, and nothing else."""

    row = 14
    name = "torn log: cut anywhere in the last 64 KiB"

    def damage(self, copy: _LogCopy, stage: Stage) -> Iterator[str]:
        # What precedes the first batch's end was durable before the segment had its name.
        low = max(copy.batches[0].end, copy.end - _TAIL_BYTES)
        cuts = sorted(stage.rng.sample(range(low, copy.end), min(_CUTS, copy.end - low)))
        last = copy.batches[-1]
        cuts += [last.offset, last.offset + 1, last.offset + 63, last.offset + 64, copy.end - 1]
        for cut in cuts:
            copy.damage(copy.content[:cut])
            stage.strikes += 1
            yield from _compare(copy, f"cut at {cut}", copy.last_index_before(cut))


class LostSectors(_LogFault):
    """Any of the sectors of the last batches, written and not yet synced, is missing."""

    row = 15
    name = "torn log: any subset of the last batch's sectors"

    def damage(self, copy: _LogCopy, stage: Stage) -> Iterator[str]:
        for batch in copy.batches[-1:-21:-1]:
            if batch is copy.batches[0]:
                return
            yield from self._subsets(copy, batch, stage)

    def _subsets(self, copy: _LogCopy, batch: _Batch, stage: Stage) -> Iterator[str]:
        """Let the log end with ``batch``, of which only some sectors have been written."""
        first, last = batch.offset // SECTOR_BYTES, (batch.end - 1) // SECTOR_BYTES
        sectors = list(range(first, last + 1))
        shorter = copy.content[: batch.end].ljust(len(copy.content), b"\0")
        count = min(_SUBSETS, 1 << min(len(sectors), _SUBSET_SECTORS_MAX))
        for number in range(count):
            lost = _lost_sectors(sectors, number, stage.rng)
            content = bytearray(shorter)
            for sector in lost:
                begin = max(sector * SECTOR_BYTES, batch.offset)
                end = min((sector + 1) * SECTOR_BYTES, batch.end)
                content[begin:end] = bytes(end - begin)
            copy.damage(bytes(content))
            stage.strikes += 1
            kept = batch.last_index if not lost else copy.last_index_before(batch.offset)
            yield from _compare(copy, f"without sectors {lost} of {batch}", kept)


def _lost_sectors(sectors: list[int], number: int, rng: random.Random) -> list[int]:
    """Return the subset of that number; of many sectors, any subset."""
    if len(sectors) <= _SUBSET_SECTORS_MAX:
        return [each for bit, each in enumerate(sectors) if number >> bit & 1]
    return [each for each in sectors if rng.random() < 0.5] if number else []


def _compare(copy: _LogCopy, what: str, last_index: int) -> Iterator[str]:
    """Recover, and yield if the result is not the log up to ``last_index``."""
    try:
        found = copy.recover()
    except WalCorruption as error:
        yield f"{what}: refused: {error.detail}"
        return
    expected = copy.entries_up_to(last_index)
    if found != expected:
        yield f"{what}: {len(found)} entries are recovered, {len(expected)} expected"


class FlippedBits(_LogFault):
    """A bit of the log changes: it is noticed, and nothing that was committed is cut off."""

    row = 16
    name = "log: flipped bits"

    def __init__(self) -> None:
        self.expected_log = ("WalCorruption", "CORRUPTION", "Traceback (most")

    def damage(self, copy: _LogCopy, stage: Stage) -> Iterator[str]:
        low, high = SEGMENT_HEADER_BYTES, copy.end
        for _ in range(_FLIPS):
            position, bit = stage.rng.randrange(low, high), stage.rng.randrange(8)
            copy.damage(_flipped(copy.content, position, bit))
            stage.strikes += 1
            try:
                found = copy.recover()
            except WalCorruption:
                continue
            if found != copy.entries_up_to(copy.batches[-1].last_index):
                yield f"bit {bit} of byte {position}: {len(found)} entries are recovered silently"

    def after_stop(self, stage: Stage) -> None:
        super().after_stop(stage)
        node = stage.rng.choice(stage.arena.arena_nodes)
        self._start_damaged(stage, node)

    def _start_damaged(self, stage: Stage, node: ArenaNode) -> None:
        """A real member refuses to start with a damaged log, and starts with the mended one."""
        path = min(Path(node.config.wal_dir).glob("*.wal"))
        content = path.read_bytes()
        position = stage.rng.randrange(SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + 2000)
        path.write_bytes(_flipped(content, position, 3))
        code, said = node.run_refused()
        stage.expect(code == ExitCode.CORRUPTION, f"started with {code} on a damaged log: {said}")
        stage.expect("re-join" in said, "the refusal does not say how to re-join")
        path.write_bytes(content)
        os.sync()
        for each in stage.arena.nodes:
            each.start()
        stage.arena.wait_serving()


def _flipped(content: bytes, position: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 1 << bit
    return bytes(changed)


class FlippedStoreBits(Fault):
    """A bit of a value in the store changes: a check of the stopped member notices."""

    row = 16
    name = "store: flipped bits"

    def inject(self, stage: Stage) -> None:
        """Nothing yet: the files are damaged after the end."""
        stage.hold(1.0)

    def after_stop(self, stage: Stage) -> None:
        node = stage.rng.choice(stage.arena.arena_nodes)
        path = Path(node.config.store_dir()) / "data.mdb"
        content = path.read_bytes()
        right = _hash_of_store(node.config)
        places = _places_of(SECRET.encode(), content)
        noticed = 0
        for position in stage.rng.sample(places, min(_STORE_FLIPS, len(places))):
            path.write_bytes(_flipped(content, position, stage.rng.randrange(8)))
            stage.strikes += 1
            is_noticed = bool([*check_replay(node.config, stage.directory / "scratch")])
            noticed += is_noticed
            # A page that is free, or was left behind by a later version of itself, says nothing.
            is_other = _hash_of_store(node.config) != right
            stage.expect(is_noticed or not is_other, f"byte {position} is wrong, nobody noticed")
        path.write_bytes(content)
        stage.note(f"{noticed} of {stage.strikes} flips were in pages in use")
        stage.expect(noticed > 0, "no flip was noticed")


def _places_of(text: bytes, content: bytes) -> list[int]:
    """Return where ``text`` begins in ``content``."""
    return [match.start() for match in re.finditer(re.escape(text), content)]


def _hash_of_store(config: Config) -> int:
    """Return the hash of the history in a stopped member's store."""
    store = LmdbBackend(Path(config.store_dir()), map_bytes=config.map_bytes(), readonly=True)
    try:
        hashing, result = HashKV(), None
        while result is None:
            with store.read() as transaction:
                result = hashing.step(transaction, records_max=100_000)
        return result.hash
    finally:
        store.close()
