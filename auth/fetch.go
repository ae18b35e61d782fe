package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxDocument bounds metadata and key sets.
const maxDocument = 256 << 10

// A fetcher gets documents of one issuer. It follows no redirects, uses no
// proxy, keeps no cookies, and looks at the address that it is about to
// connect to, after name resolution, so that a name which changes its address
// between check and use gains nothing.
type fetcher struct {
	client   *http.Client
	loopback bool
	networks []netip.Prefix
}

func newFetcher(cfg *Config, issuerURL string) (*fetcher, error) {
	u, err := url.Parse(issuerURL)
	if err != nil {
		return nil, err
	}
	tlsConf, err := tlsConfig(cfg.Client)
	if err != nil {
		return nil, err
	}
	f := &fetcher{loopback: cfg.Loopback.Granted() && isLoopbackHost(u.Hostname()), networks: cfg.Networks}
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: f.control}
	f.client = &http.Client{
		Timeout:       cfg.Keys.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: tlsConf,
			TLSHandshakeTimeout: 5 * time.Second, MaxResponseHeaderBytes: 64 << 10,
			DisableKeepAlives: true, DisableCompression: true, ForceAttemptHTTP2: true,
		},
	}
	return f, nil
}

// tlsConfig takes the TLS settings out of a client.
func tlsConfig(c *http.Client) (*tls.Config, error) {
	conf := &tls.Config{}
	if c != nil && c.Transport != nil {
		t, ok := c.Transport.(*http.Transport)
		if !ok {
			return nil, fmt.Errorf("auth: Client.Transport is %T, which cannot be made to check addresses", c.Transport)
		}
		if t.TLSClientConfig != nil {
			conf = t.TLSClientConfig.Clone()
		}
	}
	if conf.InsecureSkipVerify {
		return nil, errors.New("auth: Client does not verify certificates")
	}
	conf.MinVersion = max(conf.MinVersion, tls.VersionTLS12)
	conf.NextProtos = nil
	return conf, nil
}

// control refuses a connection by the address that is about to be dialled.
func (f *fetcher) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("auth: address %q: %w", address, err)
	}
	if !f.mayDial(ap.Addr()) {
		return fmt.Errorf("auth: address %v is not public", ap.Addr())
	}
	return nil
}

// mayDial reports whether addr is where an issuer may be.
func (f *fetcher) mayDial(addr netip.Addr) bool {
	if addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	if addr.IsLoopback() {
		return f.loopback
	}
	in := func(p netip.Prefix) bool { return p.Contains(addr) }
	switch {
	case neverDialled(addr):
		return false
	case slices.ContainsFunc(f.networks, in):
		return true
	case addr.Is6() && !globalUnicast.Contains(addr):
		return false
	}
	return !slices.ContainsFunc(special, in)
}

// neverDialled reports whether addr is of this machine or link, or of nobody:
// the metadata services of clouds live there.
func neverDialled(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified()
}

// globalUnicast is all of IPv6 that is assigned for public use. What is outside
// includes NAT64 (64:ff9b::/96, 64:ff9b:1::/48), which can spell any IPv4
// address, IPv4-compatible, site-local and unique local addresses.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// special are the networks of the IANA special-purpose registries (RFC 6890)
// that are not public.
var special = prefixes(`0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16
	172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 192.168.0.0/16
	198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
	2001::/23 2001:db8::/32 2002::/16 3fff::/20`)

func prefixes(list string) []netip.Prefix {
	var out []netip.Prefix
	for s := range strings.FieldsSeq(list) {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// get fetches one document.
func (f *fetcher) get(ctx context.Context, address string) ([]byte, error) {
	if err := checkFetchURL(address, f.loopback); err != nil {
		return nil, fmt.Errorf("auth: address %q %w", clip(address), err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	res, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("auth: %s answered %d", address, res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxDocument {
		return nil, fmt.Errorf("auth: %s sent more than %d bytes", address, maxDocument)
	}
	return body, nil
}

// jwksURI finds the key set of an issuer in its metadata. The places are those
// of MCP: RFC 8414, OpenID with the path inserted, OpenID with the path in
// front. A document that does not name the issuer exactly is no metadata of it
// (RFC 8414 §3.3), and the next place is tried.
func (f *fetcher) jwksURI(ctx context.Context, issuerURL string) (string, error) {
	var errs []error
	for _, place := range metadataPlaces(issuerURL) {
		body, err := f.get(ctx, place)
		if err == nil {
			var uri string
			if uri, err = readMetadata(body, issuerURL); err == nil {
				return uri, nil
			}
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

func metadataPlaces(issuerURL string) []string {
	u, err := url.Parse(issuerURL)
	if err != nil {
		return nil
	}
	origin, path := u.Scheme+"://"+u.Host, strings.TrimSuffix(u.Path, "/")
	places := []string{origin + "/.well-known/oauth-authorization-server" + path}
	if path != "" {
		places = append(places, origin+"/.well-known/openid-configuration"+path)
	}
	return append(places, origin+path+"/.well-known/openid-configuration")
}

// readMetadata returns the jwks_uri of a metadata document.
func readMetadata(body []byte, issuerURL string) (string, error) {
	all, err := members(body)
	if err != nil {
		return "", fmt.Errorf("auth: metadata of %q: %w", issuerURL, err)
	}
	var issuer, uri string
	for _, m := range all {
		switch m.name {
		case "issuer":
			issuer, err = text(m.value)
		case "jwks_uri":
			uri, err = label(m.value)
		}
		if err != nil {
			return "", fmt.Errorf("auth: metadata of %q: %s %w", issuerURL, m.name, err)
		}
	}
	if issuer != issuerURL {
		return "", fmt.Errorf("auth: metadata names issuer %q, not %q", clip(issuer), issuerURL)
	}
	if uri == "" {
		return "", fmt.Errorf("auth: metadata of %q names no jwks_uri", issuerURL)
	}
	return uri, nil
}
