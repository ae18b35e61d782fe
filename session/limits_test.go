package session

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hardenmcp/harden/access"
)

// refused asserts a refusal for the limit rule that asks to wait.
func refused(t *testing.T, err error, rule string, wait time.Duration) {
	t.Helper()
	e := access.AsError(err)
	if e == nil || e.Reason != access.RateLimited || e.Rule != rule || e.RetryAfter != wait {
		t.Fatalf("got %+v, want rate_limited by %s for %v", e, rule, wait)
	}
}

// probe T09: bob on alice's session, and sessions without a user.
func TestT09_AnotherUsersSessionIsNotFound(t *testing.T) {
	f := newFixture(t, Config{})
	id := f.open("alice", "a")
	_, foreign := f.Lookup("bob", id)
	_, unknown := f.Lookup("bob", f.open("carol", "c"))
	_, nobody := f.Lookup("", id)
	for _, err := range []error{foreign, unknown, nobody} {
		if err != error(errNotFound) {
			t.Errorf("got %v, want one not_found for all", err)
		}
	}
	if _, err := f.Reserve(""); reasonOf(err) != access.Unauthenticated {
		t.Errorf("got %v, want no session without a user", err)
	}
	if _, ok := f.End("bob", id); ok {
		t.Error("bob ended the session of alice")
	}
	f.alive("alice", id)
}

// probe T09: 200 initialize requests opened 200 sessions.
func TestT09_TwoHundredInitializesHitTheCap(t *testing.T) {
	f := newFixture(t, Config{})
	var ok, no int
	for i := range 200 {
		r, err := f.Reserve("alice")
		if err != nil {
			refused(t, err, "sessions-per-user", 30*time.Minute)
			no++
			continue
		}
		if _, err := r.Commit(fmt.Sprint("inner-", i), version); err != nil {
			t.Fatal(err)
		}
		ok++
	}
	if ok != 32 || no != 168 || f.Len() != 32 {
		t.Errorf("got %d opened, %d refused, %d live, want 32, 168 and 32", ok, no, f.Len())
	}
	f.open("bob", "b") // others are not hurt
}

