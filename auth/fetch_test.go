package auth

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/insecure"
)

func fetcherOf(tb testing.TB, cfg Config, issuer string) *fetcher {
	tb.Helper()
	cfg, err := cfg.filled()
	if err != nil {
		tb.Fatal(err)
	}
	f, err := newFetcher(&cfg, issuer)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// TestT39_AddressesThatAreNotPublicAreNotDialled holds every address that the
// filter of the SDK lets through.
func TestT39_AddressesThatAreNotPublicAreNotDialled(t *testing.T) {
	f := fetcherOf(t, good(), "https://login.example")
	for _, s := range strings.Fields(`64:ff9b::a9fe:a9fe 64:ff9b::808:808 64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe::1
		fec0::1 0.1.2.3 192.0.0.8 198.18.0.1 240.0.0.1 255.255.255.255 127.0.0.1 127.9.9.9 ::1
		::127.0.0.1 169.254.169.254 ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254
		10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255 0.0.0.0 ::
		192.0.2.1 198.51.100.1 203.0.113.1 192.88.99.1 224.0.0.1 239.1.1.1 fc00::1 fd00:ec2::254
		fe80::1 fe80::1%eth0 2606:4700::1%eth0 ff02::1 2001::1 2001:db8::1 3fff::1 100::1 5f00::1 fd12::1`) {
		if f.mayDial(netip.MustParseAddr(s)) {
			t.Errorf("%s may be dialled", s)
		}
		if err := f.control("tcp", net.JoinHostPort(s, "443"), nil); err == nil {
			t.Errorf("%s is dialled", s)
		}
	}
	for _, s := range strings.Fields(`8.8.8.8 1.1.1.1 172.15.255.255 172.32.0.0 100.63.255.255 100.128.0.0
		169.253.0.1 11.0.0.1 192.0.1.1 198.20.0.1 223.255.255.255 2606:4700:4700::1111 2a00::1 ::ffff:8.8.8.8`) {
		if !f.mayDial(netip.MustParseAddr(s)) {
			t.Errorf("%s may not be dialled", s)
		}
	}
	if err := f.control("tcp", "not an address", nil); err == nil {
		t.Error("an address that cannot be read is dialled")
	}
}

func TestNamedNetworks(t *testing.T) {
	cfg := good()
	cfg.Networks = nets("10.1.0.0/16", "fd00:1::/32", "64:ff9b::/96")
	f := fetcherOf(t, cfg, "https://login.example")
	for s, want := range map[string]bool{
		"10.1.2.3": true, "10.2.0.1": false, "fd00:1::5": true, "fd00:2::5": false, "64:ff9b::808:808": true,
		"::ffff:10.1.2.3": true, "127.0.0.1": false, "169.254.169.254": false,
	} {
		if got := f.mayDial(netip.MustParseAddr(s)); got != want {
			t.Errorf("%s: got %v, want %v", s, got, want)
		}
	}
}

// TestLoopbackIsPerIssuer: the waiver does not let a public issuer point its
// metadata at this machine.
func TestLoopbackIsPerIssuer(t *testing.T) {
	cfg := good()
	cfg.Loopback = insecure.Because("test")
	cfg.Issuers = append(cfg.Issuers, Issuer{URL: "http://localhost:9000"})
	loopback := netip.MustParseAddr("127.0.0.1")
	if fetcherOf(t, cfg, "https://login.example").mayDial(loopback) {
		t.Error("a public issuer may be on loopback")
	}
	if !fetcherOf(t, cfg, "http://localhost:9000").mayDial(loopback) {
		t.Error("the issuer on loopback may not be there")
	}
	cfg.Issuers[0].JWKS = "http://localhost:9000/keys"
	if _, err := New(cfg); err == nil {
		t.Error("a public issuer has its keys on loopback")
	}
}

// TestLoopbackIsRefusedWithoutTheWaiver goes all the way: a name of a public
// look that resolves to this machine.
func TestLoopbackIsRefusedWithoutTheWaiver(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the address was dialled") }))
	defer s.Close()
	cfg := good()
	cfg.Issuers[0].URL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	cfg.Client = s.Client()
	p := &provider{Server: s}
	cfg.Now = newClock().now
	v := newVerifier(t, cfg)
	_, err := v.Verify(ctx(), p.good().with(set{"iss": cfg.Issuers[0].URL}).sign())
	wantRefusal(t, err, access.Unavailable, "keys")
}

func TestMetadataPlaces(t *testing.T) {
	const host = "https://h.example"
	for issuer, want := range map[string][]string{
		host: {host + "/.well-known/oauth-authorization-server", host + "/.well-known/openid-configuration"},
		host + "/a/b": {
			host + "/.well-known/oauth-authorization-server/a/b", host + "/.well-known/openid-configuration/a/b",
			host + "/a/b/.well-known/openid-configuration",
		},
		host + "/a/": {
			host + "/.well-known/oauth-authorization-server/a", host + "/.well-known/openid-configuration/a",
			host + "/a/.well-known/openid-configuration",
		},
	} {
		if diff := cmp.Diff(want, metadataPlaces(issuer)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", issuer, diff)
		}
	}
}

// TestDiscovery finds the keys at each of the places, and nowhere else.
func TestDiscovery(t *testing.T) {
	for _, tc := range []struct {
		name, place, path string
		edit              func(doc map[string]any)
		ok                bool
	}{
		{"RFC 8414", "/.well-known/oauth-authorization-server/t", "/t", nil, true},
		{"OpenID with the path inserted", "/.well-known/openid-configuration/t", "/t", nil, true},
		{"OpenID with the path in front", "/t/.well-known/openid-configuration", "/t", nil, true},
		{"without a path", "/.well-known/openid-configuration", "", nil, true},
		{"RFC 8414 with the path in front", "/t/.well-known/oauth-authorization-server", "/t", nil, false},
		{"metadata of the host for a path", "/.well-known/oauth-authorization-server", "/t", nil, false},
		{"another issuer", "/.well-known/openid-configuration", "", func(d map[string]any) { d["issuer"] = "https://evil.example" }, false},
		{"issuer with a slash more", "/.well-known/openid-configuration", "", func(d map[string]any) { d["issuer"] = d["issuer"].(string) + "/" }, false},
		{"no issuer", "/.well-known/openid-configuration", "", func(d map[string]any) { delete(d, "issuer") }, false},
		{"no keys", "/.well-known/openid-configuration", "", func(d map[string]any) { delete(d, "jwks_uri") }, false},
		{"keys at http elsewhere", "/.well-known/openid-configuration", "", func(d map[string]any) { d["jwks_uri"] = "http://evil.example/keys" }, false},
		{"keys in a file", "/.well-known/openid-configuration", "", func(d map[string]any) { d["jwks_uri"] = "file:///etc/passwd" }, false},
		{"keys with a user", "/.well-known/openid-configuration", "", func(d map[string]any) {
			d["jwks_uri"] = strings.Replace(d["jwks_uri"].(string), "//", "//u@", 1)
		}, false},
		{"keys that are a number", "/.well-known/openid-configuration", "", func(d map[string]any) { d["jwks_uri"] = 1 }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newProvider(t)
			mux := http.NewServeMux()
			mux.HandleFunc("/keys", p.serveKeys)
			mux.HandleFunc(tc.place, func(w http.ResponseWriter, _ *http.Request) {
				doc := map[string]any{"issuer": p.URL + tc.path, "jwks_uri": p.URL + "/keys"}
				if tc.edit != nil {
					tc.edit(doc)
				}
				writeJSON(w, doc)
			})
			p.Config.Handler = mux
			cfg := p.config(newClock())
			cfg.Issuers[0].URL += tc.path
			_, err := newVerifier(t, cfg).Verify(ctx(), p.good().with(set{"iss": cfg.Issuers[0].URL}).sign())
			if tc.ok && err != nil {
				t.Errorf("got %v, want the keys found", err)
			}
			if !tc.ok {
				wantRefusal(t, err, access.Unavailable, "keys")
			}
		})
	}
}

