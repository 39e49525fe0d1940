package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/status"
)

const (
	timelineStep = 100 * time.Millisecond
	// Operations of an open loop that wait for a worker: beyond it they are given up, and counted.
	backlogMax = 100_000
)

// Operation does one thing and returns its name for the histograms.
type Operation func(ctx context.Context, worker *Worker) (string, error)

// Worker is one closed loop, or one of those that serve an open loop.
type Worker struct {
	number int
	client *clientv3.Client
	rng    *rand.Rand
	value  []byte
	// Of the kind of run.
	revision int64
}

// Run is one run: its connections, and what it counts.
type Run struct {
	spec    Spec
	clients []*clientv3.Client

	from, until time.Time
	operations  atomic.Int64
	measured    atomic.Int64
	timeline    []atomic.Int64
	all         Histogram
	lateness    Histogram
	mutex       sync.Mutex
	named       map[string]*Histogram
	errors      map[string]int64
	figures     map[string]float64
}

func newRun(spec Spec) (*Run, error) {
	run := &Run{
		spec: spec, named: map[string]*Histogram{}, errors: map[string]int64{}, figures: map[string]float64{},
		timeline: make([]atomic.Int64, int(spec.Seconds*float64(time.Second)/float64(timelineStep))+1),
	}
	for number := range spec.Connections {
		client, err := connect(spec.Endpoints[number%len(spec.Endpoints)])
		if err != nil {
			return nil, err
		}
		run.clients = append(run.clients, client)
	}
	return run, nil
}

func connect(endpoint string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second})
}

func (r *Run) worker(number int) *Worker {
	seed := rand.NewPCG(uint64(r.spec.Seed), uint64(number))
	worker := &Worker{number: number, client: r.clients[number%len(r.clients)], rng: rand.New(seed)}
	worker.value = make([]byte, r.spec.ValueBytes)
	for at := range worker.value {
		worker.value[at] = byte('a' + worker.rng.IntN(26))
	}
	return worker
}

// key returns a key of exactly so many bytes as asked for, unless the number needs more.
func (r *Run) key(number int) string {
	return fmt.Sprintf("bench/%0*d", max(r.spec.KeyBytes-6, 1), number)
}

func (r *Run) count(err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.errors[shortened(err)]++
}

func shortened(err error) string {
	text := err.Error()
	if known, ok := status.FromError(err); ok {
		text = known.Message()
	}
	return text[:min(len(text), 120)]
}

func (r *Run) histogram(name string) *Histogram {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	found := r.named[name]
	if found == nil {
		found = &Histogram{}
		r.named[name] = found
	}
	return found
}

func (r *Run) figure(name string, value float64) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.figures[name] = value
}

// do runs one operation that was due at a time, and counts it.
func (r *Run) do(operation Operation, worker *Worker, due time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), r.spec.timeout())
	name, err := operation(ctx, worker)
	cancel()
	now := time.Now()
	if err != nil {
		r.count(err)
		// A server that refuses at once must not be flooded with tries.
		time.Sleep(time.Millisecond)
		return
	}
	r.operations.Add(1)
	// By the time it was due: an open loop must not lose what took longer than the run.
	inTime := !due.Before(r.from) && due.Before(r.until)
	if r.spec.Rate == 0 {
		inTime = !now.Before(r.from) && now.Before(r.until)
	}
	if !inTime {
		return
	}
	r.measured.Add(1)
	took := now.Sub(due).Microseconds()
	r.all.Record(took)
	if name != "" {
		r.histogram(name).Record(took)
	}
	if at := int(now.Sub(r.from) / timelineStep); at >= 0 && at < len(r.timeline) {
		r.timeline[at].Add(1)
	}
}

// load runs the operation until time is up.
func (r *Run) load(operation Operation) Report {
	r.from = time.Now().Add(seconds(r.spec.WarmupSeconds))
	r.until = r.from.Add(seconds(r.spec.Seconds))
	cpu := make(chan float64, 1)
	go func() {
		time.Sleep(time.Until(r.from))
		before := cpuSeconds()
		time.Sleep(time.Until(r.until))
		cpu <- cpuSeconds() - before
	}()
	if r.spec.Rate > 0 {
		r.openLoop(operation)
	} else {
		r.closedLoops(operation)
	}
	report := r.report()
	report.CPUSeconds = <-cpu
	return report
}

func (r *Run) closedLoops(operation Operation) {
	var group sync.WaitGroup
	for number := range r.spec.Clients {
		group.Go(func() {
			worker := r.worker(number)
			for due := time.Now(); due.Before(r.until); due = time.Now() {
				r.do(operation, worker, due)
			}
		})
	}
	group.Wait()
}

// openLoop hands out operations at the times when they are due, whatever the answers do.
func (r *Run) openLoop(operation Operation) {
	backlog := make(chan time.Time, backlogMax)
	var group sync.WaitGroup
	for number := range r.spec.Clients {
		group.Go(func() {
			worker := r.worker(number)
			for due := range backlog {
				if time.Since(due) > r.spec.timeout() {
					r.count(fmt.Errorf("not sent within its time"))
					continue
				}
				r.do(operation, worker, due)
			}
		})
	}
	started := time.Now()
	for number := 0; ; number++ {
		due := started.Add(time.Duration(float64(number) * float64(time.Second) / r.spec.Rate))
		if !due.Before(r.until) {
			break
		}
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		if !due.Before(r.from) {
			r.lateness.Record(time.Since(due).Microseconds())
		}
		select {
		case backlog <- due:
		default:
			r.count(fmt.Errorf("no room in the backlog of the client"))
		}
	}
	close(backlog)
	group.Wait()
}

func (r *Run) report() Report {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	report := Report{
		Operations: r.operations.Load(), Measured: r.measured.Load(), Seconds: r.spec.Seconds, Errors: r.errors,
		Latencies: map[string]Buckets{"all": r.all.Buckets()}, Lateness: r.lateness.Buckets(), Figures: r.figures,
	}
	for name, each := range r.named {
		report.Latencies[name] = each.Buckets()
	}
	for at := range r.timeline {
		report.Timeline = append(report.Timeline, r.timeline[at].Load())
	}
	report.Figures["goroutines"] = float64(runtime.NumGoroutine())
	return report
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
