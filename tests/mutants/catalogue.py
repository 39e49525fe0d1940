"""Responsible for the list of all planted bugs."""

from __future__ import annotations

from typing import Final

from tests.mutants.consensus import CONSENSUS
from tests.mutants.durability import DURABILITY
from tests.mutants.mutant import Mutant
from tests.mutants.reads import READS
from tests.mutants.snapshots import SNAPSHOTS
from tests.mutants.state_machine import STATE_MACHINE

MUTANTS: Final[tuple[Mutant, ...]] = (*CONSENSUS, *DURABILITY, *READS, *SNAPSHOTS, *STATE_MACHINE)
