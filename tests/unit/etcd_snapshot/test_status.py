"""What a file is said to hold; the numbers were compared with etcdutl's (tests/integration)."""

from __future__ import annotations

import google_crc32c
import pytest

from tests.unit.bolt.files import everything, reader_of, written
from tests.unit.etcd_snapshot.stores import compacted, exported, sample
from tests.unit.mvcc.small_store import SmallStore
from zetcd.errors import Compacted, CorruptSnapshot, FutureRev
from zetcd.etcd_snapshot import Export, hash_kv, status_of
from zetcd.etcd_snapshot.buckets import encode_revision
from zetcd.etcd_snapshot.protobuf import StoredKeyValue, encode_key_value

RECORDS = [
    (encode_revision(2), encode_key_value(StoredKeyValue(b"a", 2, 2, 1, b"1"))),
    (encode_revision(3), encode_key_value(StoredKeyValue(b"b", 3, 3, 1, b"2"))),
    (encode_revision(4, is_tombstone=True), encode_key_value(StoredKeyValue(b"a"))),
]


def test_a_small_file() -> None:
    found = status_of(reader_of(written({b"key": RECORDS, b"meta": []})))
    joined = b"key" + b"".join(key + value for key, value in RECORDS) + b"meta"
    assert found == (google_crc32c.value(joined), 4, 1, 6 * 4096 - 4096, "")


def test_a_whole_store() -> None:
    history = sample()
    content = exported(history)
    found = status_of(reader_of(content))
    joined = b"".join(
        name + b"".join(key + value for key, value in pairs)
        for name, pairs in everything(content).items()
    )
    assert found.hash == google_crc32c.value(joined)
    assert found.revision == history.applier.state.current_revision
    assert (found.total_size, found.version) == (len(content), "3.6.0")


def test_hash_kv_is_that_of_the_records_up_to_a_revision() -> None:
    reader = reader_of(written({b"key": RECORDS}))
    joined = b"key" + b"".join(key + value for key, value in RECORDS[:2])
    assert hash_kv(reader, 3) == (google_crc32c.value(joined), 3, -1)
    assert hash_kv(reader).hash_revision == 4
    with pytest.raises(FutureRev):
        hash_kv(reader, 5)


def test_hash_kv_of_a_compacted_file() -> None:
    history = compacted(sample(), 20)
    with pytest.raises(CorruptSnapshot, match="not finished"):
        hash_kv(reader_of(exported(history)))
    history.compact()
    reader = reader_of(exported(history))
    assert hash_kv(reader, 20).compact_revision == 20
    with pytest.raises(Compacted):
        hash_kv(reader, 19)


def test_what_a_compaction_has_left_counts_while_it_is_the_newest_of_its_key() -> None:
    # The numbers are those of etcdutl 3.6.14 for the same file.
    store = SmallStore()
    for number in range(40):
        store.put(b"k%d" % (number % 10), b"v%d" % number)
    store.delete(b"k1", b"k3")
    store.compact(25)
    file = bytearray()

    def pwrite(content: bytes, offset: int) -> None:
        file.extend(bytes(max(0, offset + len(content) - len(file))))
        file[offset : offset + len(content)] = content

    with store.backend.read() as transaction:
        export = Export(transaction, pwrite)
        while export.step() is None:
            pass
    reader = reader_of(bytes(file))
    found = [hash_kv(reader, revision).hash for revision in (25, 30, 41, 0)]
    assert found == [3211309750, 2760797358, 2694544035, 2649376890]
