"""The messages of the etcd API, as protoc makes them of the ``.proto`` files beside this one.

Packages, services, messages, names and numbers are etcd's: its clients depend on all of them. The
modules are made when zetcd is installed (`hatch_build.py` in the repository) and are not kept in
version control; ``python hatch_build.py`` makes them anew after a change.

Not implemented
    etcd's internal messages (its log, its peers), and server reflection, which etcd has not either.
"""
