package ratelimit

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hardenmcp/harden/access"
)

// generous lets every call of a benchmark through.
var generous = Rate{Requests: 1_000_000, Per: time.Millisecond, Burst: 1_000_000}

func benchLimiter(b *testing.B, keys int) *Limiter {
	b.Helper()
	l, err := New(Config{Peer: generous, Caller: generous, Keys: keys})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	return l
}

func peerNumber(n uint32) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], n)
	return netip.AddrFrom4(a)
}

func BenchmarkCheckHotKey(b *testing.B) {
	l := benchLimiter(b, 0)
	c := &access.Call{Principal: access.Principal{Issuer: "i", Subject: "s"}.WithUserID()}
	for b.Loop() {
		if err := l.Check(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPeerMillionKeys(b *testing.B) {
	l := benchLimiter(b, 1<<20)
	for i := uint32(0); b.Loop(); i++ {
		if err := l.Peer(peerNumber(i * 2654435761 % 1_000_000)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPeerParallel(b *testing.B) {
	l := benchLimiter(b, 0)
	var goroutine atomic.Uint32
	b.RunParallel(func(pb *testing.PB) {
		addr := peerNumber(goroutine.Add(1))
		for pb.Next() {
			if err := l.Peer(addr); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkPeerMillionKeysParallel(b *testing.B) {
	l := benchLimiter(b, 1<<20)
	var goroutine atomic.Uint32
	b.RunParallel(func(pb *testing.PB) {
		for i := goroutine.Add(1) << 20; pb.Next(); i++ {
			if err := l.Peer(peerNumber(i * 2654435761 % 1_000_000)); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkPeerRefused(b *testing.B) {
	l, err := New(Config{Peer: Rate{Requests: 1, Per: time.Hour}})
	if err != nil {
		b.Fatal(err)
	}
	addr := peerNumber(1)
	_ = l.Peer(addr)
	b.ReportAllocs()
	for b.Loop() {
		if l.Peer(addr) == nil {
			b.Fatal("let through")
		}
	}
}

// The benchmarks' promise, where every test run sees it.
func TestAllowAllocatesNothing(t *testing.T) {
	f := newFixture(t, Config{Peer: generous, Caller: generous})
	c := &access.Call{Principal: access.Principal{Issuer: "i", Subject: "s"}.WithUserID()}
	v6, n := addr("fe80::1%eth0"), uint32(0)
	for name, call := range map[string]func() error{
		"caller": func() error { return f.Check(t.Context(), c) },
		"IPv6":   func() error { return f.Peer(v6) },
		"new":    func() error { n++; return f.Peer(peerNumber(n)) },
	} {
		if got := testing.AllocsPerRun(100, func() { _ = call() }); got != 0 {
			t.Errorf("%s: got %v allocations, want 0", name, got)
		}
	}
}
