package main

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// observe asks every member for its term and leader until the context ends.
func (r *Run) observe(ctx context.Context, every time.Duration) (*sync.WaitGroup, error) {
	var group sync.WaitGroup
	seen := &sightings{firstTerm: ^uint64(0)}
	for _, endpoint := range r.spec.Endpoints {
		client, err := connect(endpoint)
		if err != nil {
			return nil, err
		}
		group.Go(func() {
			defer client.Close()
			ticker := time.NewTicker(every)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
					limited, cancel := context.WithTimeout(ctx, 2*time.Second)
					answer, err := client.Status(limited, endpoint)
					cancel()
					seen.note(answer, err)
				}
			}
		})
	}
	done := &sync.WaitGroup{}
	done.Go(func() {
		group.Wait()
		if seen.count > 0 {
			r.figure("elections", float64(seen.lastTerm-seen.firstTerm))
			r.figure("leader_changes", float64(seen.changes))
			r.figure("seen_without_leader", float64(seen.without)/float64(seen.count))
			r.figure("status_unanswered", float64(seen.unanswered))
		}
	})
	return done, nil
}

type sightings struct {
	mutex               sync.Mutex
	firstTerm, lastTerm uint64
	// Of the newest term for which a leader was seen.
	leader, leaderTerm uint64
	changes            int
	count, without     int
	unanswered         int
}

func (s *sightings) note(answer *clientv3.StatusResponse, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err != nil {
		s.unanswered++
		return
	}
	s.count++
	s.firstTerm, s.lastTerm = min(s.firstTerm, answer.RaftTerm), max(s.lastTerm, answer.RaftTerm)
	if answer.Leader == 0 {
		s.without++
		return
	}
	if answer.RaftTerm > s.leaderTerm {
		if s.leader != 0 && s.leader != answer.Leader {
			s.changes++
		}
		s.leader, s.leaderTerm = answer.Leader, answer.RaftTerm
	}
}

// compactNowAndThen compacts everything but the last thousand revisions until the context ends.
func (r *Run) compactNowAndThen(ctx context.Context, every time.Duration) *sync.WaitGroup {
	done := &sync.WaitGroup{}
	histogram := r.histogram("compaction")
	done.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		compacted := int64(0)
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			limited, cancel := context.WithTimeout(ctx, r.spec.timeout())
			found, err := r.clients[0].Get(limited, "bench/none")
			if err == nil && found.Header.Revision-1000 > compacted {
				compacted = found.Header.Revision - 1000
				sent := time.Now()
				_, err = r.clients[0].Compact(limited, compacted)
				if err == nil {
					histogram.Record(time.Since(sent).Microseconds())
				}
			}
			if err != nil && ctx.Err() == nil {
				r.count(err)
			}
			cancel()
		}
	})
	return done
}
