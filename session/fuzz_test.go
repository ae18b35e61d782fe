package session

import (
	"strings"
	"testing"
	"time"
)

// FuzzLookup: no user and ID but the right ones find a session.
func FuzzLookup(f *testing.F) {
	table, err := New(Config{Idle: 24 * time.Hour, Lifetime: 24 * time.Hour})
	if err != nil {
		f.Fatal(err)
	}
	r, err := table.Reserve("alice")
	if err != nil {
		f.Fatal(err)
	}
	id, err := r.Commit("inner", version)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("alice", id)
	f.Add("bob", id)
	f.Add("", "")
	f.Add("alice", id+"=")
	f.Add("alice", id[:42])
	f.Add("alice:"+id, "")
	f.Add("alice", strings.Repeat("\x00", 43))
	f.Add("alice", "\xff../\r\n")
	f.Fuzz(func(t *testing.T, user, given string) {
		want := user == "alice" && given == id
		s, err := table.Lookup(user, given)
		if (err == nil) != want || want && s.Inner != "inner" {
			t.Fatalf("got %v and %v, want found %v", s, err, want)
		}
		if err != nil && err != error(errNotFound) {
			t.Fatalf("got %v, want the one answer", err)
		}
		if release, err := table.Stream(user, given); (err == nil) != want {
			t.Fatalf("Stream: got %v, want found %v", err, want)
		} else if err == nil {
			release()
		}
		if want {
			return // the session must stay for the next input
		}
		if _, ok := table.End(user, given); ok {
			t.Fatal("End: got true for what is not there")
		}
	})
}

// FuzzCommit: nothing but short visible ASCII becomes an inner ID, which is
// later written to a header.
func FuzzCommit(f *testing.F) {
	for _, inner := range []string{"", "a", "a b", "a\r\nX-Evil: 1", "\x00", "é", strings.Repeat("a", 257)} {
		f.Add(inner)
	}
	f.Fuzz(func(t *testing.T, inner string) {
		table, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := table.Reserve("alice")
		if err != nil {
			t.Fatal(err)
		}
		bad := inner == "" || len(inner) > 256 || strings.ContainsFunc(inner, func(c rune) bool { return c <= ' ' || c > '~' })
		id, err := r.Commit(inner, version)
		if (err != nil) != bad {
			t.Fatalf("got %v, want an error %v", err, bad)
		}
		if _, err := table.Lookup("alice", id); (err != nil) != bad || (table.held == 0) != bad {
			t.Fatalf("got %v, want a session only without an error", err)
		}
	})
}
