"""Revisions as etcd writes them."""

from __future__ import annotations

import pytest

from zetcd.errors import CorruptSnapshot
from zetcd.etcd_snapshot.buckets import decode_revision, encode_revision


def test_revisions_are_etcds_byte_by_byte() -> None:
    assert encode_revision(258, 3).hex() == "00000000000001025f0000000000000003"
    assert encode_revision(1, is_tombstone=True)[-2:] == b"\0t"
    assert decode_revision(encode_revision(7, 2)) == (7, 2, False)
    assert decode_revision(encode_revision(7, 2, is_tombstone=True)) == (7, 2, True)


@pytest.mark.parametrize(
    "key",
    [
        b"",
        encode_revision(1)[:-1],
        encode_revision(1) + b"x",
        encode_revision(1) + b"tt",
        encode_revision(1).replace(b"_", b"-"),
        encode_revision(2**63),
        encode_revision(1, 2**32),
    ],
)
def test_what_is_no_revision_is_refused(key: bytes) -> None:
    with pytest.raises(CorruptSnapshot):
        decode_revision(key)
