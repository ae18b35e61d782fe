package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hardenmcp/harden/insecure"
)

// A Config says whose tokens are accepted and what they permit. Resource and
// Issuers are trust decisions and have no default.
type Config struct {
	// Resource is the canonical URI of this server (RFC 8707 §2, RFC 9728 §1.2):
	// https, lower case, no default port, query, fragment or user. Every token's
	// aud must contain exactly it. Required.
	Resource string
	// Issuers are the authorization servers whose tokens are accepted. Required,
	// at most 32.
	Issuers []Issuer
	// Rules are the permissions, made by [Permit]. What no rule permits is
	// refused, so the zero value refuses every tool, prompt and resource.
	Rules []Rule
	// Scopes are the scopes that every call needs, whichever it is. Default none.
	Scopes []string
	// Skew is how far the issuer's clock may be from ours. Default 30 seconds,
	// at most 2 minutes.
	Skew time.Duration
	// MaxLifetime is the longest exp - iat of a token. Default 1 hour, at most
	// 24 hours. Some issuers exceed the default: Entra ID gives up to 90 minutes.
	MaxLifetime time.Duration
	// TokenBytes bounds the size of a token. Default 8 KiB, at most 64 KiB.
	TokenBytes int
	// CacheSize bounds the number of verified tokens that are remembered, none
	// of them past its exp. Default 10,000, at most 1,000,000.
	CacheSize int
	// Keys says how issuers' keys are fetched. The zero value means the defaults.
	Keys Keys
	// Networks are the private networks in which an issuer may be. By default
	// only public addresses are dialled. Loopback and link-local networks cannot
	// be named.
	Networks []netip.Prefix
	// Client gives the TLS settings for fetching keys, such as a private root
	// certificate. Its Transport must be nil or an *http.Transport, of which only
	// TLSClientConfig is used: dialling, proxies, redirects, cookies and timeouts
	// are this package's own. Default: the system's roots.
	Client *http.Client
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Loopback lets Resource and Issuers be http:// on loopback, and lets issuers
	// on loopback be dialled. The danger: on http anything on the machine that
	// can take the port can issue tokens.
	Loopback insecure.Waiver
}

// An Issuer is an authorization server whose access tokens are accepted.
type Issuer struct {
	// URL is the issuer identifier (RFC 8414 §2): the iss of its tokens and the
	// issuer of its metadata must equal it, byte for byte. Required, https.
	URL string
	// JWKS is the address of the issuer's key set. Default: the jwks_uri of its
	// metadata.
	JWKS string
	// Algorithms are the accepted signature algorithms, asymmetric ones only.
	// Default RS256, PS256, ES256, ES384, EdDSA and Ed25519. RS384, RS512, PS384,
	// PS512 and ES512 can be named.
	Algorithms []string
	// Types are the accepted values of the typ header. Default at+jwt and
	// application/at+jwt (RFC 9068 §4); naming others replaces the default. An
	// issuer that predates RFC 9068 may need "JWT", or "" for tokens without a
	// typ. The danger: its ID tokens then differ from access tokens by aud alone.
	Types []string
	// Tenant is the claim that holds the tenant. Default "tid".
	Tenant string
}

// Keys says how the keys of issuers are fetched. The zero value means the
// defaults.
type Keys struct {
	// Refresh is the age at which keys are fetched again, in the background and
	// only when they are used. Default 10 minutes, at most 24 hours.
	Refresh time.Duration
	// Stale is for how long after Refresh keys are still used while the issuer
	// cannot be reached; then every token is refused as unavailable. Default 1
	// hour, at most 24 hours.
	Stale time.Duration
	// Throttle is the shortest time between two fetches for keys that the issuer
	// did not have, and the longest pause after failed ones. An honest token
	// signed with a new key may wait for that long. Default 30 seconds, at least
	// 1 second, at most Refresh.
	Throttle time.Duration
	// Timeout bounds one fetch, discovery included. Default 10 seconds, at most
	// 1 minute.
	Timeout time.Duration
}

