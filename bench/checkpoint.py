"""`python -m bench.checkpoint`: how long puts wait while every member makes a checkpoint.

Three nodes and the client on this machine. The store is filled until a checkpoint is nearly due; then 500 puts of
512 bytes a second come at fixed times, and latency counts from the time when a put was due. The nodes reach
the size of log at which a checkpoint is made at the same entry, so that all three make it at once.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from rich.progress import Progress

from bench.drivers import run_native
from bench.histogram import Histogram
from bench.load import run_load
from bench.local_cluster import LocalCluster
from bench.workloads import chosen
from zetcd.client import Client
from zetcd.messages.codec import encode
from zetcd.messages.kv import PutRequest

_VALUE = b"v" * 256
_FILLER = b"f" * 200_000
#: Bytes of log at which a checkpoint is due, and how much less there is when the measurement begins.
_LOG_BYTES = 90 << 20
_MARGIN_BYTES = 3 << 19
#: Nodes say how long their logs are every other second.
_STATUS_SECONDS = 2.1


def facts(cluster: LocalCluster, name: str) -> list[int]:
    """Return a fact about checkpoints, of each node."""
    return [int(node.fact("snapshot", name) or "0") for node in cluster.status()]


def fill(cluster: LocalCluster) -> None:
    """Put until a checkpoint is nearly due: many small keys, then a few large values over and over."""
    with Progress(transient=True) as progress:
        task = progress.add_task("filling", total=_LOG_BYTES - _MARGIN_BYTES)

        def missing() -> int:
            log_bytes = min(facts(cluster, "log_bytes_since_mark"), default=0)
            progress.update(task, completed=log_bytes)
            return _LOG_BYTES - _MARGIN_BYTES - log_bytes

        while missing() > _LOG_BYTES // 2:
            run_load(
                cluster.endpoints,
                clients=300,
                seconds=1.0,
                make_body=lambda client, n: encode(PutRequest(b"%03d-%06d" % (client, n), _VALUE)),
            )
            time.sleep(_STATUS_SECONDS)
        with Client(cluster.endpoints[0]) as client:
            while (count := missing()) > 0:
                for number in range(max(1, count // (len(_FILLER) + 10_000))):
                    client.put(b"filler%d" % (number % 50), _FILLER)
                time.sleep(_STATUS_SECONDS)


def measure(base_port: int, directory: Path, seconds: float) -> str:
    """Return what was found, as a line."""
    cluster = LocalCluster(nodes=3, base_port=base_port, directory=directory)
    limits = f"[snapshot]\nlog-bytes-min = {_LOG_BYTES}\n"
    cluster.change_configs(lambda _, config: f"snapshot-count = 100\n{config}\n{limits}")
    with cluster:
        fill(cluster)
        (workload,) = chosen(["put-open-500"])
        spec = workload.spec(cluster.endpoints, seconds=seconds, warmup=1.0)
        report = run_native({**spec, "value_bytes": 512})
        made = facts(cluster, "checkpoints_made")
    latencies = Histogram(report.latencies["all"])
    found = [(p, latencies.percentile(p / 100)) for p in (50, 99, 99.9)]
    shown = "".join(f", p{p:g} {value / 1000:.1f}" for p, value in found if value is not None)
    return f"ms{shown}, max {latencies.max / 1000:.1f}; puts {latencies.count}, checkpoints {made}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--base-port", type=int, default=24_300)
    parser.add_argument("--dir", help="the disk that is measured; default: that of temporary files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zetcd-bench-", dir=arguments.dir) as directory:
        print(measure(arguments.base_port, Path(directory), arguments.seconds))


if __name__ == "__main__":
    main()
