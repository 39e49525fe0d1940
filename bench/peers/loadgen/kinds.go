package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Puts of one transaction while keys are loaded; etcd allows 128 operations.
const putsOfATxn = 100

// operation returns what each client does again and again in a run of this kind.
func (r *Run) operation() (Operation, error) {
	switch r.spec.Kind {
	case "put":
		return r.put, nil
	case "get":
		return r.get, nil
	case "range":
		return r.list, nil
	case "mixed":
		return r.mixed, nil
	case "cas":
		return r.compareAndSwap, nil
	case "kubernetes":
		return r.kubernetes, nil
	}
	return nil, fmt.Errorf("no such kind: %q", r.spec.Kind)
}

func (r *Run) put(ctx context.Context, worker *Worker) (string, error) {
	_, err := worker.client.Put(ctx, r.key(worker.rng.IntN(r.spec.Keys)), string(worker.value))
	return "", err
}

func (r *Run) get(ctx context.Context, worker *Worker) (string, error) {
	answer, err := worker.client.Get(ctx, r.key(worker.rng.IntN(r.spec.Preload)), r.reading()...)
	if err == nil && len(answer.Kvs) != 1 {
		err = fmt.Errorf("%d keys, not 1", len(answer.Kvs))
	}
	return "", err
}

func (r *Run) reading() []clientv3.OpOption {
	if r.spec.Serializable {
		return []clientv3.OpOption{clientv3.WithSerializable()}
	}
	return nil
}

// list reads Limit keys from a random one on.
func (r *Run) list(ctx context.Context, worker *Worker) (string, error) {
	from := r.key(worker.rng.IntN(max(r.spec.Preload-r.spec.Limit, 0) + 1))
	options := append(r.reading(), clientv3.WithRange("bench0"), clientv3.WithLimit(int64(r.spec.Limit)))
	answer, err := worker.client.Get(ctx, from, options...)
	if err == nil && len(answer.Kvs) != min(r.spec.Limit, r.spec.Preload) {
		err = fmt.Errorf("%d keys, not %d", len(answer.Kvs), r.spec.Limit)
	}
	return "", err
}

func (r *Run) mixed(ctx context.Context, worker *Worker) (string, error) {
	if worker.rng.Float64() < r.spec.ReadShare {
		_, err := r.get(ctx, worker)
		return "get", err
	}
	_, err := r.put(ctx, worker)
	return "put", err
}

// compareAndSwap tries to replace one of few keys that all clients want; the loser learns the new revision.
func (r *Run) compareAndSwap(ctx context.Context, worker *Worker) (string, error) {
	key := r.key(worker.number % r.spec.Keys)
	answer, err := worker.client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", worker.revision)).
		Then(clientv3.OpPut(key, string(worker.value))).
		Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return "", err
	}
	if answer.Succeeded {
		worker.revision = answer.Header.Revision
		return "won", nil
	}
	worker.revision = 0
	if found := answer.Responses[0].GetResponseRange().Kvs; len(found) > 0 {
		worker.revision = found[0].ModRevision
	}
	return "lost", nil
}

// kubernetes is the traffic of an API server: mostly updates by revision, some creations and pages of lists.
func (r *Run) kubernetes(ctx context.Context, worker *Worker) (string, error) {
	switch dice := worker.rng.IntN(100); {
	case dice < 50:
		return "update", r.update(ctx, worker)
	case dice < 60:
		return "create", r.create(ctx, worker)
	case dice < 95:
		_, err := r.get(ctx, worker)
		return "get", err
	}
	return "list", r.pages(ctx, worker)
}

func (r *Run) update(ctx context.Context, worker *Worker) error {
	key := r.key(worker.rng.IntN(r.spec.Preload))
	found, err := worker.client.Get(ctx, key)
	if err != nil {
		return err
	}
	if len(found.Kvs) != 1 {
		return fmt.Errorf("%d keys, not 1", len(found.Kvs))
	}
	_, err = worker.client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", found.Kvs[0].ModRevision)).
		Then(clientv3.OpPut(key, string(stamped(worker.value)))).
		Else(clientv3.OpGet(key)).Commit()
	return err
}

func (r *Run) create(ctx context.Context, worker *Worker) error {
	key := fmt.Sprintf("bench/new-%d-%d", worker.number, worker.rng.Int64())
	_, err := worker.client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, string(stamped(worker.value)))).
		Else(clientv3.OpGet(key)).Commit()
	return err
}

// pages reads two pages, the second at the revision of the first.
func (r *Run) pages(ctx context.Context, worker *Worker) error {
	from, revision := "bench/", int64(0)
	for range 2 {
		answer, err := worker.client.Get(ctx, from, clientv3.WithRange("bench0"),
			clientv3.WithLimit(int64(r.spec.Limit)), clientv3.WithRev(revision))
		if err != nil {
			return err
		}
		if !answer.More {
			return nil
		}
		from, revision = string(answer.Kvs[len(answer.Kvs)-1].Key)+"\x00", answer.Header.Revision
	}
	return nil
}

// preload writes keys 0 to Preload-1, many with one transaction.
func (r *Run) preload(ctx context.Context) error {
	var group sync.WaitGroup
	var next atomic.Int64
	failed := make(chan error, 1)
	for number := range min(r.spec.Preload/putsOfATxn+1, 16) {
		group.Go(func() {
			worker := r.worker(number)
			for {
				from := int(next.Add(putsOfATxn)) - putsOfATxn
				if from >= r.spec.Preload || ctx.Err() != nil {
					return
				}
				if err := r.loadSome(ctx, worker, from); err != nil {
					select {
					case failed <- err:
					default:
					}
					return
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return ctx.Err()
	}
}

func (r *Run) loadSome(ctx context.Context, worker *Worker, from int) error {
	// As many puts as fit well below the limit of a request.
	step := max(1, min(putsOfATxn, 1_000_000/(r.spec.ValueBytes+r.spec.KeyBytes+32)))
	for until := min(from+putsOfATxn, r.spec.Preload); from < until; from += step {
		var puts []clientv3.Op
		for number := from; number < min(from+step, until); number++ {
			puts = append(puts, clientv3.OpPut(r.key(number), string(worker.value)))
		}
		limited, cancel := context.WithTimeout(ctx, 4*r.spec.timeout())
		_, err := worker.client.Txn(limited).Then(puts...).Commit()
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}
