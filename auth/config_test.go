package auth

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hardenmcp/harden/insecure"
)

func good() Config {
	return Config{Resource: resource, Issuers: []Issuer{{URL: "https://login.example"}}}
}

type other struct{ http.RoundTripper }

// TestConfig: every setting that is out of bounds is refused with its name.
func TestConfig(t *testing.T) {
	issuer := func(f func(*Issuer)) func(*Config) {
		return func(c *Config) { f(&c.Issuers[0]) }
	}
	for _, tc := range []struct {
		name  string
		edit  func(*Config)
		field string // in the error; "" is accepted
	}{
		{"as it should be", func(*Config) {}, ""},
		{"no resource", func(c *Config) { c.Resource = "" }, "Resource"},
		{"http resource", func(c *Config) { c.Resource = "http://notes.example/mcp" }, "Resource"},
		{"http resource on loopback", func(c *Config) { c.Resource = "http://127.0.0.1:8080/mcp" }, "Resource"},
		{"the same where it is waived", func(c *Config) { c.Resource = "http://127.0.0.1:8080/mcp"; c.Loopback = insecure.Because("test") }, ""},
		{"http elsewhere where loopback is waived", func(c *Config) { c.Resource = "http://notes.example/"; c.Loopback = insecure.Because("test") }, "Resource"},
		{"name that begins like loopback", func(c *Config) {
			c.Resource = "http://127.0.0.1.evil.example/"
			c.Loopback = insecure.Because("test")
		}, "Resource"},
		{"resource with a fragment", func(c *Config) { c.Resource += "#a" }, "Resource"},
		{"resource with an empty fragment", func(c *Config) { c.Resource += "#" }, "Resource"},
		{"resource with a query", func(c *Config) { c.Resource += "?a=b" }, "Resource"},
		{"resource with a user", func(c *Config) { c.Resource = "https://u@notes.example/mcp" }, "Resource"},
		{"resource in capitals", func(c *Config) { c.Resource = "https://Notes.example/mcp" }, "Resource"},
		{"scheme in capitals", func(c *Config) { c.Resource = "HTTPS://notes.example/mcp" }, "Resource"},
		{"resource with the default port", func(c *Config) { c.Resource = "https://notes.example:443/mcp" }, "Resource"},
		{"resource with another port", func(c *Config) { c.Resource = "https://notes.example:8443/mcp" }, ""},
		{"resource with dots", func(c *Config) { c.Resource = "https://notes.example/a/../mcp" }, "Resource"},
		{"resource with escapes", func(c *Config) { c.Resource = "https://notes.example/%6dcp" }, "Resource"},
		{"resource without a host", func(c *Config) { c.Resource = "https:///mcp" }, "Resource"},
		{"resource that is a path", func(c *Config) { c.Resource = "/mcp" }, "Resource"},
		{"resource that is a URN", func(c *Config) { c.Resource = "urn:mcp" }, "Resource"},
		{"resource below .well-known", func(c *Config) { c.Resource = "https://notes.example/.well-known/x" }, "Resource"},
		{"no issuers", func(c *Config) { c.Issuers = nil }, "Issuers"},
		{"33 issuers", func(c *Config) { c.Issuers = make([]Issuer, 33) }, "Issuers"},
		{"the same issuer twice", func(c *Config) { c.Issuers = append(c.Issuers, c.Issuers[0]) }, "Issuers"},
		{"issuer without a URL", issuer(func(i *Issuer) { i.URL = "" }), "Issuers"},
		{"http issuer", issuer(func(i *Issuer) { i.URL = "http://login.example" }), "Issuers"},
		{"issuer that is its metadata", issuer(func(i *Issuer) { i.URL += "/.well-known/openid-configuration" }), "Issuers"},
		{"http JWKS", issuer(func(i *Issuer) { i.JWKS = "http://login.example/keys" }), "JWKS"},
		{"JWKS with a user", issuer(func(i *Issuer) { i.JWKS = "https://u:p@login.example/keys" }), "JWKS"},
		{"JWKS with a query", issuer(func(i *Issuer) { i.JWKS = "https://login.example/keys?p=1" }), ""},
		{"none", issuer(func(i *Issuer) { i.Algorithms = []string{"none"} }), "algorithm"},
		{"HS256", issuer(func(i *Issuer) { i.Algorithms = []string{"RS256", "HS256"} }), "algorithm"},
		{"RS512", issuer(func(i *Issuer) { i.Algorithms = []string{"RS512"} }), ""},
		{"skew", func(c *Config) { c.Skew = 2*time.Minute + 1 }, "Skew"},
		{"negative skew", func(c *Config) { c.Skew = -1 }, "Skew"},
		{"most skew", func(c *Config) { c.Skew = 2 * time.Minute }, ""},
		{"lifetime", func(c *Config) { c.MaxLifetime = 25 * time.Hour }, "MaxLifetime"},
		{"token size", func(c *Config) { c.TokenBytes = 1 << 20 }, "TokenBytes"},
		{"cache size", func(c *Config) { c.CacheSize = -1 }, "CacheSize"},
		{"refresh", func(c *Config) { c.Keys.Refresh = 48 * time.Hour }, "Keys.Refresh"},
		{"stale", func(c *Config) { c.Keys.Stale = -1 }, "Keys.Stale"},
		{"throttle too short", func(c *Config) { c.Keys.Throttle = time.Millisecond }, "Keys.Throttle"},
		{"throttle longer than refresh", func(c *Config) { c.Keys.Throttle = time.Hour }, "Keys.Throttle"},
		{"timeout", func(c *Config) { c.Keys.Timeout = time.Hour }, "Keys.Timeout"},
		{"wildcard scope", func(c *Config) { c.Scopes = []string{"*"} }, "scope"},
		{"offline_access", func(c *Config) { c.Scopes = []string{"offline_access"} }, "scope"},
		{"private network", func(c *Config) { c.Networks = nets("10.1.0.0/16", "fd00::/8") }, ""},
		{"every network", func(c *Config) { c.Networks = nets("0.0.0.0/0") }, "Networks"},
		{"loopback as a network", func(c *Config) { c.Networks = nets("127.0.0.0/8") }, "Networks"},
		{"metadata services as a network", func(c *Config) { c.Networks = nets("169.254.169.254/32") }, "Networks"},
		{"network with bits after its length", func(c *Config) { c.Networks = nets("10.1.2.3/16") }, "Networks"},
		{"zero network", func(c *Config) { c.Networks = make([]netip.Prefix, 1) }, "Networks"},
		{"client of another kind", func(c *Config) { c.Client = &http.Client{Transport: other{}} }, "Client"},
		{"client that trusts everyone", func(c *Config) {
			c.Client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		}, "Client"},
		{"client with nothing", func(c *Config) { c.Client = &http.Client{} }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := good()
			tc.edit(&cfg)
			v, err := New(cfg)
			if err == nil {
				v.Close()
			}
			if (err == nil) != (tc.field == "") || err != nil && !strings.Contains(err.Error(), tc.field) {
				t.Errorf("got error %v, want one that names %q", err, tc.field)
			}
		})
	}
}

