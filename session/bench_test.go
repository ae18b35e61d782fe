package session

import (
	"fmt"
	"testing"
)

// newBench returns a Table of n sessions of n/10 users, and their IDs.
func newBench(b *testing.B, n int) (table *Table, users, ids []string) {
	b.Helper()
	table, err := New(Config{Total: 2 * n})
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		user := fmt.Sprintf("%032x", i/10)
		r, err := table.Reserve(user)
		if err != nil {
			b.Fatal(err)
		}
		id, err := r.Commit("inner-session-id", version)
		if err != nil {
			b.Fatal(err)
		}
		users, ids = append(users, user), append(ids, id)
	}
	b.ReportAllocs()
	b.ResetTimer()
	return table, users, ids
}

// BenchmarkLookup shows how the size of the table tells. With active=all every
// line of memory is cold, that of the benchmark's own IDs too.
func BenchmarkLookup(b *testing.B) {
	for _, bc := range []struct {
		name             string
		sessions, active int
	}{
		{"sessions=1000/active=all", 1_000, 1_000},
		{"sessions=100000/active=1000", 100_000, 1_000},
		{"sessions=100000/active=all", 100_000, 100_000},
	} {
		b.Run(bc.name, func(b *testing.B) {
			table, users, ids := newBench(b, bc.sessions)
			stride := bc.sessions / bc.active
			for i := 0; b.Loop(); i++ {
				k := i * 7919 % bc.active * stride
				if _, err := table.Lookup(users[k], ids[k]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLookupRefused(b *testing.B) {
	for _, tc := range []struct{ name, id string }{{"malformed", "x"}, {"foreign", ""}} {
		b.Run(tc.name, func(b *testing.B) {
			table, _, ids := newBench(b, 1_000)
			id := tc.id
			if id == "" {
				id = ids[0]
			}
			for b.Loop() {
				if _, err := table.Lookup("somebody-else", id); err == nil {
					b.Fatal("found")
				}
			}
		})
	}
}

func BenchmarkLookupParallel(b *testing.B) {
	table, users, ids := newBench(b, 1_000)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			k := i * 7919 % len(ids)
			if _, err := table.Lookup(users[k], ids[k]); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkOpenAndEnd(b *testing.B) {
	table, users, _ := newBench(b, 1_000)
	for b.Loop() {
		r, err := table.Reserve(users[0])
		if err != nil {
			b.Fatal(err)
		}
		id, err := r.Commit("inner-session-id", version)
		if err != nil {
			b.Fatal(err)
		}
		table.End(users[0], id)
	}
}

func BenchmarkSweepNothing(b *testing.B) {
	table, _, _ := newBench(b, 1_000)
	for b.Loop() {
		if table.Sweep() != nil {
			b.Fatal("swept")
		}
	}
}

// The benchmarks' promise, where every test run sees it.
func TestLookupAllocatesNothing(t *testing.T) {
	f := newFixture(t, Config{})
	id := f.open("alice", "a")
	for name, user := range map[string]string{"own": "alice", "foreign": "bob"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = f.Lookup(user, id) }); n != 0 {
			t.Errorf("%s: got %v allocations, want 0", name, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { f.Sweep() }); n != 0 {
		t.Errorf("Sweep: got %v allocations, want 0", n)
	}
}
