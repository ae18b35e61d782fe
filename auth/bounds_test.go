package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hardenmcp/harden/access"
)

// TestDefaults pins what the documentation says.
func TestDefaults(t *testing.T) {
	cfg, err := good().filled()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Skew != 30*time.Second || cfg.MaxLifetime != time.Hour || cfg.TokenBytes != 8<<10 || cfg.CacheSize != 10_000 || cfg.Now == nil {
		t.Errorf("got %+v", cfg)
	}
	keys := Keys{Refresh: 10 * time.Minute, Stale: time.Hour, Throttle: 30 * time.Second, Timeout: 10 * time.Second}
	if diff := cmp.Diff(keys, cfg.Keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	issuer := Issuer{
		URL: "https://login.example", Tenant: "tid", Types: []string{"at+jwt", "application/at+jwt"},
		Algorithms: []string{"RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"},
	}
	if diff := cmp.Diff(issuer, cfg.Issuers[0]); diff != "" {
		t.Errorf("issuer (-want +got):\n%s", diff)
	}
	short := good()
	short.Keys.Refresh = 5 * time.Second
	if cfg, err = short.filled(); err != nil || cfg.Keys.Throttle != 5*time.Second {
		t.Errorf("short Refresh: got Throttle %v, %v", cfg.Keys.Throttle, err)
	}
}

// TestConfigIsCopied: what the application does to its Config afterwards does
// not change who is trusted.
func TestConfigIsCopied(t *testing.T) {
	p := newProvider(t)
	cfg := p.config(newClock())
	v := newVerifier(t, cfg)
	cfg.Issuers[0].URL, cfg.Issuers[0].Algorithms = "https://evil.example", []string{"RS512"}
	if _, err := v.Verify(ctx(), p.good().sign()); err != nil {
		t.Errorf("got %v, want the configuration of New", err)
	}
}

func TestCacheMakesRoom(t *testing.T) {
	c := newCache(3)
	put := func(name string, expires, now time.Time) {
		c.shards = c.shards[:1]
		c.shards[0].limit = 3
		c.put(sha256.Sum256([]byte(name)), entry{principal: &access.Principal{Expires: expires}}, now)
	}
	has := func(name string, now time.Time) bool { return c.get(sha256.Sum256([]byte(name)), now) != nil }
	later := start.Add(time.Hour)
	put("expires", start.Add(time.Minute), start)
	put("a", later, start)
	put("b", later, start)
	put("a", later, start) // again: no room is needed
	if n := len(c.shards[0].entries); n != 3 {
		t.Fatalf("got %d entries, want 3", n)
	}
	now := start.Add(time.Minute)
	put("c", later, now)
	if has("expires", now) || !has("a", now) || !has("b", now) || !has("c", now) {
		t.Error("one that is alive went before the expired one")
	}
	put("d", later, now)
	if n := len(c.shards[0].entries); n != 3 || !has("d", now) {
		t.Errorf("got %d entries, want 3 with the newest", n)
	}
	put("dead", now, now)
	if has("dead", start) {
		t.Error("an expired token was remembered")
	}
}

// TestPauseAfterFailures doubles up to Throttle.
func TestPauseAfterFailures(t *testing.T) {
	p, c := newProvider(t), newClock()
	v := newVerifier(t, p.config(c))
	s := v.issuers[p.URL].keys
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		s.finish(nil, errors.New("down"))
		want *= time.Second
		if got := s.next.Sub(c.now()); got != want {
			t.Errorf("failure %d: got a pause of %v, want %v", i+1, got, want)
		}
		e := wantRefusal(t, s.usable(c.now()), access.Unavailable, "keys")
		if e.RetryAfter != want {
			t.Errorf("failure %d: got RetryAfter %v, want %v", i+1, e.RetryAfter, want)
		}
	}
	s.finish([]*key{}, nil)
	s.finish(nil, errors.New("down"))
	if got := s.next.Sub(c.now()); got != time.Second {
		t.Errorf("after a success: got a pause of %v, want 1s", got)
	}
}