// probe T09, at once: no request finished before the last one came.
func TestT09_TwoHundredInitializesAtOnceHitTheCap(t *testing.T) {
	f := newFixture(t, Config{})
	var mu sync.Mutex
	var held []*Reservation
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if r, err := f.Reserve("alice"); err == nil {
				mu.Lock()
				held = append(held, r)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(held) != 32 {
		t.Fatalf("got %d, want 32 places", len(held))
	}
	_, err := f.Reserve("alice")
	refused(t, err, "sessions-per-user", time.Minute)
	held[0].Cancel()
	f.reserve("alice")
}

func TestTotalCap(t *testing.T) {
	f := newFixture(t, Config{Total: 3, PerUser: 2, Idle: time.Hour, Pending: time.Minute})
	f.open("alice", "a1")
	f.pass(time.Second)
	f.open("alice", "a2")
	f.open("bob", "b")
	_, err := f.Reserve("carol")
	refused(t, err, "sessions-total", time.Hour-time.Second)
	_, err = f.Reserve("alice") // her own limit is the one that she can do something about
	refused(t, err, "sessions-per-user", time.Hour-time.Second)
	f.pass(time.Hour - time.Second)
	r := f.reserve("carol")
	_, err = f.Reserve("dave")
	refused(t, err, "sessions-total", time.Second)
	r.Cancel()
	f.open("dave", "d")
}

func TestWaitIsThatOfTheFirstToEnd(t *testing.T) {
	f := newFixture(t, Config{PerUser: 2, Idle: 40 * time.Minute, Lifetime: time.Hour})
	first := f.open("alice", "1")
	f.pass(30 * time.Minute)
	f.open("alice", "2")
	f.alive("alice", first)
	f.pass(5 * time.Minute)
	_, err := f.Reserve("alice")
	refused(t, err, "sessions-per-user", 25*time.Minute) // the life of 1 ends before 2 is idle
	f.pass(25*time.Minute - 1)
	_, err = f.Reserve("alice")
	refused(t, err, "sessions-per-user", 1)
	f.pass(1)
	f.reserve("alice")
}

func TestWaitLooksAtABoundedNumber(t *testing.T) {
	f := newFixture(t, Config{PerUser: 200})
	ids := make([]string, 200)
	for i := range ids {
		ids[i] = f.open("alice", "i")
	}
	f.pass(time.Minute)
	for _, id := range ids[:199] {
		f.alive("alice", id)
	}
	_, err := f.Reserve("alice")
	refused(t, err, "sessions-per-user", 30*time.Minute) // never less than the true wait
}

func TestExpiredDoNotCount(t *testing.T) {
	f := newFixture(t, Config{PerUser: 2, Total: 2, Idle: time.Minute})
	for round := range 10 {
		f.open("alice", fmt.Sprint(round, "a"))
		f.open("alice", fmt.Sprint(round, "b"))
		if _, err := f.Reserve("alice"); reasonOf(err) != access.RateLimited {
			t.Fatalf("got %v, want the cap", err)
		}
		f.pass(time.Minute)
		if n := f.Len(); n != 0 {
			t.Fatalf("got %d live, want none", n)
		}
		if got, want := inners(f.Sweep()), fmt.Sprintf("alice=%da alice=%db", round, round); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	if len(f.users) != 0 || len(f.sessions) != 0 || f.held != 0 {
		t.Errorf("got %d users and %d sessions, want nothing kept", len(f.users), len(f.sessions))
	}
}

func TestEndedThatNobodySweepsAreBounded(t *testing.T) {
	f := newFixture(t, Config{Total: 4, Idle: time.Minute})
	var err error
	opened := 0
	for ; opened < 100; opened++ {
		var r *Reservation
		if r, err = f.Reserve("alice"); err != nil {
			break
		}
		if _, err := r.Commit("i", version); err != nil {
			t.Fatal(err)
		}
		f.pass(time.Minute)
	}
	if reasonOf(err) != access.Unavailable || opened != 8 {
		t.Fatalf("got %v after %d, want reason unavailable after 8", err, opened)
	}
	if n := len(f.Sweep()); n != opened {
		t.Errorf("got %d swept, want all %d", n, opened)
	}
	f.open("alice", "again")
}

func TestFullTableThatExpiresAtOnceHasRoom(t *testing.T) {
	f := newFixture(t, Config{PerUser: 100, Total: 100, Idle: time.Minute})
	for range 100 {
		f.open("alice", "i")
	}
	f.pass(time.Minute)
	f.open("bob", "b")
	f.open("alice", "a")
}

func TestSweep(t *testing.T) {
	f := newFixture(t, Config{PerUser: 200, Idle: time.Minute})
	if got := f.Sweep(); got != nil {
		t.Errorf("got %v, want nil for nothing", got)
	}
	var ids []string
	for i := range 150 {
		ids = append(ids, f.open("alice", fmt.Sprint(i)))
	}
	f.End("alice", ids[0]) // its inner session is closed by who ended it
	f.pass(time.Minute - 1)
	if got := f.Sweep(); got != nil {
		t.Errorf("got %v, want nil before the end", got)
	}
	f.pass(1)
	seen := map[string]bool{}
	for _, want := range []int{64, 64, 21, 0} {
		got := f.Sweep()
		if len(got) != want {
			t.Fatalf("got %d, want %d", len(got), want)
		}
		for _, e := range got {
			if seen[e.Inner] || e.Inner == "0" || e.User != "alice" || e.Version != version || len(e.Hash) != 32 {
				t.Errorf("got %+v, want every expired session once", e)
			}
			seen[e.Inner] = true
		}
	}
}

func TestSweepAfterReserveFoundManyIsBoundedToo(t *testing.T) {
	f := newFixture(t, Config{PerUser: 200, Idle: time.Minute})
	for i := range 150 {
		f.open("alice", fmt.Sprint(i))
	}
	f.pass(time.Minute)
	f.open("alice", "new")
	f.pass(time.Minute)
	for _, want := range []int{64, 64, 23, 0} {
		if got := f.Sweep(); len(got) != want {
			t.Fatalf("got %d, want %d", len(got), want)
		}
	}
}

func TestEndAll(t *testing.T) {
	f := newFixture(t, Config{Idle: time.Minute})
	f.open("alice", "expired")
	f.pass(time.Minute)
	f.Len()
	id := f.open("bob", "live")
	r := f.reserve("carol")
	if got := inners(f.EndAll()); got != "alice=expired bob=live" {
		t.Errorf("got %s, want the expired one and the live one", got)
	}
	f.over("bob", id)
	if _, err := r.Commit("late", version); reasonOf(err) != access.Unavailable {
		t.Errorf("got %v, want no session after EndAll", err)
	}
	if got := f.EndAll(); got != nil || f.held != 0 || len(f.users) != 0 {
		t.Errorf("got %v, want nothing left", got)
	}
}

func TestStreams(t *testing.T) {
	f := newFixture(t, Config{Streams: 2, StreamsPerUser: 3, StreamsTotal: 4})
	a1, a2, b := f.open("alice", "a1"), f.open("alice", "a2"), f.open("bob", "b")
	stream := func(user, id string) func() {
		t.Helper()
		release, err := f.Stream(user, id)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	refuse := func(user, id, rule string) {
		t.Helper()
		_, err := f.Stream(user, id)
		refused(t, err, rule, streamRetry)
	}
	first := stream("alice", a1)
	stream("alice", a1)
	refuse("alice", a1, "streams-per-session")
	stream("alice", a2)
	refuse("alice", a2, "streams-per-user")
	stream("bob", b)
	refuse("bob", b, "streams-total")
	first()
	first() // counts once
	stream("bob", b)
	refuse("alice", a1, "streams-total")
}

func TestOpenStreamIsUse(t *testing.T) {
	f := newFixture(t, Config{Idle: time.Minute, Lifetime: time.Hour})
	id := f.open("alice", "a")
	one, err := f.Stream("alice", id)
	if err != nil {
		t.Fatal(err)
	}
	two, err := f.Stream("alice", id)
	if err != nil {
		t.Fatal(err)
	}
	f.pass(10 * time.Minute)
	one()
	f.pass(10 * time.Minute)
	f.alive("alice", id)
	two()
	f.pass(time.Minute - 1)
	if f.Len() != 1 {
		t.Error("want the idle time to begin with the end of the last stream")
	}
	f.pass(1)
	f.over("alice", id)
}

func TestOpenStreamDoesNotOutliveTheSession(t *testing.T) {
	f := newFixture(t, Config{Idle: time.Minute, Lifetime: time.Hour, StreamsPerUser: 1})
	id := f.open("alice", "a")
	release, err := f.Stream("alice", id)
	if err != nil {
		t.Fatal(err)
	}
	f.pass(time.Hour)
	f.over("alice", id)
	if got := inners(f.Sweep()); got != "alice=a" {
		t.Errorf("got %s, want it swept with its stream open", got)
	}
	next := f.open("alice", "b")
	_, err = f.Stream("alice", next)
	refused(t, err, "streams-per-user", streamRetry) // the old one is still open
	release()
	if _, err := f.Stream("alice", next); err != nil {
		t.Errorf("got %v, want a stream after the release", err)
	}
}

func TestUserIsForgottenAfterItsLastStream(t *testing.T) {
	f := newFixture(t, Config{})
	id := f.open("alice", "a")
	release, err := f.Stream("alice", id)
	if err != nil {
		t.Fatal(err)
	}
	f.End("alice", id)
	if len(f.users) != 1 {
		t.Error("want the user kept while a stream is open")
	}
	release()
	if len(f.users) != 0 || f.streams != 0 {
		t.Errorf("got %d users and %d streams, want none", len(f.users), f.streams)
	}
}

func TestConcurrentUse(t *testing.T) {
	table, err := New(Config{PerUser: 4, Total: 20, Idle: 200 * time.Microsecond, Lifetime: 2 * time.Millisecond, StreamsPerUser: 3, Streams: 2})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		user := fmt.Sprint("user-", g%4)
		wg.Go(func() {
			var ids []string
			for i := range 400 {
				if r, err := table.Reserve(user); err == nil {
					if i%5 == 0 {
						r.Cancel()
					} else if id, err := r.Commit("inner", version); err == nil {
						ids = append(ids, id)
					}
				}
				for _, id := range ids[max(0, len(ids)-5):] {
					_, _ = table.Lookup(user, id)
					if release, err := table.Stream(user, id); err == nil {
						defer release()
						if i%2 == 0 {
							release()
						}
					}
				}
				if i%7 == 0 && len(ids) > 0 {
					table.End(user, ids[0])
					ids = slices.Delete(ids, 0, 1)
				}
				table.Sweep()
				if table.Len() > 20 {
					t.Error("more sessions than the total")
				}
			}
		})
	}
	wg.Wait()
	table.EndAll()
	if table.held != 0 || table.streams != 0 || len(table.users) != 0 || len(table.sessions) != 0 {
		t.Errorf("got %d held, %d streams, %d users, want nothing left", table.held, table.streams, len(table.users))
	}
}
