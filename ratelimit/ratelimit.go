// Package ratelimit refuses calls beyond a budget, for each network peer and
// for each caller.
//
// It stops one peer or one caller from taking what a server has for all: MCP
// asks servers to rate limit tool invocations (2025-11-25, Tools, Security
// Considerations). The peer's budget is asked before any cryptography, the
// caller's for each call, and neither depends on a session. A budget is a GCRA
// (ITU-T I.371, the leaky bucket as a meter): exact, with no window whose edge
// can be played, and with an exact time to wait in every refusal. Memory is of
// a fixed size, whatever a stranger sends.
//
// It does not stop an attack from more networks than there is room for, nor one
// that fills the line. Peers behind one address share its budget, and so do IPv4
// peers that a translator shows under one IPv6 /64. It gives each
// process its own budgets: n replicas let through n times as much. It does not
// weigh calls, nor limit how many run at once.
//
//	limiter, err := ratelimit.New(ratelimit.Config{
//		Caller: ratelimit.Rate{Requests: 5, Per: time.Second, Burst: 20},
//	})
//	...
//	if err := limiter.Peer(addr); err != nil {       // once per HTTP request
//		return err
//	}
//	if err := limiter.Check(ctx, call); err != nil { // once per MCP call
//		return err
//	}
//
// # When the table is full
//
// A key whose budget is whole again is the same as one that was never seen, so
// only such a key gives its place to another. When a new key finds no such
// place, it is charged to one budget that all such keys of the same part of the
// table share, and a key that gets a place while that budget is in use starts
// from it. So no flood of keys gives anybody more than its own budget; what it
// can do is to make new keys wait. To get there takes calls from all over at
// about Keys times the rate of one key.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/insecure"
)

const (
	defaultKeys = 65_536
	minKeys     = 64
	maxKeys     = 1 << 24

	maxRequests = 1_000_000
	maxBurst    = 1_000_000
	maxPer      = 24 * time.Hour
	// maxFill bounds how long a whole Burst takes to fill.
	maxFill = 30 * 24 * time.Hour
)

var (
	defaultPeer   = Rate{Requests: 50, Per: time.Second, Burst: 200}
	defaultCaller = Rate{Requests: 20, Per: time.Second, Burst: 100}
)

var (
	errNoCaller = errors.New("ratelimit: no caller to charge the call to")
	errSpent    = errors.New("ratelimit: the budget is used up")
	errCrowded  = errors.New("ratelimit: the table is full, and so is the budget that new keys share")
)

// A Rate is a budget: it fills by Requests in each Per, evenly, up to Burst. In
// no stretch of time of length d are more than Burst + d * Requests / Per calls
// let through. The zero value means the default of its layer.
type Rate struct {
	// Requests is how many calls each Per allows. Required unless the Rate is
	// zero. At most a million.
	Requests int
	// Per is the time for Requests. Zero means one second. At most a day.
	Per time.Duration
	// Burst is how many calls may come at once after a time of rest. Zero means
	// as many as Requests. At most a million, and at most what fills in 30 days.
	Burst int
}

// filled returns r with its defaults, or an error that names the field.
func (r Rate) filled(name string, standard Rate) (Rate, error) {
	if r == (Rate{}) {
		return standard, nil
	}
	if r.Per == 0 {
		r.Per = time.Second
	}
	if r.Burst == 0 {
		r.Burst = r.Requests
	}
	switch {
	case r.Requests < 1 || r.Requests > maxRequests:
		return r, fmt.Errorf("ratelimit: %s.Requests is %d, want 1 to %d", name, r.Requests, maxRequests)
	case r.Per < 0 || r.Per > maxPer:
		return r, fmt.Errorf("ratelimit: %s.Per is %v, want 0 for a second, or up to %v", name, r.Per, maxPer)
	case r.Burst < 1 || r.Burst > maxBurst:
		return r, fmt.Errorf("ratelimit: %s.Burst is %d, want 0 for as many as Requests, or up to %d", name, r.Burst, maxBurst)
	case r.Per/time.Duration(r.Requests) > maxFill/time.Duration(r.Burst):
		return r, fmt.Errorf("ratelimit: %s.Burst is %d, which takes more than %v to fill", name, r.Burst, maxFill)
	}
	return r, nil
}

