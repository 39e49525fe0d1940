package main

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

// What kube-apiserver does with its store, by the same calls.
var kubernetesChecks = []check{
	{"kubernetes: create, guarded update and delete", kubeGuards},
	{"kubernetes: lists in pages at one revision, with writes in between", kubePages},
	{"kubernetes: watch with progress on request", kubeWatch},
	{"kubernetes: compaction under a guard, and what expires with it", kubeCompaction},
	{"kubernetes: the interface of the client library", kubeInterface},
}

const registry = "/registry/pods/default/"

func kubeCreate(ctx context.Context, client *clientv3.Client, key, value string, options ...clientv3.OpOption) (*clientv3.TxnResponse, error) {
	return client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, value, options...)).
		Commit()
}

func kubeGuards(ctx context.Context, client *clientv3.Client) error {
	key := registry + "guarded"
	created, err := kubeCreate(ctx, client, key, "v1")
	if err != nil {
		return err
	}
	again, err := kubeCreate(ctx, client, key, "v1")
	if err != nil {
		return err
	}
	if !created.Succeeded || again.Succeeded {
		return fmt.Errorf("created twice: %v %v", created, again)
	}
	update := func(revision int64, value string) (*clientv3.TxnResponse, error) {
		return client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
			Then(clientv3.OpPut(key, value)).
			Else(clientv3.OpGet(key)).
			Commit()
	}
	updated, err := update(created.Header.Revision, "v2")
	if err != nil {
		return err
	}
	stale, err := update(created.Header.Revision, "v3")
	if err != nil {
		return err
	}
	seen := stale.Responses[0].GetResponseRange().Kvs[0]
	if !updated.Succeeded || stale.Succeeded || string(seen.Value) != "v2" || seen.ModRevision != updated.Header.Revision {
		return fmt.Errorf("updated %v, stale %v", updated, stale)
	}
	deleted, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", seen.ModRevision)).
		Then(clientv3.OpDelete(key)).
		Else(clientv3.OpGet(key)).
		Commit()
	if err != nil {
		return err
	}
	return expect(deleted.Succeeded && deleted.Responses[0].GetResponseDeleteRange().Deleted == 1, "deleted %v", deleted)
}

func kubePages(ctx context.Context, client *clientv3.Client) error {
	const count, page = 250, 40
	prefix := "/registry/pages/"
	for each := range count {
		if _, err := kubeCreate(ctx, client, fmt.Sprintf("%s%04d", prefix, each), "v"); err != nil {
			return err
		}
	}
	end := clientv3.GetPrefixRangeEnd(prefix)
	key, revision, seen := prefix, int64(0), 0
	for {
		options := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(page)}
		if revision != 0 {
			options = append(options, clientv3.WithRev(revision))
		}
		response, err := client.Get(ctx, key, options...)
		if err != nil {
			return err
		}
		if revision == 0 {
			revision = response.Header.Revision
		}
		if response.Count != int64(count-seen) {
			return fmt.Errorf("count %d after %d", response.Count, seen)
		}
		for _, kv := range response.Kvs {
			if string(kv.Key) != fmt.Sprintf("%s%04d", prefix, seen) || kv.Version != 1 {
				return fmt.Errorf("key %d is %v", seen, kv)
			}
			seen++
		}
		if !response.More {
			break
		}
		key = string(response.Kvs[len(response.Kvs)-1].Key) + "\x00"
		// None of this belongs to the list.
		if _, err := client.Put(ctx, fmt.Sprintf("%s%04d", prefix, seen+1), "later"); err != nil {
			return err
		}
		if _, err := client.Delete(ctx, fmt.Sprintf("%s%04d", prefix, seen+2)); err != nil {
			return err
		}
		if _, err := client.Put(ctx, fmt.Sprintf("%s%04d-new", prefix, seen), "later"); err != nil {
			return err
		}
	}
	return expect(seen == count, "saw %d", seen)
}

