package hardentest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hardenmcp/harden/hardentest"
)

func TestBadTokensAreManyAndDistinct(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	bad := hardentest.BadTokens(iss, resource)
	if len(bad) < 110 {
		t.Errorf("got %d kinds, want at least 110", len(bad))
	}
	good := iss.Token(hardentest.Audience(resource))
	names, tokens := map[string]bool{}, map[string]bool{good: true}
	for _, b := range bad {
		if b.Name == "" || b.Rule == "" || b.Token == "" {
			t.Errorf("%+v: a field is empty", b)
		}
		if names[b.Name] || tokens[b.Token] {
			t.Errorf("%s: seen before", b.Name)
		}
		names[b.Name], tokens[b.Token] = true, true
	}
}

func TestBadTokensFitIntoAHeader(t *testing.T) {
	for _, b := range hardentest.BadTokens(hardentest.NewIssuer(t), resource) {
		if strings.ContainsAny(b.Token, "\r\n\x00") || len(b.Token) > 28<<10 {
			t.Errorf("%s: %d bytes, or a line break", b.Name, len(b.Token))
		}
	}
}

// A bad token must be bad for the reason that it names: the ones about claims
// have signatures that hold.
func TestBadClaimsAreSignedWell(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	n := 0
	for _, b := range hardentest.BadTokens(iss, resource) {
		if !strings.Contains(b.Rule, "aud must") && !strings.Contains(b.Rule, "exp is") && !strings.Contains(b.Rule, "iss must") && !strings.Contains(b.Rule, "a claim has") {
			continue
		}
		n++
		if err := verify(t, iss, b.Token); err != nil {
			t.Errorf("%s: %v", b.Name, err)
		}
	}
	if n < 30 {
		t.Errorf("got %d tokens with bad claims, want at least 30", n)
	}
}

func TestBadSignaturesDoNotHold(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	for _, b := range hardentest.BadTokens(iss, resource) {
		if !strings.Contains(b.Rule, "the signature must") || strings.HasPrefix(b.Name, "key ID") {
			continue
		}
		if err := verify(t, iss, b.Token); err == nil {
			t.Errorf("%s: the signature holds", b.Name)
		}
	}
}

func TestBadTokensForAResourceWithASlash(t *testing.T) {
	for _, b := range hardentest.BadTokens(hardentest.NewIssuer(t), resource+"/") {
		if strings.Contains(b.Rule, "aud must") && part(t, b.Token, 1)["aud"] == resource+"/" {
			t.Errorf("%s: the audience is the server", b.Name)
		}
	}
}

func ExampleBadTokens() {
	t := new(testing.T) // the t of a test
	iss := hardentest.NewIssuer(t)
	for _, bad := range hardentest.BadTokens(iss, "https://notes.example/mcp")[:3] {
		fmt.Println(bad.Name)
	}
	// Output:
	// audience of another server
	// audience with a trailing slash too many or too few
	// audience that is a prefix
}
