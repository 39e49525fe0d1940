package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// The shortest time to live that both systems grant as it is asked for, at an election timeout of 1 s.
const expirySeconds = 3

// leases grants many leases, keeps each alive once, and lets as many short ones expire.
func (r *Run) leases() (Report, error) {
	r.from = time.Now()
	granted := make([]clientv3.LeaseID, r.spec.Leases)
	grant := func(ctx context.Context, client *clientv3.Client, number int) error {
		answer, err := client.Grant(ctx, r.spec.LeaseSeconds)
		if err == nil {
			granted[number] = answer.ID
		}
		return err
	}
	keepAlive := func(ctx context.Context, client *clientv3.Client, number int) error {
		_, err := client.KeepAliveOnce(ctx, granted[number])
		return err
	}
	revoke := func(ctx context.Context, client *clientv3.Client, number int) error {
		_, err := client.Revoke(ctx, granted[number])
		return err
	}
	before := cpuSeconds()
	r.phase("grant", grant)
	r.phase("keep-alive", keepAlive)
	r.phase("revoke", revoke)
	if err := r.expiry(); err != nil {
		return Report{}, err
	}
	report := r.report()
	report.Seconds = time.Since(r.from).Seconds()
	report.CPUSeconds = cpuSeconds() - before
	return report, nil
}

// phase does one thing with each lease, Clients at a time.
func (r *Run) phase(name string, do func(context.Context, *clientv3.Client, int) error) {
	var group sync.WaitGroup
	var next atomic.Int64
	histogram, started := r.histogram(name), time.Now()
	for number := range r.spec.Clients {
		group.Go(func() {
			client := r.clients[number%len(r.clients)]
			for {
				lease := int(next.Add(1)) - 1
				if lease >= r.spec.Leases {
					return
				}
				ctx, cancel := context.WithTimeout(context.Background(), r.spec.timeout())
				sent := time.Now()
				err := do(ctx, client, lease)
				cancel()
				if err != nil {
					r.count(err)
					continue
				}
				took := time.Since(sent).Microseconds()
				histogram.Record(took)
				r.all.Record(took)
				r.operations.Add(1)
				r.measured.Add(1)
			}
		})
	}
	group.Wait()
	r.figure(name+"_per_second", float64(r.spec.Leases)/time.Since(started).Seconds())
}

// expiry grants short leases with a key each, and measures from the end of each to the news of it.
func (r *Run) expiry() error {
	ctx, cancel := context.WithTimeout(context.Background(), 120*time.Second)
	defer cancel()
	events := r.clients[0].Watch(ctx, "expiry/", clientv3.WithPrefix(), clientv3.WithCreatedNotify(),
		clientv3.WithFilterPut())
	if created, ok := <-events; !ok || created.Err() != nil {
		return fmt.Errorf("watch was not confirmed: %v", created.Err())
	}
	ends := sync.Map{}
	r.phase("grant-and-put", func(limited context.Context, client *clientv3.Client, number int) error {
		answer, err := client.Grant(limited, expirySeconds)
		if err != nil {
			return err
		}
		key := fmt.Sprintf("expiry/%d", number)
		ends.Store(key, time.Now().Add(time.Duration(answer.TTL)*time.Second))
		_, err = client.Put(limited, key, "", clientv3.WithLease(answer.ID))
		return err
	})
	histogram, early, seen := r.histogram("expiry"), 0, 0
	for seen < r.spec.Leases {
		response, ok := <-events
		if !ok {
			break
		}
		for _, event := range response.Events {
			seen++
			if end, found := ends.Load(string(event.Kv.Key)); found {
				late := time.Since(end.(time.Time))
				// Granted a little before the client knew of it.
				if late < -expirySeconds*time.Second/2 {
					early++
				}
				histogram.Record(late.Microseconds())
			}
		}
	}
	r.figure("expired_early", float64(early))
	r.figure("not_expired", float64(r.spec.Leases-seen))
	return nil
}

// keepLeases keeps leases alive until the context ends, and counts those that were lost all the same. One that is
// not granted in its time is an error like any other: with disks slow enough that is what happens.
func (r *Run) keepLeases(ctx context.Context, count int) *sync.WaitGroup {
	var granting, keeping sync.WaitGroup
	var granted, lost atomic.Int64
	for number := range count {
		granting.Go(func() {
			client := r.clients[number%len(r.clients)]
			limited, cancel := context.WithTimeout(ctx, r.spec.timeout())
			answer, err := client.Grant(limited, r.spec.LeaseSeconds)
			cancel()
			if err != nil {
				r.count(fmt.Errorf("lease not granted: %s", shortened(err)))
				return
			}
			news, err := client.KeepAlive(ctx, answer.ID)
			if err != nil {
				r.count(fmt.Errorf("lease not kept alive: %s", shortened(err)))
				return
			}
			granted.Add(1)
			keeping.Go(func() {
				for range news {
				}
				if ctx.Err() == nil {
					lost.Add(1)
				}
			})
		})
	}
	granting.Wait()
	done := &sync.WaitGroup{}
	done.Go(func() {
		<-ctx.Done()
		keeping.Wait()
		r.figure("leases_kept", float64(granted.Load()))
		r.figure("leases_lost", float64(lost.Load()))
	})
	return done
}