// filled returns c with its defaults, or an error that names the field.
func (c Config) filled() (Config, error) {
	var errs []error
	bound(&errs, "Skew", &c.Skew, 30*time.Second, 2*time.Minute)
	bound(&errs, "MaxLifetime", &c.MaxLifetime, time.Hour, 24*time.Hour)
	bound(&errs, "TokenBytes", &c.TokenBytes, 8<<10, 64<<10)
	bound(&errs, "CacheSize", &c.CacheSize, 10_000, 1_000_000)
	bound(&errs, "Keys.Refresh", &c.Keys.Refresh, 10*time.Minute, 24*time.Hour)
	bound(&errs, "Keys.Stale", &c.Keys.Stale, time.Hour, 24*time.Hour)
	bound(&errs, "Keys.Throttle", &c.Keys.Throttle, min(30*time.Second, c.Keys.Refresh), c.Keys.Refresh)
	bound(&errs, "Keys.Timeout", &c.Keys.Timeout, 10*time.Second, time.Minute)
	if c.Keys.Throttle < time.Second {
		errs = append(errs, fmt.Errorf("auth: Keys.Throttle %v is less than 1s", c.Keys.Throttle))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	errs = append(errs, c.checkResource(), c.checkIssuers(), c.checkNetworks())
	if _, err := tlsConfig(c.Client); err != nil {
		errs = append(errs, err)
	}
	return c, errors.Join(errs...)
}

// bound gives a zero v its default and refuses one outside 1 to limit.
func bound[T int | time.Duration](errs *[]error, name string, v *T, def, limit T) {
	if *v == 0 {
		*v = def
	}
	if *v < 0 || *v > limit {
		*errs = append(*errs, fmt.Errorf("auth: %s %v is not within 0 to %v", name, *v, limit))
	}
}

func (c *Config) checkResource() error {
	if c.Resource == "" {
		return errors.New("auth: Resource is required")
	}
	u, err := parseURL(c.Resource, c.Loopback.Granted())
	if err != nil {
		return fmt.Errorf("auth: Resource %q %w", c.Resource, err)
	}
	if strings.HasPrefix(u.Path, "/.well-known/") {
		return fmt.Errorf("auth: Resource %q is a well-known address", c.Resource)
	}
	return nil
}

func (c *Config) checkIssuers() error {
	if len(c.Issuers) == 0 {
		return errors.New("auth: Issuers is required")
	}
	if len(c.Issuers) > 32 {
		return fmt.Errorf("auth: Issuers: %d are more than 32", len(c.Issuers))
	}
	seen := map[string]bool{}
	c.Issuers = slices.Clone(c.Issuers)
	for i := range c.Issuers {
		is := &c.Issuers[i]
		if seen[is.URL] {
			return fmt.Errorf("auth: Issuers: %q is named twice", is.URL)
		}
		seen[is.URL] = true
		if err := is.fill(c.Loopback.Granted()); err != nil {
			return fmt.Errorf("auth: Issuers: %q %w", is.URL, err)
		}
	}
	return nil
}

// fill gives is its defaults, or returns what is wrong with it.
func (is *Issuer) fill(loopback bool) error {
	u, err := parseURL(is.URL, loopback)
	if err != nil {
		return err
	}
	if strings.Contains(u.Path, "/.well-known/") {
		return errors.New("is an address of metadata, not an issuer")
	}
	if is.JWKS != "" {
		if err := checkFetchURL(is.JWKS, loopback && isLoopbackHost(u.Hostname())); err != nil {
			return fmt.Errorf("has JWKS %q, which %w", is.JWKS, err)
		}
	}
	if len(is.Algorithms) == 0 {
		is.Algorithms = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"}
	}
	for _, alg := range is.Algorithms {
		if algorithms[alg] == "" {
			return fmt.Errorf("has algorithm %q, which is not an asymmetric one that is known here", alg)
		}
	}
	if len(is.Types) == 0 {
		is.Types = []string{"at+jwt", "application/at+jwt"}
	}
	if is.Tenant == "" {
		is.Tenant = "tid"
	}
	return nil
}

func (c *Config) checkNetworks() error {
	for _, n := range c.Networks {
		short := n.Addr().Is4() && n.Bits() < 8 || n.Addr().Is6() && n.Bits() < 7
		if !n.IsValid() || short || n.Masked() != n || n.Addr().Is4In6() || neverDialled(n.Addr()) {
			return fmt.Errorf("auth: Networks: %v is not a private network", n)
		}
	}
	c.Networks = slices.Clone(c.Networks)
	return nil
}

// parseURL parses an identifier that is compared byte for byte, so there may
// be only one way to write it.
func parseURL(s string, loopback bool) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("is not a URL")
	}
	if err := checkScheme(u, loopback); err != nil {
		return nil, err
	}
	switch {
	case u.User != nil:
		return nil, errors.New("contains a user")
	case strings.ContainsAny(s, "?#"):
		return nil, errors.New("contains a query or fragment")
	case u.Host != strings.ToLower(u.Host) || u.String() != s:
		return nil, errors.New("is not in canonical form")
	case strings.HasSuffix(u.Host, ":") || u.Port() == "443" && u.Scheme == "https" || u.Port() == "80" && u.Scheme == "http":
		return nil, errors.New("names the default port")
	case slices.Contains(strings.Split(u.Path, "/"), ".") || slices.Contains(strings.Split(u.Path, "/"), ".."):
		return nil, errors.New("contains a dot segment")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '%' || s[i] == '\\' || s[i] == '"' {
			return nil, errors.New("contains a character that has more than one form")
		}
	}
	return u, nil
}

// checkScheme wants https, or http to loopback where that was waived.
func checkScheme(u *url.URL, loopback bool) error {
	switch {
	case u.Hostname() == "":
		return errors.New("has no host")
	case u.Scheme == "https", u.Scheme == "http" && loopback && isLoopbackHost(u.Hostname()):
		return nil
	case u.Scheme == "http" && isLoopbackHost(u.Hostname()):
		return errors.New("is not https: set Loopback if that is meant")
	default:
		return errors.New("is not https")
	}
}

// checkFetchURL checks an address that is fetched and not compared.
func checkFetchURL(s string, loopback bool) error {
	u, err := url.Parse(s)
	if err != nil || u.User != nil || strings.Contains(s, "#") {
		return errors.New("is not a URL without user and fragment")
	}
	return checkScheme(u, loopback)
}

// isLoopbackHost reports whether host names this machine. Only these names do:
// any other may resolve to anything.
func isLoopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
