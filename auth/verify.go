package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hardenmcp/harden/access"
)

var (
	errNoPrincipal = errors.New("auth: no caller")
	errForm        = errors.New("auth: token is not three base64url parts")
	errSignature   = errors.New("auth: signature does not hold")
	errNoIssuer    = errors.New("auth: token names no issuer")
)

// A Verifier verifies access tokens and checks permissions. Make one with
// [New]. It is safe for concurrent use.
type Verifier struct {
	resource, path, url string
	document            []byte
	scopes              []string
	policy              *policy
	issuers             map[string]*issuer
	skew, lifetime      time.Duration
	tokenBytes          int
	now                 func() time.Time
	cache               *cache
	close               func()
}

// An issuer is a configured Issuer at work.
type issuer struct {
	Issuer
	keys *keySource
}

// New returns a Verifier for cfg. It returns an error that names the field when
// a setting is missing, out of bounds or contradicts another. It makes no
// network traffic: keys are fetched when the first token needs them.
func New(cfg Config) (*Verifier, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	if err := checkScopes(cfg.Scopes); err != nil {
		return nil, err
	}
	v := &Verifier{
		resource: cfg.Resource, scopes: slices.Compact(slices.Sorted(slices.Values(cfg.Scopes))),
		skew: cfg.Skew, lifetime: cfg.MaxLifetime, tokenBytes: cfg.TokenBytes,
		now: cfg.Now, cache: newCache(cfg.CacheSize), issuers: map[string]*issuer{},
	}
	if v.policy, err = newPolicy(cfg.Rules); err != nil {
		return nil, err
	}
	if err := v.describe(&cfg); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	v.close = cancel
	for _, is := range cfg.Issuers {
		f, err := newFetcher(&cfg, is.URL)
		if err != nil {
			cancel()
			return nil, err
		}
		v.issuers[is.URL] = &issuer{Issuer: is, keys: newKeySource(ctx, &cfg, is, f)}
	}
	return v, nil
}

// Close ends fetches that are under way and waits for them. A Verifier that was
// closed still answers from what it knows. Close may be called again.
func (v *Verifier) Close() {
	v.close()
	for _, is := range v.issuers {
		is.keys.wait()
	}
}

// Verify returns the caller that an access token proves (RFC 9068 §4). The
// Principal is shared between all requests with that token and must not be
// changed; its Method is "jwt". A token that was verified before is answered
// from a bounded cache until it expires, its key is withdrawn by the issuer, or
// the issuer cannot be reached for longer than Keys.Stale.
//
// It refuses with [access.Unauthenticated] a token that does not hold, and with
// [access.Unavailable] one that nobody can decide about because the issuer's
// keys cannot be fetched. Error.Rule names what failed: "size", "form",
// "header", "claims", a name of a header or claim such as "alg", "typ", "kid",
// "iss", "aud" or "exp", "lifetime", "sig", or "keys". It blocks while keys are
// fetched, for at most Keys.Timeout or until ctx ends.
func (v *Verifier) Verify(ctx context.Context, token string) (*access.Principal, error) {
	if len(token) > v.tokenBytes {
		return nil, refuse(access.Unauthenticated, "size", fmt.Errorf("auth: token of %d bytes is larger than %d", len(token), v.tokenBytes))
	}
	now := v.now()
	sum := digest(token)
	if e := v.cache.get(sum, now); e != nil && !e.key.withdrawn.Load() && e.keys.usable(now) == nil {
		return e.principal, nil
	}
	e, err := v.verify(ctx, token, now)
	if err != nil {
		return nil, err
	}
	v.cache.put(sum, e, now)
	return e.principal, nil
}

// verify does the work for a token that is not in the cache.
func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (entry, error) {
	p, err := split(token)
	if err != nil {
		return entry{}, err
	}
	h, err := readHeader(p.header)
	if err != nil {
		return entry{}, err
	}
	all, err := members(p.payload)
	if err != nil {
		return entry{}, refuse(access.Unauthenticated, "claims", fmt.Errorf("auth: claims: %w", err))
	}
	is, err := v.issuerOf(all)
	if err != nil {
		return entry{}, err
	}
	if err := is.accepts(h); err != nil {
		return entry{}, err
	}
	k, err := is.keys.verify(ctx, h, p.signed, p.signature)
	if err != nil {
		return entry{}, err
	}
	c, err := readClaims(all, is.Tenant)
	if err != nil {
		return entry{}, err
	}
	if err := v.check(c, h, now); err != nil {
		return entry{}, err
	}
	return entry{principal: c.principal(), key: k, keys: is.keys}, nil
}

