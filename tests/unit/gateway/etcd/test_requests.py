"""What etcd's messages mean in ours."""

from __future__ import annotations

from zetcd.gateway.etcd import requests
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.watch.watcher import watched_range


def test_a_watch_without_key_and_end_is_one_of_the_first_possible_key() -> None:
    alone = requests.watch_create_request(pb.WatchCreateRequest(), 1)
    everything = requests.watch_create_request(pb.WatchCreateRequest(range_end=b"\0"), 1)
    up_to_b = requests.watch_create_request(pb.WatchCreateRequest(range_end=b"b"), 1)
    named = requests.watch_create_request(pb.WatchCreateRequest(key=b"a"), 1)
    assert watched_range(alone.key, alone.range_end) == watched_range(b"\0", b"")
    assert watched_range(everything.key, everything.range_end) == watched_range(b"\0", b"\0")
    assert watched_range(up_to_b.key, up_to_b.range_end) == watched_range(b"\0", b"b")
    assert (named.key, named.range_end) == (b"a", b"")
