"""Responsible for the state of one direction between two machines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Link:
    """One direction between two nodes."""

    is_cut: bool = False
    loss: float = 0.0
    duplication: float = 0.0
    #: Seconds; each frame draws its own delay, so frames overtake each other.
    delay_min: float = 0.0002
    delay_max: float = 0.002
    #: Share of the pieces of snapshots that arrive with another content; frames of raft never do.
    damage: float = 0.0
