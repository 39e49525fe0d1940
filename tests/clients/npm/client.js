// The client etcd3 of npm: keys, transactions, leases, watches, locks and elections; prints a line each.
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { Etcd3 } = require("etcd3");

const client = new Etcd3({ hosts: process.argv[2].split(",").map((each) => `http://${each}`) });

async function keys() {
  await client.delete().prefix("js/");
  await client.put("js/a").value("1");
  await client.put("js/b").value("2");
  assert.equal(await client.get("js/a").string(), "1");
  assert.equal(await client.get("js/none"), null);
  const answer = await client.put("js/a").value("3").getPrevious();
  assert.equal(answer.value.toString(), "1");
  const all = await client.getAll().prefix("js/").sort("Key", "Descend").strings();
  assert.deepEqual(Object.entries(all), [["js/b", "2"], ["js/a", "3"]]);
  assert.deepEqual(await client.getAll().prefix("js/").limit(1).keys(), ["js/a"]);
  assert.equal(await client.getAll().prefix("js/").count(), 2);
  const old = await client.get("js/a").revision(answer.mod_revision).string();
  assert.equal(old, "1");
  const gone = await client.delete().prefix("js/").getPrevious();
  assert.deepEqual(gone.map((each) => each.value.toString()), ["3", "2"]);
  assert.equal(await client.getAll().prefix("js/").count(), 0);
}

async function transactions() {
  const create = () =>
    client
      .if("js/txn", "Create", "==", 0)
      .then(client.put("js/txn").value("first"))
      .else(client.get("js/txn"))
      .commit();
  assert.equal((await create()).succeeded, true);
  const second = await create();
  assert.equal(second.succeeded, false);
  assert.equal(second.responses[0].response_range.kvs[0].value.toString(), "first");
  const add = () =>
    client.stm().transact(async (tx) => {
      const before = Number((await tx.get("js/counter").string()) ?? 0);
      await tx.put("js/counter").value(String(before + 1));
    });
  await Promise.all([add(), add(), add()]);
  assert.equal(await client.get("js/counter").string(), "3");
}

async function leases() {
  const lease = client.lease(600, { autoKeepAlive: false });
  await lease.put("js/leased").value("x");
  assert.equal(await client.get("js/leased").string(), "x");
  const kept = await lease.keepaliveOnce();
  assert.equal(Number(kept.TTL), 600);
  const id = await lease.grant();
  const left = await client.leaseClient.leaseTimeToLive({ ID: id, keys: true });
  assert.deepEqual(left.keys.map(String), ["js/leased"]);
  await lease.revoke();
  assert.equal(await client.get("js/leased").string(), null);
  await assert.rejects(() => lease.put("js/leased").value("y").exec());
  // Kept alive by the client itself, on a stream.
  const alive = client.lease(1);
  const pinged = once(alive, "keepaliveSucceeded");
  await alive.grant();
  await pinged;
  await alive.revoke();
}

async function watches() {
  const old = await client.put("js/watch/a").value("old");
  // Each call goes to some member: one that is behind would begin with what is old news here.
  const behind = String(BigInt(old.header.revision) + 1n);
  const watcher = await client
    .watch()
    .prefix("js/watch/")
    .startRevision(behind)
    .withPreviousKV()
    .create();
  const seen = [];
  const done = new Promise((resolve, reject) => {
    watcher.on("error", reject);
    watcher.on("put", (kv, previous) => {
      seen.push(["put", kv.key.toString(), kv.value.toString(), previous?.value.toString()]);
    });
    watcher.on("delete", (kv, previous) => {
      seen.push(["delete", kv.key.toString(), previous.value.toString()]);
      resolve();
    });
  });
  await client.put("js/watch/a").value("new");
  const { header } = await client.put("js/watch/b").value("1");
  await client.delete().key("js/watch/a");
  await done;
  assert.deepEqual(seen, [
    ["put", "js/watch/a", "new", "old"],
    ["put", "js/watch/b", "1", undefined],
    ["delete", "js/watch/a", "new"],
  ]);
  await watcher.cancel();
  // From a revision on, which is history by now.
  const late = await client.watch().prefix("js/watch/").startRevision(header.revision).create();
  const [event] = await once(late, "put");
  assert.equal(event.key.toString(), "js/watch/b");
  await late.cancel();
}

async function locks() {
  const lock = client.lock("js-lock").ttl(60);
  await lock.acquire();
  await assert.rejects(() => client.lock("js-lock").ttl(60).acquire(), /EtcdLockFailedError|acquire/);
  await lock.release();
  assert.equal(await client.lock("js-lock").ttl(60).do(async () => "inside"), "inside");
}

async function elections() {
  const election = client.election("js-election", 60);
  const first = election.campaign("ann");
  await first.wait();
  assert.equal(await election.leader(), "ann");
  const observer = await election.observe();
  assert.equal(observer.leader(), "ann");
  const second = election.campaign("bob");
  const won = second.wait();
  const changed = new Promise((resolve) => {
    observer.on("change", (value) => value === "bob" && resolve());
  });
  await first.resign();
  await won;
  await changed;
  await observer.cancel();
  await second.resign();
}

async function rest() {
  const { members } = await client.cluster.memberList({});
  assert.equal(members.length, 3);
  assert.match((await client.maintenance.status({})).version, /^3\.6\./);
  await assert.rejects(() => client.get("js/a").revision(1 << 30).string(), /future revision/);
  await assert.rejects(() => client.role("reader").create(), /users and roles/);
}

async function main() {
  for (const check of [keys, transactions, leases, watches, locks, elections, rest]) {
    await check();
    console.log(`ok ${check.name}`);
  }
  client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