// issuerOf returns the configured issuer that unverified claims name. Only that
// issuer's keys are tried afterwards, so no issuer can speak for another.
func (v *Verifier) issuerOf(all []member) (*issuer, error) {
	for _, m := range all {
		if m.name != "iss" {
			continue
		}
		url, err := text(m.value)
		if err != nil {
			return nil, refuse(access.Unauthenticated, "iss", fmt.Errorf("auth: claim iss %w", err))
		}
		if is := v.issuers[url]; is != nil {
			return is, nil
		}
		return nil, refuse(access.Unauthenticated, "iss", fmt.Errorf("auth: issuer %q is not configured", clip(url)))
	}
	return nil, refuse(access.Unauthenticated, "iss", errNoIssuer)
}

// accepts applies the issuer's lists to a header.
func (is *issuer) accepts(h *header) error {
	if !slices.Contains(is.Algorithms, h.alg) {
		return refuse(access.Unauthenticated, "alg", fmt.Errorf("auth: algorithm %q is not accepted", clip(h.alg)))
	}
	if !slices.ContainsFunc(is.Types, func(t string) bool { return strings.EqualFold(t, h.typ) }) {
		return refuse(access.Unauthenticated, "typ", fmt.Errorf("auth: type %q is not an access token", clip(h.typ)))
	}
	return nil
}

// parts are the decoded parts of a token.
type parts struct {
	signed                     string // header and payload as they were signed
	header, payload, signature []byte
}

// split decodes the compact serialization (RFC 7515 §3.1) into one buffer.
// encoding/base64 skips line breaks, so those are refused first.
func split(token string) (parts, error) {
	first := strings.IndexByte(token, '.')
	last := strings.LastIndexByte(token, '.')
	if first < 0 || first == last || strings.IndexByte(token[first+1:last], '.') >= 0 || strings.ContainsAny(token, "\r\n") {
		return parts{}, refuse(access.Unauthenticated, "form", errForm)
	}
	buf := make([]byte, 0, base64.RawURLEncoding.DecodedLen(len(token)))
	var cuts [3]int
	for i, s := range [...]string{token[:first], token[first+1 : last], token[last+1:]} {
		var err error
		if buf, err = strictBase64.AppendDecode(buf, []byte(s)); err != nil || s == "" && i < 2 {
			return parts{}, refuse(access.Unauthenticated, "form", errForm)
		}
		cuts[i] = len(buf)
	}
	return parts{token[:last], buf[:cuts[0]], buf[cuts[0]:cuts[1]], buf[cuts[1]:]}, nil
}

// strictBase64 refuses set bits after the end: one token, one spelling.
var strictBase64 = base64.RawURLEncoding.Strict()

// A header is the JOSE header of a token.
type header struct{ alg, typ, kid string }

// isAccessToken reports whether the token says that it follows RFC 9068.
func (h *header) isAccessToken() bool {
	return strings.EqualFold(h.typ, "at+jwt") || strings.EqualFold(h.typ, "application/at+jwt")
}

// readHeader reads the JOSE header. Keys that come with a token would let
// whoever wrote it choose them (RFC 8725 §3.5, §3.10); critical extensions are
// not understood here, so they must be refused (RFC 7515 §4.1.11). Other
// members are ignored, as RFC 7515 §4 asks.
func readHeader(src []byte) (*header, error) {
	all, err := members(src)
	if err != nil {
		return nil, refuse(access.Unauthenticated, "header", fmt.Errorf("auth: header: %w", err))
	}
	h := &header{}
	for _, m := range all {
		var err error
		switch m.name {
		case "alg":
			h.alg, err = label(m.value)
		case "typ":
			h.typ, err = label(m.value)
		case "kid":
			h.kid, err = label(m.value)
		case "crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc":
			err = errors.New("is not accepted")
		}
		if err != nil {
			return nil, refuse(access.Unauthenticated, m.name, fmt.Errorf("auth: header %s %w", m.name, err))
		}
	}
	if h.alg == "" {
		return nil, refuse(access.Unauthenticated, "alg", errors.New("auth: token names no algorithm"))
	}
	return h, nil
}