// A Config holds the budgets of a [Limiter]. The zero value uses every default.
type Config struct {
	// Peer is the budget of a network peer: an IPv4 address, or the /64 of an
	// IPv6 one. Zero means 50 a second with bursts of 200. It should be the
	// larger one, for many callers can share an address.
	Peer Rate
	// Caller is the budget of a caller, over all its sessions and tokens. Zero
	// means 20 a second with bursts of 100.
	Caller Rate
	// Keys is how many peers, and how many callers, are told apart. Zero means
	// 65,536, which takes 3 MiB. From 64 to 16,777,216; it is rounded up to a
	// power of two.
	Keys int
	// Now is the clock. Nil means [time.Now]. It must not call the Limiter. A
	// step back of the clock gives no budget and takes none. A step forward
	// gives the budget of that time, which is never more than Burst.
	Now func() time.Time
	// Unlimited lets every peer and every caller through at any rate.
	Unlimited insecure.Waiver
}

// A Limiter decides whether a budget allows one more call. It is safe for
// concurrent use, starts no goroutine, and needs no closing.
type Limiter struct {
	unlimited    bool
	seed         maphash.Seed
	peer, caller *table
}

// New returns a Limiter with all budgets whole, or an error that names the field
// of cfg that is out of bounds.
func New(cfg Config) (*Limiter, error) {
	peer, errPeer := cfg.Peer.filled("Peer", defaultPeer)
	caller, errCaller := cfg.Caller.filled("Caller", defaultCaller)
	if err := errors.Join(errPeer, errCaller); err != nil {
		return nil, err
	}
	if cfg.Keys == 0 {
		cfg.Keys = defaultKeys
	}
	if cfg.Keys < minKeys || cfg.Keys > maxKeys {
		return nil, fmt.Errorf("ratelimit: Keys is %d, want 0 for %d, or %d to %d", cfg.Keys, defaultKeys, minKeys, maxKeys)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Limiter{unlimited: cfg.Unlimited.Granted(), seed: maphash.MakeSeed()}
	if !l.unlimited {
		l.peer = newTable("peer", peer, cfg.Keys, cfg.Now)
		l.caller = newTable("caller", caller, cfg.Keys, cfg.Now)
	}
	return l, nil
}

// Peer charges one request to the network peer addr, which is the address after
// trusted proxies. An IPv6 address counts as its /64, which is what one
// subscriber has; an IPv4 address in IPv6 form as the IPv4 address; zones do not
// count. All peers without an address, the zero Addr, share one budget, so that
// an address that got lost is not a way around it: do not call Peer for a
// transport that has no peers, such as stdio. A refusal is [access.RateLimited]
// with Rule "peer" and the exact wait.
func (l *Limiter) Peer(addr netip.Addr) error {
	if l.unlimited {
		return nil
	}
	key := peerKey(addr)
	return l.peer.take(maphash.Bytes(l.seed, key[:]))
}

// peerKey is what of an address names the peer, after its family.
func peerKey(addr netip.Addr) (key [9]byte) {
	addr = addr.Unmap()
	switch {
	case addr.Is4():
		b := addr.As4()
		key[0] = 4
		copy(key[1:], b[:])
	case addr.Is6():
		b := addr.As16()
		key[0] = 6
		copy(key[1:], b[:8])
	}
	return key
}

// Check charges one call to its caller, by [access.Principal.UserID]. It
// implements [access.Check]. A refusal is [access.RateLimited] with Rule
// "caller" and the exact wait; a call without a Principal is refused as
// [access.Unauthenticated], also when budgets are waived.
func (l *Limiter) Check(_ context.Context, c *access.Call) error {
	if c.Principal == nil {
		return access.Deny(access.Unauthenticated, errNoCaller)
	}
	if l.unlimited {
		return nil
	}
	return l.caller.take(maphash.String(l.seed, c.Principal.UserID()))
}
