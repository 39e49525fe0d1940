package main

import (
	"math/bits"
	"sync/atomic"
)

// Buckets of a histogram: exact below 256, then 128 buckets for each power of two, so that no value is
// off by more than 0.8 %. bench/histogram.py has the same rule.
const (
	exactBits  = 8
	perDoubled = 1 << (exactBits - 1)
	bucketsMax = (64-exactBits+1)*perDoubled + perDoubled
)

// bucketOf returns the bucket of a value.
func bucketOf(value uint64) int {
	shift := bits.Len64(value) - exactBits
	if shift <= 0 {
		return int(value)
	}
	return shift*perDoubled + int(value>>shift)
}

// Histogram counts microseconds. All methods may be called at once.
type Histogram struct {
	counts [bucketsMax]atomic.Uint32
	max    atomic.Int64
}

// Record counts one value; a negative one counts as 0.
func (h *Histogram) Record(microseconds int64) {
	microseconds = max(microseconds, 0)
	h.counts[bucketOf(uint64(microseconds))].Add(1)
	for {
		most := h.max.Load()
		if microseconds <= most || h.max.CompareAndSwap(most, microseconds) {
			return
		}
	}
}

// Buckets is a histogram as it is written: pairs of bucket and count, ascending.
type Buckets struct {
	Counts [][2]int64 `json:"counts"`
	Max    int64      `json:"max"`
}

// Buckets returns what was counted.
func (h *Histogram) Buckets() Buckets {
	written := Buckets{Counts: [][2]int64{}, Max: h.max.Load()}
	for bucket := range h.counts {
		if count := h.counts[bucket].Load(); count != 0 {
			written.Counts = append(written.Counts, [2]int64{int64(bucket), int64(count)})
		}
	}
	return written
}
