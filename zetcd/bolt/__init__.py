"""Files of bbolt, the key-value file that etcd keeps its store in: written once, and read. Pure.

How it works
    A file is a sequence of pages. Two meta pages say where everything is; the newer one with a right
    checksum counts. Everything else is a B+tree whose leaves hold keys and values, or the roots of further
    trees, the *buckets*:

        page 0, 1     meta: magic, version, page size, root of the tree of buckets, freelist, number of
                      pages, transaction id, FNV-1a checksum
        page 2        freelist, empty
        page 3 ...    leaves of the first bucket, a branch once there are enough of them, ...
        last page     leaf with the names of the buckets

    `BoltWriter` is given keys in ascending order and writes each page once, from left to right and from the
    bottom up, with one open page for each level: a file of any size costs the memory of its depth. Only
    the meta pages are written at the end. `BoltReader` walks the tree with bounds for everything that a
    damaged file could lie about.

Worked example
    >>> file = bytearray(20480)
    >>> def pwrite(content: bytes, offset: int) -> None:
    ...     file[offset : offset + len(content)] = content
    >>> writer = BoltWriter(pwrite)
    >>> writer.begin_bucket(b"key")
    >>> writer.add(b"a", b"1")
    >>> writer.end_bucket()
    >>> writer.finish()
    20480
    >>> reader = BoltReader(lambda size, offset: bytes(file[offset : offset + size]), len(file))
    >>> list(reader.bucket(b"key"))
    [(b'a', b'1')]

Not implemented
    Changing a file, buckets within buckets (etcd has none), other byte orders than little endian.
"""

from zetcd.bolt.reader import BoltReader
from zetcd.bolt.writer import BoltWriter

__all__ = ["BoltReader", "BoltWriter"]
