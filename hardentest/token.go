package hardentest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// A TokenOption changes one thing about a token of [Issuer.Token]. Options are
// applied in order, and the last one wins.
type TokenOption func(*token)

// token is a token before it is signed.
type token struct {
	algorithm      string
	header, claims map[string]any
	now            time.Time
}

// Subject sets sub, the user. Default "alice".
func Subject(sub string) TokenOption { return Claim("sub", sub) }

// Client sets client_id, the OAuth client. Default "app".
func Client(id string) TokenOption { return Claim("client_id", id) }

// Scopes sets scope, joined with spaces. Default: no scope claim.
func Scopes(scopes ...string) TokenOption { return Claim("scope", strings.Join(scopes, " ")) }

// Audience sets aud, the servers that the token is for: a string for one, an
// array for several. It has no default.
func Audience(servers ...string) TokenOption {
	if len(servers) == 1 {
		return Claim("aud", servers[0])
	}
	return Claim("aud", servers)
}

// Lifetime sets exp to d after now. A negative d makes a token that expired; its
// iat is then d before that, so that nothing else about it is wrong. Default 5
// minutes.
func Lifetime(d time.Duration) TokenOption {
	return func(t *token) {
		t.claims["exp"] = t.now.Add(d).Unix()
		if d < 0 {
			t.claims["iat"] = t.now.Add(2 * d).Unix()
		}
	}
}

// Claim sets any claim to any value that encoding/json can write. A nil value
// removes the claim; use json.RawMessage("null") for a null.
func Claim(name string, value any) TokenOption {
	return func(t *token) { set(t.claims, name, value) }
}

// Header sets any member of the JOSE header, alg and kid among them, without
// changing how the token is signed. A nil value removes the member.
func Header(name string, value any) TokenOption {
	return func(t *token) {
		if value == nil {
			value = removed{}
		}
		t.header[name] = value
	}
}

// Algorithm signs with "ES256", which is the default, "EdDSA" or "RS256"; it
// panics for any other. The RSA key, which takes a while to make, is made and
// joins the key set when it is first asked for.
func Algorithm(name string) TokenOption {
	return func(t *token) { t.algorithm = name }
}

// removed marks a header member that was taken out, so that no default takes
// its place.
type removed struct{}

func set(m map[string]any, name string, value any) {
	if value == nil {
		delete(m, name)
		return
	}
	m[name] = value
}

func (t *token) setDefault(name, value string) {
	switch t.header[name].(type) {
	case nil:
		t.header[name] = value
	case removed:
		delete(t.header, name)
	}
}

// parts returns the signing input.
func (t *token) parts() (header, claims string) {
	for name, value := range t.header {
		if value == (removed{}) {
			delete(t.header, name)
		}
	}
	return encode(t.header), encode(t.claims)
}

func (t *token) sign(k *key) string {
	header, claims := t.parts()
	return compact(header, claims, k.sign)
}

func compact(header, claims string, sign func(input []byte) []byte) string {
	input := header + "." + claims
	return input + "." + b64(sign([]byte(input)))
}

// encode returns v as base64url JSON. It panics for what JSON cannot hold,
// which is a mistake of the test.
func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("hardentest: claim or header that is not JSON: " + err.Error())
	}
	return b64(bytes.TrimSpace(b.Bytes()))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
