"""`zetcd wal dump` shows the log, verifies it, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from zetcd.errors import ExitCode
from zetcd.messages.codec import encode
from zetcd.messages.kv import PutRequest
from zetcd.messages.node import ActorRole, Origin, ProposalBatch
from zetcd.messages.raft import (
    ConfChange,
    ConfChangeType,
    ConfState,
    EntryType,
    HardState,
    LogEntry,
    SnapshotMetadata,
)
from zetcd.messages.storage import StorageAppend
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.log_storage import LogOptions, open_log
from zetcd.wal_dump import wal_group

SECRET = b"a value of a client"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "wal"
    options = LogOptions(cluster_id=0xC1, member_id=0xA1, segment_bytes=8192)
    storage = open_log(OSFileSystem(), str(path), options)
    change = ConfChange(ConfChangeType.ADD_NODE, 0xA1)
    put = PutRequest(b"k", SECRET)
    batch = ProposalBatch(Origin(1, ActorRole.GATEWAY, 0, 1), 1, (put, put, put))
    storage.append(
        [
            StorageAppend((LogEntry(EntryType.CONF_CHANGE, 1, 1, encode(change)),)),
            StorageAppend((LogEntry(EntryType.NORMAL, 1, 2),), HardState(1, 0xA1, 1)),
        ]
    )
    storage.append(
        [StorageAppend((LogEntry(EntryType.NORMAL, 2, 3, encode(batch)),), HardState(2, 0, 1))]
    )
    storage.append([StorageAppend((LogEntry(EntryType.NORMAL, 2, 4, b"\xc1" * 5000),))])
    storage.append([StorageAppend((LogEntry(EntryType.NORMAL, 2, 5, b"\xc1" * 5000),))])
    storage.append([StorageAppend(snapshot=SnapshotMetadata(2, 1, ConfState((0xA1,))))])
    storage.close()
    return path


def dump(*arguments: object) -> Result:
    return CliRunner().invoke(wal_group, ["dump", *map(str, arguments)])


def test_json_lines_describe_every_record(directory: Path) -> None:
    result = dump(directory, "--json", "--entries")
    assert result.exit_code == 0
    rows = [json.loads(line) for line in result.output.splitlines()]
    kinds = [row["kind"] for row in rows]
    assert kinds.count("segment") == 2
    assert kinds.count("trailer") == 1
    assert kinds.count("checkpoint") == 1
    entries = [row for row in rows if row["kind"] == "entry"]
    assert [(e["index"], e["term"], e["type"]) for e in entries] == [
        (1, 1, "conf_change"),
        (2, 1, "normal"),
        (3, 2, "normal"),
        (4, 2, "normal"),
        (5, 2, "normal"),
    ]
    assert [e.get("requests") for e in entries] == [None, 0, 3, "unknown", "unknown"]
    assert entries[0]["node"] == "a1"
    assert rows[-1]["kind"] == "summary"
    assert rows[-1]["verified"] == "ok"
    assert (rows[-1]["last_index"], rows[-1]["commit"]) == (5, 1)


def test_the_text_shows_no_values_of_clients(directory: Path) -> None:
    result = dump(directory, "--entries")
    assert result.exit_code == 0
    assert "requests=3" in result.output
    assert SECRET.decode() not in result.output


def test_a_data_directory_is_accepted_too(directory: Path) -> None:
    assert dump(directory.parent).output == dump(directory).output


def test_a_torn_batch_is_reported_and_left_alone(directory: Path) -> None:
    last = max(directory.glob("*.wal"))
    used = len(last.read_bytes().rstrip(b"\0"))
    with last.open("r+b") as file:
        file.truncate(used - 20)
    before = last.read_bytes()
    result = dump(directory)
    assert result.exit_code == 0
    assert "torn and would be cut" in result.output
    assert last.read_bytes() == before


def test_corruption_has_its_exit_code_and_says_where(directory: Path) -> None:
    first = min(directory.glob("*.wal"))
    content = bytearray(first.read_bytes())
    content[content.index(SECRET)] ^= 1
    first.write_bytes(content)
    result = dump(directory)
    assert result.exit_code == ExitCode.CORRUPTION
    assert f"segment {first.name}, offset 832, index 3" in result.output
    assert "conf" not in result.output
    assert first.read_bytes() == content


def test_an_empty_directory_is_no_error(tmp_path: Path) -> None:
    result = dump(tmp_path)
    assert result.exit_code == 0
    assert "no segments" in result.output
