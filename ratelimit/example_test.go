package ratelimit_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/ratelimit"
)

func ExampleNew() {
	_, err := ratelimit.New(ratelimit.Config{Caller: ratelimit.Rate{Requests: -1}})
	fmt.Println(err)
	// Output: ratelimit: Caller.Requests is -1, want 1 to 1000000
}

func ExampleLimiter_Check() {
	now := time.Now()
	limiter, err := ratelimit.New(ratelimit.Config{
		Caller: ratelimit.Rate{Requests: 2, Per: time.Second, Burst: 1},
		Now:    func() time.Time { return now },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	call := &access.Call{Principal: &access.Principal{Issuer: "https://idp.example", Subject: "alice"}}
	fmt.Println(limiter.Check(context.Background(), call))
	refusal := access.AsError(limiter.Check(context.Background(), call))
	fmt.Println(refusal.Reason, refusal.Rule, refusal.RetryAfter)
	now = now.Add(refusal.RetryAfter)
	fmt.Println(limiter.Check(context.Background(), call))
	// Output:
	// <nil>
	// rate_limited caller 500ms
	// <nil>
}

func ExampleLimiter_Peer() {
	limiter, err := ratelimit.New(ratelimit.Config{Peer: ratelimit.Rate{Requests: 1, Per: time.Hour}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(limiter.Peer(netip.MustParseAddr("2001:db8::1")))
	fmt.Println(limiter.Peer(netip.MustParseAddr("2001:db8::2")) == nil) // the same /64
	// Output:
	// <nil>
	// false
}
