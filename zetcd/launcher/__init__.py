r"""`zetcd etcd`: starts a member with the flags, variables and files of etcd 3.6.

How it works
    `flags` is the table of all flags: what each takes, etcd's default, and whether zetcd acts on it,
    ignores it with a warning, or refuses it because ignoring it would be dangerous. `command_line`,
    `environment` and `config_file` read the three places in which they are set, with etcd's precedence
    (a file excludes everything else; a flag goes before its variable, and both together are fatal).
    `checks` refuses what etcd refuses, in etcd's words. `translation` makes a configuration of zetcd,
    which is checked as any other, and `running` runs it under the same supervisor as
    `zetcd supervise`: in the foreground, with a log of etcd's shape.

Worked example
    zetcd etcd --name a --listen-client-urls http://127.0.0.1:2379 \
        --advertise-client-urls=http://127.0.0.1:2379 -snapshot-count 5000

    is, in TOML (what is left out is etcd's default):

    name = "a"
    data-dir = "a.etcd"
    listen-peer-urls = ["http://localhost:2380"]     # the scheme is part of the ids; ZeroMQ is spoken
    listen-client-urls = ["http://127.0.0.1:2379"]
    snapshot-count = 5000
    logger = "zap"
    [gateway]
    native-processes = 0                             # no port that etcd would not have

Differences to etcd on purpose
    An unknown key in a file is warned of. Self-made certificates live in ``<data-dir>/fixtures``, as
    etcd's do. The exit code after a signal is that of the signal, as etcd's is.

Not implemented
    ``etcd gateway`` and ``etcd grpc-proxy``; discovery; detection of the machine's default address
    for what is advertised (etcd does it when it listens on every interface).
"""
