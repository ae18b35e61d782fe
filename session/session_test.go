package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hardenmcp/harden/access"
)

const version = "2025-11-25"

// A fixture is a Table whose clock the test moves.
type fixture struct {
	*Table
	t   *testing.T
	now time.Time
}

func newFixture(t *testing.T, cfg Config) *fixture {
	t.Helper()
	f := &fixture{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	cfg.Now = func() time.Time { return f.now }
	table, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.Table = table
	return f
}

func (f *fixture) pass(d time.Duration) { f.now = f.now.Add(d) }

// open opens a session of user whose inner ID is inner.
func (f *fixture) open(user, inner string) string {
	f.t.Helper()
	r, err := f.Reserve(user)
	if err != nil {
		f.t.Fatal(err)
	}
	id, err := r.Commit(inner, version)
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

func (f *fixture) reserve(user string) *Reservation {
	f.t.Helper()
	r, err := f.Reserve(user)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// alive asserts that id is a session of user, and uses it.
func (f *fixture) alive(user, id string) Session {
	f.t.Helper()
	s, err := f.Lookup(user, id)
	if err != nil {
		f.t.Fatalf("got %v, want a live session", err)
	}
	return s
}

func (f *fixture) over(user, id string) {
	f.t.Helper()
	if s, err := f.Lookup(user, id); reasonOf(err) != access.NotFound {
		f.t.Fatalf("got %v and %v, want reason not_found", s, err)
	}
}

func reasonOf(err error) access.Reason {
	if err == nil {
		return ""
	}
	return access.AsError(err).Reason
}

func inners(ended []Ended) string {
	var b strings.Builder
	for _, e := range ended {
		fmt.Fprintf(&b, "%s=%s ", e.User, e.Inner)
	}
	return strings.TrimSpace(b.String())
}

func TestConfig(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cfg   Config
		field string // that the error names, or "" for none
	}{
		{"the zero value is valid", Config{}, ""},
		{"negative idle is refused", Config{Idle: -1}, "Idle"},
		{"idle of all the lifetime is valid", Config{Idle: time.Hour, Lifetime: time.Hour}, ""},
		{"idle beyond the lifetime is refused", Config{Idle: time.Hour + 1, Lifetime: time.Hour}, "Idle"},
		{"negative lifetime is refused", Config{Lifetime: -1}, "Lifetime"},
		{"a lifetime of 30 days is valid", Config{Lifetime: maxLifetime}, ""},
		{"a lifetime beyond 30 days is refused", Config{Lifetime: maxLifetime + 1}, "Lifetime"},
		{"a short lifetime shortens the defaults", Config{Lifetime: time.Second}, ""},
		{"negative pending is refused", Config{Pending: -1}, "Pending"},
		{"pending beyond the lifetime is refused", Config{Pending: 9 * time.Hour}, "Pending"},
		{"a negative limit per user is refused", Config{PerUser: -1}, "PerUser"},
		{"a limit per user above the total is refused", Config{PerUser: 5, Total: 4}, "PerUser"},
		{"a small total lowers the defaults", Config{Total: 1}, ""},
		{"a negative total is refused", Config{Total: -1}, "Total"},
		{"a total beyond memory is refused", Config{Total: maxTotal + 1}, "Total"},
		{"negative streams are refused", Config{Streams: -1}, "Streams"},
		{"more streams than those of a user are refused", Config{Streams: 3, StreamsPerUser: 2}, "Streams"},
		{"negative streams per user are refused", Config{StreamsPerUser: -1}, "StreamsPerUser"},
		{"more streams per user than in total are refused", Config{StreamsPerUser: 3, StreamsTotal: 2}, "StreamsPerUser"},
		{"negative total streams are refused", Config{StreamsTotal: -1}, "StreamsTotal"},
		{"total streams beyond memory are refused", Config{StreamsTotal: maxTotal + 1}, "StreamsTotal"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := New(tc.cfg)
			switch {
			case tc.field == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case tc.field != "" && (err == nil || !strings.HasPrefix(err.Error(), "session: "+tc.field+" is ")):
				t.Errorf("got %v, want an error about %s", err, tc.field)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	got, err := Config{}.filled()
	if err != nil || got.Now == nil {
		t.Fatalf("got %v, want a clock and no error", err)
	}
	got.Now = nil
	want := "{30m0s 8h0m0s 1m0s 32 10000 4 32 10000 <nil>}"
	if s := fmt.Sprintf("%v", got); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
}

func TestLookup(t *testing.T) {
	f := newFixture(t, Config{})
	id := f.open("alice", "inner-a")
	s := f.alive("alice", id)
	want := Session{Inner: "inner-a", Version: version, Hash: s.Hash, Expires: f.now.Add(8 * time.Hour)}
	if s != want {
		t.Errorf("got %#v, want that of alice", s)
	}
	if len(s.Hash) != 32 || strings.Trim(s.Hash, "0123456789abcdef") != "" {
		t.Errorf("got hash %q, want 32 hexadecimal digits", s.Hash)
	}
	gone := f.open("alice", "inner-gone")
	if s, ok := f.End("alice", gone); !ok || s.Inner != "inner-gone" {
		t.Errorf("got %v, want the session that was ended", s)
	}
	last := id[:42] + string("AEIMQUYcgkosw048"[(strings.IndexByte("AEIMQUYcgkosw048", id[42])+1)%16])
	for _, tc := range []struct{ name, user, id string }{
		{"another user's ID is refused", "bob", id},
		{"a user that is a prefix is refused", "alic", id},
		{"a user that is longer is refused", "alice:", id},
		{"the empty user is refused", "", id},
		{"a user beyond any bound is refused", strings.Repeat("alice", 1000), id},
		{"an ended ID is refused", "alice", gone},
		{"the inner ID is refused", "alice", "inner-a"},
		{"the hash is refused", "alice", s.Hash},
		{"an ID with another last character is refused", "alice", last},
		{"an ID with other unused bits is refused", "alice", id[:42] + string(id[42]+1)},
		{"an ID in upper case is refused", "alice", strings.ToUpper(id)},
		{"an ID without its last character is refused", "alice", id[:42]},
		{"an ID with one more character is refused", "alice", id + "A"},
		{"an ID with padding is refused", "alice", id + "="},
		{"an ID with a space is refused", "alice", " " + id},
		{"an ID with a zero byte is refused", "alice", id + "\x00"},
		{"the empty ID is refused", "alice", ""},
		{"a long ID is refused", "alice", strings.Repeat("A", 1<<16)},
		{"a well-formed ID that was never given out is refused", "alice", strings.Repeat("A", 43)},
		{"an ID that is not text is refused", "alice", "\xff\xfe"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// The very same error: no reason, text or rule tells the cases apart.
			if got, err := f.Lookup(tc.user, tc.id); err != error(errNotFound) || got != (Session{}) {
				t.Errorf("Lookup: got %v and %v, want nothing and %v", got, err, errNotFound)
			}
			if _, err := f.Stream(tc.user, tc.id); err != error(errNotFound) {
				t.Errorf("Stream: got %v, want %v", err, errNotFound)
			}
			if _, ok := f.End(tc.user, tc.id); ok {
				t.Error("End: got true, want false")
			}
		})
	}
	f.alive("alice", id)
}

func TestExpiredIsNotFound(t *testing.T) {
	f := newFixture(t, Config{})
	id := f.open("alice", "a")
	f.pass(30 * time.Minute)
	if _, err := f.Lookup("alice", id); err != error(errNotFound) {
		t.Errorf("got %v, want the error of an unknown ID", err)
	}
	f.Sweep()
	if _, err := f.Lookup("alice", id); err != error(errNotFound) {
		t.Errorf("got %v, want the error of an unknown ID", err)
	}
	if errNotFound.Reason != access.NotFound {
		t.Errorf("got %s, want not_found", errNotFound.Reason)
	}
}

func TestIdle(t *testing.T) {
	f := newFixture(t, Config{Idle: time.Minute, Lifetime: time.Hour})
	id := f.open("alice", "a")
	f.pass(time.Minute - 1)
	f.alive("alice", id)
	f.pass(time.Minute - 1)
	f.alive("alice", id)
	f.pass(time.Minute)
	f.over("alice", id)
	if f.over("alice", id); inners(f.Sweep()) != "alice=a" {
		t.Error("want the idle session swept")
	}
}

func TestLookupByOthersIsNoUse(t *testing.T) {
	f := newFixture(t, Config{Idle: time.Minute})
	id := f.open("alice", "a")
	f.pass(time.Minute - 1)
	f.over("bob", id)
	f.pass(1)
	f.over("alice", id)
}

func TestLifetime(t *testing.T) {
	f := newFixture(t, Config{Idle: time.Minute, Lifetime: 10 * time.Minute})
	id := f.open("alice", "a")
	end := f.now.Add(10 * time.Minute)
	for range 10 {
		f.pass(time.Minute - 1)
		if s := f.alive("alice", id); !s.Expires.Equal(end) {
			t.Fatalf("got %v, want %v however much it is used", s.Expires, end)
		}
	}
	f.pass(9)
	f.alive("alice", id)
	f.pass(1)
	f.over("alice", id)
}

func TestExpiryByTheDefaultClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{Table: table, t: t}
		used, unused := f.open("alice", "a"), f.open("alice", "b")
		for range 16 {
			time.Sleep(30*time.Minute - 1)
			f.alive("alice", used)
		}
		f.over("alice", unused)
		time.Sleep(16)
		f.over("alice", used)
		if n := table.Len(); n != 0 {
			t.Errorf("got %d, want none left", n)
		}
	})
}

func TestStepBackOfTheClockLengthensNoLife(t *testing.T) {
	for _, step := range []time.Duration{-1, -time.Minute, -time.Hour, -100 * 365 * 24 * time.Hour} {
		f := newFixture(t, Config{Idle: time.Minute, Lifetime: 3 * time.Minute})
		id, idle := f.open("alice", "a"), f.open("alice", "idle")
		f.pass(40 * time.Second)
		f.alive("alice", id)
		f.pass(step)
		s := f.alive("alice", id)
		if want := f.now.Add(140 * time.Second); !s.Expires.Equal(want) {
			t.Errorf("step %v: got end %v, want %v by the clock as it is now", step, s.Expires, want)
		}
		f.pass(20 * time.Second)
		f.over("alice", idle)
		f.alive("alice", id)
		for range 2 {
			f.pass(50 * time.Second)
			f.alive("alice", id)
		}
		f.pass(20 * time.Second)
		f.over("alice", id)
	}
}

func TestStepForwardEndsAndNothingOverflows(t *testing.T) {
	f := newFixture(t, Config{})
	for range 50 {
		id := f.open("alice", "a")
		f.now = f.now.AddDate(200, 0, 0)
		f.over("alice", id)
		f.now = f.now.AddDate(-200, 0, 0)
		f.over("alice", id)
	}
	if n := len(f.Sweep()); n != 50 {
		t.Errorf("got %d swept, want 50", n)
	}
}

func TestSleepOfTheMachineIsNoRest(t *testing.T) {
	// The monotonic clock stands still while the wall clock goes on.
	var c clock
	start := time.Now()
	c.read(start)
	if got := c.read(start.Round(0).Add(time.Hour)); got != time.Hour {
		t.Errorf("got %v, want an hour", got)
	}
	back := time.Now() // an hour back by the wall clock
	if got := c.read(back); got != time.Hour {
		t.Errorf("got %v, want no time for a step back", got)
	}
	if got := c.read(back.Add(time.Second)); got != time.Hour+time.Second {
		t.Errorf("got %v, want time to go on", got)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	f := newFixture(t, Config{})
	s := f.alive("alice", f.open("alice", "SECRET"))
	e := f.EndAll()[0]
	var b strings.Builder
	for _, v := range []any{s, &s, e, &e, []Session{s}, []Ended{e}, map[string]Session{"": s}} {
		fmt.Fprintf(&b, "%v %+v %#v %s %q\n", v, v, v, v, v)
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(raw)
		slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v)
	}
	if strings.Contains(b.String(), "SECRET") || !strings.Contains(b.String(), s.Hash) {
		t.Errorf("got %s, want the hash and no inner ID", b.String())
	}
	if errors.Unwrap(errNotFound) == nil {
		t.Error("want a cause for the operator")
	}
}
