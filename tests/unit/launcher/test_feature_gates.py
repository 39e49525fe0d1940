"""Feature gates and the deprecated flags that became gates."""

from __future__ import annotations

import pytest

from zetcd.launcher.feature_gates import read_gates, remarks
from zetcd.launcher.settings import LauncherError


def test_gates_of_both_kinds() -> None:
    gates = read_gates("InitialCorruptCheck=true, AllBeta=false", {"CompactHashCheck": True})
    assert gates == {"InitialCorruptCheck": True, "AllBeta": False, "CompactHashCheck": True}
    assert remarks(gates) == (
        (
            "feature gate InitialCorruptCheck is ignored: "
            "members compare their histories while they serve, not before"
        ),
    )


@pytest.mark.parametrize(
    ("text", "flags", "why"),
    [
        ("AllBeta", {}, "missing bool value for AllBeta"),
        ("Nothing=true", {}, "unrecognized feature gate: Nothing"),
        ("AllBeta=maybe", {}, "invalid value of AllBeta=maybe, err: parse error"),
        (
            "InitialCorruptCheck=false",
            {"InitialCorruptCheck": True},
            (
                "cannot specify both flags: --experimental-initial-corrupt-check=true and "
                "--feature-gates=InitialCorruptCheck=false at the same time"
            ),
        ),
        (
            "LeaseCheckpointPersist=true",
            {},
            "enabling feature gate LeaseCheckpointPersist requires enabling",
        ),
    ],
)
def test_refuses(text: str, flags: dict[str, bool], why: str) -> None:
    with pytest.raises(LauncherError) as caught:
        read_gates(text, flags)
    assert str(caught.value).startswith(why)
