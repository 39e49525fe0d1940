"""Responsible for row 13: the power of one machine, or of all, goes and comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psutil

from tests.integration.cluster import has_ended
from tests.robustness.arena import ArenaNode, ArenaSetting
from tests.robustness.faults.fault import Fault, Stage
from tests.robustness.faults.mounts import PowerDisk, power_missing

_DISK_BYTES: Final = 256 * 1024 * 1024
_SMALL_SEGMENTS: Final = "[wal]\nsegment-bytes = 8388608\n"
#: What the marker beside the store says after a boot that was another one.
_OTHER_BOOT: Final = "00000000-0000-0000-0000-000000000000"


class PowerLoss(Fault):
    """The disk forgets what was not synced, and every process is gone; then all starts again."""

    row = 13

    def __init__(self, who: str) -> None:
        self.who = who
        self.name = f"power loss of {'all members' if who == 'all' else f'the {who}'}"
        # A process may see its disk die before it dies itself.
        self.expected_log = ("Input/output error", "DiskFailed", "Traceback (most", "Read-only")
        self._disks: list[PowerDisk] = []

    def missing(self) -> str:
        return power_missing()

    def setting(self, directory: Path) -> ArenaSetting:
        paths: dict[int, Path] = {}
        for number in range(3):
            path = directory / f"disk{number}"
            self._disks.append(PowerDisk(path, directory / f"image{number}", _DISK_BYTES))
            paths[number] = path / "data"
        # The sockets between actors are no part of what a disk holds.
        return ArenaSetting(extra=_SMALL_SEGMENTS, data_dirs=paths)

    def inject(self, stage: Stage) -> None:
        nodes = stage.arena.arena_nodes if self.who == "all" else [stage.victim(self.who)]
        disks = [self._disks[stage.arena.arena_nodes.index(node)] for node in nodes]
        processes = [process for node in nodes for process in _freeze(stage, node)]
        for disk in disks:
            disk.cut_power()
        for process in processes:
            process.kill()
        are_gone = stage.wait(lambda: all(map(has_ended, processes)))
        stage.expect(are_gone, "processes outlive SIGKILL")
        for node, disk in zip(nodes, disks, strict=True):
            node.kill()
            disk.restore_power()
            _note_other_boot(node)
            stage.forgetful.add(node.name)
            stage.strikes += 1
        if self.who != "all":
            stage.note(f"writes resumed after {stage.wait_writes(1, 'without it'):.2f} s")
            stage.hold(0.5)

    def heal(self, stage: Stage) -> None:
        for node in stage.arena.nodes:
            if not node.is_running:
                node.start()

    def clean_up(self) -> None:
        for disk in self._disks:
            disk.close()


def _freeze(stage: Stage, node: ArenaNode) -> list[psutil.Process]:
    """Let no process of a node act any more, and return them: none outlives its machine's power.

    A call of fdatasync that is under way when ext4 is shut down may return 0 although its bytes are
    gone (the conversion of unwritten extents fails without an error). A machine without power would
    not tell anybody; a process that still ran would.
    """
    processes = node.processes()
    for process in processes:
        process.suspend()
    still = (psutil.STATUS_STOPPED, psutil.STATUS_DISK_SLEEP)
    is_still = stage.wait(lambda: all(process.status() in still for process in processes))
    stage.expect(is_still, f"the processes of {node.name} did not stand still")
    return processes


def _note_other_boot(node: ArenaNode) -> None:
    """Let the store's marker name another boot: this machine has in fact not been booted again."""
    marker = Path(node.config.store_dir()) / "trust"
    if marker.exists():
        marker.write_text(_OTHER_BOOT, encoding="ascii")
