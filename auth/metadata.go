package auth

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// wellKnown is the place of resource metadata (RFC 9728 §3).
const wellKnown = "/.well-known/oauth-protected-resource"

// metadata is the document of RFC 9728 §2. It is made from what verifies
// tokens, so it cannot promise anything else.
type metadata struct {
	Resource string   `json:"resource"`
	Servers  []string `json:"authorization_servers"`
	Scopes   []string `json:"scopes_supported,omitempty"`
	Methods  []string `json:"bearer_methods_supported"`
}

// describe makes the resource metadata.
func (v *Verifier) describe(cfg *Config) error {
	m := metadata{Resource: cfg.Resource, Methods: []string{"header"}}
	for _, is := range cfg.Issuers {
		m.Servers = append(m.Servers, is.URL)
	}
	m.Scopes = slices.Clone(cfg.Scopes)
	for _, r := range cfg.Rules {
		m.Scopes = append(m.Scopes, r.scopes...)
	}
	slices.Sort(m.Scopes)
	m.Scopes = slices.Compact(m.Scopes)
	u, err := url.Parse(cfg.Resource)
	if err != nil {
		return fmt.Errorf("auth: Resource: %w", err)
	}
	// RFC 9728 §3.1: a lone slash after the host is dropped.
	v.path = wellKnown + u.Path
	if u.Path == "/" {
		v.path = wellKnown
	}
	v.url = u.Scheme + "://" + u.Host + v.path
	v.document, err = json.Marshal(m)
	return err
}

// Resource returns the canonical URI of this server, as configured.
func (v *Verifier) Resource() string { return v.resource }

// Metadata returns a copy of the resource metadata (RFC 9728 §2) as JSON:
// resource, authorization_servers, scopes_supported and
// bearer_methods_supported. It is public and does not change.
func (v *Verifier) Metadata() []byte { return slices.Clone(v.document) }

// MetadataPath returns the path at which the metadata is served: the well-known
// prefix followed by the path of the resource (RFC 9728 §3.1).
func (v *Verifier) MetadataPath() string { return v.path }

// MetadataURL returns the address of the metadata, for the resource_metadata
// parameter of challenges (RFC 9728 §5.1).
func (v *Verifier) MetadataURL() string { return v.url }

// Scopes returns a copy of the scopes that every call needs, sorted, for the
// scope parameter of challenges (RFC 6750 §3).
func (v *Verifier) Scopes() []string { return slices.Clone(v.scopes) }

// checkScopes refuses what must not be asked of a user: names that are no
// scope-token (RFC 6749 §3.3), wildcards, and offline_access, which is between
// the client and the issuer (MCP authorization, scope selection).
func checkScopes(scopes []string) error {
	for _, s := range scopes {
		switch {
		case !isScope(s):
			return fmt.Errorf("auth: scope %q is not a scope of RFC 6749", s)
		case strings.Contains(s, "*"):
			return fmt.Errorf("auth: scope %q is a wildcard", s)
		case s == "offline_access":
			return fmt.Errorf("auth: scope %q is not a resource's to ask for", s)
		}
	}
	return nil
}

// isScope reports whether s is a scope-token of RFC 6749 §3.3.
func isScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return s != ""
}
