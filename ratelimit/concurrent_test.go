package ratelimit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hardenmcp/harden/access"
)

func TestConcurrentCallsGetTheBurstAndNoMore(t *testing.T) {
	f := newFixture(t, Config{Caller: Rate{Requests: 1, Per: time.Hour, Burst: 50}})
	var allowed [4]atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		user := fmt.Sprint("user-", g%4)
		p := (access.Principal{Subject: user}).WithUserID()
		wg.Go(func() {
			for range 200 {
				if f.Check(context.Background(), &access.Call{Principal: p}) == nil {
					allowed[g%4].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := range allowed {
		if n := allowed[i].Load(); n != 50 {
			t.Errorf("user %d: got %d, want exactly 50", i, n)
		}
	}
}

func TestConcurrentCallsOnARealClockGetNoTimeTwice(t *testing.T) {
	const interval = 200 * time.Microsecond
	l, err := New(Config{Peer: Rate{Requests: 1, Per: interval, Burst: 5}})
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range 4 {
		wg.Go(func() {
			for range 5000 {
				if l.Peer(addr("192.0.2.1")) == nil {
					n.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if most := int64(5 + time.Since(start)/interval + 1); n.Load() > most {
		t.Errorf("got %d, want at most %d in that time", n.Load(), most)
	}
}
