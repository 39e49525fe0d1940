"""Who a node is: by its configuration, by its log, or by the word of others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from zetcd.config import Config, parse_config
from zetcd.config.tree import MemberIdentity
from zetcd.errors import CannotJoin, WalCorruption
from zetcd.membership import Found
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.identity import identified, log_identity
from zetcd.runtime.log_storage import LogOptions, open_log


@pytest.fixture
def stop() -> Iterator[tuple[int, int]]:
    """Reader and writer of a pipe that tells to stop."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture
def joining(tmp_path: Path) -> Config:
    return parse_config(f'data-dir = "{tmp_path}/data"\ninitial-cluster-state = "existing"\n')


def write_log(config: Config, identity: MemberIdentity) -> None:
    options = LogOptions(
        cluster_id=identity.cluster_id, member_id=identity.member_id, segment_bytes=1 << 16
    )
    open_log(OSFileSystem(), config.wal_dir, options).close()


def refuse_to_ask(config: Config) -> Found:
    del config
    raise AssertionError("nobody is to be asked")


@pytest.fixture
def founder(joining: Config) -> Config:
    return replace(joining, initial_cluster_state="new")


def test_a_founder_is_who_its_configuration_says(founder: Config, stop: tuple[int, int]) -> None:
    assert identified(founder, stop[0], refuse_to_ask) is founder
    write_log(founder, MemberIdentity(founder.cluster_id(), founder.member_id()))
    assert identified(founder, stop[0], refuse_to_ask) is founder


def test_a_founder_with_a_log_is_who_the_log_says_and_warns(
    founder: Config, stop: tuple[int, int]
) -> None:
    write_log(founder, MemberIdentity(0xC, 0xA))
    with structlog.testing.capture_logs() as logged:
        known = identified(founder, stop[0], refuse_to_ask)
    assert known == replace(founder, identity=MemberIdentity(0xC, 0xA))
    assert [(each["log_level"], each["member_id"]) for each in logged] == [
        ("warning", "000000000000000a")
    ]


def test_a_log_that_cannot_be_read_is_left_to_whoever_opens_it(
    founder: Config, stop: tuple[int, int]
) -> None:
    write_log(founder, MemberIdentity(0xC, 0xA))
    (segment,) = Path(founder.wal_dir).glob("*.wal")
    segment.write_bytes(b"")
    assert identified(founder, stop[0], refuse_to_ask) is founder


def test_a_log_knows_whose_it_is_whatever_is_configured(
    joining: Config, stop: tuple[int, int]
) -> None:
    write_log(joining, MemberIdentity(0xC, 0xA))
    known = identified(joining, stop[0], refuse_to_ask)
    assert known is not None
    assert (known.cluster_id(), known.member_id()) == (0xC, 0xA)
    assert replace(known, identity=None) == joining


def test_without_a_log_the_members_are_asked(joining: Config, stop: tuple[int, int]) -> None:
    known = identified(joining, stop[0], lambda config: Found(0xC, len(config.name)))
    assert known is not None
    assert known.identity == MemberIdentity(0xC, 7)


def test_what_the_members_refuse_is_refused_here(joining: Config, stop: tuple[int, int]) -> None:
    def ask(config: Config) -> Found:
        raise CannotJoin(f"{config.name} is not one of us")

    with pytest.raises(CannotJoin, match="default is not one of us"):
        identified(joining, stop[0], ask)


def test_a_child_that_dies_is_no_answer(joining: Config, stop: tuple[int, int]) -> None:
    def ask(config: Config) -> Found:
        del config
        os._exit(3)

    with pytest.raises(CannotJoin, match="has died"):
        identified(joining, stop[0], ask)


def test_a_signal_ends_the_asking(joining: Config, stop: tuple[int, int]) -> None:
    def ask(config: Config) -> Found:
        del config
        os.write(stop[1], b"\x0f")
        os.read(os.pipe()[0], 1)
        raise AssertionError("it waits for ever")

    assert identified(joining, stop[0], ask) is None


def test_no_log_is_nobodys(tmp_path: Path) -> None:
    assert log_identity(tmp_path / "wal") is None
    assert log_identity(tmp_path) is None


def test_a_log_that_does_not_say_whose_it_is_is_damaged(joining: Config) -> None:
    write_log(joining, MemberIdentity(0xC, 0xA))
    (segment,) = Path(joining.wal_dir).glob("*.wal")
    with segment.open("r+b") as file:
        file.seek(30)
        file.write(b"\xff")
    with pytest.raises(WalCorruption):
        log_identity(Path(joining.wal_dir))
