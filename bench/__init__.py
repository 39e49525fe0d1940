"""The benchmark: zetcd beside etcd on the same machine, in one session, under the same load.

How it works
    ::

        __main__ ──► session ──► systems      three members of zetcd, then of etcd, in fresh directories
                        │    ──► drivers      loadgen (Go, for both) and native_driver (ZeroMQ, for zetcd)
                        │    ──► accounting   CPU, memory and wake-ups by actor, and what others used
                        ▼
                     results ──► report       tables, CSV, plots, one HTML page

    A *workload* (`workloads`) is named and seeded. It runs once on each system in a *round*, within a
    minute or so of each other, on clusters that were started for it. Rounds repeat, with the order turned
    round each time. What is printed is the median of the rounds, and ratios are formed within each
    round only: a machine is not the same from one minute to the next, and least of all a shared one.

    Closed loops find the highest throughput. Open loops send at fixed times and count latency
    from the time when a request was *due* (`schedule`), so that a server which stands still cannot hide it.

    `trust` says of each run why its figure should not be believed: the client was the limit, other
    programs used the machine, the leader changed, requests failed.

Worked example
    >>> from bench.histogram import Histogram
    >>> latencies = Histogram()
    >>> for microseconds in range(1, 1001):
    ...     latencies.record(microseconds)
    >>> latencies.percentile(0.5), latencies.percentile(0.99)
    (500, 992)

    ``python -m bench run put-100 get-100 --rounds 3`` measures two workloads; `make bench` the short
    selection; ``python -m bench sweep`` what slow disks cost.

Not implemented
    Several machines, TLS, and users: everything runs on loopback, without authentication. The native
    driver knows puts, gets and ranges. Members of etcd are one process, so their CPU is not split by part.
"""
