package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/insecure"
)

// The resource and the time of all tests.
const resource = "https://notes.example/mcp"

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// The private keys of all tests are made once: RSA is slow.
var private = sync.OnceValue(func() map[string]crypto.Signer {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	weak, werr := rsa.GenerateKey(rand.Reader, 1024)
	e, eerr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	e3, e3err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, d, derr := ed25519.GenerateKey(rand.Reader)
	_, other, oerr := ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err, werr, eerr, e3err, derr, oerr); err != nil {
		panic(err)
	}
	return map[string]crypto.Signer{"rsa": r, "weak": weak, "ec": e, "ec384": e3, "ed": d, "other": other}
})

var b64 = base64.RawURLEncoding

// A provider is an identity provider over HTTP on loopback.
type provider struct {
	*httptest.Server
	hits   atomic.Int64 // fetches of the key set
	down   atomic.Bool
	answer atomic.Pointer[http.HandlerFunc] // takes the place of the key set
	gate   chan struct{}                    // when set, the key set waits for it

	mu   sync.Mutex
	keys []any
}

func newProvider(tb testing.TB) *provider {
	p := &provider{}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		if p.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "extra": []int{1}})
	})
	mux.HandleFunc("/keys", p.serveKeys)
	p.Server = httptest.NewServer(mux)
	tb.Cleanup(p.Close)
	for _, kid := range []string{"rsa", "ec", "ed", "weak"} {
		p.publish(kid, kid)
	}
	return p
}

func (p *provider) serveKeys(w http.ResponseWriter, r *http.Request) {
	p.hits.Add(1)
	if p.gate != nil {
		<-p.gate
	}
	if p.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	if h := p.answer.Load(); h != nil {
		(*h)(w, r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	json.NewEncoder(w).Encode(map[string]any{"keys": p.keys})
}

// publish adds the public part of a private key to the key set.
func (p *provider) publish(kid, which string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, jwkOf(kid, private()[which].Public()))
}

func (p *provider) withdrawAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = nil
}

func jwkOf(kid string, public any) map[string]string {
	num := func(n *big.Int) string { return b64.EncodeToString(n.Bytes()) }
	j := map[string]string{"kid": kid, "use": "sig"}
	switch k := public.(type) {
	case *rsa.PublicKey:
		j["kty"], j["n"], j["e"] = "RSA", num(k.N), num(big.NewInt(int64(k.E)))
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		j["kty"], j["crv"] = "EC", k.Curve.Params().Name
		j["x"], j["y"] = b64.EncodeToString(point[1:1+half]), b64.EncodeToString(point[1+half:])
	case ed25519.PublicKey:
		j["kty"], j["crv"], j["x"] = "OKP", "Ed25519", b64.EncodeToString(k)
	}
	return j
}

type set = map[string]any

// A token is a token under construction: sign makes it whole.
type token struct {
	header, claims set
	key            string
	rawHeader      string
	rawClaims      string
}

// good is a token that is accepted.
func (p *provider) good() *token {
	return &token{
		key:    "ec",
		header: set{"alg": "ES256", "typ": "at+jwt", "kid": "ec"},
		claims: set{
			"iss": p.URL, "sub": "alice", "client_id": "app", "aud": resource, "jti": "t1",
			"iat": start.Add(-time.Minute).Unix(), "exp": start.Add(10 * time.Minute).Unix(),
			"scope": "notes.read notes.write",
		},
	}
}

// with sets claims and removes those that are nil.
func (t *token) with(claims set) *token {
	edit(t.claims, claims)
	return t
}

func (t *token) head(header set) *token {
	edit(t.header, header)
	return t
}

func (t *token) by(key string) *token { t.key = key; return t }

func edit(in, change set) {
	maps.Copy(in, change)
	maps.DeleteFunc(in, func(_ string, v any) bool { return v == nil })
}

func (t *token) sign() string {
	encode := func(raw string, m set) string {
		if raw == "" {
			b, err := json.Marshal(m)
			if err != nil {
				panic(err)
			}
			raw = string(b)
		}
		return b64.EncodeToString([]byte(raw))
	}
	signed := encode(t.rawHeader, t.header) + "." + encode(t.rawClaims, t.claims)
	alg, _ := t.header["alg"].(string)
	return signed + "." + b64.EncodeToString(signature(alg, t.key, []byte(signed)))
}

// signature signs with the standard library alone, so that the tests do not
// lean on what they test.
func signature(alg, key string, signed []byte) []byte {
	sum := sha256.Sum256(signed)
	var sig []byte
	var err error
	switch k := private()[key].(type) {
	case *rsa.PrivateKey:
		switch alg {
		case "HS256":
			mac := hmac.New(sha256.New, []byte(jwkOf("", k.Public())["n"]))
			mac.Write(signed)
			return mac.Sum(nil)
		case "PS256":
			sig, err = rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		default:
			sig, err = rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
		}
	case *ecdsa.PrivateKey:
		sig, err = signECDSA(k, signed)
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, signed)
	}
	if err != nil {
		panic(err)
	}
	return sig
}

func signECDSA(k *ecdsa.PrivateKey, signed []byte) ([]byte, error) {
	size := (k.Curve.Params().BitSize + 7) / 8
	sum := sha256.Sum256(signed)
	hash := sum[:]
	if size == 48 {
		sum := sha512.Sum384(signed)
		hash = sum[:]
	}
	r, s, err := ecdsa.Sign(rand.Reader, k, hash)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out, nil
}

// A clock is a time that tests set.
type clock struct{ at atomic.Int64 }

func newClock() *clock { c := &clock{}; c.at.Store(start.UnixNano()); return c }

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }
func (p *provider) config(c *clock) Config {
	return Config{
		Resource: resource, Issuers: []Issuer{{URL: p.URL}}, Now: c.now,
		Loopback: insecure.Because("test: the identity provider is in the test"),
	}
}

func newVerifier(tb testing.TB, cfg Config) *Verifier {
	tb.Helper()
	v, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(v.Close)
	return v
}

// settle waits for fetches in the background.
func (v *Verifier) settle() {
	for _, is := range v.issuers {
		is.keys.wait()
	}
}

// wantRefusal checks reason and rule of a refusal.
func wantRefusal(tb testing.TB, err error, reason access.Reason, rule string) *access.Error {
	tb.Helper()
	var e *access.Error
	if !errors.As(err, &e) {
		tb.Fatalf("got error %v, want a refusal of %q", err, rule)
	}
	if e.Reason != reason || e.Rule != rule {
		tb.Errorf("got %q by rule %q (%v), want %q by rule %q", e.Reason, e.Rule, e.Err, reason, rule)
	}
	return e
}

func ctx() context.Context { return context.Background() }