// TestRefusedKeys is about single keys; the nearest one that is used is first.
func TestRefusedKeys(t *testing.T) {
	p256 := &private()["ec"].(*ecdsa.PrivateKey).PublicKey
	r := &private()["rsa"].(*rsa.PrivateKey).PublicKey
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(public any, change map[string]string) map[string]string {
		j := jwkOf("k", public)
		for name, v := range change {
			j[name] = v
		}
		return j
	}
	huge := new(big.Int).Lsh(r.N, 8192-2048+1)
	for _, tc := range []struct {
		name string
		key  map[string]string
		kind string
	}{
		{"RSA of 2048 bits", edit(r, nil), "RSA"},
		{"RSA of 8193 bits", edit(&rsa.PublicKey{N: huge, E: 65537}, nil), ""},
		{"RSA with exponent 1", edit(&rsa.PublicKey{N: r.N, E: 1}, nil), ""},
		{"RSA with an even exponent", edit(&rsa.PublicKey{N: r.N, E: 65536}, nil), ""},
		{"RSA for PS256 alone", edit(r, map[string]string{"alg": "PS256"}), "RSA"},
		{"RSA for encryption by alg", edit(r, map[string]string{"alg": "RSA-OAEP"}), ""},
		{"RSA for HS256", edit(r, map[string]string{"alg": "HS256"}), ""},
		{"P-256", edit(p256, nil), "P-256"},
		{"P-256 for ES384", edit(p256, map[string]string{"alg": "ES384"}), ""},
		{"P-521", edit(&p521.PublicKey, nil), "P-521"},
		{"P-224", edit(&p224.PublicKey, nil), ""},
		{"Ed25519", edit(private()["ed"].Public(), nil), "Ed25519"},
		{"X25519", edit(private()["ed"].Public(), map[string]string{"crv": "X25519"}), ""},
		{"short Ed25519", edit(private()["ed"].Public(), map[string]string{"x": "AAAA"}), ""},
		{"no kind", edit(r, map[string]string{"kty": ""}), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			raw, err := json.Marshal(tc.key)
			if err != nil {
				t.Fatal(err)
			}
			k, err := readKey(raw)
			switch {
			case tc.kind == "" && err == nil:
				t.Errorf("got a key of kind %q, want it refused", k.kind)
			case tc.kind != "" && (err != nil || k.kind != tc.kind):
				t.Errorf("got %+v, %v, want kind %q", k, err, tc.kind)
			}
		})
	}
}

// TestKeyForOneAlgorithm: a key with alg verifies nothing else.
func TestKeyForOneAlgorithm(t *testing.T) {
	k := &key{kid: "k", kind: "RSA", alg: "PS256"}
	for alg, want := range map[string]bool{"PS256": true, "RS256": false, "ES256": false, "none": false, "": false} {
		if got := k.fits(&header{alg: alg, kid: "k"}); got != want {
			t.Errorf("%q: got %v, want %v", alg, got, want)
		}
	}
	if (&key{kid: "k"}).fits(&header{alg: "none", kid: "k"}) {
		t.Error("a key of no kind fits an algorithm that is not known")
	}
}

func TestClaimBounds(t *testing.T) {
	many := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprint("s", i)
		}
		return strings.Join(list, " ")
	}
	for _, tc := range []struct {
		name, claim, value string
		ok                 bool
	}{
		{"256 scopes", "scope", `"` + many(256) + `"`, true},
		{"257 scopes", "scope", `"` + many(257) + `"`, false},
		{"256 scopes in scp", "scp", `["` + strings.ReplaceAll(many(256), " ", `","`) + `"]`, true},
		{"257 scopes in scp", "scp", `["` + strings.ReplaceAll(many(257), " ", `","`) + `"]`, false},
		{"empty scp", "scp", `[]`, true},
		{"scp null", "scp", `null`, false},
		{"sub of 512 bytes", "sub", `"` + strings.Repeat("a", 512) + `"`, true},
		{"sub of 513 bytes", "sub", `"` + strings.Repeat("a", 513) + `"`, false},
		{"sub in escapes", "sub", `"\u0061lice"`, true},
		{"sub with DEL", "sub", "\"a\x7f\"", false},
		{"exp in 9999", "exp", `253402300799`, true},
		{"exp in 10000", "exp", `253402300800`, false},
		{"exp with an exponent", "exp", `1e9`, true},
		{"exp true", "exp", `true`, false},
		{"33 methods", "amr", `["` + strings.ReplaceAll(many(33), " ", `","`) + `"]`, false},
		{"methods that nest", "amr", `[["pwd"]]`, false},
		{"cnf of any kind", "cnf", `null`, false},
		{"unknown claim of any kind", "x", `null`, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := readClaims([]member{{tc.claim, []byte(tc.value)}}, "tid")
			if tc.ok && err != nil {
				t.Errorf("got %v, want it read", err)
			}
			if !tc.ok {
				wantRefusal(t, err, access.Unauthenticated, tc.claim)
			}
		})
	}
}

// TestErrorsAreBounded: a stranger cannot fill the audit log through an error.
func TestErrorsAreBounded(t *testing.T) {
	p := newProvider(t)
	v := newVerifier(t, p.config(newClock()))
	long := strings.Repeat("é", 2000)
	for _, tok := range []*token{
		p.good().with(set{"iss": long}), p.good().head(set{"alg": long}), p.good().head(set{"kid": long[:400]}),
		p.good().head(set{"typ": long[:400]}), p.good().with(set{"scope": long}), p.good().with(set{"aud": long}), p.good().with(set{"aud": strings.Split(long[:3000], "é")[:60]}),
		p.good().with(set{"aud": slices.Repeat([]string{strings.Repeat("a", 60)}, 60)}),
	} {
		_, err := v.Verify(ctx(), tok.sign())
		if err == nil || len(err.Error()) > 1000 {
			t.Errorf("got an error of %d bytes, want at most 1000", len(fmt.Sprint(err)))
		}
	}
	err := v.Check(ctx(), callOf("tools/call", long))
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("got an error of %d bytes, want at most 300", len(fmt.Sprint(err)))
	}
}