func TestConfiguredJWKS(t *testing.T) {
	p := newProvider(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/elsewhere", p.serveKeys)
	p.Config.Handler = mux
	cfg := p.config(newClock())
	cfg.Issuers[0].JWKS = p.URL + "/elsewhere"
	if _, err := newVerifier(t, cfg).Verify(ctx(), p.good().sign()); err != nil {
		t.Errorf("got %v, want no discovery", err)
	}
}

// TestClientTLS: only the TLS settings of a client are used.
func TestClientTLS(t *testing.T) {
	p := newProvider(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(p.serveKeys))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of the refused certificate
	s.StartTLS()
	defer s.Close()
	cfg := p.config(newClock())
	cfg.Issuers[0].JWKS = s.URL
	_, err := newVerifier(t, cfg).Verify(ctx(), p.good().sign())
	wantRefusal(t, err, access.Unavailable, "keys") // nobody knows that certificate
	transport := s.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
		t.Error("the client's own dialler was used")
		return nil, net.ErrClosed
	}
	cfg.Client = &http.Client{Transport: transport}
	if _, err := newVerifier(t, cfg).Verify(ctx(), p.good().sign()); err != nil {
		t.Errorf("with the certificate: %v", err)
	}
}

func FuzzMetadata(f *testing.F) {
	const issuer = "https://login.example"
	f.Add([]byte(`{"issuer":"https://login.example","jwks_uri":"https://login.example/keys"}`))
	f.Add([]byte(`{"issuer":"https://login.example","issuer":"x","jwks_uri":"a"}`))
	f.Add([]byte(`{"a":[{"b":"\u0041"}],"issuer":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		uri, err := readMetadata(body, issuer)
		if err != nil {
			return
		}
		doc := reference(t, body)
		if doc["issuer"] != issuer || doc["jwks_uri"] != uri || uri == "" {
			t.Fatalf("%q: got %q, which the reference does not see", body, uri)
		}
	})
}

func FuzzKeySet(f *testing.F) {
	j := jwkOf("ec", private()["ec"].Public())
	f.Add([]byte(`{"keys":[{"kty":"EC","kid":"ec","crv":"P-256","x":"` + j["x"] + `","y":"` + j["y"] + `"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"},{"kty":"OKP","crv":"Ed25519","x":"AA"},null,1]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := readKeySet(body)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("got %d keys and %v", len(keys), err)
		}
		kinds := []string{"RSA", "P-256", "P-384", "P-521", "Ed25519"}
		for _, k := range keys {
			if !slices.Contains(kinds, k.kind) || !k.same(k) {
				t.Fatalf("got key %+v", k)
			}
		}
	})
}
