package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

var clientChecks = []check{
	{"put, get, delete", putGetDelete},
	{"transaction", transaction},
	{"errors are known by their text", errorsByText},
	{"watch goes on over compaction and history", watchHistory},
	{"lease is kept alive and revoked", leaseLife},
	{"lease expiry deletes its keys", leaseExpiry},
	{"mutex excludes", mutex},
	{"try lock", tryLock},
	{"election hands over", election},
	{"software transactional memory", stm},
	{"namespace", namespaced},
	{"mirror", mirrored},
	{"ordering", ordered},
	{"maintenance", maintenance},
}

func putGetDelete(ctx context.Context, client *clientv3.Client) error {
	put, err := client.Put(ctx, "go/a", "1")
	if err != nil {
		return err
	}
	if _, err := client.Put(ctx, "go/b", "2"); err != nil {
		return err
	}
	got, err := client.Get(ctx, "go/", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
	if err != nil {
		return err
	}
	if len(got.Kvs) != 2 || string(got.Kvs[0].Key) != "go/b" || got.Kvs[1].ModRevision != put.Header.Revision {
		return fmt.Errorf("got %v", got)
	}
	deleted, err := client.Delete(ctx, "go/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	if err != nil {
		return err
	}
	return expect(deleted.Deleted == 2 && len(deleted.PrevKvs) == 2, "deleted %v", deleted)
}

func transaction(ctx context.Context, client *clientv3.Client) error {
	commit := func() (*clientv3.TxnResponse, error) {
		return client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision("go/txn"), "=", 0)).
			Then(clientv3.OpPut("go/txn", "first")).
			Else(clientv3.OpTxn(
				[]clientv3.Cmp{clientv3.Compare(clientv3.Value("go/txn"), "=", "first")},
				[]clientv3.Op{clientv3.OpPut("go/txn", "second"), clientv3.OpGet("go/txn")},
				nil,
			)).Commit()
	}
	first, err := commit()
	if err != nil {
		return err
	}
	second, err := commit()
	if err != nil {
		return err
	}
	nested := second.Responses[0].GetResponseTxn()
	value := nested.Responses[1].GetResponseRange().Kvs[0].Value
	return expect(first.Succeeded && !second.Succeeded && nested.Succeeded && string(value) == "second", "%v", second)
}

func errorsByText(ctx context.Context, client *clientv3.Client) error {
	_, err := client.Get(ctx, "go/x", clientv3.WithRev(1<<60))
	if !errors.Is(err, rpctypes.ErrFutureRev) {
		return fmt.Errorf("future revision: %v", err)
	}
	_, err = client.Put(ctx, "go/x", "", clientv3.WithLease(4711))
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("unknown lease: %v", err)
	}
	_, err = client.Put(ctx, "go/large", string(make([]byte, 1600*1024)))
	if !errors.Is(err, rpctypes.ErrRequestTooLarge) {
		return fmt.Errorf("large value: %v", err)
	}
	return nil
}

func watchHistory(ctx context.Context, client *clientv3.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, err := client.Put(ctx, "go/watch", "0")
	if err != nil {
		return err
	}
	events := client.Watch(ctx, "go/watch", clientv3.WithRev(first.Header.Revision), clientv3.WithPrevKV())
	for each := 1; each < 50; each++ {
		if _, err := client.Put(ctx, "go/watch", fmt.Sprint(each)); err != nil {
			return err
		}
	}
	seen := 0
	for seen < 50 {
		response, open := <-events
		if !open || response.Err() != nil {
			return fmt.Errorf("watch ended after %d: %v", seen, response.Err())
		}
		for _, event := range response.Events {
			if string(event.Kv.Value) != fmt.Sprint(seen) {
				return fmt.Errorf("event %d is %v", seen, event)
			}
			if seen > 0 && string(event.PrevKv.Value) != fmt.Sprint(seen-1) {
				return fmt.Errorf("before event %d was %v", seen, event.PrevKv)
			}
			seen++
		}
	}
	latest, err := client.Get(ctx, "go/watch")
	if err != nil {
		return err
	}
	if _, err := client.Compact(ctx, latest.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		return err
	}
	response := <-client.Watch(ctx, "go/watch", clientv3.WithRev(first.Header.Revision))
	return expect(response.CompactRevision == latest.Header.Revision && errors.Is(response.Err(), rpctypes.ErrCompacted),
		"compacted: %v", response)
}

