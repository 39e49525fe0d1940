"""zetcdutl on files: status, restore, import, export, defrag, and everything it must refuse."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.unit.etcd_snapshot.stores import History, exported, sample
from zetcd.config.loading import config_from_table
from zetcd.errors import ExitCode
from zetcd.mvcc.backend import MULTI_VALUE_TABLES, Table
from zetcd.mvcc.state import load_state, save_state
from zetcd.mvcc.view import View
from zetcd.runtime import lmdb_trust
from zetcd.runtime.checkpoint_files import CheckpointFiles
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.log_storage import LogOptions, open_log
from zetcd.utl.main import run

MAP_BYTES = 1 << 28
CLUSTER = "a=tcp://127.0.0.1:1,b=tcp://127.0.0.1:2,c=tcp://127.0.0.1:3"


@pytest.fixture
def history() -> History:
    return sample()


@pytest.fixture
def file(tmp_path: Path, history: History) -> Path:
    path = tmp_path / "saved.db"
    content = exported(history)
    path.write_bytes(content + hashlib.sha256(content).digest())
    return path


def restored(file: Path, directory: Path, name: str, url: str, *more: str) -> int:
    return run(
        [
            "snapshot", "restore", str(file), "--data-dir", str(directory), "--name", name,
            "--initial-cluster", CLUSTER, "--initial-advertise-peer-urls", url, *more,
        ]
    )  # fmt: skip


def opened_store(directory: Path, cluster_id: int, target: Path) -> LmdbBackend:
    """Do what apply does at its start: restore the newest checkpoint."""
    files = CheckpointFiles(OSFileSystem(), str(directory / "member" / "snap"), cluster_id)
    target.mkdir()
    files.restore(files.names()[-1], str(target))
    return LmdbBackend(target, map_bytes=MAP_BYTES)


def test_status_in_etcdutls_formats(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for write_out in ("simple", "fields", "json", "table"):
        assert run(["snapshot", "status", str(file), "-w", write_out]) == 0
        shown[write_out] = capsys.readouterr().out
    value, revision, keys, size, version = shown["simple"].strip().split(", ")
    number = int(value, 16)
    assert shown["fields"] == (
        f'"Hash" : {number}\n"Revision" : {revision}\n"Keys" : {keys}\n'
        f'"Size" : {file.stat().st_size - 32}\n"Version" : {version}\n'
    )
    assert shown["json"].startswith(f'{{"hash":{number},"revision":{revision},"totalKey":{keys},')
    assert "| REVISION | TOTAL KEYS | TOTAL SIZE | VERSION |" in shown["table"]
    assert size in shown["table"]
    assert run(["hashkv", str(file)]) == 0
    assert capsys.readouterr().out.endswith(f", {revision}, -1\n")
    assert run(["version"]) == 0
    assert capsys.readouterr().out.startswith("zetcdutl version: ")


def test_each_member_of_a_cluster_restores_the_same_store(
    file: Path, tmp_path: Path, history: History
) -> None:
    for number, name in enumerate("abc", start=1):
        directory = tmp_path / name
        url = f"tcp://127.0.0.1:{number}"
        assert restored(file, directory, name, url) == 0
        assert directory.stat().st_mode & 0o777 == 0o700
        config = config_from_table(
            {"name": name, "initial-cluster": CLUSTER, "initial-advertise-peer-urls": [url]}
        )
        options = LogOptions(cluster_id=config.cluster_id(), member_id=config.member_id())
        storage = open_log(OSFileSystem(), str(directory / "wal"), options)
        assert (storage.last_index, storage.hard_state.commit, storage.snapshot.index) == (3, 3, 3)
        assert len(storage.snapshot.conf_state.voters) == 3
        storage.close()
        backend = opened_store(directory, config.cluster_id(), tmp_path / f"store-{name}")
        with backend.read() as transaction:
            state = load_state(transaction)
            view = View(transaction)
            found = view.get(b"a")
        backend.close()
        assert state.consistent_index == 3
        assert state.current_revision == history.applier.state.current_revision
        assert found is not None
        assert (found.value, found.lease) == (b"again", 5)


def test_a_directory_that_is_not_empty_is_refused_and_an_empty_one_is_not(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "a"
    target.mkdir()
    (target / "mine").touch()
    assert restored(file, target, "a", "tcp://127.0.0.1:1") == ExitCode.DATA_DIR
    assert "is not empty" in capsys.readouterr().err
    assert [each.name for each in target.iterdir()] == ["mine"]
    (target / "mine").unlink()
    assert restored(file, target, "a", "tcp://127.0.0.1:1") == 0
    # And only once.
    assert restored(file, target, "a", "tcp://127.0.0.1:1") == ExitCode.DATA_DIR


@pytest.mark.parametrize("damage", ["cut", "flipped", "digest", "pages", "empty"])
def test_a_cut_or_altered_file_is_refused_and_leaves_nothing(
    damage: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(file.read_bytes())
    if damage == "cut":
        content = content[:-1]
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
    elif damage == "digest":
        content[-1] ^= 1
    elif damage == "pages":
        content = content[:-4096]
    else:
        content = bytearray()
    file.write_bytes(content)
    code = restored(file, tmp_path / "a", "a", "tcp://127.0.0.1:1")
    assert code == ExitCode.CORRUPTION
    assert capsys.readouterr().err.startswith("Error: zetcd: a snapshot file is damaged")
    assert not list(tmp_path.glob("a*"))


def test_an_altered_file_can_be_taken_all_the_same(file: Path, tmp_path: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert restored(file, tmp_path / "a", "a", "tcp://127.0.0.1:1", "--skip-hash-check") == 0


def test_import_takes_the_database_of_a_stopped_etcd(file: Path, tmp_path: Path) -> None:
    etcd = tmp_path / "etcd" / "member" / "snap"
    etcd.mkdir(parents=True)
    (etcd / "db").write_bytes(file.read_bytes()[:-32])
    assert run(["import", str(tmp_path / "etcd"), "--data-dir", str(tmp_path / "z")]) == 0
    assert (tmp_path / "z" / "wal").is_dir()
    # What was cut off looks like it, and a person has to say that it is not.
    bare = etcd / "db"
    assert run(["snapshot", "restore", str(bare), "--data-dir", str(tmp_path / "y")]) == (
        ExitCode.CORRUPTION
    )


def test_bumping_needs_marking_and_the_other_way_round(
    file: Path, tmp_path: Path, history: History
) -> None:
    url = "tcp://127.0.0.1:1"
    for more in (["--bump-revision", "5"], ["--mark-compacted"]):
        assert restored(file, tmp_path / "a", "a", url, *more) == ExitCode.FAILED
    more = ["--bump-revision", "1000", "--mark-compacted"]
    assert restored(file, tmp_path / "a", "a", url, *more) == 0
    config = config_from_table(
        {"name": "a", "initial-cluster": CLUSTER, "initial-advertise-peer-urls": [url]}
    )
    backend = opened_store(tmp_path / "a", config.cluster_id(), tmp_path / "store")
    with backend.read() as transaction:
        state = load_state(transaction)
    backend.close()
    last = history.applier.state.current_revision
    assert state.current_revision == state.compact_revision == last + 1000


def test_wrong_members_are_a_matter_of_configuration(file: Path, tmp_path: Path) -> None:
    code = restored(file, tmp_path / "a", "nobody", "tcp://127.0.0.1:9")
    assert code == ExitCode.CONFIG


def stopped_member(directory: Path, history: History) -> None:
    """Leave what a member leaves that was stopped cleanly."""
    store = directory / "db"
    lmdb_trust.open_directory(store, "boot")
    backend = LmdbBackend(store, map_bytes=MAP_BYTES)
    with history.backend.read() as source, backend.write() as target:
        for table in Table:
            for key, value in source.table(table).scan(b"", None):
                if table in MULTI_VALUE_TABLES:
                    for each in source.table(table).values(key):
                        target.table(table).add(key, each)
                else:
                    target.table(table).put(key, value)
        save_state(target, history.applier.state)
    backend.sync()
    backend.close()
    lmdb_trust.mark_clean(store)
    (directory / "wal").mkdir()


def test_export_and_defrag_of_a_stopped_member(
    tmp_path: Path, history: History, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    member = tmp_path / "member"
    stopped_member(member, history)
    out = tmp_path / "exported.db"
    assert run(["export", str(out), "--data-dir", str(member)]) == 0
    assert out.read_bytes() == file.read_bytes()
    assert run(["defrag", "--data-dir", str(member)]) == 0
    assert "Finished defragmenting" in capsys.readouterr().out
    assert lmdb_trust.is_trusted(member / "db", "another boot")
    assert run(["export", str(out), "--data-dir", str(member)]) == 0
    assert out.read_bytes() == file.read_bytes()
    lmdb_trust.demand_checkpoint(member / "db", 1)
    assert run(["export", str(out), "--data-dir", str(member)]) == ExitCode.DATA_DIR
    assert run(["defrag", "--data-dir", str(member)]) == ExitCode.DATA_DIR
    assert run(["export", str(out), "--data-dir", str(tmp_path / "none")]) == ExitCode.DATA_DIR


def test_a_wrong_command_line() -> None:
    assert run(["nonsense"]) == ExitCode.USAGE


@pytest.mark.parametrize(
    ("command", "call"),
    [
        (["snapshot", "status"], "stat"),
        (["snapshot", "status", "--write-out", "json"], "stat"),
        (["hashkv"], "stat"),
        (["snapshot", "restore"], "open"),
        (["import"], "open"),
    ],
)
@pytest.mark.parametrize(
    ("under", "reason"), [("", "no such file or directory"), ("file", "not a directory")]
)
def test_a_missing_file_is_named_as_by_etcdutl(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    call: str,
    under: str,
    reason: str,
) -> None:
    (tmp_path / "file").touch()
    missing = tmp_path / under / "none.db"
    assert run([*command, str(missing)]) == ExitCode.FAILED
    assert capsys.readouterr().err == f"Error: {call} {missing}: {reason}\n"


def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], history: History
) -> None:
    member = tmp_path / "member"
    stopped_member(member, history)
    target = tmp_path / "none" / "out.db"
    assert run(["export", str(target), "--data-dir", str(member)]) == ExitCode.FAILED
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {target}")
    assert error.endswith(": no such file or directory\n")
