"""The store that apply starts with: restored, adopted, and believed only when it is this member's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from zetcd.actors.store_opening import open_store, open_tables_of
from zetcd.apply import Identity, initialise
from zetcd.config import Config
from zetcd.errors import NothingToRestore
from zetcd.mvcc.state import load_state, save_state
from zetcd.runtime import lmdb_trust
from zetcd.runtime.checkpoint_files import CheckpointFiles
from zetcd.runtime.files import OSFileSystem
from zetcd.runtime.lmdb_backend import LmdbBackend, LmdbWriteTransaction
from zetcd.runtime.lmdb_checkpoint import LmdbSource

MAP_BYTES = 1 << 24
CLUSTER = "a=tcp://10.0.0.1:2380,b=tcp://10.0.0.2:2380"


def config_of(name: str, data_dir: Path) -> Config:
    url = f"tcp://10.0.0.{1 + 'ab'.index(name)}:2380"
    return Config(
        name=name,
        data_dir=str(data_dir),
        initial_cluster=CLUSTER,
        initial_advertise_peer_urls=(url,),
        listen_peer_urls=(url,),
        quota_backend_bytes=MAP_BYTES,
    )


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A member with nothing but a checkpoint at index 7 that the other member has made."""
    mine, other = config_of("a", tmp_path / "a"), config_of("b", tmp_path / "b")
    store = Path(other.store_dir())
    store.mkdir(parents=True)
    backend = LmdbBackend(store, map_bytes=MAP_BYTES)
    initialise(backend, Identity(other.cluster_id(), other.member_id()), ())
    with backend.write() as transaction:
        state = load_state(transaction)
        state.consistent_index, state.applied_term = 7, 1
        save_state(transaction, state)
    files = CheckpointFiles(OSFileSystem(), mine.snapshot_dir(), mine.cluster_id())
    files.prepare()
    draft = files.begin(LmdbSource(backend, map_bytes=MAP_BYTES))
    while draft.step() is None:
        pass
    backend.close()
    return mine


def index_of(backend: LmdbBackend) -> int:
    with backend.read() as transaction:
        return load_state(transaction).consistent_index


def is_own(backend: LmdbBackend, config: Config) -> bool:
    """Whether the store is this member's; raises otherwise."""
    return not initialise(backend, Identity(config.cluster_id(), config.member_id()), ())


def test_a_checkpoint_of_another_member_is_adopted(config: Config) -> None:
    backend = open_store(config)
    assert index_of(backend) == 7
    assert is_own(backend, config)
    backend.close()


@pytest.mark.interpreted
def test_a_death_before_it_is_adopted_leaves_nothing_to_believe(config: Config) -> None:
    class Killed(BaseException):
        """The process dies."""

    class Dying(LmdbBackend):
        def write(self) -> LmdbWriteTransaction:
            raise Killed

    with pytest.raises(Killed):
        open_tables_of(
            config,
            OSFileSystem(),
            lmdb_trust.boot_id(),
            lambda directory: Dying(directory, map_bytes=MAP_BYTES),
        )
    backend = open_store(config)
    assert index_of(backend) == 7
    assert is_own(backend, config)
    backend.close()


def test_a_store_that_is_believed_is_not_restored_again(config: Config) -> None:
    backend = open_store(config)
    with backend.write() as transaction:
        state = load_state(transaction)
        state.consistent_index = 9
        save_state(transaction, state)
    backend.close()
    backend = open_store(config)
    assert index_of(backend) == 9
    backend.close()


def test_a_demanded_checkpoint_that_is_not_there_stops_the_member(config: Config) -> None:
    open_store(config).close()
    lmdb_trust.demand_checkpoint(Path(config.store_dir()), 8)
    with pytest.raises(NothingToRestore, match="behind index 8"):
        open_store(config)
    # Still demanded.
    assert lmdb_trust.required_index(Path(config.store_dir())) == 8


def test_a_checkpoint_of_another_cluster_is_not_taken(config: Config) -> None:
    stranger = replace(config, initial_cluster_token="another")
    backend = open_store(stranger)
    assert index_of(backend) == 0
    backend.close()
