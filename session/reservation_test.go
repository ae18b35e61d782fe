package session

import (
	"strings"
	"testing"
	"time"

	"github.com/hardenmcp/harden/access"
)

func TestCommit(t *testing.T) {
	for _, tc := range []struct {
		name, inner, version string
		want                 access.Reason
	}{
		{"visible ASCII is allowed", "!~aZ09", version, ""},
		{"256 characters are allowed", strings.Repeat("i", 256), version, ""},
		{"257 characters are refused", strings.Repeat("i", 257), version, access.Internal},
		{"an empty inner ID is refused", "", version, access.Internal},
		{"a space is refused", "a b", version, access.Internal},
		{"a line break is refused", "a\r\nX: y", version, access.Internal},
		{"DEL is refused", "a\x7f", version, access.Internal},
		{"a byte beyond ASCII is refused", "a\x80", version, access.Internal},
		{"an empty version is refused", "a", "", access.Internal},
		{"a version with a space is refused", "a", "2025 11", access.Internal},
		{"a version of 64 characters is allowed", "a", strings.Repeat("v", 64), ""},
		{"a version of 65 characters is refused", "a", strings.Repeat("v", 65), access.Internal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, Config{PerUser: 1})
			id, err := f.reserve("alice").Commit(tc.inner, tc.version)
			if reasonOf(err) != tc.want {
				t.Fatalf("got %v, want reason %q", err, tc.want)
			}
			if err != nil {
				if id != "" || f.Len() != 0 {
					t.Errorf("got %d sessions, want none after an error", f.Len())
				}
				f.reserve("alice") // the place is free again
				return
			}
			if s := f.alive("alice", id); s.Inner != tc.inner || s.Version != tc.version {
				t.Errorf("got %q and %q, want what was committed", s.Inner, s.Version)
			}
		})
	}
}

func TestIDsAreRandomAndNotKept(t *testing.T) {
	f := newFixture(t, Config{PerUser: 1000})
	seen := map[string]bool{}
	for range 1000 {
		id := f.open("alice", "same-inner")
		if seen[id] || len(id) != 43 || checkVisible("id", id, 43) != nil {
			t.Fatalf("got %q, want 43 visible characters not seen before", id)
		}
		seen[id] = true
	}
	for key, e := range f.sessions {
		if !strings.HasPrefix(key, "alice:") || len(key) != len("alice:")+32 || seen[key[6:]] || seen[e.hash] {
			t.Fatalf("got key %q, want user:hash", key)
		}
	}
}

func TestReservationIsUsedOnce(t *testing.T) {
	f := newFixture(t, Config{})
	r := f.reserve("alice")
	id, err := r.Commit("a", version)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit("b", version); reasonOf(err) != access.Internal {
		t.Errorf("second Commit: got %v, want reason internal", err)
	}
	r.Cancel()
	f.alive("alice", id)

	r = f.reserve("alice")
	r.Cancel()
	r.Cancel()
	if _, err := r.Commit("a", version); reasonOf(err) != access.Unavailable {
		t.Errorf("Commit after Cancel: got %v, want reason unavailable", err)
	}
	(*Reservation)(nil).Cancel()
	if f.held != 1 || f.Len() != 1 {
		t.Errorf("got %d held, want the one session", f.held)
	}
}

func TestReservationRunsOut(t *testing.T) {
	f := newFixture(t, Config{PerUser: 2, Pending: time.Minute})
	kept, lost := f.reserve("alice"), f.reserve("alice")
	f.pass(time.Minute - 1)
	if _, err := kept.Commit("a", version); err != nil {
		t.Errorf("got %v, want a session one ns before the end", err)
	}
	f.pass(1)
	if _, err := lost.Commit("b", version); reasonOf(err) != access.Unavailable {
		t.Errorf("got %v, want reason unavailable", err)
	}
	lost.Cancel()
	f.open("alice", "c")
	if n := f.Len(); n != 2 {
		t.Errorf("got %d, want 2", n)
	}
}

func TestReserveOfUser(t *testing.T) {
	f := newFixture(t, Config{})
	for _, tc := range []struct {
		name, user string
		want       access.Reason
	}{
		{"a user is allowed", "a", ""},
		{"no user is refused", "", access.Unauthenticated},
		{"512 bytes are allowed", strings.Repeat("u", 512), ""},
		{"513 bytes are refused", strings.Repeat("u", 513), access.Internal},
	} {
		if r, err := f.Reserve(tc.user); reasonOf(err) != tc.want || (r == nil) != (err != nil) {
			t.Errorf("%s: got %v, want reason %q", tc.name, err, tc.want)
		}
	}
}
