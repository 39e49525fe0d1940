"""What to type next names the commands as they can be called."""

from __future__ import annotations

from pathlib import Path

import pytest

from zetcd.demo import next_steps


def test_names_every_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["zetcd"])
    lines = next_steps(["tcp://a:1", "tcp://b:2"])
    assert "  zetcdctl --endpoints tcp://a:1,tcp://b:2 put key value" in lines


def test_a_command_beside_this_one_is_named_with_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "zetcdctl").touch()
    monkeypatch.setattr("sys.argv", [str(tmp_path / "zetcd")])
    assert next_steps(["tcp://a:1"])[1].startswith(f"  {tmp_path}/zetcdctl --endpoints")
