package ratelimit

import (
	"math/bits"
	"sync"
	"time"

	"github.com/hardenmcp/harden/access"
)

const (
	// ways is how many places of the table a key can be in.
	ways = 8
	// maxShards bounds the parts of the table, each with a lock of its own.
	maxShards = 64
)

// An instant is a time on a shard's clock, in nanoseconds and a fraction of
// one: frac counts parts of 1/Requests ns, so that the interval between two
// calls, Per/Requests, is exact whatever the rate.
type instant struct {
	ns   int64
	frac uint32
}

func (i instant) after(j instant) bool {
	return i.ns > j.ns || i.ns == j.ns && i.frac > j.frac
}

// plus returns i+d, where a nanosecond has parts fractions.
func (i instant) plus(d instant, parts uint32) instant {
	i.ns += d.ns
	if i.frac += d.frac; i.frac >= parts {
		i.ns++
		i.frac -= parts
	}
	return i
}

// A budget is a [Rate] as the algorithm needs it.
type budget struct {
	parts    uint32  // Requests
	interval instant // Per/Requests: what one call costs
	slack    instant // (Burst-1) intervals: how far ahead a caller may be
}

func newBudget(r Rate) budget {
	span := func(n uint64) instant {
		hi, lo := bits.Mul64(uint64(r.Per), n)
		// It fits: the whole is at most maxFill.
		ns, frac := bits.Div64(hi, lo, uint64(r.Requests))
		return instant{int64(ns), uint32(frac)}
	}
	return budget{uint32(r.Requests), span(1), span(uint64(r.Burst - 1))}
}

// charge returns what a bucket that is spent until tat becomes by one call at
// now, or how long that call has to wait.
func (b *budget) charge(tat instant, now int64) (next instant, wait time.Duration) {
	from := instant{ns: now}
	if edge := from.plus(b.slack, b.parts); tat.after(edge) {
		wait = time.Duration(tat.ns - edge.ns)
		if tat.frac > edge.frac {
			wait++ // a part of a nanosecond is waited for whole
		}
		return tat, wait
	}
	if tat.after(from) {
		from = tat
	}
	return from.plus(b.interval, b.parts), 0
}

// A table keeps a bucket for each key, in memory of a fixed size.
type table struct {
	rule   string
	budget budget
	now    func() time.Time
	shards []shard
	sets   uint64 // in each shard; a power of two, as is the number of shards
}

// A shard is a part of the table with a lock and a clock of its own.
type shard struct {
	mu    sync.Mutex
	last  time.Time
	clock int64 // nanoseconds that were seen to pass since the first call
	// overflow is the bucket of all keys that found no place.
	overflow instant
	slots    []slot
	_        [48]byte // keeps the locks of two shards off one cache line
}

// A slot is the bucket of one key. Once its tat has passed, the bucket is whole
// and the slot is as good as empty.
type slot struct {
	key uint64
	// tat is the theoretical arrival time: when the bucket will be whole.
	tat instant
}

func newTable(rule string, r Rate, keys int, now func() time.Time) *table {
	sets := uint64(1) << bits.Len64(uint64((keys-1)/ways))
	shards := min(sets, maxShards)
	t := &table{rule: rule, budget: newBudget(r), now: now, shards: make([]shard, shards), sets: sets / shards}
	for i := range t.shards {
		t.shards[i].slots = make([]slot, t.sets*ways)
	}
	return t
}

// take charges one call to key, which is a seeded hash: nobody outside can aim
// at a part of the table, and two keys with one hash only share a budget.
func (t *table) take(key uint64) error {
	n := uint64(len(t.shards))
	s := &t.shards[key&(n-1)]
	set := key / n & (t.sets - 1)

	s.mu.Lock()
	wait, placed := s.take(&t.budget, s.slots[set*ways:][:ways], key, s.read(t.now()))
	s.mu.Unlock()
	if wait == 0 {
		return nil
	}
	refusal := &access.Error{Reason: access.RateLimited, RetryAfter: wait, Rule: t.rule, Err: errSpent}
	if !placed {
		refusal.Err = errCrowded
	}
	return refusal
}

// read moves the clock and returns it. It is called under the lock, or two
// goroutines that read the time in the other order would look like a step back.
// A step back counts as no time: it gives no budget, and no bucket waits for the
// clock to catch up. A step forward counts as the time that fills every bucket,
// so that no row of steps makes the clock overflow.
func (s *shard) read(now time.Time) int64 {
	if d := now.Sub(s.last); d > 0 && !s.last.IsZero() {
		s.clock += int64(min(d, 2*maxFill))
	}
	s.last = now
	return s.clock
}

// take returns how long key has to wait, and whether it has a place in set.
func (s *shard) take(b *budget, set []slot, key uint64, now int64) (wait time.Duration, placed bool) {
	own, oldest := -1, 0
	for i := range set {
		if set[i].key == key {
			own = i
			break
		}
		if set[oldest].tat.after(set[i].tat) {
			oldest = i
		}
	}
	if own >= 0 {
		set[own].tat, wait = b.charge(set[own].tat, now)
		return wait, true
	}
	// The key may have been charged to the shared bucket before, so it starts
	// from there: else it would have its budget twice.
	next, wait := b.charge(s.overflow, now)
	if set[oldest].tat.after(instant{ns: now}) {
		s.overflow = next
		return wait, false
	}
	if wait == 0 {
		set[oldest] = slot{key, next}
	}
	return wait, s.overflow.ns <= now
}
