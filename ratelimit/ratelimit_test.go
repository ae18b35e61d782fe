package ratelimit

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/insecure"
)

// A fixture is a Limiter whose clock the test moves.
type fixture struct {
	*Limiter
	t   *testing.T
	now time.Time
}

func newFixture(t *testing.T, cfg Config) *fixture {
	t.Helper()
	f := &fixture{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	cfg.Now = func() time.Time { return f.now }
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.Limiter = l
	return f
}

func (f *fixture) pass(d time.Duration) { f.now = f.now.Add(d) }

func (f *fixture) call(user string) error {
	p := &access.Principal{Issuer: "https://idp.example", Subject: user}
	return f.Check(f.t.Context(), &access.Call{Principal: p})
}

func (f *fixture) allowed(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("got %v, want it allowed", err)
	}
}

// refused asserts a refusal by rule that names wait.
func (f *fixture) refused(err error, rule string, wait time.Duration) {
	f.t.Helper()
	e := access.AsError(err)
	if e == nil || e.Reason != access.RateLimited || e.Rule != rule || e.RetryAfter != wait {
		f.t.Fatalf("got %+v, want rate_limited by %s for %v", e, rule, wait)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestConfig(t *testing.T) {
	second := func(n, burst int) Rate { return Rate{Requests: n, Per: time.Second, Burst: burst} }
	for _, tc := range []struct {
		name  string
		cfg   Config
		field string // that the error names, or "" for none
	}{
		{"the zero value is valid", Config{}, ""},
		{"only Requests is valid", Config{Peer: Rate{Requests: 1}}, ""},
		{"Per without Requests is refused", Config{Peer: Rate{Per: time.Second}}, "Peer.Requests"},
		{"Burst without Requests is refused", Config{Caller: Rate{Burst: 1}}, "Caller.Requests"},
		{"negative Requests are refused", Config{Peer: second(-1, 1)}, "Peer.Requests"},
		{"a million Requests are valid", Config{Peer: second(maxRequests, 1)}, ""},
		{"more than a million Requests are refused", Config{Caller: second(maxRequests+1, 1)}, "Caller.Requests"},
		{"negative Per is refused", Config{Peer: Rate{1, -1, 1}}, "Peer.Per"},
		{"one nanosecond is valid", Config{Peer: Rate{1, 1, 1}}, ""},
		{"a day is valid", Config{Caller: Rate{1, maxPer, 1}}, ""},
		{"more than a day is refused", Config{Caller: Rate{1, maxPer + 1, 1}}, "Caller.Per"},
		{"negative Burst is refused", Config{Peer: second(1, -1)}, "Peer.Burst"},
		{"a million Burst is valid", Config{Peer: second(1, maxBurst)}, ""},
		{"more than a million Burst is refused", Config{Caller: second(1, maxBurst+1)}, "Caller.Burst"},
		{"a Burst that fills in 30 days is valid", Config{Caller: Rate{1, maxPer, 30}}, ""},
		{"a Burst that fills in 31 days is refused", Config{Caller: Rate{1, maxPer, 31}}, "Caller.Burst"},
		{"a Burst that overflows is refused", Config{Caller: Rate{1, maxPer, maxBurst}}, "Caller.Burst"},
		{"negative Keys are refused", Config{Keys: -1}, "Keys"},
		{"63 Keys are refused", Config{Keys: 63}, "Keys"},
		{"64 Keys are valid", Config{Keys: 64}, ""},
		{"Keys beyond memory are refused", Config{Keys: maxKeys + 1}, "Keys"},
		{"a waiver does not hide an error", Config{Keys: 1, Unlimited: insecure.Because("test")}, "Keys"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := New(tc.cfg)
			switch {
			case tc.field == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case tc.field != "" && (err == nil || !strings.HasPrefix(err.Error(), "ratelimit: "+tc.field+" is ")):
				t.Errorf("got %v, want an error about %s", err, tc.field)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	f := newFixture(t, Config{})
	for range 200 {
		f.allowed(f.Peer(addr("192.0.2.1")))
	}
	f.refused(f.Peer(addr("192.0.2.1")), "peer", 20*time.Millisecond)
	for range 100 {
		f.allowed(f.call("alice"))
	}
	f.refused(f.call("alice"), "caller", 50*time.Millisecond)
	if got := len(f.peer.shards) * len(f.peer.shards[0].slots); got != 65_536 {
		t.Errorf("got %d places, want 65,536", got)
	}
	r, err := Rate{Requests: 7}.filled("", Rate{})
	if want := (Rate{7, time.Second, 7}); r != want || err != nil {
		t.Errorf("got %v, want %v", r, want)
	}
}

func TestKeysRoundUp(t *testing.T) {
	for _, tc := range []struct{ keys, want int }{{64, 64}, {65, 128}, {127, 128}, {128, 128}, {1000, 1024}, {4097, 8192}} {
		b := newTable("", Rate{1, 1, 1}, tc.keys, time.Now)
		if got := len(b.shards) * len(b.shards[0].slots); got != tc.want {
			t.Errorf("%d keys: got %d places, want %d", tc.keys, got, tc.want)
		}
	}
}

func TestWaitIsExact(t *testing.T) {
	f := newFixture(t, Config{Caller: Rate{Requests: 10, Per: time.Second, Burst: 3}})
	for range 3 {
		f.allowed(f.call("alice"))
	}
	for range 5 { // a refusal costs nothing
		f.refused(f.call("alice"), "caller", 100*time.Millisecond)
	}
	f.pass(100*time.Millisecond - 1)
	f.refused(f.call("alice"), "caller", 1)
	f.pass(1)
	f.allowed(f.call("alice"))
	f.refused(f.call("alice"), "caller", 100*time.Millisecond)
	f.pass(time.Hour) // rest gives no more than Burst
	for range 3 {
		f.allowed(f.call("alice"))
	}
	f.refused(f.call("alice"), "caller", 100*time.Millisecond)
}

func TestRateThatDoesNotDivideIsExact(t *testing.T) {
	f := newFixture(t, Config{Caller: Rate{Requests: 3, Per: time.Second, Burst: 2}})
	start := f.now
	// due is the first whole nanosecond at which call i may come.
	due := func(i int64) int64 { return (i*int64(time.Second) + 2) / 3 }
	f.allowed(f.call("alice"))
	for i := range int64(3000) {
		f.now = start.Add(time.Duration(due(i)))
		f.allowed(f.call("alice"))
		f.refused(f.call("alice"), "caller", time.Duration(due(i+1)-due(i)))
		f.now = start.Add(time.Duration(due(i+1) - 1))
		f.refused(f.call("alice"), "caller", 1)
	}
}

func TestPeersAndCallersHaveTheirOwnBudgets(t *testing.T) {
	one := Rate{Requests: 1, Per: time.Second, Burst: 1}
	f := newFixture(t, Config{Peer: one, Caller: one})
	f.allowed(f.Peer(addr("192.0.2.1")))
	f.allowed(f.Peer(addr("192.0.2.2")))
	f.allowed(f.call("alice"))
	f.allowed(f.call("bob"))
	f.refused(f.Peer(addr("192.0.2.1")), "peer", time.Second)
	f.refused(f.call("alice"), "caller", time.Second)
}

func TestPeer(t *testing.T) {
	for _, tc := range []struct {
		name, a, b string
		same       bool
	}{
		{"an address is itself", "192.0.2.1", "192.0.2.1", true},
		{"the next IPv4 address is another peer", "192.0.2.1", "192.0.2.2", false},
		{"an IPv4 address in IPv6 form is the same peer", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"two IPv4 addresses in IPv6 form are two peers", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"one /64 is one peer", "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
		{"the next /64 is another peer", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"the zone does not count", "fe80::1%eth0", "fe80::1%eth1", true},
		{"no zone is like any", "fe80::1", "fe80::2%eth1", true},
		{"an IPv4 address is not the /64 of its bytes", "32.1.13.184", "2001:db8::", false},
		{"0.0.0.0 is not no address", "0.0.0.0", "", false},
		{":: is not no address", "::", "", false},
		{":: is not 0.0.0.0", "::", "0.0.0.0", false},
		{"all without an address share one budget", "", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t, Config{Peer: Rate{Requests: 1, Per: time.Second, Burst: 1}})
			parse := func(s string) netip.Addr {
				if s == "" {
					return netip.Addr{}
				}
				return addr(s)
			}
			f.allowed(f.Peer(parse(tc.a)))
			if tc.same {
				f.refused(f.Peer(parse(tc.b)), "peer", time.Second)
			} else {
				f.allowed(f.Peer(parse(tc.b)))
			}
		})
	}
}

func TestCheck(t *testing.T) {
	one := Rate{Requests: 1, Per: time.Second, Burst: 1}
	f := newFixture(t, Config{Caller: one})
	user := func(p access.Principal) *access.Call { return &access.Call{Principal: &p} }
	base := access.Principal{Issuer: "i", Subject: "s", Client: "c", Tenant: "t"}
	if err := f.Check(t.Context(), user(base)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		call *access.Call
		want access.Reason
	}{
		{"no principal is refused", &access.Call{}, access.Unauthenticated},
		{"a second call is refused", user(base), access.RateLimited},
		{"another token of the user shares the budget", user(access.Principal{Issuer: "i", Subject: "s", Client: "c", Tenant: "t", TokenID: "2"}), access.RateLimited},
		{"another session shares the budget", &access.Call{Principal: &base, Session: "other"}, access.RateLimited},
		{"another address shares the budget", &access.Call{Principal: &base, Peer: addr("192.0.2.9")}, access.RateLimited},
		{"a remembered user ID shares the budget", &access.Call{Principal: base.WithUserID()}, access.RateLimited},
		{"another subject has its own", user(access.Principal{Issuer: "i", Subject: "x", Client: "c", Tenant: "t"}), ""},
		{"another issuer has its own", user(access.Principal{Issuer: "x", Subject: "s", Client: "c", Tenant: "t"}), ""},
		{"another tenant has its own", user(access.Principal{Issuer: "i", Subject: "s", Client: "c", Tenant: "x"}), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := f.Check(t.Context(), tc.call)
			if (err == nil) != (tc.want == "") || err != nil && access.AsError(err).Reason != tc.want {
				t.Errorf("got %v, want reason %q", err, tc.want)
			}
		})
	}
}

func TestUnlimited(t *testing.T) {
	f := newFixture(t, Config{Peer: Rate{Requests: 1}, Caller: Rate{Requests: 1}, Unlimited: insecure.Because("test")})
	for range 1000 {
		f.allowed(f.Peer(addr("192.0.2.1")))
		f.allowed(f.call("alice"))
	}
	if err := f.Check(t.Context(), &access.Call{}); access.AsError(err) == nil || access.AsError(err).Reason != access.Unauthenticated {
		t.Errorf("got %v, want a caller to be needed all the same", err)
	}
}

func TestStepBackGivesNoBudgetAndBlocksNoLonger(t *testing.T) {
	for _, step := range []time.Duration{-1, -time.Second, -time.Hour, -200 * 365 * 24 * time.Hour} {
		f := newFixture(t, Config{Caller: Rate{Requests: 10, Per: time.Second, Burst: 2}})
		f.allowed(f.call("alice"))
		f.allowed(f.call("alice"))
		f.pass(30 * time.Millisecond)
		f.refused(f.call("alice"), "caller", 70*time.Millisecond)
		f.pass(step)
		f.refused(f.call("alice"), "caller", 70*time.Millisecond)
		f.pass(70*time.Millisecond - 1)
		f.refused(f.call("alice"), "caller", 1)
		f.pass(1)
		f.allowed(f.call("alice"))
	}
}

func TestStepForwardGivesNoMoreThanBurst(t *testing.T) {
	f := newFixture(t, Config{Caller: Rate{Requests: 10, Per: time.Second, Burst: 2}})
	for range 100 {
		f.allowed(f.call("alice"))
		f.allowed(f.call("alice"))
		f.refused(f.call("alice"), "caller", 100*time.Millisecond)
		f.now = f.now.AddDate(250, 0, 0)
	}
}

func TestLongestWaitIsOneInterval(t *testing.T) {
	f := newFixture(t, Config{Caller: Rate{Requests: 1, Per: maxPer, Burst: 30}})
	for range 30 {
		f.allowed(f.call("alice"))
	}
	f.refused(f.call("alice"), "caller", maxPer)
}

func TestDefaultClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := New(Config{Peer: Rate{Requests: 1, Per: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{Limiter: l, t: t}
		f.allowed(f.Peer(addr("192.0.2.1")))
		time.Sleep(time.Minute - 1)
		f.refused(f.Peer(addr("192.0.2.1")), "peer", 1)
		time.Sleep(1)
		f.allowed(f.Peer(addr("192.0.2.1")))
	})
}
