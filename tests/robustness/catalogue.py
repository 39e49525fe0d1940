"""Responsible for the list of all faults, by row of the fault table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.robustness.faults.clock import ClockJump
from tests.robustness.faults.crowds import MassExpiry, WatchFlood
from tests.robustness.faults.disk import DiskFull, FailingDisk, SlowDisk
from tests.robustness.faults.fault import Fault
from tests.robustness.faults.log_files import FlippedBits, FlippedStoreBits, LostSectors, TornTail
from tests.robustness.faults.network import BadNetwork, Flapping, Partition
from tests.robustness.faults.power import PowerLoss
from tests.robustness.faults.processes import KillActor, KillMember, StopActor, StopReader
from tests.robustness.faults.snapshots import Blackhole, HurtStream

#: Makes a fault for one round.
FaultFactory = Callable[[], Fault]

ACTORS: Final = ("gateway-0", "watch-0", "apply-0", "wal-0", "raft-0", "snapshot-0")
ROLES: Final = ("leader", "follower")


def _processes() -> list[FaultFactory]:
    found: list[FaultFactory] = []
    found += [lambda a=a, r=r: KillActor(a, r) for a in ACTORS for r in ROLES]  # type: ignore[misc]
    found += [lambda w=w: KillMember(w) for w in ("leader", "follower", "all")]  # type: ignore[misc]
    found += [
        lambda a=a, s=s: StopActor(a, "leader", s)  # type: ignore[misc]
        for s in (0.3, 1.5, 3.0, 10.0)
        for a in ACTORS
    ]
    found += [lambda a=a: StopActor(a, "follower", 1.5) for a in ACTORS]  # type: ignore[misc]
    found.append(lambda: StopReader("gateway-0"))
    return found


def _networks() -> list[FaultFactory]:
    shapes = ("leader alone", "leader is not heard", "leader hears nothing", "bridge")
    found: list[FaultFactory] = [lambda s=s: Partition(s) for s in shapes]  # type: ignore[misc]
    found.append(Flapping)
    found.append(lambda: BadNetwork("delay 75 ± 50 ms", delay=0.075, delay_spread=0.05))
    found += [
        lambda d=d: BadNetwork(f"{d:.0%} of messages lost", drop=d)  # type: ignore[misc]
        for d in (0.05, 0.3, 0.5)
    ]
    found.append(lambda: BadNetwork("connections closed", close=0.01))
    found.append(lambda: BadNetwork("1 Mbit/s", bytes_per_second=125_000))
    found.append(lambda: BadNetwork("messages doubled and overtaken", duplicate=0.2, reorder=0.2))
    return found


def _clocks() -> list[FaultFactory]:
    hours, days = ("+1h", "-1h", "+0"), ("+24h", "-24h", "+0")
    steps = ("+60", "+120", "-60", "+3600", "-3600", "+10", "+0")
    return [
        lambda: ClockJump("± 1 h", hours, is_monotonic_too=False),
        lambda: ClockJump("± 24 h", days, is_monotonic_too=False),
        lambda: ClockJump("steps every second", steps, is_monotonic_too=False),
        lambda: ClockJump("± 1 h", hours, is_monotonic_too=True),
    ]


def _disks() -> list[FaultFactory]:
    found: list[FaultFactory] = [
        lambda: DiskFull("log", "leader"),
        lambda: DiskFull("log", "follower"),
        lambda: DiskFull("store", "follower"),
        lambda: FailingDisk("wal-0", "fdatasync", "leader", 5),
        lambda: FailingDisk("wal-0", "pwrite64", "follower", 7),
        lambda: FailingDisk("apply-0", "pwrite64", "follower", 9),
    ]
    found += [
        lambda r=r, d=d: SlowDisk(r, d)  # type: ignore[misc]
        for r in ("leader", "follower", "all")
        for d in (50, 300, 2000)
        if (r, d) != ("all", 2000)
    ]
    found += [lambda w=w: PowerLoss(w) for w in ("leader", "follower", "all")]  # type: ignore[misc]
    return found


def _files_and_crowds() -> list[FaultFactory]:
    return [
        TornTail,
        LostSectors,
        FlippedBits,
        FlippedStoreBits,
        Blackhole,
        lambda: HurtStream("cut"),
        lambda: HurtStream("altered"),
        lambda: MassExpiry(kills_leader=False),
        lambda: MassExpiry(kills_leader=True),
        lambda: WatchFlood(5.0),
        lambda: WatchFlood(30.0),
    ]


def all_faults() -> list[FaultFactory]:
    """Return a factory of each fault, in the order of rows."""
    found = _processes() + _networks() + _clocks() + _disks() + _files_and_crowds()
    return sorted(found, key=lambda make: make().row)


#: A short selection: every row, and each kind of fault, at least once.
SHORT: Final[tuple[FaultFactory, ...]] = (
    lambda: KillActor("apply-0", "leader"),
    lambda: KillMember("leader"),
    lambda: KillMember("all"),
    lambda: StopActor("raft-0", "leader", 3.0),
    lambda: StopReader("gateway-0"),
    lambda: Partition("leader alone"),
    lambda: BadNetwork("messages doubled and overtaken", duplicate=0.2, reorder=0.2),
    lambda: ClockJump("± 1 h", ("+1h", "-1h", "+0"), is_monotonic_too=False),
    lambda: DiskFull("log", "follower"),
    lambda: FailingDisk("wal-0", "fdatasync", "leader", 5),
    lambda: SlowDisk("leader", 300),
    lambda: PowerLoss("all"),
    TornTail,
    LostSectors,
    FlippedBits,
    Blackhole,
    lambda: HurtStream("altered"),
    lambda: MassExpiry(kills_leader=False),
    lambda: WatchFlood(5.0),
)
