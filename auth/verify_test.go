package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hardenmcp/harden/access"
)

func TestAcceptedTokens(t *testing.T) {
	p := newProvider(t)
	p.publish("ec384", "ec384")
	c := newClock()
	v := newVerifier(t, p.config(c))
	at := func(d time.Duration) int64 { return start.Add(d).Unix() }
	for _, tc := range []struct {
		name string
		tok  *token
	}{
		{"ES256", p.good()},
		{"ES384", p.good().head(set{"alg": "ES384", "kid": "ec384"}).by("ec384")},
		{"RS256", p.good().head(set{"alg": "RS256", "kid": "rsa"}).by("rsa")},
		{"PS256", p.good().head(set{"alg": "PS256", "kid": "rsa"}).by("rsa")},
		{"EdDSA", p.good().head(set{"alg": "EdDSA", "kid": "ed"}).by("ed")},
		{"Ed25519, the newer name of EdDSA", p.good().head(set{"alg": "Ed25519", "kid": "ed"}).by("ed")},
		{"typ in full", p.good().head(set{"typ": "application/at+jwt"})},
		{"typ in capitals", p.good().head(set{"typ": "AT+JWT"})},
		{"no kid when one key fits", p.good().head(set{"kid": nil, "alg": "EdDSA"}).by("ed")},
		{"certificate thumbprint in the header is ignored", p.good().head(set{"x5t": "abc"})},
		{"one of several audiences", p.good().with(set{"aud": []string{"x", resource}})},
		{"azp in place of client_id", p.good().with(set{"client_id": nil, "azp": "app"})},
		{"azp equal to client_id", p.good().with(set{"azp": "app"})},
		{"no scope", p.good().with(set{"scope": nil})},
		{"empty scope", p.good().with(set{"scope": ""})},
		{"scp array", p.good().with(set{"scope": nil, "scp": []string{"notes.read"}})},
		{"scp text", p.good().with(set{"scope": nil, "scp": "notes.read"})},
		{"scp that says what scope says", p.good().with(set{"scp": []string{"notes.write", "notes.read"}})},
		{"expired within the skew", p.good().with(set{"exp": at(-29 * time.Second)})},
		{"not yet valid within the skew", p.good().with(set{"nbf": at(30 * time.Second)})},
		{"issued in the future within the skew", p.good().with(set{"iat": at(30 * time.Second)})},
		{"longest lifetime", p.good().with(set{"iat": at(0), "exp": at(time.Hour)})},
		{"fractions of seconds", p.good().with(set{"iat": float64(at(-60)) + 0.25})},
		{"claims that nobody knows", p.good().with(set{"groups": []any{1, nil, set{"a": set{}}}})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := v.Verify(ctx(), tc.tok.sign())
			if err != nil {
				t.Fatal(err)
			}
			if got.Subject != "alice" || got.Client != "app" || got.Issuer != p.URL || got.Method != "jwt" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestPrincipal(t *testing.T) {
	p := newProvider(t)
	v := newVerifier(t, p.config(newClock()))
	tok := p.good().with(set{
		"aud": []string{resource, "b"}, "tid": "t-1", "acr": "2", "amr": []string{"pwd", "otp"},
		"auth_time": start.Add(-time.Hour).Unix(),
	})
	got, err := v.Verify(ctx(), tok.sign())
	if err != nil {
		t.Fatal(err)
	}
	want := &access.Principal{
		Issuer: p.URL, Subject: "alice", Client: "app", Tenant: "t-1", TokenID: "t1", Method: "jwt",
		Audience: []string{resource, "b"}, Scopes: []string{"notes.read", "notes.write"}, ACR: "2", AMR: []string{"pwd", "otp"},
		AuthTime: start.Add(-time.Hour), Issued: start.Add(-time.Minute), Expires: start.Add(10 * time.Minute),
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(access.Principal{})); diff != "" {
		t.Errorf("principal (-want +got):\n%s", diff)
	}
	if got.UserID() != want.UserID() {
		t.Errorf("got user %q, want %q", got.UserID(), want.UserID())
	}
}

// TestRefusedTokens has the nearest refusal for everything that is accepted.
func TestRefusedTokens(t *testing.T) {
	p := newProvider(t)
	c := newClock()
	v := newVerifier(t, p.config(c))
	at := func(d time.Duration) int64 { return start.Add(d).Unix() }
	claims := func(raw string) *token { g := p.good(); g.rawClaims = raw; return g }
	head := func(raw string) *token { g := p.good(); g.rawHeader = raw; return g }
	base := `"iss":"` + p.URL + `","sub":"alice","client_id":"app","jti":"t1","aud":"` + resource + `","iat":1795435140,"exp":1795435800`
	if _, err := v.Verify(ctx(), claims("{"+base+"}").sign()); err != nil {
		t.Fatalf("the base of the raw claims: %v", err)
	}
	for _, tc := range []struct {
		name string
		tok  *token
		rule string
	}{
		// Header.
		{"alg none", p.good().head(set{"alg": "none"}), "alg"},
		{"alg None", p.good().head(set{"alg": "None"}), "alg"},
		{"no alg", p.good().head(set{"alg": nil}), "alg"},
		{"alg that is a number", p.good().head(set{"alg": 1}), "alg"},
		{"HS256 with the public key as secret", p.good().head(set{"alg": "HS256", "kid": "rsa"}).by("rsa"), "alg"},
		{"alg in lower case", p.good().head(set{"alg": "es256"}), "alg"},
		{"RS512, which was not configured", p.good().head(set{"alg": "RS512", "kid": "rsa"}).by("rsa"), "alg"},
		{"ES256K", p.good().head(set{"alg": "ES256K"}), "alg"},
		{"RSA key with an EC algorithm", p.good().head(set{"kid": "rsa"}), "kid"},
		{"EC key with an RSA algorithm", p.good().head(set{"alg": "RS256"}).by("rsa"), "kid"},
		{"unknown kid", p.good().head(set{"kid": "nobody"}), "kid"},
		{"kid in another case", p.good().head(set{"kid": "EC"}), "kid"},
		{"kid with SQL", p.good().head(set{"kid": "x' OR 1=1"}), "kid"},
		{"empty kid", p.good().head(set{"kid": ""}), "kid"},
		{"kid that is an array", p.good().head(set{"kid": []string{"ec"}}), "kid"},
		{"key of 1024 bits", p.good().head(set{"alg": "RS256", "kid": "weak"}).by("weak"), "kid"},
		{"crit", p.good().head(set{"crit": []string{"exp"}}), "crit"},
		{"empty crit", p.good().head(set{"crit": []string{}}), "crit"},
		{"b64", p.good().head(set{"b64": false}), "b64"},
		{"embedded jwk", p.good().head(set{"jwk": jwkOf("ec", private()["other"].Public())}), "jwk"},
		{"jku", p.good().head(set{"jku": "https://evil.example/keys"}), "jku"},
		{"x5u", p.good().head(set{"x5u": "https://evil.example/cert"}), "x5u"},
		{"x5c", p.good().head(set{"x5c": []string{"MIIB"}}), "x5c"},
		{"zip", p.good().head(set{"zip": "DEF"}), "zip"},
		{"enc", p.good().head(set{"enc": "A256GCM"}), "enc"},
		{"no typ", p.good().head(set{"typ": nil}), "typ"},
		{"typ JWT, as of ID tokens", p.good().head(set{"typ": "JWT"}), "typ"},
		{"typ logout+jwt", p.good().head(set{"typ": "logout+jwt"}), "typ"},
		{"typ dpop+jwt", p.good().head(set{"typ": "dpop+jwt"}), "typ"},
		{"typ null", p.good().head(set{"typ": []any{nil}[0]}), "typ"},
		{"alg twice", head(`{"alg":"ES256","alg":"none","typ":"at+jwt","kid":"ec"}`), "header"},
		{"alg twice, once escaped", head(`{"alg":"ES256","\u0061lg":"none","typ":"at+jwt","kid":"ec"}`), "header"},
		{"Alg beside alg is another name", head(`{"Alg":"ES256","typ":"at+jwt","kid":"ec"}`), "alg"},
		{"header that is an array", head(`["ES256"]`), "header"},
		{"header that is not JSON", head(`{"alg":"ES256"`), "header"},
		{"header with trailing bytes", head(`{"alg":"ES256","typ":"at+jwt","kid":"ec"}{}`), "header"},
		{"header nested too deep", head(`{"alg":"ES256","typ":"at+jwt","kid":"ec","a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`), "header"},

		// Signature.
		{"signed with another key", p.good().by("other"), "sig"},
		{"EdDSA by another key", p.good().head(set{"alg": "EdDSA", "kid": "ed"}).by("other"), "sig"},
		{"PKCS #1 signature said to be PSS", &token{header: set{"typ": "at+jwt"}, rawHeader: `{"alg":"PS256","typ":"at+jwt","kid":"rsa"}`, claims: p.good().claims, key: "rsa"}, "sig"},

		// Claims.
		{"claims that are not JSON", claims(`{`), "claims"},
		{"claims that are a string", claims(`"x"`), "claims"},
		{"claims that are not UTF-8", claims("{" + base + ",\"x\":\"\xff\"}"), "claims"},
		{"claims with a byte order mark", claims("\xef\xbb\xbf{" + base + "}"), "claims"},
		{"sub twice", claims(`{` + base + `,"sub":"bob"}`), "claims"},
		{"sub twice, once escaped", claims(`{` + base + `,"\u0073ub":"bob"}`), "claims"},
		{"twice the same, further down", claims(`{` + base + `,"x":[{"a":1,"a":1}]}`), "claims"},
		{"too many members", claims(`{` + base + manyMembers(130) + `}`), "claims"},
		{"no iss", p.good().with(set{"iss": nil}), "iss"},
		{"another issuer", p.good().with(set{"iss": "https://evil.example"}), "iss"},
		{"issuer with a slash more", p.good().with(set{"iss": p.URL + "/"}), "iss"},
		{"issuer in capitals", p.good().with(set{"iss": strings.ToUpper(p.URL)}), "iss"},
		{"issuers in an array", p.good().with(set{"iss": []string{p.URL}}), "iss"},
		{"no audience", p.good().with(set{"aud": nil}), "aud"},
		{"audience of another server", p.good().with(set{"aud": "https://other.example/mcp"}), "aud"},
		{"audience with a slash more", p.good().with(set{"aud": resource + "/"}), "aud"},
		{"audience that is a prefix", p.good().with(set{"aud": "https://notes.example"}), "aud"},
		{"audience in capitals", p.good().with(set{"aud": strings.ToUpper(resource)}), "aud"},
		{"audience in a list as text", p.good().with(set{"aud": "x " + resource}), "aud"},
		{"empty audience", p.good().with(set{"aud": ""}), "aud"},
		{"no audience in the array", p.good().with(set{"aud": []string{}}), "aud"},
		{"audience that is an object", p.good().with(set{"aud": set{"a": resource}}), "aud"},
		{"audience that is partly a number", p.good().with(set{"aud": []any{resource, 1}}), "aud"},
		{"65 audiences", p.good().with(set{"aud": append(make([]string, 64), resource)}), "aud"},
		{"no exp", p.good().with(set{"exp": nil}), "exp"},
		{"exp null", claims(`{` + strings.Replace(base, "1795435800", "null", 1) + `}`), "exp"},
		{"exp as text", p.good().with(set{"exp": "1795435800"}), "exp"},
		{"exp of zero", p.good().with(set{"exp": 0}), "exp"},
		{"exp of infinity", claims(`{` + strings.Replace(base, "1795435800", "1e400", 1) + `}`), "exp"},
		{"exp that is negative", p.good().with(set{"exp": -1}), "exp"},
		{"expired by the skew", p.good().with(set{"exp": at(-30 * time.Second)}), "exp"},
		{"expired long ago", p.good().with(set{"iat": at(-2 * time.Hour), "exp": at(-time.Hour)}), "exp"},
		{"no iat", p.good().with(set{"iat": nil}), "iat"},
		{"issued in the future by a second more than the skew", p.good().with(set{"iat": at(31 * time.Second)}), "iat"},
		{"iat as text", p.good().with(set{"iat": "1"}), "iat"},
		{"nbf in the future by a second more than the skew", p.good().with(set{"nbf": at(31 * time.Second)}), "nbf"},
		{"nbf as text", p.good().with(set{"nbf": "soon"}), "nbf"},
		{"lives a second too long", p.good().with(set{"iat": at(0), "exp": at(time.Hour + time.Second)}), "lifetime"},
		{"expires when it is issued", p.good().with(set{"iat": at(0), "exp": at(0)}), "lifetime"},
		{"no sub", p.good().with(set{"sub": nil}), "sub"},
		{"empty sub", p.good().with(set{"sub": ""}), "sub"},
		{"sub that is a number", p.good().with(set{"sub": 7}), "sub"},
		{"sub with a line break", p.good().with(set{"sub": "alice\nroot"}), "sub"},
		{"sub with half a surrogate", claims(`{` + strings.Replace(base, "alice", `\ud800`, 1) + `}`), "sub"},
		{"sub of 513 bytes", p.good().with(set{"sub": strings.Repeat("a", 513)}), "sub"},
		{"no client", p.good().with(set{"client_id": nil}), "client_id"},
		{"client_id and azp that differ", p.good().with(set{"azp": "other"}), "client_id"},
		{"no jti", p.good().with(set{"jti": nil}), "jti"},
		{"scope that is an array", p.good().with(set{"scope": []string{"a"}}), "scope"},
		{"scope with two spaces", p.good().with(set{"scope": "a  b"}), "scope"},
		{"scope with a quote", p.good().with(set{"scope": `a"b`}), "scope"},
		{"scope and scp that differ", p.good().with(set{"scp": "admin"}), "scope"},
		{"scp with a space in an entry", p.good().with(set{"scope": nil, "scp": []string{"a b"}}), "scp"},
		{"amr that is text", p.good().with(set{"amr": "pwd"}), "amr"},
		{"acr that is a number", p.good().with(set{"acr": 1}), "acr"},
		{"auth_time as text", p.good().with(set{"auth_time": "now"}), "auth_time"},
		{"tid that is an object", p.good().with(set{"tid": set{}}), "tid"},
		{"bound to a key by DPoP", p.good().with(set{"cnf": set{"jkt": "abc"}}), "cnf"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := v.Verify(ctx(), tc.tok.sign())
			wantRefusal(t, err, access.Unauthenticated, tc.rule)
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":1`, i)
	}
	return b.String()
}

// TestRefusedForms is about tokens that were changed after signing.
func TestRefusedForms(t *testing.T) {
	p := newProvider(t)
	v := newVerifier(t, p.config(newClock()))
	good := p.good().sign()
	if _, err := v.Verify(ctx(), good); err != nil {
		t.Fatal(err)
	}
	first, last := strings.Index(good, "."), strings.LastIndex(good, ".")
	flip := []byte(good)
	if flip[last+10]++; good[last+10] != 'A' {
		flip[last+10] = 'A'
	}
	edited := p.good().with(set{"sub": "root"}).sign()
	for _, tc := range []struct{ name, token, rule string }{
		{"empty", "", "form"},
		{"no dot", strings.ReplaceAll(good, ".", ""), "form"},
		{"one dot", good[:last], "form"},
		{"two dots and nothing", "..", "form"},
		{"five parts, as of JWE", good + ".e30.e30", "form"},
		{"leading space", " " + good, "form"},
		{"trailing line break", good + "\n", "form"},
		{"line break inside", good[:20] + "\r\n" + good[20:], "form"},
		{"padding", good + "==", "form"},
		{"standard alphabet", good[:last+1] + "++//" + good[last+5:], "form"},
		{"no header", good[first:], "form"},
		{"no claims", good[:first+1] + good[last:], "form"},
		{"no signature", good[:last+1], "sig"},
		{"half a signature", good[:last+1+40], "sig"},
		{"one bit of the signature", string(flip), "sig"},
		{"claims of another token", good[:first] + edited[first:strings.LastIndex(edited, ".")] + good[last:], "sig"},
		{"zero signature", good[:last+1] + strings.Repeat("A", 86), "sig"},
		{"larger than the limit", good + strings.Repeat("A", 8<<10), "size"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := v.Verify(ctx(), tc.token)
			wantRefusal(t, err, access.Unauthenticated, tc.rule)
		})
	}
}

func TestSeveralIssuers(t *testing.T) {
	a, b := newProvider(t), newProvider(t)
	b.withdrawAll()
	b.publish("ec", "ec384")
	cfg := a.config(newClock())
	cfg.Issuers = append(cfg.Issuers, Issuer{URL: b.URL, Algorithms: []string{"ES384"}, Types: []string{"JWT", ""}, Tenant: "org"})
	v := newVerifier(t, cfg)
	asB := func() *token {
		return a.good().with(set{"iss": b.URL, "jti": nil}).head(set{"alg": "ES384", "typ": "JWT"}).by("ec384")
	}
	if _, err := v.Verify(ctx(), a.good().sign()); err != nil {
		t.Errorf("token of the first issuer: %v", err)
	}
	got, err := v.Verify(ctx(), asB().with(set{"org": "o1", "tid": "t1"}).sign())
	if err != nil || got.Tenant != "o1" {
		t.Errorf("token of the second issuer: got %+v, %v", got, err)
	}
	if _, err := v.Verify(ctx(), asB().head(set{"typ": nil}).sign()); err != nil {
		t.Errorf("token without typ where that is configured: %v", err)
	}
	for _, tc := range []struct {
		name string
		tok  *token
		rule string
	}{
		{"an issuer cannot sign for another", a.good().with(set{"iss": b.URL}).head(set{"alg": "ES384"}).by("ec384"), "typ"},
		{"keys of the first do not hold for the second", asB().head(set{"kid": "rsa"}), "kid"},
		{"algorithms are per issuer", a.good().with(set{"iss": b.URL}), "alg"},
		{"types are per issuer", a.good().head(set{"typ": "JWT"}), "typ"},
		{"signed by the second, said to be of the first", asB().with(set{"iss": a.URL}).head(set{"alg": "ES384", "typ": "at+jwt"}), "kid"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := v.Verify(ctx(), tc.tok.sign())
			wantRefusal(t, err, access.Unauthenticated, tc.rule)
		})
	}
}

func TestCache(t *testing.T) {
	p, c := newProvider(t), newClock()
	cfg := p.config(c)
	cfg.CacheSize = 20
	v := newVerifier(t, cfg)
	one := p.good().sign()
	a, err := v.Verify(ctx(), one)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := v.Verify(ctx(), one); a != b {
		t.Error("the same token gave another principal, want the remembered one")
	}
	for i := range 100 {
		if _, err := v.Verify(ctx(), p.good().with(set{"jti": strings.Repeat("j", i+1)}).sign()); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for i := range v.cache.shards {
		total += len(v.cache.shards[i].entries)
	}
	if total == 0 || total > 20 {
		t.Errorf("got %d entries, want 1 to 20", total)
	}
	c.pass(10*time.Minute + 29*time.Second)
	if _, err := v.Verify(ctx(), one); err != nil {
		t.Errorf("a second before the end of the skew: %v", err)
	}
	if v.cache.get(digest(one), c.now()) != nil {
		t.Error("an expired token is remembered")
	}
	c.pass(time.Second)
	_, err = v.Verify(ctx(), one)
	wantRefusal(t, err, access.Unauthenticated, "exp")
}
