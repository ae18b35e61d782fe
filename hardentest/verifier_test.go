package hardentest_test

import (
	"testing"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/hardentest"
	"github.com/hardenmcp/harden/insecure"
)

// newVerifier trusts iss and nobody else.
func newVerifier(t *testing.T, iss *hardentest.Issuer) *auth.Verifier {
	t.Helper()
	v, err := auth.New(auth.Config{
		Resource: resource,
		Issuers:  []auth.Issuer{{URL: iss.URL()}},
		Loopback: insecure.Because("the issuer of this test is on loopback"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func TestEveryBadTokenIsRefusedAndItsGoodTwinIsNot(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	v := newVerifier(t, iss)
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		p, err := v.Verify(t.Context(), iss.Token(hardentest.Audience(resource), hardentest.Algorithm(alg)))
		if err != nil {
			t.Errorf("good %s token: %v", alg, err)
		} else if p.Subject != "alice" || p.Client != "app" {
			t.Errorf("good %s token: got %s at %s, want alice at app", alg, p.Subject, p.Client)
		}
	}
	for _, bad := range hardentest.BadTokens(iss, resource) {
		p, err := v.Verify(t.Context(), bad.Token)
		if err == nil {
			t.Errorf("%s: accepted for %s (%s)", bad.Name, p.Subject, bad.Rule)
			continue
		}
		if got := access.AsError(err).Reason; got != access.Unauthenticated {
			t.Errorf("%s: got %s, want unauthenticated: %v", bad.Name, got, err)
		}
	}
}

func TestBadTokensCauseFewFetches(t *testing.T) {
	iss := hardentest.NewIssuer(t)
	v := newVerifier(t, iss)
	for _, bad := range hardentest.BadTokens(iss, resource) {
		_, _ = v.Verify(t.Context(), bad.Token)
	}
	if got := iss.Fetches(); got > 2 {
		t.Errorf("key set fetches: got %d, want at most 2", got)
	}
}
