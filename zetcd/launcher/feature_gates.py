"""Responsible for ``--feature-gates`` and the deprecated flags that became gates; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from zetcd.launcher.flags import EXPERIMENTAL_GATES, EXPERIMENTAL_PREFIX
from zetcd.launcher.settings import LauncherError
from zetcd.launcher.values import parse_bool

#: What zetcd does where a gate is turned on; empty = the same as etcd with it.
GATES: Final = {
    "AllAlpha": "gates are turned on one by one",
    "AllBeta": "gates are turned on one by one",
    "CompactHashCheck": "",  # members compare hashes of their histories anyway
    "FastLeaseKeepAlive": "",  # renewals do not wait for apply
    "InitialCorruptCheck": "members compare their histories while they serve, not before",
    "LeaseCheckpoint": "",  # always on
    "LeaseCheckpointPersist": "",  # always on
    "PriorityRequest": "requests have no priorities",
    "SetMemberLocalAddr": "the operating system chooses the address that a member connects from",
    "StopGRPCServiceOnDefrag": "a store that is rewritten goes on serving",
    "TxnModeWriteWithSharedBuffer": "",  # about bbolt, and no difference to clients
}


def read_gates(text: str, flags: Mapping[str, bool]) -> dict[str, bool]:
    """Return the gates that are set.

    Args:
        text: of ``--feature-gates``: ``A=true,B=false``.
        flags: gates that deprecated flags of their own set.

    Raises:
        LauncherError: a gate is unknown, or set in both ways.
    """
    gates: dict[str, bool] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not equals:
            raise LauncherError(f"missing bool value for {name}")
        if name not in GATES:
            raise LauncherError(f"unrecognized feature gate: {name}")
        try:
            gates[name] = parse_bool(value)
        except ValueError as error:
            raise LauncherError(f"invalid value of {name}={value}, err: {error}") from error
    _check_conflicts(gates, flags)
    gates.update(flags)
    if gates.get("LeaseCheckpointPersist") and not gates.get("LeaseCheckpoint"):
        raise LauncherError(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"
        )
    return gates


def _check_conflicts(gates: Mapping[str, bool], flags: Mapping[str, bool]) -> None:
    names = {gate: EXPERIMENTAL_PREFIX + name for name, gate in EXPERIMENTAL_GATES.items()}
    for gate, value in flags.items():
        if gate in gates:
            raise LauncherError(
                f"cannot specify both flags: --{names[gate]}={str(value).lower()} and "
                f"--feature-gates={gate}={str(gates[gate]).lower()} at the same time, "
                f"please just use --feature-gates={gate}={str(gates[gate]).lower()}"
            )


def remarks(gates: Mapping[str, bool]) -> tuple[str, ...]:
    """Return a warning for each gate that is on and changes nothing here."""
    return tuple(
        f"feature gate {name} is ignored: {GATES[name]}"
        for name, is_on in gates.items()
        if is_on and GATES[name]
    )
