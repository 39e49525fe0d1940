"""The asyncio client aetcd of PyPI: keys, transactions, leases, locks and watches; prints a line each."""

import asyncio
import sys

import aetcd


async def main() -> None:
    host, port = sys.argv[1].split(":")
    async with aetcd.Client(host=host, port=int(port), timeout=60) as client:
        await client.put(b"async/a", b"1")
        assert (await client.get(b"async/a")).value == b"1"
        assert await client.get(b"async/none") is None
        await client.put(b"async/b", b"2")
        found = [each.key for each in await client.get_prefix(b"async/")]
        assert found == [b"async/a", b"async/b"]
        assert await client.replace(b"async/a", b"1", b"3")
        print("ok keys")

        succeeded, _ = await client.transaction(
            compare=[client.transactions.value(b"async/a") == b"3"],
            success=[client.transactions.put(b"async/a", b"4")],
            failure=[],
        )
        assert succeeded
        print("ok transaction")

        lease = await client.lease(600)
        await client.put(b"async/leased", b"x", lease=lease)
        await lease.refresh()
        await lease.revoke()
        assert await client.get(b"async/leased") is None
        print("ok lease")

        watch = await client.watch(b"async/watch")
        for each in range(5):
            await client.put(b"async/watch", b"%d" % each)
        seen = []
        async for event in watch:
            seen.append(event.kv.value)
            if len(seen) == 5:
                break
        await watch.cancel()
        assert seen == [b"0", b"1", b"2", b"3", b"4"]
        print("ok watch")

        async with client.lock(b"async/lock", ttl=60) as lock:
            assert await lock.is_acquired()
        print("ok lock")

        assert (await client.delete_prefix(b"async/")).deleted >= 2
        print("ok rest")


asyncio.run(main())
