package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Octets of a stamp at the beginning of a value, in hexadecimal.
const stampBytes = 16

// stamped returns the value with the time now at its beginning.
func stamped(value []byte) []byte {
	made := make([]byte, max(len(value), stampBytes))
	copy(made, value)
	var octets [8]byte
	binary.BigEndian.PutUint64(octets[:], uint64(time.Now().UnixNano()))
	hex.Encode(made, octets[:])
	return made
}

// sentAt returns the time of a stamped value.
func sentAt(value []byte) (time.Time, bool) {
	var octets [8]byte
	if len(value) < stampBytes {
		return time.Time{}, false
	}
	if _, err := hex.Decode(octets[:], value[:stampBytes]); err != nil {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(octets[:]))), true
}

// Watchers watch a prefix, and count what they are told.
type Watchers struct {
	run       *Run
	delivered atomic.Int64
	// Events of the measured time, and when the last of them came.
	measured atomic.Int64
	latency  *Histogram
	cancel   context.CancelFunc
	group    sync.WaitGroup
}

// watch starts so many watchers, and returns once the server has confirmed each.
func (r *Run) watch(count int, prefix string) (*Watchers, error) {
	ctx, cancel := context.WithCancel(context.Background())
	watchers := &Watchers{run: r, latency: r.histogram("delivery"), cancel: cancel}
	confirmed := make(chan error, count)
	for number := range count {
		watchers.group.Go(func() {
			client := r.clients[number%len(r.clients)]
			options := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithCreatedNotify()}
			confirmation := confirmed
			for response := range client.Watch(ctx, prefix, options...) {
				if confirmation != nil {
					confirmation <- response.Err()
					confirmation = nil
				}
				watchers.count(response)
			}
			if confirmation != nil {
				confirmation <- fmt.Errorf("watch ended before it began")
			}
		})
	}
	for range count {
		select {
		case err := <-confirmed:
			if err != nil {
				cancel()
				return nil, err
			}
		case <-time.After(60 * time.Second):
			cancel()
			return nil, fmt.Errorf("watches were not confirmed within a minute")
		}
	}
	return watchers, nil
}

func (w *Watchers) count(response clientv3.WatchResponse) {
	now := time.Now()
	if err := response.Err(); err != nil {
		w.run.count(err)
	}
	w.delivered.Add(int64(len(response.Events)))
	for _, event := range response.Events {
		if sent, ok := sentAt(event.Kv.Value); ok && sent.After(w.run.from) && sent.Before(w.run.until) {
			w.latency.Record(now.Sub(sent).Microseconds())
			w.measured.Add(1)
		}
	}
}

// finish waits until every watcher has had so many events, or none has come for five seconds.
func (w *Watchers) finish(expected int64) {
	last, since := int64(-1), time.Now()
	for w.delivered.Load() < expected && time.Since(since) < 5*time.Second {
		if now := w.delivered.Load(); now != last {
			last, since = now, time.Now()
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.cancel()
	w.group.Wait()
	w.run.figure("events_missing", float64(expected-w.delivered.Load()))
	w.run.figure("events", float64(w.delivered.Load()))
	w.run.figure("events_per_second", float64(w.measured.Load())/w.run.spec.Seconds)
}

// fanOut runs puts while watchers watch them all.
func (r *Run) fanOut() (Report, error) {
	watchers, err := r.watch(r.spec.Watchers, "bench/")
	if err != nil {
		return Report{}, err
	}
	report := r.load(func(ctx context.Context, worker *Worker) (string, error) {
		_, err := worker.client.Put(ctx, r.key(worker.rng.IntN(r.spec.Keys)), string(stamped(worker.value)))
		return "put", err
	})
	watchers.finish(r.operations.Load() * int64(r.spec.Watchers))
	return report, nil
}

// likeKubernetes runs its mix while a few watchers watch everything, as the caches of an API server do.
func (r *Run) likeKubernetes() (Report, error) {
	watchers, err := r.watch(max(r.spec.Watchers, 1), "bench/")
	if err != nil {
		return Report{}, err
	}
	report := r.load(r.kubernetes)
	watchers.finish(watchers.delivered.Load())
	// Who lost a compare changed nothing: nobody knows how many to expect.
	delete(r.figures, "events_missing")
	return report, nil
}
