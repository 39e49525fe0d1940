"""What a node measures of itself, and how monitoring reads it: names of etcd, text of Prometheus. Pure.

How it works
    Each actor counts in plain integers and in `Histogram`s, where it does the work. Twice a second, with
    the report that says that it lives, it sends them as `Figure`s to the supervisor, which keeps the
    newest of each. Whoever serves /metrics asks the supervisor once for each scrape:

        actor ─ ActorReport(…, figures) ─► supervisor ◄─ FiguresRequest ─ etcd gateway ◄─ GET /metrics
                 every 0.5 s                   └──────── NodeFigures ───────►┘

    So nothing is shared, no hot path waits or locks, and what is served is at most half a second old.
    An actor that restarts begins again at 0, as Prometheus expects of counters.

Worked example
    wal observes each fdatasync: 3 ms make `Histogram.observe(0.003)`, one search in 14 bounds. Its
    report carries ``Figure("etcd_disk_wal_fsync_duration_seconds", 0.003, (), (0, 0, 1, …))``. The text:

    >>> from zetcd.metrics import Histogram, exposition, histogram_figure
    >>> histogram = Histogram.of("etcd_disk_wal_fsync_duration_seconds")
    >>> histogram.observe(0.003)
    >>> figure = histogram_figure("etcd_disk_wal_fsync_duration_seconds", histogram)
    >>> print(exposition([figure]).decode().splitlines()[4])
    etcd_disk_wal_fsync_duration_seconds_bucket{le="0.004"} 1

Files
    definitions   every metric there is: type, labels, buckets, help
    histogram     counting into buckets
    figures       counts → `Figure`
    exposition    figures of all actors → text

Rules
    A metric is in `definitions` or it is not served; one that is there moves (tests see to it). Figures
    with the same labels from several actors are added up. What of etcd's is not served, and why, is in
    ``docs/metrics.md``.

Not implemented
    Exemplars, OpenMetrics, compression.
"""

from zetcd.metrics.definitions import DEFINITIONS, Definition, Kind
from zetcd.metrics.exposition import CONTENT_TYPE, exposition
from zetcd.metrics.figures import figure, histogram_figure
from zetcd.metrics.histogram import Histogram

__all__ = [
    "CONTENT_TYPE",
    "DEFINITIONS",
    "Definition",
    "Histogram",
    "Kind",
    "exposition",
    "figure",
    "histogram_figure",
]
