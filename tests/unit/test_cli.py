"""The command line: what it refuses, what it prints, and that it imports only what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from zetcd import __version__
from zetcd.cli import main
from zetcd.errors import ExitCode

ROOT = Path(__file__).parents[2]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_names_every_command_and_imports_none_of_the_server() -> None:
    program = (
        "import sys; from zetcd.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(sorted({'zmq', 'lmdb', 'rich', 'structlog'} & set(sys.modules)))"
    )
    *shown, imported = run("-c", program).stdout.splitlines()
    for command in ("config", "local", "status", "supervise", "version", "wal"):
        assert any(line.strip().startswith(command + " ") for line in shown), command
    assert imported == "[]"


def test_refuses_to_run_without_assertions() -> None:
    ended = run("-O", "-m", "zetcd", "version")
    assert ended.returncode == ExitCode.USAGE
    assert "assertions" in ended.stderr


def test_version() -> None:
    result = invoke("version")
    assert result.exit_code == 0
    assert result.output.startswith(f"zetcd {__version__}, ")
    assert "ZeroMQ" in result.output


def test_the_commands_of_the_log_are_found() -> None:
    result = invoke("wal", "dump", "--help")
    assert result.exit_code == 0
    assert "--json" in result.output


def test_config_check_prints_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('nam = "a"\nelection-timeout = 100\nlisten-peer-urls = ["udp://x"]\n')
    result = invoke("config", "check", str(file))
    assert result.exit_code == ExitCode.CONFIG
    for part in ("nam = ", 'did you mean "name"?', "election-timeout = 100", "listen-peer-urls"):
        assert part in result.output


def test_config_check_of_a_good_file(tmp_path: Path) -> None:
    file = tmp_path / "good.toml"
    file.write_text('name = "a"\n')
    result = invoke("config", "check", str(file))
    assert (result.exit_code, result.output) == (0, f"{file}: no problems\n")
    assert "election-timeout = 1000" in invoke("config", "check", "--show", str(file)).output


def test_supervise_with_a_wrong_configuration(tmp_path: Path) -> None:
    result = invoke("supervise", str(tmp_path / "missing.toml"))
    assert result.exit_code == ExitCode.CONFIG
    assert "missing.toml" in result.output


def test_settings_belong_into_the_file_if_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "good.toml"
    file.write_text('name = "a"\n')
    result = invoke("supervise", str(file), "--name", "b", "--data-dir", "c")
    assert result.exit_code == ExitCode.USAGE
    assert f"--name and --data-dir: set it in {file} instead" in " ".join(result.output.split())


@pytest.mark.parametrize("arguments", [["--nodes", "0"], ["--nodes", "10"], ["--base-port", "80"]])
def test_local_refuses_what_it_cannot_do(arguments: list[str]) -> None:
    assert invoke("local", *arguments).exit_code == ExitCode.USAGE


def test_status_of_a_node_that_does_not_run(tmp_path: Path) -> None:
    result = invoke("status", "--data-dir", str(tmp_path / "data"))
    assert result.exit_code == ExitCode.FAILED
    assert result.stderr.startswith("default: not running: there is no /")


def test_status_as_json_of_a_local_cluster_that_does_not_run(tmp_path: Path) -> None:
    for name in ("node0", "node1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(
            f'name = "{name}"\ndata-dir = "{tmp_path}/{name}/data"\n'
        )
    result = invoke("status", "--dir", str(tmp_path), "-w", "json")
    assert result.exit_code == ExitCode.FAILED
    nodes = json.loads(result.stdout)
    assert [(node["name"], node["state"]) for node in nodes] == [
        ("node0", "down"),
        ("node1", "down"),
    ]


def test_status_of_two_things_at_once(tmp_path: Path) -> None:
    result = invoke("status", "--dir", str(tmp_path), "--data-dir", "x")
    assert result.exit_code == ExitCode.USAGE


def test_status_of_a_directory_without_a_cluster(tmp_path: Path) -> None:
    result = invoke("status", "--dir", str(tmp_path))
    assert result.exit_code == ExitCode.USAGE
    assert "no node below" in result.output
