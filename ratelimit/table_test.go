package ratelimit

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hardenmcp/harden/access"
)

// A meter is the budget of one key, written to be obvious and exact: GCRA over
// fractions, as ITU-T I.371 has it.
type meter struct {
	interval, slack, tat *big.Rat
}

func newMeter(r Rate) *meter {
	interval := big.NewRat(int64(r.Per), int64(r.Requests))
	slack := new(big.Rat).Mul(interval, new(big.Rat).SetInt64(int64(r.Burst-1)))
	return &meter{interval, slack, new(big.Rat)}
}

// take returns the wait in whole nanoseconds, rounded up, and 0 after charging.
func (m *meter) take(now int64) int64 {
	at := new(big.Rat).SetInt64(now)
	early := new(big.Rat).Sub(m.tat, new(big.Rat).Add(at, m.slack))
	if early.Sign() > 0 {
		q, r := new(big.Int).QuoRem(early.Num(), early.Denom(), new(big.Int))
		if r.Sign() > 0 {
			q.Add(q, big.NewInt(1))
		}
		return q.Int64()
	}
	if m.tat.Cmp(at) < 0 {
		m.tat.Set(at)
	}
	m.tat.Add(m.tat, m.interval)
	return 0
}

func randomRate(rng *rand.Rand) Rate {
	return Rate{1 + rng.IntN(20), time.Duration(1 + rng.Int64N(1000)), 1 + rng.IntN(8)}
}

// A bench is a table under a clock of the test's.
type bench struct {
	*table
	at int64
}

func newBench(r Rate, keys int) *bench {
	b := &bench{}
	epoch := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b.table = newTable("test", r, keys, func() time.Time { return epoch.Add(time.Duration(b.at)) })
	for i := range b.shards { // all clocks begin at 0
		b.shards[i].read(epoch)
	}
	return b
}

// wait takes one call and returns the wait.
func (b *bench) wait(key uint64) time.Duration {
	if e := access.AsError(b.take(key)); e != nil {
		return e.RetryAfter
	}
	return 0
}

func TestTableIsLikeTheMeter(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := randomRate(rng)
		b, m := newBench(r, 64), newMeter(r)
		for i := range 500 {
			b.at += rng.Int64N(2*int64(r.Per)/int64(r.Requests+1+rng.IntN(3)*50) + 1)
			if got, want := int64(b.wait(42)), m.take(b.at); got != want {
				t.Fatalf("seed %d, rate %v, call %d: got wait %d, want %d", seed, r, i, got, want)
			}
		}
	}
}

func TestNoWindowAdmitsMoreThanTheBudget(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 2))
		r := randomRate(rng)
		b := newBench(r, 64)
		var times []int64 // of allowed calls
		for range 400 {
			b.at += rng.Int64N(int64(r.Per)/int64(r.Requests) + 2)
			for range 1 + rng.IntN(4) {
				if b.wait(42) == 0 {
					times = append(times, b.at)
				}
			}
		}
		for i := range times {
			for j := i; j < len(times); j++ {
				// j-i+1 <= Burst + (tj-ti)*Requests/Per, in whole numbers
				if extra := int64(j - i + 1 - r.Burst); extra*int64(r.Per) > (times[j]-times[i])*int64(r.Requests) {
					t.Fatalf("seed %d, rate %v: %d calls in %d ns", seed, r, j-i+1, times[j]-times[i])
				}
			}
		}
	}
}

func TestHonestCallerIsNeverRefused(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 3))
		r := randomRate(rng)
		b := newBench(r, 4096)
		m := newMeter(r)
		for range 300 {
			b.at += rng.Int64N(int64(r.Per))
			for key := range uint64(20) { // what others do is nothing to her
				b.wait(key*0x9e3779b97f4a7c15 + 1)
			}
			for range rng.IntN(5) {
				before := new(big.Rat).Set(m.tat)
				if m.take(b.at) != 0 {
					m.tat = before // she keeps to her budget
					continue
				}
				if wait := b.wait(42); wait != 0 {
					t.Fatalf("seed %d, rate %v: refused for %v within the budget", seed, r, wait)
				}
			}
		}
	}
}

