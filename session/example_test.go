package session_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/session"
)

func ExampleNew() {
	_, err := session.New(session.Config{Idle: 2 * time.Hour, Lifetime: time.Hour})
	fmt.Println(err)
	// Output: session: Idle is 2h0m0s, want 0 for the default or 1 to 1h0m0s
}

func ExampleTable_Lookup() {
	table, err := session.New(session.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := table.Reserve("alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Cancel() // gives the place back when the server fails
	id, err := r.Commit("inner-1", "2025-11-25")
	if err != nil {
		fmt.Println(err)
		return
	}

	s, err := table.Lookup("alice", id)
	fmt.Println(s.Inner, err)
	_, err = table.Lookup("mallory", id)
	fmt.Println(access.AsError(err).Reason)
	// Output:
	// inner-1 <nil>
	// not_found
}

func ExampleTable_Reserve() {
	table, err := session.New(session.Config{PerUser: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = table.Reserve("alice")
	fmt.Println(err)
	_, err = table.Reserve("alice")
	var refusal *access.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Reason, refusal.Rule)
	}
	// Output:
	// <nil>
	// rate_limited sessions-per-user
}

func ExampleTable_Sweep() {
	now := time.Now()
	table, err := session.New(session.Config{Now: func() time.Time { return now }})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := table.Reserve("alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := r.Commit("inner-1", "2025-11-25"); err != nil {
		fmt.Println(err)
		return
	}
	now = now.Add(30 * time.Minute)
	for _, over := range table.Sweep() {
		fmt.Println("close", over.Inner, "of", over.User)
	}
	// Output: close inner-1 of alice
}