func nets(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestMetadata(t *testing.T) {
	for _, tc := range []struct{ resource, path, url string }{
		{resource, wellKnown + "/mcp", "https://notes.example" + wellKnown + "/mcp"},
		{"https://notes.example", wellKnown, "https://notes.example" + wellKnown},
		{"https://notes.example/", wellKnown, "https://notes.example" + wellKnown},
		{"https://notes.example:8443/a/b", wellKnown + "/a/b", "https://notes.example:8443" + wellKnown + "/a/b"},
	} {
		cfg := good()
		cfg.Resource = tc.resource
		v := newVerifier(t, cfg)
		if v.MetadataPath() != tc.path || v.MetadataURL() != tc.url || v.Resource() != tc.resource {
			t.Errorf("%s: got %q and %q, want %q and %q", tc.resource, v.MetadataPath(), v.MetadataURL(), tc.path, tc.url)
		}
	}
	cfg := good()
	cfg.Issuers = append(cfg.Issuers, Issuer{URL: "https://second.example/t"})
	cfg.Scopes = []string{"z", "mcp", "z"}
	cfg.Rules = []Rule{Permit("tool:a").Scopes("b", "mcp"), Permit("tool:c").Scopes("a")}
	v := newVerifier(t, cfg)
	var got map[string]any
	if err := json.Unmarshal(v.Metadata(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"resource":                 resource,
		"authorization_servers":    []any{"https://login.example", "https://second.example/t"},
		"scopes_supported":         []any{"a", "b", "mcp", "z"},
		"bearer_methods_supported": []any{"header"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"mcp", "z"}, v.Scopes()); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
	v.Metadata()[0], v.Scopes()[0] = 'x', "x"
	if v.Metadata()[0] != '{' || v.Scopes()[0] != "mcp" {
		t.Error("a caller can change what others see")
	}
}
