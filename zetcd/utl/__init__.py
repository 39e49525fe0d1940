"""zetcdutl: what etcdutl does, on the files of a member that does not run.

How it works
    ``snapshot status`` and ``hashkv`` read a snapshot file of etcd's or ours and show what etcdutl would
    show. ``snapshot restore`` makes of it the data directory of one member of a new cluster: tables, a
    checkpoint of them, and a log that begins with the founders and the mark of that checkpoint. Each
    member restores the same file with its own name and the same ``--initial-cluster``. ``import`` does the
    same from the ``member/snap/db`` of a stopped etcd, ``export`` writes a stopped member's store as a
    snapshot file, ``defrag`` makes its file small.

Worked example, a cluster of one moved to etcd and back

    ::

        zetcdctl snapshot save backup.db
        etcdutl snapshot restore backup.db --data-dir etcd.data           and back:
        etcdctl snapshot save backup.db
        zetcdutl snapshot restore backup.db --data-dir zetcd.data
        zetcd supervise config.toml                                       with data-dir = "zetcd.data"

Files
    main     the command line             restoring   file → data directory
    files    opening and verifying files  stopped     the store of a member that does not run

Not implemented
    ``migrate`` (there is one version of the tables) and etcdutl's ``--wal-dir``; users and roles.
"""
