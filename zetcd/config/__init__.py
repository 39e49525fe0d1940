r"""The configuration of a node: read once, checked whole, frozen, handed down in pieces.

How it works
    A TOML file holds etcd's parameters under etcd's names and one table per actor. `sections` and
    `tree` declare every setting with its default, unit, reason and limits; `rules` reads and checks
    them generically; `cross_checks` looks at what no setting can tell alone; `loading` puts it
    together. All problems are reported at once, each with its key, its value, the limit and how to
    mend it. A key that nobody knows is an error, with the key that was probably meant.

Worked example
    >>> config = parse_config('name = "a"\nelection-timeout = 2000\n[raft]\nnice = 0\n')
    >>> config.election_ticks(), config.raft.nice, config.initial_cluster
    (100, 0, 'a=tcp://127.0.0.1:2380')
    >>> parse_config("heartbeat-intervall = 100")
    Traceback (most recent call last):
        ...
    zetcd.errors.ConfigError: zetcd: configuration is not usable: 1 problem
      - heartbeat-intervall = 100: unknown key; did you mean "heartbeat-interval"?

Not implemented
    etcd's discovery and profiling parameters are unknown keys.
"""

from zetcd.config.cross_checks import validate
from zetcd.config.loading import config_from_table, load_config, parse_config
from zetcd.config.membership_id import cluster_id_of, member_id_of
from zetcd.config.rules import format_duration, parse_duration
from zetcd.config.sections import (
    ApplyConfig,
    GatewayConfig,
    RaftConfig,
    SnapshotConfig,
    SupervisorConfig,
    TransportSecurity,
    WalConfig,
    WatchConfig,
)
from zetcd.config.tree import Config, InitialMember
from zetcd.errors import ConfigError, Problem

__all__ = [
    "ApplyConfig",
    "Config",
    "ConfigError",
    "GatewayConfig",
    "InitialMember",
    "Problem",
    "RaftConfig",
    "SnapshotConfig",
    "SupervisorConfig",
    "TransportSecurity",
    "WalConfig",
    "WatchConfig",
    "cluster_id_of",
    "config_from_table",
    "format_duration",
    "load_config",
    "member_id_of",
    "parse_config",
    "parse_duration",
    "validate",
]
