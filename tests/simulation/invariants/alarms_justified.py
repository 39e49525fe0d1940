"""Nobody finds that members hold different histories, when none does."""

from __future__ import annotations

from tests.simulation.invariants.invariant import Invariant, Observed, require
from zetcd.apply import Applier
from zetcd.messages.cluster import AlarmType


class AlarmsJustified(Invariant):
    """Looks for the alarm CORRUPT in every store: the other invariants see to it that there is no reason."""

    def applied(self, node: Observed, applier: Applier) -> None:
        found = [each for each in applier.alarms.listed() if each.alarm is AlarmType.CORRUPT]
        require(not found, "alarms justified", f"{node.name} has {found}")
