"""Responsible for the named, seeded workloads and for which of them belong together.

A name says the kind and the number of clients: ``put-100``; then what is unusual, ``put-100-4k``. Every
run of a workload sends the same keys and values in the same order for each client.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.results import Spec

SEED = 20_260
_CONNECTIONS_MAX = 100


@dataclass(frozen=True)
class Workload:
    """What is done, by how many clients, and what is said about it."""

    name: str
    #: The cluster that workloads of one group share; it is started anew for each round.
    group: str
    kind: str
    clients: int
    about: str
    settings: Spec = field(default_factory=dict)
    #: The native driver can do it too.
    is_native: bool = False
    #: One of those that `make bench` runs.
    is_short: bool = False
    #: Seconds of a run whose length is not asked for, because it ends by itself; 0: as asked.
    seconds_max: float = 0.0

    @property
    def rate(self) -> float:
        """Return the operations per second of an open loop; 0: closed loops."""
        return float(self.settings.get("rate", 0.0))

    def spec(self, endpoints: list[str], *, seconds: float, warmup: float) -> Spec:
        """Return what the driver shall do."""
        return {
            "kind": self.kind,
            "endpoints": endpoints,
            "clients": self.clients,
            "connections": min(self.clients, _CONNECTIONS_MAX),
            "seconds": seconds,
            "warmup_seconds": warmup,
            "seed": SEED,
            "key_bytes": 16,
            "value_bytes": 256,
            "keys": 100_000,
            **self.settings,
        }


def _puts() -> list[Workload]:
    made = [
        Workload(
            f"put-{clients}",
            "put",
            "put",
            clients,
            f"puts of 256 B, {clients:,} clients",
            is_native=True,
            is_short=clients != 10,
        )
        for clients in (1, 10, 100, 1000)
    ]
    for text, size, keys in (("64b", 64, 100_000), ("4k", 4096, 20_000), ("64k", 65_536, 1_000)):
        made += [
            Workload(
                f"put-{clients}-{text}",
                f"put-{text}",
                "put",
                clients,
                f"puts of {size:,} B, {clients:,} clients",
                {"value_bytes": size, "keys": keys},
                is_native=True,
            )
            for clients in (1, 10, 100, 1000)
        ]
    made.append(
        Workload(
            "put-open-500",
            "put",
            "put",
            100,
            "puts of 256 B, 500/s at fixed times",
            {"rate": 500.0},
            is_native=True,
            is_short=True,
        )
    )
    return made


_READ = {"preload": 10_000}

WORKLOADS: tuple[Workload, ...] = (
    *_puts(),
    *(
        Workload(
            f"get-{clients}",
            "read",
            "get",
            clients,
            f"linearizable gets of 256 B, {clients:,} clients",
            dict(_READ),
            is_native=True,
            is_short=clients in (1, 100, 1000),
        )
        for clients in (1, 10, 100, 1000)
    ),
    *(
        Workload(
            f"get-serializable-{clients}",
            "read",
            "get",
            clients,
            f"serializable gets of 256 B, {clients:,} clients",
            {**_READ, "serializable": True},
            is_native=True,
            is_short=clients == 100,
        )
        for clients in (1, 100, 1000)
    ),
    Workload(
        "get-open-1000",
        "read",
        "get",
        100,
        "linearizable gets, 1,000/s at fixed times",
        {**_READ, "rate": 1000.0},
        is_native=True,
    ),
    Workload(
        "range-10",
        "read",
        "range",
        10,
        "linearizable ranges of 500 keys, 10 clients",
        {**_READ, "limit": 500},
        is_native=True,
        is_short=True,
    ),
    Workload(
        "mixed-100",
        "read",
        "mixed",
        100,
        "90 % gets and 10 % puts, 100 clients",
        {**_READ, "keys": 10_000, "read_share": 0.9},
        is_native=True,
        is_short=True,
    ),
    Workload(
        "mixed-open-200",
        "read",
        "mixed",
        100,
        "90 % gets and 10 % puts, 200/s at fixed times: what a quiet cluster's slowest requests take",
        {**_READ, "keys": 10_000, "read_share": 0.9, "rate": 200.0},
        is_native=True,
    ),
    Workload(
        "cas-10",
        "txn",
        "cas",
        10,
        "compare-and-swap of one key by 10 clients",
        {"keys": 1},
        is_short=True,
    ),
    Workload(
        "cas-100", "txn", "cas", 100, "compare-and-swap of one key by 100 clients", {"keys": 1}
    ),
    *(
        Workload(
            f"watch-{watchers}",
            "watch",
            "watch",
            max(10, min(watchers, 100)),
            f"{rate:.0f} puts/s seen by {watchers:,} watchers of a prefix",
            {"watchers": watchers, "rate": rate, "keys": 1000},
            is_short=watchers == 100,
        )
        for watchers, rate in ((1, 200.0), (100, 50.0), (1000, 10.0))
    ),
    Workload(
        "watch-100-flood",
        "watch",
        "watch",
        10,
        "10 clients put as fast as they can, seen by 100 watchers",
        {"watchers": 100, "connections": 10, "keys": 1000},
    ),
    Workload(
        "lease",
        "lease",
        "lease",
        100,
        "10,000 leases granted, kept alive, revoked; as many left to expire",
        {"leases": 10_000, "lease_seconds": 300},
        seconds_max=240.0,
    ),
    Workload(
        "kubernetes-20",
        "kubernetes",
        "kubernetes",
        20,
        "as an API server: 50 % updates by revision, 10 % creations, 35 % gets, 5 % lists in pages; 10 watchers",
        {"preload": 5000, "value_bytes": 1024, "limit": 500, "watchers": 10},
        is_short=True,
    ),
    Workload(
        "put-100-compaction",
        "compaction",
        "put",
        100,
        "puts of 256 B while the history is compacted each second",
        {"compact_milliseconds": 1000, "keys": 1000},
    ),
)

BY_NAME = {workload.name: workload for workload in WORKLOADS}


def chosen(names: list[str], *, is_short: bool = False) -> list[Workload]:
    """Return the workloads with these names, or all (or those of the short selection).

    Raises:
        ValueError: there is none of a name.
    """
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise ValueError(f"no such workload: {', '.join(unknown)} (see python -m bench list)")
    if names:
        return [BY_NAME[name] for name in dict.fromkeys(names)]
    return [each for each in WORKLOADS if each.is_short or not is_short]
