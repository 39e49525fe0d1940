"""The client etcd3gw of PyPI, which speaks JSON over HTTP: keys, transactions, leases and locks."""

import base64
import sys

import etcd3gw

host, port = sys.argv[1].split(":")
client = etcd3gw.client(host=host, port=int(port), api_path="/v3/", timeout=60)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


assert client.put("gw/a", "1")
assert client.get("gw/a") == [b"1"]
assert client.get("gw/none") == []
client.put("gw/b", "2")
assert [value for value, _ in client.get_prefix("gw/")] == [b"1", b"2"]
assert client.create("gw/new", "x")
assert not client.create("gw/new", "x")
assert client.replace("gw/a", "1", "3")
assert not client.replace("gw/a", "1", "4")
print("ok keys")

answer = client.transaction(
    {
        "compare": [
            {"key": encoded("gw/a"), "result": "EQUAL", "target": "VALUE", "value": encoded("3")}
        ],
        "success": [{"request_put": {"key": encoded("gw/a"), "value": encoded("5")}}],
        "failure": [],
    }
)
assert answer["succeeded"]
assert client.get("gw/a") == [b"5"]
print("ok transaction")

lease = client.lease(ttl=600)
client.put("gw/leased", "x", lease)
assert lease.refresh() == 600
assert 0 < lease.ttl() <= 600
assert lease.keys() == [b"gw/leased"]
assert lease.revoke()
assert client.get("gw/leased") == []
print("ok lease")

with client.lock("gw-lock", ttl=60) as lock:
    assert lock.is_acquired()
print("ok lock")

events, cancel = client.watch("gw/watch")
client.put("gw/watch", "1")
assert next(events)["kv"]["value"] == b"1"
cancel()
print("ok watch")

assert client.delete_prefix("gw/")
assert client.status()["version"].startswith("3.6")
print("ok rest")
