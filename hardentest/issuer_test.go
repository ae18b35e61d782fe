package hardentest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/hardenmcp/harden/hardentest"
)

const resource = "https://notes.example/mcp"

// verify is an independent reader of tokens: the keys as served, and the JWT
// library's opinion of the signature.
func verify(t *testing.T, iss *hardentest.Issuer, token string) error {
	t.Helper()
	set, err := jwk.Fetch(t.Context(), iss.URL()+"/jwks")
	if err != nil {
		t.Fatal(err)
	}
	_, err = jws.Verify([]byte(token), jws.WithKeySet(set, jws.WithRequireKid(true)))
	return err
}

func part(t *testing.T, token string, i int) map[string]any {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[i])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func get(t *testing.T, url string) (int, map[string]any) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&m)
	return resp.StatusCode, m
}

func TestGoodTokenVerifiesWithTheServedKeys(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		token := iss.Token(hardentest.Audience(resource), hardentest.Algorithm(alg))
		if err := verify(t, iss, token); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if got := part(t, token, 0)["alg"]; got != alg {
			t.Errorf("alg: got %v, want %s", got, alg)
		}
		if got := part(t, token, 0)["typ"]; got != "at+jwt" {
			t.Errorf("%s: typ: got %v, want at+jwt", alg, got)
		}
		changed := token[:len(token)-10] + "AAAAAAAAAA"
		if err := verify(t, iss, changed); err == nil {
			t.Errorf("%s: a changed signature verifies", alg)
		}
	}
}

func TestUnknownAlgorithmPanics(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	iss.Token(hardentest.Algorithm("HS256"))
}

func TestTokenClaims(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	now := time.Unix(1_800_000_000, 0)
	iss.Now = func() time.Time { return now }
	for _, tc := range []struct {
		name  string
		opts  []hardentest.TokenOption
		claim string
		want  any
	}{
		{"subject is alice by default", nil, "sub", "alice"},
		{"client is app by default", nil, "client_id", "app"},
		{"issuer is the URL", nil, "iss", iss.URL()},
		{"audience has no default", nil, "aud", nil},
		{"scope has no default", nil, "scope", nil},
		{"lifetime is five minutes by default", nil, "exp", 1_800_000_300.0},
		{"issued now", nil, "iat", 1_800_000_000.0},
		{"one audience is a string", []hardentest.TokenOption{hardentest.Audience("a")}, "aud", "a"},
		{"scopes are joined", []hardentest.TokenOption{hardentest.Scopes("a", "b")}, "scope", "a b"},
		{"subject is set", []hardentest.TokenOption{hardentest.Subject("bob")}, "sub", "bob"},
		{"client is set", []hardentest.TokenOption{hardentest.Client("cli")}, "client_id", "cli"},
		{"lifetime is set", []hardentest.TokenOption{hardentest.Lifetime(time.Minute)}, "exp", 1_800_000_060.0},
		{"expired ends in the past", []hardentest.TokenOption{hardentest.Lifetime(-time.Minute)}, "exp", 1_799_999_940.0},
		{"expired was issued before it ended", []hardentest.TokenOption{hardentest.Lifetime(-time.Minute)}, "iat", 1_799_999_880.0},
		{"a claim is set", []hardentest.TokenOption{hardentest.Claim("x", true)}, "x", true},
		{"a claim is removed", []hardentest.TokenOption{hardentest.Claim("sub", nil)}, "sub", nil},
		{"the last option wins", []hardentest.TokenOption{hardentest.Subject("a"), hardentest.Subject("b")}, "sub", "b"},
	} {
		if got := part(t, iss.Token(tc.opts...), 1)[tc.claim]; got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
	if got := part(t, iss.Token(hardentest.Audience("a", "b")), 1)["aud"]; fmt.Sprint(got) != "[a b]" {
		t.Errorf("two audiences: got %v, want an array", got)
	}
	if a, b := part(t, iss.Token(), 1)["jti"], part(t, iss.Token(), 1)["jti"]; a == b {
		t.Errorf("jti: got %v twice", a)
	}
}

func TestTokenHeader(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	for _, tc := range []struct {
		name, member string
		opt          hardentest.TokenOption
		want         any
	}{
		{"a member is set", "typ", hardentest.Header("typ", "JWT"), "JWT"},
		{"a member is removed", "typ", hardentest.Header("typ", nil), nil},
		{"kid is removed and stays so", "kid", hardentest.Header("kid", nil), nil},
		{"alg lies and stays so", "alg", hardentest.Header("alg", "none"), "none"},
	} {
		if got := part(t, iss.Token(tc.opt), 0)[tc.member]; got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestRotateReplacesEveryKey(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	before := iss.Token(hardentest.Audience(resource))
	iss.Rotate()
	if err := verify(t, iss, before); err == nil {
		t.Error("a token of the old key verifies with the new set")
	}
	if err := verify(t, iss, iss.Token(hardentest.Audience(resource))); err != nil {
		t.Errorf("a token of the new key: %v", err)
	}
}

func TestOutage(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	iss.Outage(true)
	if got, _ := get(t, iss.URL()+"/jwks"); got != http.StatusServiceUnavailable {
		t.Errorf("during an outage: got %d, want 503", got)
	}
	iss.Outage(false)
	if got, _ := get(t, iss.URL()+"/jwks"); got != http.StatusOK {
		t.Errorf("after it: got %d, want 200", got)
	}
	if got := iss.Fetches(); got != 2 {
		t.Errorf("fetches: got %d, want 2", got)
	}
}

func TestMetadataNamesTheIssuerAndItsKeys(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		status, m := get(t, iss.URL()+path)
		if status != http.StatusOK || m["issuer"] != iss.URL() || m["jwks_uri"] != iss.URL()+"/jwks" {
			t.Errorf("%s: got %d %v", path, status, m)
		}
	}
	if status, _ := get(t, iss.URL()+"/"); status != http.StatusNotFound {
		t.Errorf("another path: got %d, want 404", status)
	}
}

func TestKeySetHoldsNoPrivateKey(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	iss.Token(hardentest.Algorithm("RS256"))
	_, m := get(t, iss.URL()+"/jwks")
	keys := m["keys"].([]any)
	if len(keys) != 3 {
		t.Errorf("keys: got %d, want 3", len(keys))
	}
	for _, k := range keys {
		for _, private := range []string{"d", "p", "q", "k"} {
			if _, ok := k.(map[string]any)[private]; ok {
				t.Errorf("key %v holds %q", k.(map[string]any)["kid"], private)
			}
		}
	}
}

func ExampleNewIssuer() {
	t := new(testing.T) // the t of a test
	iss := hardentest.NewIssuer(t)
	token := iss.Token(
		hardentest.Audience("https://notes.example/mcp"),
		hardentest.Subject("alice"),
		hardentest.Scopes("notes.read", "notes.write"),
		hardentest.Lifetime(time.Minute),
	)
	fmt.Println(strings.Count(token, "."))
	// Output: 2
}
