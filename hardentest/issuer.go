package hardentest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// An Issuer is an identity provider on loopback. It serves its key set and its
// metadata (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3) and
// issues access tokens as RFC 9068 has them. Make one with [NewIssuer]; the
// zero value serves nothing. An Issuer is safe for concurrent use.
type Issuer struct {
	// Now is the clock that tokens are issued by. Default: time.Now. Set it
	// before the first token.
	Now func() time.Time

	server *httptest.Server

	mu      sync.Mutex
	out     bool
	fetches int
	serial  int             // numbers keys and tokens
	keys    map[string]*key // by algorithm; the RSA key is there once asked for
}

// NewIssuer starts an identity provider, which ends with the test. It has one
// key for ES256 and one for EdDSA.
func NewIssuer(tb testing.TB) *Issuer {
	tb.Helper()
	iss := &Issuer{Now: time.Now}
	iss.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", iss.metadata)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", iss.metadata)
	mux.HandleFunc("GET /jwks", iss.keySet)
	iss.server = httptest.NewServer(iss.available(mux))
	tb.Cleanup(iss.server.Close)
	return iss
}

// URL returns the issuer identifier, such as "http://127.0.0.1:41003". It has
// no trailing slash, and is the iss claim of every token.
func (iss *Issuer) URL() string { return iss.server.URL }

// Rotate replaces every key by a new one with a new key ID. Tokens that were
// issued before are refused once a verifier reads the key set again.
func (iss *Issuer) Rotate() {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	iss.keys = map[string]*key{}
	iss.key("ES256")
	iss.key("EdDSA")
}

// Outage makes every request fail with status 503 while out is true.
func (iss *Issuer) Outage(out bool) {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	iss.out = out
}

// Fetches returns how often the key set was asked for, outages included: a
// verifier that strangers can make ask without end shows here.
func (iss *Issuer) Fetches() int {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	return iss.fetches
}

// Token issues an access token. Without options it is good for 5 minutes, for
// subject "alice" at client "app", without scopes, signed with ES256. It has no
// default audience: whoever asks says which server it is for, with [Audience].
func (iss *Issuer) Token(opts ...TokenOption) string {
	t := iss.draft(opts)
	return t.sign(iss.signer(t.algorithm))
}

// draft is a token before it is signed.
func (iss *Issuer) draft(opts []TokenOption) *token {
	now := iss.Now()
	t := &token{
		algorithm: "ES256",
		header:    map[string]any{"typ": "at+jwt"},
		claims: map[string]any{
			"iss": iss.URL(), "sub": "alice", "client_id": "app", "jti": iss.next("token"),
			"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		},
		now: now,
	}
	for _, o := range opts {
		o(t)
	}
	k := iss.signer(t.algorithm)
	t.setDefault("alg", t.algorithm)
	t.setDefault("kid", k.id)
	return t
}

func (iss *Issuer) signer(algorithm string) *key {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	return iss.key(algorithm)
}

// key returns the key for algorithm, and makes it when there is none. The
// caller holds mu.
func (iss *Issuer) key(algorithm string) *key {
	k := iss.keys[algorithm]
	if k == nil {
		iss.serial++
		k = newKey(algorithm, fmt.Sprintf("%s-%d", algorithm, iss.serial))
		iss.keys[algorithm] = k
	}
	return k
}

func (iss *Issuer) next(what string) string {
	iss.mu.Lock()
	defer iss.mu.Unlock()
	iss.serial++
	return fmt.Sprintf("%s-%d", what, iss.serial)
}

func (iss *Issuer) available(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		iss.mu.Lock()
		out := iss.out
		if r.URL.Path == "/jwks" {
			iss.fetches++
		}
		iss.mu.Unlock()
		if out {
			http.Error(w, "out of order", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (iss *Issuer) metadata(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"issuer":                                iss.URL(),
		"jwks_uri":                              iss.URL() + "/jwks",
		"authorization_endpoint":                iss.URL() + "/authorize",
		"token_endpoint":                        iss.URL() + "/token",
		"response_types_supported":              []string{"code"},
		"grant_types_supported":                 []string{"authorization_code", "client_credentials"},
		"code_challenge_methods_supported":      []string{"S256"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256", "RS256", "EdDSA"},
	})
}

func (iss *Issuer) keySet(w http.ResponseWriter, _ *http.Request) {
	iss.mu.Lock()
	set := make([]map[string]any, 0, len(iss.keys))
	for _, algorithm := range []string{"ES256", "EdDSA", "RS256"} {
		if k := iss.keys[algorithm]; k != nil {
			set = append(set, k.public())
		}
	}
	iss.mu.Unlock()
	writeJSON(w, map[string]any{"keys": set})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// A verifier that hung up is the only way for this to fail.
	_ = json.NewEncoder(w).Encode(v)
}
