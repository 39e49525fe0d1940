"""Responsible for scenarios of several steps: a large keyspace, and a member that catches up by snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.accounting import Account
from bench.drivers import DriverFailed, ask_members, list_all, run_go
from bench.results import ScenarioRun, Session, Spec
from bench.session import NATIVE, Options, start_cluster
from bench.systems import Cluster, ClusterFailed
from bench.workloads import SEED

_CATCH_UP_SECONDS_MAX = 300.0
_CATCH_UP_KEYS_MAX = 100_000
#: More than the entries that either system keeps for followers: the one that was away needs a snapshot.
_ENTRIES_MISSED = 25_000


@dataclass(frozen=True)
class Size:
    """How large the keyspace is."""

    keys: int = 1_000_000
    value_bytes: int = 256


def _spec(cluster: Cluster, endpoints: list[str], size: Size) -> Spec:
    return {
        "kind": "preload",
        "endpoints": endpoints or cluster.endpoints,
        "clients": 16,
        "connections": 3,
        "seconds": 0.0,
        "warmup_seconds": 0.0,
        "timeout_seconds": 20.0,
        "seed": SEED,
        "key_bytes": 16,
        "value_bytes": size.value_bytes,
        "preload": size.keys,
    }


def large_keyspace(cluster: Cluster, size: Size) -> dict[str, float]:
    """Load many keys, read them all, and start a member again."""
    account = Account(member.pid for member in cluster.members)
    account.start()
    started = time.monotonic()
    run_go(_spec(cluster, [], size), seconds_max=1800.0)
    load_seconds = time.monotonic() - started
    usage = account.stop()
    listed = list_all(cluster.endpoints[0])
    started = time.monotonic()
    cluster.members[0].stop()
    stop_seconds = time.monotonic() - started
    started = time.monotonic()
    cluster.members[0].start()
    revision = max(view.revision for view in ask_members(cluster.endpoints[1:]))
    _wait_revision(cluster, 0, revision)
    return {
        "keys": float(size.keys),
        "load_seconds": load_seconds,
        "keys_per_second_loaded": size.keys / load_seconds,
        "memory_MiB_all_members": sum(usage.rss_bytes.values()) / 2**20,
        "db_MiB_one_member": ask_members(cluster.endpoints[:1])[0].db_bytes / 2**20,
        "list_keys": float(listed.keys),
        "list_seconds": listed.seconds,
        "stop_seconds": stop_seconds,
        "restart_seconds_until_caught_up": time.monotonic() - started,
    }


def snapshot_catch_up(cluster: Cluster, size: Size) -> dict[str, float]:
    """Stop a follower, write more entries than are kept for it, start it and wait until it has them."""
    size = Size(min(size.keys, _CATCH_UP_KEYS_MAX), size.value_bytes)
    run_go(_spec(cluster, [], size), seconds_max=600.0)
    if cluster.leader() == 0:
        cluster.let_lead(1)
    cluster.members[0].stop()
    others = cluster.endpoints[1:]
    written = 0
    started = time.monotonic()
    while written < _ENTRIES_MISSED and time.monotonic() - started < _CATCH_UP_SECONDS_MAX:
        # One request for each entry as far as it goes: entries count, not requests.
        spec = _spec(cluster, others, size) | {"kind": "put", "is_loaded": True, "keys": size.keys}
        before = ask_members(others)[0].applied
        run_go({**spec, "clients": 4, "connections": 4, "seconds": 10.0})
        written += ask_members(others)[0].applied - before
    revision = max(view.revision for view in ask_members(others))
    started = time.monotonic()
    cluster.members[0].start()
    _wait_revision(cluster, 0, revision)
    return {
        "entries_missed": float(written),
        "seconds_until_caught_up": time.monotonic() - started,
    }


def _wait_revision(cluster: Cluster, number: int, revision: int) -> None:
    """Return once a member has applied everything up to a revision."""
    endpoint = cluster.endpoints[number : number + 1]

    def has_it() -> bool:
        return ask_members(endpoint)[0].revision >= revision

    cluster.wait(has_it, f"member {number} at revision {revision}", _CATCH_UP_SECONDS_MAX)


SCENARIOS: dict[str, Callable[[Cluster, Size], dict[str, float]]] = {
    "large-keyspace": large_keyspace,
    "snapshot-catch-up": snapshot_catch_up,
}


def run_scenarios(session: Session, names: list[str], size: Size, options: Options) -> None:
    """Run scenarios on every system, one after the other."""
    systems = [name for name in options.systems if name != NATIVE]
    for number in range(options.rounds):
        for name in names:
            for system in systems if number % 2 == 0 else systems[::-1]:
                if options.is_late():
                    session.notes.append(f"time was up before {name} on {system}")
                    return
                run = _run_one(name, system, number, size, options)
                session.scenarios.append(run)
                options.say(f"  {number + 1} {name:<20}{system:<8}{run.figures or run.failure}")


def _run_one(name: str, system: str, number: int, size: Size, options: Options) -> ScenarioRun:
    try:
        with start_cluster(system, options) as cluster:
            return ScenarioRun(name, system, number, SCENARIOS[name](cluster, size))
    except (ClusterFailed, DriverFailed) as error:
        return ScenarioRun(name, system, number, failure=str(error).splitlines()[0])
