"""The synchronous client etcd3 of PyPI: keys, transactions, leases, locks and watches; prints a line each."""

import sys
import threading

import etcd3

host, port = sys.argv[1].split(":")
client = etcd3.client(host=host, port=int(port), timeout=60)

client.put("py/a", "1")
assert client.get("py/a")[0] == b"1"
assert client.get("py/none") == (None, None)
assert client.put("py/a", "2", prev_kv=True).prev_kv.value == b"1"
client.put("py/b", "3")
found = [(meta.key, value) for value, meta in client.get_prefix("py/", sort_order="descend")]
assert found == [(b"py/b", b"3"), (b"py/a", b"2")]
assert client.replace("py/a", "2", "4")
assert not client.replace("py/a", "2", "5")
print("ok keys")

succeeded, answers = client.transaction(
    compare=[client.transactions.value("py/a") == "4", client.transactions.version("py/b") > 0],
    success=[client.transactions.put("py/a", "6"), client.transactions.get("py/a")],
    failure=[client.transactions.delete("py/a")],
)
assert succeeded
assert answers[1][0][0] == b"6"
print("ok transaction")

lease = client.lease(600)
client.put("py/leased", "x", lease)
assert lease.granted_ttl == 600
assert list(lease.keys) == [b"py/leased"]
assert [answer.TTL for answer in lease.refresh()] == [600]
lease.revoke()
assert client.get("py/leased")[0] is None
print("ok lease")

events, cancel = client.watch_prefix("py/watch/")
threading.Thread(target=lambda: [client.put(f"py/watch/{each}", "x") for each in range(5)]).start()
seen = [next(events).key for _ in range(5)]
assert seen == [b"py/watch/%d" % each for each in range(5)]
cancel()
print("ok watch")

with client.lock("py/lock", ttl=60) as lock:
    assert lock.is_acquired()
assert client.lock("py/lock", ttl=60).acquire(timeout=60)
print("ok lock")

assert client.delete("py/a")
assert client.delete_prefix("py/").deleted >= 6
assert len(list(client.members)) >= 1
assert client.status().version.startswith("3.6")
print("ok rest")