func kubeWatch(ctx context.Context, client *clientv3.Client) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	prefix := "/registry/watched/"
	list, err := client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return err
	}
	events := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(list.Header.Revision+1),
		clientv3.WithPrevKV(), clientv3.WithProgressNotify())
	lease, err := client.Grant(ctx, 2)
	if err != nil {
		return err
	}
	if _, err := client.Put(ctx, prefix+"a", "1"); err != nil {
		return err
	}
	if _, err := client.Put(ctx, prefix+"a", "2"); err != nil {
		return err
	}
	if _, err := client.Put(ctx, prefix+"event", "x", clientv3.WithLease(lease.ID)); err != nil {
		return err
	}
	if _, err := client.Delete(ctx, prefix+"a"); err != nil {
		return err
	}
	var seen []*clientv3.Event
	for len(seen) < 5 {
		response, open := <-events
		if !open || response.Err() != nil {
			return fmt.Errorf("watch ended: %v", response.Err())
		}
		seen = append(seen, response.Events...)
	}
	if !seen[0].IsCreate() || !seen[1].IsModify() || string(seen[1].PrevKv.Value) != "1" ||
		seen[3].Type != mvccpb.DELETE || string(seen[3].PrevKv.Value) != "2" ||
		seen[4].Type != mvccpb.DELETE || string(seen[4].PrevKv.Value) != "x" {
		return fmt.Errorf("events %v", seen)
	}
	// Writes elsewhere do not reach this watcher; progress says that it has missed nothing.
	other, err := client.Put(ctx, "/registry/elsewhere", "")
	if err != nil {
		return err
	}
	for {
		if err := client.RequestProgress(ctx); err != nil {
			return err
		}
		response, open := <-events
		if !open || response.Err() != nil {
			return fmt.Errorf("watch ended: %v", response.Err())
		}
		if response.IsProgressNotify() && response.Header.Revision >= other.Header.Revision {
			return nil
		}
	}
}

func kubeCompaction(ctx context.Context, client *clientv3.Client) error {
	const guard = "compact_rev_key"
	before, err := client.Put(ctx, "/registry/old", "1")
	if err != nil {
		return err
	}
	now, err := client.Put(ctx, "/registry/old", "2")
	if err != nil {
		return err
	}
	taken, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.Version(guard), "=", 0)).
		Then(clientv3.OpPut(guard, fmt.Sprint(now.Header.Revision))).
		Else(clientv3.OpGet(guard)).
		Commit()
	if err != nil {
		return err
	}
	if _, err := client.Compact(ctx, now.Header.Revision); err != nil {
		return err
	}
	if _, err := client.Get(ctx, "/registry/old", clientv3.WithRev(before.Header.Revision)); !errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("an old list: %v", err)
	}
	kept, err := client.Get(ctx, "/registry/old", clientv3.WithRev(now.Header.Revision))
	if err != nil {
		return err
	}
	return expect(taken.Succeeded && string(kept.Kvs[0].Value) == "2", "%v %v", taken, kept)
}

func kubeInterface(ctx context.Context, client *clientv3.Client) error {
	kube := kubernetes.Client{Client: client}
	kube.Kubernetes = &kube
	key := "/registry/interface/a"
	put, err := kube.OptimisticPut(ctx, key, []byte("1"), 0, kubernetes.PutOptions{GetOnFailure: true})
	if err != nil {
		return err
	}
	again, err := kube.OptimisticPut(ctx, key, []byte("2"), 0, kubernetes.PutOptions{GetOnFailure: true})
	if err != nil {
		return err
	}
	if !put.Succeeded || again.Succeeded || string(again.KV.Value) != "1" {
		return fmt.Errorf("put %v, again %v", put, again)
	}
	list, err := kube.List(ctx, "/registry/interface/", kubernetes.ListOptions{Limit: 10})
	if err != nil {
		return err
	}
	count, err := kube.Count(ctx, "/registry/interface/", kubernetes.CountOptions{})
	if err != nil {
		return err
	}
	got, err := kube.Get(ctx, key, kubernetes.GetOptions{})
	if err != nil {
		return err
	}
	deleted, err := kube.OptimisticDelete(ctx, key, got.KV.ModRevision, kubernetes.DeleteOptions{})
	if err != nil {
		return err
	}
	return expect(len(list.Kvs) == 1 && count == 1 && deleted.Succeeded, "%v %d %v", list, count, deleted)
}
