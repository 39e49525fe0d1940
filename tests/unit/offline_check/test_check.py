"""`check_member` says of whole directories that they are well, and finds every damage."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.offline_check.member_files import MEMBER_ID, MemberFiles, entry, history
from zetcd.check_command import check_command
from zetcd.errors import DataDirMismatch, ExitCode
from zetcd.messages.kv import CompactionRequest, PutRequest
from zetcd.mvcc.backend import Table
from zetcd.mvcc.record import pack_header
from zetcd.mvcc.revision import pack_key
from zetcd.offline_check import CheckOptions, Verdict, check_member

ENTRIES = history()
LAST = len(ENTRIES)


@pytest.fixture
def files(tmp_path: Path) -> MemberFiles:
    """Return a member whose store has applied its whole log."""
    files = MemberFiles(tmp_path)
    files.write_log(ENTRIES, commit=LAST)
    files.write_store(ENTRIES)
    return files


def test_a_member_that_is_well_passes_in_every_part(files: MemberFiles) -> None:
    report = check_member(files.paths)
    assert report.verdict is Verdict.OK, report
    assert report.member_id == f"{MEMBER_ID:016x}"
    names = [part.name for part in report.parts]
    tables = [f"table {table.name.lower()}" for table in Table]
    assert names == ["log", "store", "hash", *tables, "replay"]
    assert report.part("log").facts["last_index"] == LAST
    assert report.part("log").facts["segments"] == len(files.segments()) > 1
    assert report.part("table rev").facts["keys"] == 44
    assert report.part("hash").facts["hash"] == report.part("replay").facts["hash"]


def test_nothing_is_written(files: MemberFiles) -> None:
    (files.paths.store_dir / "lock.mdb").unlink(missing_ok=True)
    before = files.contents()
    check_member(files.paths)
    assert files.contents() == before


def test_progress_is_told_and_ends_where_it_said(checkpointed: MemberFiles) -> None:
    told: dict[str, tuple[int, int]] = {}

    def note(what: str, done: int, total: int) -> None:
        told[what] = (done, total)

    check_member(checkpointed.paths, CheckOptions(progress=note))
    assert list(told) == [
        "log segments",
        "checkpoint bytes",
        "store pages",
        "replayed entries",
        "compared tables",
    ]
    for what in ("log segments", "store pages", "replayed entries", "compared tables"):
        assert told[what][0] == told[what][1], what


def test_a_changed_value_is_named(files: MemberFiles) -> None:
    record = pack_header(2, 2, 0, 0, 1) + b"a" + b"tampered"
    files.put_into_store(Table.REV, pack_key(5, 0), record)
    report = check_member(files.paths)
    assert report.verdict is Verdict.CORRUPT
    assert report.part("hash").verdict is Verdict.CORRUPT
    part = report.part("table rev")
    assert part.facts["differences"] == 1
    (difference,) = part.differences
    assert difference.startswith("revision 5.0: store has put of 'a' version 2")
    assert "8 bytes" in difference
    assert "log says put of 'a' version 2" in difference
    assert "tampered" not in difference


def test_a_lost_record_an_invented_one_and_a_lease_are_found(files: MemberFiles) -> None:
    files.put_into_store(Table.REV, pack_key(10, 0), None)
    files.put_into_store(Table.LEASE, (9).to_bytes(8, "big"), b"\0" * 16)
    files.put_into_store(Table.MEMBER, MEMBER_ID.to_bytes(8, "big"), None)
    files.put_into_store(Table.ALARM, b"x", b"y")
    report = check_member(files.paths)
    corrupt = [part.name for part in report.parts if part.verdict is Verdict.CORRUPT]
    assert corrupt == ["hash", "table rev", "table lease", "table member", "table alarm"]
    assert report.part("table rev").differences[0].startswith("revision 10.0: store has nothing")
    assert "log says nothing" in report.part("table lease").differences[0]


def test_only_the_first_differences_are_spelled_out(files: MemberFiles) -> None:
    for revision in range(10, 30):
        files.put_into_store(Table.REV, pack_key(revision, 0), b"garbage")
    part = check_member(files.paths).part("table rev")
    assert part.facts["differences"] == 20
    assert len(part.differences) == 5
    assert "unreadable" in part.differences[0]


def test_a_store_behind_the_log_is_compared_where_it_is(tmp_path: Path) -> None:
    files = MemberFiles(tmp_path)
    files.write_log(ENTRIES, commit=LAST)
    files.write_store(ENTRIES[:20])
    report = check_member(files.paths)
    assert report.verdict is Verdict.OK, report
    assert f"{LAST - 20} committed entries behind the log" in report.part("store").summary
    assert report.part("replay").facts["index"] == LAST


def test_what_is_applied_is_committed_also_where_the_log_does_not_say_so(tmp_path: Path) -> None:
    files = MemberFiles(tmp_path)
    files.write_log(ENTRIES, commit=10)
    files.write_store(ENTRIES)
    report = check_member(files.paths)
    assert report.verdict is Verdict.OK, report
    assert report.part("replay").facts["index"] == LAST


def ahead(tmp_path: Path) -> MemberFiles:
    """Return a member whose apply was ahead of its log, with a compaction in what is missing."""
    files = MemberFiles(tmp_path)
    files.write_log(ENTRIES, commit=LAST)
    more = [entry(LAST + 1, PutRequest(b"a", b"new")), entry(LAST + 2, CompactionRequest(20))]
    files.write_store([*ENTRIES, *more])
    return files


def test_a_store_ahead_of_the_log_is_compared_as_far_as_the_log_goes(tmp_path: Path) -> None:
    report = check_member(ahead(tmp_path).paths)
    assert report.verdict is Verdict.OK, report
    assert "ahead of the log" in report.part("store").summary
    assert [part.name for part in report.parts] == ["log", "store", "hash", "table rev", "replay"]


def test_a_difference_in_a_store_ahead_of_the_log_is_found(tmp_path: Path) -> None:
    files = ahead(tmp_path)
    files.put_into_store(Table.REV, pack_key(30, 0), None)
    report = check_member(files.paths)
    assert report.part("hash").verdict is Verdict.CORRUPT
    assert report.part("table rev").differences[0].startswith("revision 30.0: store has nothing")


def test_an_unfinished_compaction_is_no_difference(tmp_path: Path) -> None:
    files = MemberFiles(tmp_path)
    files.write_log(ENTRIES, commit=LAST)
    files.write_store(ENTRIES, compacts=False)
    before = files.contents()
    assert check_member(files.paths).verdict is Verdict.OK
    assert files.contents() == before


def test_an_entry_applied_with_another_term_than_was_committed(tmp_path: Path) -> None:
    files = MemberFiles(tmp_path)
    files.write_log(ENTRIES, commit=LAST)
    other = [*ENTRIES[:-1], entry(LAST, PutRequest(b"other"), term=2)]
    files.write_store(other)
    report = check_member(files.paths)
    assert report.verdict is Verdict.CORRUPT
    assert f"applied index {LAST} with term 2" in report.part("comparison").summary


@pytest.mark.parametrize("segment", [0, 1])
def test_a_flipped_bit_in_the_log(files: MemberFiles, segment: int) -> None:
    files.flip_bit(files.segments()[segment], 1000)
    report = check_member(files.paths)
    assert report.verdict is Verdict.CORRUPT
    part = report.part("log")
    assert part.verdict is Verdict.CORRUPT
    assert files.segments()[segment].name in part.summary
    with pytest.raises(KeyError):
        report.part("replay")


def test_a_missing_segment(files: MemberFiles) -> None:
    files.segments()[1].unlink()
    part = check_member(files.paths).part("log")
    assert part.verdict is Verdict.CORRUPT
    assert "segment 1 is missing" in part.summary


@pytest.fixture
def checkpointed(tmp_path: Path) -> MemberFiles:
    """Return a member with two checkpoints, whose log begins after the first entries."""
    files = MemberFiles(tmp_path)
    files.write_checkpoint(ENTRIES[:20])
    # Fetched from another member.
    files.write_checkpoint(ENTRIES[:30], member_id=0xB2)
    files.write_log(ENTRIES, commit=LAST, marks=[20, 30], released=20)
    files.write_store(ENTRIES)
    assert len(files.segments()) < 4
    return files


def test_the_newest_checkpoint_and_the_log_lead_to_the_store(checkpointed: MemberFiles) -> None:
    before = checkpointed.contents()
    report = check_member(checkpointed.paths)
    assert report.verdict is Verdict.OK, report
    assert checkpointed.contents() == before
    names = [part.name for part in report.parts[:4]]
    assert names == ["log", "checkpoint 20", "checkpoint 30", "store"]
    assert report.part("log").facts["checkpoint_mark"] == 30
    assert report.part("replay").facts["from_index"] == 30
    oldest = check_member(checkpointed.paths, CheckOptions(prefers_oldest=True))
    assert oldest.part("replay").facts["from_index"] == 20
    assert oldest.verdict is Verdict.OK


@pytest.mark.parametrize("offset", [5000, -10, -70])
def test_a_flipped_bit_in_a_checkpoint(checkpointed: MemberFiles, offset: int) -> None:
    newest = max(checkpointed.paths.checkpoint_dir.iterdir())
    checkpointed.flip_bit(newest, offset % newest.stat().st_size)
    report = check_member(checkpointed.paths)
    assert report.part("checkpoint 30").verdict is Verdict.CORRUPT
    # The log says that there is one at 30, and the one before it is too old for that.
    assert report.part("checkpoint 30 or newer").verdict is Verdict.CORRUPT
    assert report.part("replay").facts["from_index"] == 20
    assert report.part("table rev").verdict is Verdict.OK


def test_a_change_from_before_the_checkpoint_is_found_too(checkpointed: MemberFiles) -> None:
    checkpointed.put_into_store(Table.REV, pack_key(10, 0), None)
    part = check_member(checkpointed.paths).part("table rev")
    assert part.differences[0].startswith("revision 10.0: store has nothing")


def test_checkpoints_beside_a_damaged_log_are_verified(checkpointed: MemberFiles) -> None:
    checkpointed.flip_bit(checkpointed.segments()[-1], 700)
    report = check_member(checkpointed.paths)
    assert report.part("log").verdict is Verdict.CORRUPT
    assert report.part("checkpoint 30").verdict is Verdict.OK


def test_lost_checkpoints_are_missed(checkpointed: MemberFiles) -> None:
    for path in checkpointed.paths.checkpoint_dir.iterdir():
        path.unlink()
    report = check_member(checkpointed.paths)
    assert report.part("checkpoint 30 or newer").verdict is Verdict.CORRUPT
    assert "no checkpoint leads up to it" in report.part("replay").summary


def test_a_log_that_begins_late_without_a_checkpoint(files: MemberFiles) -> None:
    files.segments()[0].unlink()
    assert check_member(files.paths).verdict is Verdict.CORRUPT


def test_a_store_that_a_start_would_discard_is_not_passed(files: MemberFiles) -> None:
    (files.paths.store_dir / "trust").write_text("another boot")
    report = check_member(files.paths)
    assert report.verdict is Verdict.SKIPPED
    assert report.part("replay").verdict is Verdict.OK


def test_a_store_file_that_was_cut_short(files: MemberFiles) -> None:
    path = files.paths.store_dir / "data.mdb"
    os.truncate(path, 8192)
    report = check_member(files.paths)
    assert report.part("store").verdict is Verdict.CORRUPT
    assert report.part("replay").verdict is Verdict.OK


def test_a_log_that_makes_no_sense(tmp_path: Path) -> None:
    files = MemberFiles(tmp_path)
    broken = entry(LAST + 1)
    files.write_log([*ENTRIES, type(broken)(broken.type, 1, LAST + 1, b"\xc1")], commit=LAST + 1)
    files.write_store(ENTRIES)
    report = check_member(files.paths)
    assert report.part("replay").verdict is Verdict.CORRUPT
    assert f"entry {LAST + 1} cannot be decoded" in report.part("replay").summary


@pytest.mark.parametrize("directory", ["data_dir", "wal_dir"])
def test_a_member_that_runs_is_refused(files: MemberFiles, directory: str) -> None:
    path: Path = getattr(files.paths, directory) / "lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(DataDirMismatch, match="in use"):
            check_member(files.paths)


def test_a_directory_without_a_log_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(DataDirMismatch, match="no log"):
        check_member(MemberFiles(tmp_path).paths)


def test_the_command_prints_a_table(files: MemberFiles) -> None:
    done = CliRunner().invoke(check_command, ["--data-dir", str(files.paths.data_dir)])
    assert done.exit_code == ExitCode.OK, done.output
    assert "table lease_keys" in done.output
    assert f"entries 1 to {LAST}" in done.output


def test_the_command_prints_json_and_its_own_code_for_corruption(files: MemberFiles) -> None:
    files.put_into_store(Table.REV, pack_key(10, 0), None)
    done = CliRunner().invoke(check_command, ["--json", "--data-dir", str(files.paths.data_dir)])
    assert done.exit_code == ExitCode.CORRUPTION
    report = json.loads(done.stdout)
    assert report["verdict"] == "corrupt"
    assert {part["verdict"] for part in report["parts"]} == {"ok", "corrupt"}


def test_the_command_says_why_it_cannot_check(tmp_path: Path) -> None:
    done = CliRunner().invoke(check_command, ["--data-dir", str(tmp_path)])
    assert done.exit_code == ExitCode.DATA_DIR
    assert "cannot check: there is no log" in done.stderr
