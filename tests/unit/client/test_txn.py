from __future__ import annotations

import pytest

from zetcd.client.txn import (
    Conditions,
    Target,
    create_revision,
    lease,
    mod_revision,
    value,
    version,
)
from zetcd.messages.kv import (
    Compare,
    CompareResult,
    CompareTarget,
    PutRequest,
    RangeRequest,
    TxnRequest,
)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (value(b"k"), CompareTarget.VALUE),
        (version(b"k"), CompareTarget.VERSION),
        (create_revision(b"k"), CompareTarget.CREATE),
        (mod_revision(b"k"), CompareTarget.MOD),
        (lease(b"k"), CompareTarget.LEASE),
    ],
)
def test_each_target_compares_its_own_field(target: Target, kind: CompareTarget) -> None:
    assert (target == 1) == Compare(CompareResult.EQUAL, kind, b"k", 1)
    assert (target != 1) == Compare(CompareResult.NOT_EQUAL, kind, b"k", 1)
    assert (target > 1) == Compare(CompareResult.GREATER, kind, b"k", 1)
    assert (target < 1) == Compare(CompareResult.LESS, kind, b"k", 1)


def test_a_range_can_be_compared() -> None:
    condition = version(b"a", b"z") > 0
    assert condition.range_end == b"z"


def test_parts_add_up() -> None:
    txn = Conditions().when(version(b"a") > 0).when(version(b"b") > 0)
    txn.then(PutRequest(b"a")).then(PutRequest(b"b")).otherwise(RangeRequest(b"a"))
    request = txn.request()
    assert isinstance(request, TxnRequest)
    assert [each.key for each in request.compare] == [b"a", b"b"]
    assert request.success == (PutRequest(b"a"), PutRequest(b"b"))
    assert request.failure == (RangeRequest(b"a"),)