func leaseLife(ctx context.Context, client *clientv3.Client) error {
	lease, err := client.Grant(ctx, 600)
	if err != nil {
		return err
	}
	alive, err := client.KeepAlive(ctx, lease.ID)
	if err != nil {
		return err
	}
	if answer := <-alive; answer == nil || answer.TTL != 600 {
		return fmt.Errorf("kept alive: %v", answer)
	}
	if _, err := client.Put(ctx, "go/leased", "x", clientv3.WithLease(lease.ID)); err != nil {
		return err
	}
	left, err := client.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	if err != nil {
		return err
	}
	if len(left.Keys) != 1 || left.GrantedTTL != 600 {
		return fmt.Errorf("time to live: %v", left)
	}
	if _, err := client.Revoke(ctx, lease.ID); err != nil {
		return err
	}
	got, err := client.Get(ctx, "go/leased")
	if err != nil {
		return err
	}
	return expect(got.Count == 0, "the key outlived its lease: %v", got)
}

func leaseExpiry(ctx context.Context, client *clientv3.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lease, err := client.Grant(ctx, 1)
	if err != nil {
		return err
	}
	put, err := client.Put(ctx, "go/expires", "x", clientv3.WithLease(lease.ID))
	if err != nil {
		return err
	}
	events := client.Watch(ctx, "go/expires", clientv3.WithRev(put.Header.Revision+1), clientv3.WithPrevKV())
	response := <-events
	if len(response.Events) != 1 || response.Events[0].Type != mvccpb.DELETE {
		return fmt.Errorf("no deletion: %v", response)
	}
	return expect(string(response.Events[0].PrevKv.Value) == "x", "before: %v", response.Events[0])
}

func mutex(ctx context.Context, client *clientv3.Client) error {
	inside, entered := 0, 0
	var group sync.WaitGroup
	failures := make(chan error, 4)
	for range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			failures <- func() error {
				session, err := concurrency.NewSession(client, concurrency.WithTTL(60))
				if err != nil {
					return err
				}
				defer session.Close()
				lock := concurrency.NewMutex(session, "go/mutex")
				for range 3 {
					if err := lock.Lock(ctx); err != nil {
						return err
					}
					inside++
					entered++
					if inside != 1 {
						return fmt.Errorf("%d at once", inside)
					}
					inside--
					if err := lock.Unlock(ctx); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	group.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return err
		}
	}
	return expect(entered == 12, "entered %d times", entered)
}

func tryLock(ctx context.Context, client *clientv3.Client) error {
	holder, err := concurrency.NewSession(client)
	if err != nil {
		return err
	}
	defer holder.Close()
	other, err := concurrency.NewSession(client)
	if err != nil {
		return err
	}
	defer other.Close()
	if err := concurrency.NewMutex(holder, "go/try").Lock(ctx); err != nil {
		return err
	}
	err = concurrency.NewMutex(other, "go/try").TryLock(ctx)
	return expect(errors.Is(err, concurrency.ErrLocked), "tried: %v", err)
}

func election(ctx context.Context, client *clientv3.Client) error {
	sessions := make([]*concurrency.Session, 2)
	for each := range sessions {
		session, err := concurrency.NewSession(client)
		if err != nil {
			return err
		}
		defer session.Close()
		sessions[each] = session
	}
	first := concurrency.NewElection(sessions[0], "go/election")
	second := concurrency.NewElection(sessions[1], "go/election")
	if err := first.Campaign(ctx, "one"); err != nil {
		return err
	}
	observing, cancel := context.WithCancel(ctx)
	defer cancel()
	observed := second.Observe(observing)
	if leader := <-observed; string(leader.Kvs[0].Value) != "one" {
		return fmt.Errorf("observed %v", leader)
	}
	won := make(chan error, 1)
	go func() { won <- second.Campaign(ctx, "two") }()
	if err := first.Proclaim(ctx, "still one"); err != nil {
		return err
	}
	if leader := <-observed; string(leader.Kvs[0].Value) != "still one" {
		return fmt.Errorf("observed %v", leader)
	}
	if err := first.Resign(ctx); err != nil {
		return err
	}
	if err := <-won; err != nil {
		return err
	}
	leader, err := second.Leader(ctx)
	if err != nil {
		return err
	}
	return expect(string(leader.Kvs[0].Value) == "two", "leader %v", leader)
}

