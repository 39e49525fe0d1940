"""Lines of the log in the shape of etcd's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from zetcd import telemetry


@pytest.fixture(name="log_file")
def make_log_file(tmp_path: Path) -> Path:
    return tmp_path / "log"


def configure(log_file: Path, log_format: str = "json") -> None:
    telemetry.configure_process(
        logger="zap", log_format=log_format, outputs=(str(log_file),), node="a", actor="raft-0"
    )


def test_a_line_begins_with_zaps_keys_and_has_fields_with_hyphens(log_file: Path) -> None:
    configure(log_file)
    telemetry.get_logger().warning("hello", data_dir="d", urls=("u",))
    line = json.loads(log_file.read_text())
    assert list(line) == ["level", "ts", "caller", "msg", "actor", "data-dir", "urls"]
    assert (line["level"], line["msg"], line["urls"]) == ("warn", "hello", ["u"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["ts"])
    assert re.fullmatch(r"test_telemetry_zap\.py:\d+", line["caller"])


@pytest.mark.parametrize(
    ("event", "fields", "message", "shown"),
    [
        ("stopping", {"signal": "SIGTERM"}, "received signal; shutting down", "terminated"),
        (
            "leadership changed",
            {"leader": "1f", "term": 3},
            "raft.node: elected leader 1f at term 3",
            "",
        ),
        (
            "leadership changed",
            {"leader": "none", "former_leader": "1f", "term": 3, "role": "follower"},
            "raft.node: lost leader 1f at term 3",
            "",
        ),
        (
            "leadership changed",
            {"leader": "2f", "former_leader": "1f", "term": 3, "role": "follower"},
            "raft.node: changed leader from 1f to 2f at term 3",
            "",
        ),
        (
            "leadership changed",
            {"leader": "none", "former_leader": "none", "term": 3, "role": "pre_candidate"},
            "became pre-candidate at term 3",
            "",
        ),
    ],
)
def test_what_etcd_has_a_message_for(
    log_file: Path, event: str, fields: dict[str, object], message: str, shown: str
) -> None:
    configure(log_file)
    telemetry.get_logger().info(event, **fields)
    line = json.loads(log_file.read_text())
    assert line["msg"] == message
    assert line.get("signal", "") == shown


def test_console(log_file: Path) -> None:
    configure(log_file, "console")
    telemetry.get_logger().info("hello", a=1)
    _, level, caller, message, fields = log_file.read_text().rstrip().split("\t")
    assert (level, message, json.loads(fields)) == ("info", "hello", {"actor": "raft-0", "a": 1})
    assert caller.startswith("test_telemetry_zap.py:")
