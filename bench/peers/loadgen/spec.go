package main

import "time"

// Spec is what a run shall do, read as JSON from standard input.
type Spec struct {
	Kind      string   `json:"kind"`
	Endpoints []string `json:"endpoints"`
	// Closed loops, or workers of an open loop.
	Clients     int `json:"clients"`
	Connections int `json:"connections"`
	// Operations a second of an open loop; 0: closed loops.
	Rate          float64 `json:"rate"`
	Seconds       float64 `json:"seconds"`
	WarmupSeconds float64 `json:"warmup_seconds"`
	// Of one operation.
	TimeoutSeconds float64 `json:"timeout_seconds"`
	Seed           int64   `json:"seed"`
	KeyBytes       int     `json:"key_bytes"`
	ValueBytes     int     `json:"value_bytes"`
	Keys           int     `json:"keys"`
	// Keys that are there before the run.
	Preload int `json:"preload"`
	// They are there already.
	IsLoaded bool `json:"is_loaded"`
	// Keys of one range.
	Limit        int     `json:"limit"`
	Serializable bool    `json:"serializable"`
	ReadShare    float64 `json:"read_share"`
	Watchers     int     `json:"watchers"`
	Leases       int     `json:"leases"`
	LeaseSeconds int64   `json:"lease_seconds"`
	// Compact this often while the load runs; 0: never.
	CompactMilliseconds int `json:"compact_milliseconds"`
	// Ask each member for its term and leader this often; 0: never.
	ObserveMilliseconds int `json:"observe_milliseconds"`
	// Leases that are kept alive while the load runs, and are counted when they are lost.
	KeptLeases int `json:"kept_leases"`
}

func (s *Spec) defaults() {
	s.Clients = max(s.Clients, 1)
	s.Connections = min(max(s.Connections, 1), s.Clients)
	s.KeyBytes = max(s.KeyBytes, 8)
	s.Keys = max(s.Keys, 1)
	if s.TimeoutSeconds == 0 {
		s.TimeoutSeconds = 7
	}
}

func (s *Spec) timeout() time.Duration { return seconds(s.TimeoutSeconds) }

func seconds(count float64) time.Duration { return time.Duration(count * float64(time.Second)) }

// Report is what a run gave, written as JSON to standard output.
type Report struct {
	// Answers, warm-up included, and those of the measured time.
	Operations int64 `json:"operations"`
	Measured   int64 `json:"measured"`
	// The measured time, and what the client's process spent in it.
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	// Of the whole run, by text.
	Errors map[string]int64 `json:"errors"`
	// In microseconds. "all" has every operation.
	Latencies map[string]Buckets `json:"latencies"`
	// How late an open loop handed out its operations: the client's own fault, not the server's.
	Lateness Buckets `json:"lateness"`
	// Answers in each tenth of a second of the measured time.
	Timeline []int64 `json:"timeline"`
	// What else a kind of run has to say.
	Figures map[string]float64 `json:"figures"`
}