func stm(ctx context.Context, client *clientv3.Client) error {
	for _, key := range []string{"go/stm/a", "go/stm/b"} {
		if _, err := client.Put(ctx, key, "100"); err != nil {
			return err
		}
	}
	var group sync.WaitGroup
	failures := make(chan error, 4)
	for range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			for range 5 {
				_, err := concurrency.NewSTM(client, func(view concurrency.STM) error {
					var from, to int
					fmt.Sscan(view.Get("go/stm/a"), &from)
					fmt.Sscan(view.Get("go/stm/b"), &to)
					view.Put("go/stm/a", fmt.Sprint(from-1))
					view.Put("go/stm/b", fmt.Sprint(to+1))
					return nil
				}, concurrency.WithAbortContext(ctx))
				if err != nil {
					failures <- err
					return
				}
			}
			failures <- nil
		}()
	}
	group.Wait()
	for range 4 {
		if err := <-failures; err != nil {
			return err
		}
	}
	got, err := client.Get(ctx, "go/stm/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	return expect(string(got.Kvs[0].Value) == "80" && string(got.Kvs[1].Value) == "120", "moved %v", got.Kvs)
}

func namespaced(ctx context.Context, client *clientv3.Client) error {
	inner := namespace.NewKV(client.KV, "go/ns/")
	if _, err := inner.Put(ctx, "a", "1"); err != nil {
		return err
	}
	all, err := inner.Get(ctx, "", clientv3.WithFromKey())
	if err != nil {
		return err
	}
	outer, err := client.Get(ctx, "go/ns/a")
	if err != nil {
		return err
	}
	return expect(len(all.Kvs) == 1 && string(all.Kvs[0].Key) == "a" && outer.Count == 1, "%v %v", all, outer)
}

func mirrored(ctx context.Context, client *clientv3.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for each := range 20 {
		if _, err := client.Put(ctx, fmt.Sprintf("go/mirror/%02d", each), "x"); err != nil {
			return err
		}
	}
	syncer := mirror.NewSyncer(client, "go/mirror/", 0)
	responses, failures := syncer.SyncBase(ctx)
	count := 0
	for response := range responses {
		count += len(response.Kvs)
	}
	if err := <-failures; err != nil {
		return err
	}
	updates := syncer.SyncUpdates(ctx)
	if _, err := client.Put(ctx, "go/mirror/new", "y"); err != nil {
		return err
	}
	update := <-updates
	return expect(count == 20 && string(update.Events[0].Kv.Value) == "y", "%d keys, then %v", count, update)
}

func ordered(ctx context.Context, client *clientv3.Client) error {
	kv := ordering.NewKV(client.KV, ordering.NewOrderViolationSwitchEndpointClosure(client))
	if _, err := kv.Put(ctx, "go/order", "1"); err != nil {
		return err
	}
	for range 10 {
		if _, err := kv.Get(ctx, "go/order"); err != nil {
			return err
		}
	}
	return nil
}

func maintenance(ctx context.Context, client *clientv3.Client) error {
	leaders := map[uint64]bool{}
	for _, endpoint := range client.Endpoints() {
		status, err := client.Status(ctx, endpoint)
		if err != nil {
			return err
		}
		leaders[status.Leader] = true
	}
	members, err := client.MemberList(ctx)
	if err != nil {
		return err
	}
	hash, err := client.HashKV(ctx, client.Endpoints()[0], 0)
	if err != nil {
		return err
	}
	alarms, err := client.AlarmList(ctx)
	if err != nil {
		return err
	}
	return expect(len(members.Members) == len(client.Endpoints()) && hash.Hash != 0 && len(alarms.Alarms) == 0,
		"%v %v %v after %v", members, hash, alarms, time.Now())
}
