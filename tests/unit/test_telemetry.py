"""The structured log: its keys, its formats, its level, and that it never stops a process."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from zetcd import telemetry
from zetcd.config import config_from_table


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the process as it was."""
    handlers = list(logging.getLogger().handlers)
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_carries_node_actor_and_term(path: Path) -> None:
    config = config_from_table({"log-outputs": [str(path)]})
    telemetry.configure(config, actor="raft-0")
    telemetry.set_term(7)
    telemetry.get_logger().info("became leader", votes=2)
    (line,) = lines_of(path)
    assert line.pop("ts")
    assert line == {
        "level": "info",
        "event": "became leader",
        "node": "default",
        "actor": "raft-0",
        "term": 7,
        "votes": 2,
    }


def test_the_term_is_left_out_until_it_is_known(path: Path) -> None:
    telemetry.configure_process(outputs=(str(path),))
    log = telemetry.get_logger()
    log.info("before")
    telemetry.set_term(3)
    log.info("after")
    assert [line.get("term") for line in lines_of(path)] == [None, 3]


def test_levels_below_the_configured_one_are_not_written(path: Path) -> None:
    telemetry.configure_process(level="warn", outputs=(str(path),))
    log = telemetry.get_logger()
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert [line["event"] for line in lines_of(path)] == ["c", "d"]


def test_a_core_is_given_a_trace_only_if_it_is_shown(path: Path) -> None:
    telemetry.configure_process(level="info", outputs=(str(path),))
    assert telemetry.trace_at_debug() is None
    telemetry.configure_process(level="debug", outputs=(str(path),))
    trace = telemetry.trace_at_debug()
    assert trace is not None
    trace("became candidate")
    assert lines_of(path)[-1]["event"] == "became candidate"


def test_an_exception_is_one_line(path: Path) -> None:
    telemetry.configure_process(outputs=(str(path),))
    try:
        raise ValueError("broken")
    except ValueError:
        telemetry.get_logger().exception("crashed")
    (line,) = lines_of(path)
    assert "ValueError: broken" in str(line["exception"])


def test_values_that_json_lacks_are_shown_all_the_same(path: Path) -> None:
    telemetry.configure_process(outputs=(str(path),))
    telemetry.get_logger().info("odd", key=b"\xff", where=Path("x"))
    (line,) = lines_of(path)
    assert line["key"] == "b'\\xff'"


def test_the_console_format_is_for_people(path: Path) -> None:
    telemetry.configure_process(log_format="console", outputs=(str(path),), actor="wal-0")
    telemetry.get_logger().info("segment cut", segment=3)
    text = path.read_text()
    assert "segment cut" in text
    assert "actor=wal-0" in text
    assert "segment=3" in text
    assert "\x1b" not in text


def test_every_output_gets_every_line(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    telemetry.configure_process(outputs=tuple(map(str, paths)))
    telemetry.get_logger().info("x")
    assert lines_of(paths[0]) == lines_of(paths[1]) != []


def test_libraries_log_into_the_same_place(path: Path) -> None:
    telemetry.configure_process(outputs=(str(path),))
    telemetry.configure_process(outputs=(str(path),))
    logging.getLogger("some.library").warning("odd: %s", 5)
    (line,) = lines_of(path)
    assert (line["event"], line["library"], line["level"]) == ("odd: 5", "some.library", "warning")


def test_an_output_that_fails_loses_lines_and_nothing_else() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    telemetry.LineWriter((writer,)).msg("nobody reads this")
    os.close(writer)
