"""Bolt files in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zetcd.bolt import BoltReader, BoltWriter

Pairs = Iterable[tuple[bytes, bytes]]


def written(buckets: Mapping[bytes, Pairs]) -> bytes:
    """Return a file with these buckets, whose pairs are sorted."""
    file = bytearray()

    def pwrite(content: bytes, offset: int) -> None:
        file.extend(bytes(max(0, offset + len(content) - len(file))))
        file[offset : offset + len(content)] = content

    writer = BoltWriter(pwrite)
    for name, pairs in buckets.items():
        writer.begin_bucket(name)
        for key, value in pairs:
            writer.add(key, value)
        writer.end_bucket()
    assert writer.finish() == len(file)
    return bytes(file)


def reader_of(content: bytes) -> BoltReader:
    return BoltReader(lambda size, offset: content[offset : offset + size], len(content))


def everything(content: bytes) -> dict[bytes, list[tuple[bytes, bytes]]]:
    """Return all buckets of a file."""
    reader = reader_of(content)
    return {name: list(reader.bucket(name)) for name in reader.names()}
