"""LMDB is believed exactly when no page of it can have been lost."""

from pathlib import Path

from zetcd.runtime import lmdb_trust


def _leave_a_page(directory: Path) -> Path:
    page = directory / "data.mdb"
    page.write_bytes(b"page")
    return page


def test_a_new_directory_is_not_trusted_but_usable(tmp_path: Path) -> None:
    """There is nothing to believe on the first start."""
    assert not lmdb_trust.open_directory(tmp_path / "db", "boot-1")
    assert (tmp_path / "db").stat().st_mode & 0o777 == 0o700


def test_the_same_boot_trusts_what_a_killed_process_left(tmp_path: Path) -> None:
    """The kernel still has every page that the dead process wrote."""
    lmdb_trust.open_directory(tmp_path / "db", "boot-1")
    page = _leave_a_page(tmp_path / "db")
    assert lmdb_trust.open_directory(tmp_path / "db", "boot-1")
    assert page.read_bytes() == b"page"


def test_another_boot_discards_what_was_open(tmp_path: Path) -> None:
    """Pages may be missing after the death of the operating system."""
    lmdb_trust.open_directory(tmp_path / "db", "boot-1")
    page = _leave_a_page(tmp_path / "db")
    assert not lmdb_trust.open_directory(tmp_path / "db", "boot-2")
    assert not page.exists()


def test_another_boot_trusts_a_clean_stop_once(tmp_path: Path) -> None:
    """The clean mark ends with the next start, for from then on pages change again."""
    lmdb_trust.open_directory(tmp_path / "db", "boot-1")
    _leave_a_page(tmp_path / "db")
    lmdb_trust.mark_clean(tmp_path / "db")
    assert lmdb_trust.open_directory(tmp_path / "db", "boot-2")
    assert not lmdb_trust.open_directory(tmp_path / "db", "boot-3")


def test_a_directory_without_a_mark_is_discarded(tmp_path: Path) -> None:
    """Nobody vouches for files of unknown origin."""
    (tmp_path / "db").mkdir()
    page = _leave_a_page(tmp_path / "db")
    assert not lmdb_trust.open_directory(tmp_path / "db", "boot-1")
    assert not page.exists()


def test_the_boot_id_is_stable_within_a_boot() -> None:
    """Two readings agree and are not empty."""
    assert lmdb_trust.boot_id() == lmdb_trust.boot_id() != ""
