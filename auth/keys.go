package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hardenmcp/harden/access"
)

// algorithms are the signature algorithms that are known here, each with the
// only kind of key it works with. HMAC and none are not among them: a key that
// everyone can fetch must never be a secret (RFC 8725 §3.1).
var algorithms = map[string]string{
	"RS256": "RSA", "RS384": "RSA", "RS512": "RSA",
	"PS256": "RSA", "PS384": "RSA", "PS512": "RSA",
	"ES256": "P-256", "ES384": "P-384", "ES512": "P-521",
	"EdDSA": "Ed25519", "Ed25519": "Ed25519",
}

// A key is a public key of an issuer.
type key struct {
	kid    string
	alg    string // the only algorithm, or "" for all of the kind
	kind   string
	public any
	// withdrawn is set when the issuer no longer publishes the key.
	withdrawn atomic.Bool
}

// fits reports whether k may verify a token with that header. A token without a
// kid fits every key of its kind.
func (k *key) fits(h *header) bool {
	return k.kind != "" && k.kind == algorithms[h.alg] && (k.alg == "" || k.alg == h.alg) && (h.kid == "" || h.kid == k.kid)
}

// A keySet is what an issuer published at one time. It does not change.
type keySet struct {
	keys    []*key
	fetched time.Time
}

// find returns the key for a header. A token without a kid is only accepted
// when there is one key that it can mean.
func (s *keySet) find(h *header) *key {
	var found *key
	for _, k := range s.keys {
		if !k.fits(h) {
			continue
		}
		if found != nil {
			return nil
		}
		found = k
	}
	return found
}

// A keySource holds the keys of one issuer. One fetch at a time is under way,
// in a goroutine of its own, so that no caller who goes away can end it.
type keySource struct {
	ctx     context.Context
	issuer  Issuer
	fetcher *fetcher
	policy  Keys
	now     func() time.Time
	set     atomic.Pointer[keySet]

	mu       sync.Mutex
	flight   chan struct{} // closed when the fetch under way ends; nil if none
	running  sync.WaitGroup
	failures int
	failed   error     // of the last fetch
	next     time.Time // no fetch before this
}

func newKeySource(ctx context.Context, cfg *Config, is Issuer, f *fetcher) *keySource {
	return &keySource{ctx: ctx, issuer: is, fetcher: f, policy: cfg.Keys, now: cfg.Now}
}

// wait waits for the fetch under way.
func (s *keySource) wait() { s.running.Wait() }

// verify checks a signature and returns the key that it holds for.
func (s *keySource) verify(ctx context.Context, h *header, signed string, signature []byte) (*key, error) {
	k, err := s.key(ctx, h)
	if err != nil {
		return nil, err
	}
	if err := verifySignature(k, h.alg, signed, signature); err != nil {
		return nil, refuse(access.Unauthenticated, "sig", fmt.Errorf("%w: %w", errSignature, err))
	}
	return k, nil
}

// key returns the issuer's key for a header.
func (s *keySource) key(ctx context.Context, h *header) (*key, error) {
	now := s.now()
	if s.usable(now) == nil {
		if k := s.set.Load().find(h); k != nil {
			return k, nil
		}
	}
	// Either there are no keys yet or any more, or a new key is in use.
	err := s.refresh(ctx, now)
	if uerr := s.usable(s.now()); uerr != nil {
		return nil, uerr
	}
	if k := s.set.Load().find(h); k != nil {
		return k, nil
	}
	if err != nil {
		return nil, s.unavailable(err)
	}
	return nil, refuse(access.Unauthenticated, "kid", fmt.Errorf("auth: issuer %q has no single key %q for %s", s.issuer.URL, clip(h.kid), clip(h.alg)))
}

// usable reports whether the keys may be used at that time, and starts a fetch
// in the background when they are due.
func (s *keySource) usable(now time.Time) error {
	set := s.set.Load()
	if set == nil {
		return s.unavailable(s.lastError())
	}
	age := now.Sub(set.fetched)
	if age < s.policy.Refresh {
		return nil
	}
	s.start(now)
	if age < s.policy.Refresh+s.policy.Stale {
		return nil
	}
	return s.unavailable(s.lastError())
}

func (s *keySource) lastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		return errors.New("auth: not fetched yet")
	}
	return s.failed
}

// unavailable is the refusal when nobody can say whether a token holds.
func (s *keySource) unavailable(err error) error {
	s.mu.Lock()
	wait := s.next.Sub(s.now())
	s.mu.Unlock()
	e := refuse(access.Unavailable, "keys", fmt.Errorf("auth: keys of %q: %w", s.issuer.URL, err))
	e.RetryAfter = max(wait, time.Second)
	return e
}

// refresh fetches the keys unless that was done a moment ago, and waits. It
// returns the error of the last fetch.
func (s *keySource) refresh(ctx context.Context, now time.Time) error {
	if flight := s.start(now); flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// start starts a fetch, joins the one under way, or returns nil when it is too
// soon: strangers can make up key IDs as fast as they like.
func (s *keySource) start(now time.Time) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	if now.Before(s.next) || s.ctx.Err() != nil {
		return nil
	}
	flight := make(chan struct{})
	s.flight = flight
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		keys, err := s.fetch()
		s.finish(keys, err)
		close(flight)
	}()
	return flight
}

// fetch gets the issuer's keys.
func (s *keySource) fetch() (keys []*key, err error) {
	// A panic here would end the process, and the input is the issuer's.
	defer func() {
		if v := recover(); v != nil {
			keys, err = nil, fmt.Errorf("auth: panic: %v", v)
		}
	}()
	ctx, cancel := context.WithTimeout(s.ctx, s.policy.Timeout)
	defer cancel()
	uri := s.issuer.JWKS
	if uri == "" {
		if uri, err = s.fetcher.jwksURI(ctx, s.issuer.URL); err != nil {
			return nil, err
		}
	}
	body, err := s.fetcher.get(ctx, uri)
	if err != nil {
		return nil, err
	}
	return readKeySet(body)
}

// finish takes over the outcome of a fetch. After failures it waits for one
// second, then twice as long each time, up to Throttle.
func (s *keySource) finish(keys []*key, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.flight, s.failed = nil, err
	if err != nil {
		s.next = now.Add(min(time.Second<<min(s.failures, 16), s.policy.Throttle))
		s.failures++
		return
	}
	s.failures, s.next = 0, now.Add(s.policy.Throttle)
	old := s.set.Load()
	if old != nil {
		keys = carryOver(old.keys, keys)
	}
	s.set.Store(&keySet{keys: keys, fetched: now})
}

// carryOver keeps the old value of every key that is still published, and marks
// the others as withdrawn, which takes their tokens out of the cache.
func carryOver(old, fresh []*key) []*key {
	for _, o := range old {
		kept := false
		for i, k := range fresh {
			if o.same(k) {
				fresh[i], kept = o, true
			}
		}
		if !kept {
			o.withdrawn.Store(true)
		}
	}
	return fresh
}

// same reports whether two keys are interchangeable.
func (k *key) same(o *key) bool {
	pub, ok := k.public.(interface{ Equal(x cryptoPublicKey) bool })
	return ok && k.kid == o.kid && k.alg == o.alg && k.kind == o.kind && pub.Equal(o.public)
}