// Whatever the flood does to the table, no key ever gets more than its own meter
// allows.
func TestFullTableGivesNobodyMore(t *testing.T) {
	var crowded int
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 4))
		r := randomRate(rng)
		b := newBench(r, ways)
		keys := 1 + rng.IntN(40)
		meters := make([]*meter, keys)
		for i := range meters {
			meters[i] = newMeter(r)
		}
		for range 3000 {
			b.at += rng.Int64N(int64(r.Per)/int64(r.Requests)/4 + 2)
			k := rng.IntN(keys)
			err := b.take(uint64(k) + 1)
			if err == nil {
				if wait := meters[k].take(b.at); wait != 0 {
					t.Fatalf("seed %d, rate %v: key %d was let through %d ns early", seed, r, k, wait)
				}
				continue
			}
			e := access.AsError(err)
			if e.Err == errCrowded {
				crowded++
			}
			if e.RetryAfter <= 0 || e.RetryAfter > r.Per {
				t.Fatalf("seed %d, rate %v: got wait %v, want more than 0 and at most the period", seed, r, e.RetryAfter)
			}
		}
	}
	if crowded == 0 {
		t.Error("the table was never full, so this shows nothing")
	}
}

func TestFloodOfKeysResetsNoBudget(t *testing.T) {
	r := Rate{Requests: 1, Per: time.Second, Burst: 3}
	for _, keys := range []int{8, 64, 1024} {
		t.Run(fmt.Sprint(keys), func(t *testing.T) {
			b := newBench(r, keys)
			const attacker = 0x123456789
			for range 3 {
				if b.wait(attacker) != 0 {
					t.Fatal("refused within the burst")
				}
			}
			rng := rand.New(rand.NewPCG(1, 2))
			for range 100 * keys {
				b.wait(rng.Uint64())
			}
			if got := b.wait(attacker); got != time.Second {
				t.Errorf("got wait %v, want the second that it was before the flood", got)
			}
			places := 0
			for i := range b.shards {
				places += len(b.shards[i].slots)
			}
			if places != keys {
				t.Errorf("got %d places, want %d", places, keys)
			}
		})
	}
}

func TestKeysWithoutAPlaceShareOneBudget(t *testing.T) {
	r := Rate{Requests: 1, Per: time.Second, Burst: 3}
	b := newBench(r, ways)
	for key := range uint64(ways) { // fills every place
		b.wait(100 + key)
		b.wait(100 + key)
		b.wait(100 + key)
	}
	for key := range uint64(3) {
		if got := b.wait(200 + key); got != 0 {
			t.Fatalf("got wait %v, want the shared burst", got)
		}
	}
	err := access.AsError(b.take(300))
	if err == nil || err.RetryAfter != time.Second || err.Err != errCrowded {
		t.Fatalf("got %+v, want a new key refused for a second, as the table is full", err)
	}
	// All places are free a moment before the shared budget is whole. A key that
	// used it gets a place, and no second burst with it.
	b.at += int64(time.Second)
	if got := b.wait(200); got != 0 {
		t.Fatalf("got wait %v, want what the shared budget refilled", got)
	}
	b.at += int64(2 * time.Second)
	allowed := 0
	for range 10 {
		if b.wait(200) == 0 {
			allowed++
		}
	}
	if allowed != 2 {
		t.Errorf("got %d, want the 2 that two seconds gave", allowed)
	}
	// The shared budget is whole again: so is that of every new key.
	b.at += int64(time.Minute)
	for range 3 {
		if got := b.wait(400); got != 0 {
			t.Errorf("got wait %v, want a burst for a new key", got)
		}
	}
}

func TestPlaceThatIsWholeIsGivenToTheNextKey(t *testing.T) {
	r := Rate{Requests: 1, Per: time.Second, Burst: 1}
	b := newBench(r, ways)
	for key := range uint64(ways) {
		b.wait(1 + key)
	}
	b.at += int64(time.Second) - 1
	b.wait(50) // by the shared budget
	if b.wait(51) == 0 {
		t.Error("a key got a place a nanosecond early")
	}
	b.at += 2 * int64(time.Second)
	for key := range uint64(ways) {
		if got := b.wait(60 + key); got != 0 {
			t.Errorf("got wait %v, want a place for every new key", got)
		}
	}
}

func TestRefusedNewKeyTakesNoPlace(t *testing.T) {
	r := Rate{Requests: 1, Per: time.Second, Burst: 1}
	b := newBench(r, ways)
	b.shards[0].overflow = instant{ns: int64(time.Hour)}
	for key := range uint64(100) {
		if b.wait(1+key) == 0 {
			t.Fatal("let through")
		}
	}
	for _, s := range b.shards[0].slots {
		if s != (slot{}) {
			t.Errorf("got %+v, want an empty place", s)
		}
	}
}
