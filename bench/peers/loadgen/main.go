// Command loadgen puts load on anything that speaks etcd's API, and says how it was served.
//
//	loadgen run < SPEC                  does what the spec says (spec.go), writes a report as JSON
//	loadgen status ENDPOINT...          one line of JSON for each member: ids, term, leader, revision, sizes
//	loadgen move-leader ID ENDPOINT...  lets the member with this id (decimal) lead
//	loadgen list ENDPOINT               reads all keys in pages of 10,000, writes their number and the seconds
//	loadgen buckets VALUE...            the bucket of each value, as bench/histogram.py must have it
//
// All of it is etcd's own Go client, so that two systems are measured through the same client.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

func command(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("say run, status, move-leader, list or buckets")
	}
	switch rest := arguments[1:]; arguments[0] {
	case "run":
		return runSpec()
	case "status":
		return printStatus(rest)
	case "move-leader":
		return moveLeader(rest)
	case "list":
		return listAll(rest)
	case "buckets":
		for _, text := range rest {
			value, err := strconv.ParseUint(text, 10, 63)
			if err != nil {
				return err
			}
			fmt.Println(bucketOf(value))
		}
		return nil
	}
	return fmt.Errorf("no such command: %s", arguments[0])
}

func runSpec() error {
	var spec Spec
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&spec); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	spec.defaults()
	if len(spec.Endpoints) == 0 {
		return fmt.Errorf("spec: no endpoints")
	}
	run, err := newRun(spec)
	if err != nil {
		return err
	}
	if !spec.IsLoaded {
		if err := run.preload(context.Background()); err != nil {
			return fmt.Errorf("preload: %w", err)
		}
	}
	report, err := run.whole()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

// whole runs the kind, with what goes on beside it.
func (r *Run) whole() (Report, error) {
	ctx, cancel := context.WithCancel(context.Background())
	var beside []*sync.WaitGroup
	if r.spec.KeptLeases > 0 {
		beside = append(beside, r.keepLeases(ctx, r.spec.KeptLeases))
	}
	if r.spec.ObserveMilliseconds > 0 {
		group, err := r.observe(ctx, time.Duration(r.spec.ObserveMilliseconds)*time.Millisecond)
		if err != nil {
			cancel()
			return Report{}, err
		}
		beside = append(beside, group)
	}
	if r.spec.CompactMilliseconds > 0 {
		beside = append(beside, r.compactNowAndThen(ctx, time.Duration(r.spec.CompactMilliseconds)*time.Millisecond))
	}
	report, err := r.kind()
	cancel()
	for _, group := range beside {
		group.Wait()
	}
	if err != nil {
		return Report{}, err
	}
	cpu, took := report.CPUSeconds, report.Seconds
	report = r.report()
	report.CPUSeconds, report.Seconds = cpu, took
	return report, nil
}

func (r *Run) kind() (Report, error) {
	switch r.spec.Kind {
	case "watch":
		return r.fanOut()
	case "lease":
		return r.leases()
	case "kubernetes":
		return r.likeKubernetes()
	case "preload":
		return Report{}, nil
	}
	operation, err := r.operation()
	if err != nil {
		return Report{}, err
	}
	return r.load(operation), nil
}

func printStatus(endpoints []string) error {
	for _, endpoint := range endpoints {
		client, err := connect(endpoint)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		answer, err := client.Status(ctx, endpoint)
		cancel()
		client.Close()
		line := map[string]any{"endpoint": endpoint}
		if err != nil {
			line["error"] = shortened(err)
		} else {
			// Ids as text: JSON's numbers are not exact beyond 2^53.
			line["member_id"] = strconv.FormatUint(answer.Header.MemberId, 10)
			line["leader"] = strconv.FormatUint(answer.Leader, 10)
			line["version"] = answer.Version
			line["term"] = answer.RaftTerm
			line["applied"] = answer.RaftAppliedIndex
			line["revision"] = answer.Header.Revision
			line["db_bytes"] = answer.DbSize
		}
		if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// moveLeader asks every endpoint, because only the leader obeys.
func moveLeader(arguments []string) error {
	if len(arguments) < 2 {
		return fmt.Errorf("move-leader: say an id and endpoints")
	}
	target, err := strconv.ParseUint(arguments[0], 10, 64)
	if err != nil {
		return err
	}
	for _, endpoint := range arguments[1:] {
		client, connected := connect(endpoint)
		if connected != nil {
			return connected
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_, err = client.MoveLeader(ctx, target)
		cancel()
		client.Close()
		if err == nil {
			return nil
		}
	}
	return err
}

func listAll(arguments []string) error {
	if len(arguments) != 1 {
		return fmt.Errorf("list: say one endpoint")
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: arguments, DialTimeout: 10 * time.Second, MaxCallRecvMsgSize: 1 << 30,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	started, from, revision, keys := time.Now(), "bench/", int64(0), 0
	for more := true; more; {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		answer, err := client.Get(ctx, from, clientv3.WithRange("bench0"), clientv3.WithLimit(10_000),
			clientv3.WithRev(revision))
		cancel()
		if err != nil {
			return err
		}
		keys += len(answer.Kvs)
		more = answer.More && len(answer.Kvs) > 0
		if more {
			from, revision = string(answer.Kvs[len(answer.Kvs)-1].Key)+"\x00", answer.Header.Revision
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"keys": keys, "seconds": time.Since(started).Seconds()})
}
