package hardentest

import (
	"encoding/json"
	"strings"
	"time"
)

// A BadToken is a token that no server may accept. Each is one step away from a
// good one.
type BadToken struct {
	// Name says what is wrong, such as "expired".
	Name string
	// Token is sent after "Bearer ". It fits into one header line.
	Token string
	// Rule is what refuses it, such as "RFC 9068 section 4: exp".
	Rule string
}

// The rules that bad tokens break.
const (
	ruleAudience  = "RFC 9068 section 4: aud must name this server, exactly (RFC 8707 section 2)"
	ruleExpiry    = "RFC 9068 section 4: exp is required and must be ahead"
	ruleLifetime  = "RFC 9700 section 2.2: a token must not live longer than the operator allows"
	ruleTime      = "RFC 7519 section 4.1: nbf and iat must not be ahead"
	ruleIssuer    = "RFC 9068 section 4: iss must be a trusted issuer, exactly"
	ruleSigned    = "RFC 9068 section 4: the signature must be the issuer's, and alg none is refused"
	ruleAlgorithm = "RFC 8725 section 3.1: the algorithm must be the key's"
	ruleCritical  = "RFC 7515 section 4.1.11: an extension that is not understood is refused"
	ruleOwnKey    = "RFC 8725 section 3.10: a token must not bring its own key"
	ruleType      = "RFC 9068 section 4: typ must be at+jwt"
	ruleForm      = "RFC 7515 section 7.1: a token has three parts of base64url"
	ruleJSON      = "RFC 8725 section 2.4: a token that parsers read differently is refused"
	ruleClaims    = "RFC 9068 section 2.2: a claim has its type, and sub is not empty"
	ruleBound     = "RFC 7800 section 3.1 and RFC 9449 section 7.1: a token that is bound to a key needs proof of that key"
	ruleSize      = "the size of a token is bounded"
)

// BadTokens returns one token of every known bad kind, more than 110, for the
// server whose canonical URI is resource and which trusts iss. The order is
// stable. Each call starts and stops no server, and makes new tokens.
func BadTokens(iss *Issuer, resource string) []BadToken {
	f := &forger{iss: iss, resource: resource}
	f.audiences()
	f.times()
	f.issuers()
	f.signatures()
	f.algorithms()
	f.headers()
	f.forms()
	f.claims()
	return f.bad
}

// forger collects bad tokens.
type forger struct {
	iss      *Issuer
	resource string
	bad      []BadToken
}

func (f *forger) add(rule, name, token string) {
	f.bad = append(f.bad, BadToken{Name: name, Token: token, Rule: rule})
}

// issue adds a token that is good but for opts.
func (f *forger) issue(rule, name string, opts ...TokenOption) {
	f.add(rule, name, f.iss.Token(append([]TokenOption{Audience(f.resource)}, opts...)...))
}

// good is the draft of a token that has nothing wrong.
func (f *forger) good(opts ...TokenOption) *token {
	return f.iss.draft(append([]TokenOption{Audience(f.resource)}, opts...))
}

func (f *forger) audiences() {
	bare := strings.TrimSuffix(f.resource, "/")
	slash := bare
	if slash == f.resource {
		slash += "/"
	}
	const other = "https://other.example/mcp"
	for _, tc := range []struct {
		name string
		aud  any
	}{
		{"audience of another server", other},
		{"audience with a trailing slash too many or too few", slash},
		{"audience that is a prefix", f.resource[:len(f.resource)-1]},
		{"audience that is longer", bare + "/admin"},
		{"audience with a query", bare + "?x=1"},
		{"audience with a fragment", bare + "#x"},
		{"audience in capitals", strings.ToUpper(f.resource)},
		{"audience with a blank", " " + f.resource},
		{"audience list in one string", f.resource + " " + other},
		{"audience that is a wildcard", "*"},
		{"audience array without this server", []string{other, bare + "/admin"}},
		{"audience array that is empty", []string{}},
		{"audience array of other types", []any{7, f.resource}},
		{"audience array in an array", []any{[]string{f.resource}}},
		{"audience that is empty", ""},
		{"audience that is null", json.RawMessage("null")},
		{"audience that is an object", map[string]bool{f.resource: true}},
		{"audience that is the client", "app"},
		{"no audience", nil},
	} {
		f.issue(ruleAudience, tc.name, Claim("aud", tc.aud))
	}
}

func (f *forger) times() {
	now := f.iss.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	const year = 365 * 24 * time.Hour
	f.issue(ruleExpiry, "expired", Lifetime(-time.Hour))
	f.issue(ruleExpiry, "expired ten minutes ago", Lifetime(-10*time.Minute))
	f.issue(ruleExpiry, "no expiry", Claim("exp", nil))
	f.issue(ruleExpiry, "expiry that is null", Claim("exp", json.RawMessage("null")))
	f.issue(ruleExpiry, "expiry that is zero", Claim("exp", 0))
	f.issue(ruleExpiry, "expiry that is negative", Claim("exp", -at(time.Hour)))
	f.issue(ruleClaims, "expiry that is a word", Claim("exp", "never"))
	f.issue(ruleLifetime, "expiry in ten years", Lifetime(10*year))
	f.issue(ruleLifetime, "expiry beyond all clocks", Claim("exp", json.RawMessage("1e300")))
	f.issue(ruleTime, "not valid before the next hour", Claim("nbf", at(time.Hour)), Claim("exp", at(2*time.Hour)))
	f.issue(ruleClaims, "not-before that is a word", Claim("nbf", "yesterday"))
	f.issue(ruleTime, "issued in an hour", Claim("iat", at(time.Hour)), Claim("exp", at(2*time.Hour)))
	f.issue(ruleClaims, "issued at a word", Claim("iat", "now"))
}

func (f *forger) issuers() {
	other := &Issuer{Now: f.iss.Now}
	other.Rotate()
	own := f.good()
	f.add(ruleSigned, "key of another issuer", own.sign(other.signer("ES256")))
	f.add(ruleSigned, "Ed25519 key of another issuer", f.good(Algorithm("EdDSA")).sign(other.signer("EdDSA")))
	f.add(ruleSigned, "key of another issuer, with its key ID", f.good(Header("kid", "stranger")).sign(other.signer("ES256")))
	url := f.iss.URL()
	for _, tc := range []struct {
		name string
		iss  any
	}{
		{"issuer that is not trusted", "https://login.other.example"},
		{"issuer with a trailing slash", url + "/"},
		{"issuer with a path", url + "/tenant"},
		{"issuer in capitals", strings.ToUpper(url)},
		{"issuer with another scheme", "https" + strings.TrimPrefix(url, "http")},
		{"issuer with a user part", strings.Replace(url, "://", "://login@", 1)},
		{"issuer that is empty", ""},
		{"issuer array", []string{url}},
		{"no issuer", nil},
	} {
		f.issue(ruleIssuer, tc.name, Claim("iss", tc.iss))
	}
}
