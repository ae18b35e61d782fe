package harden

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// A ServerOption changes the server that [Server] returns.
type ServerOption func(*serverSettings)

type serverSettings struct {
	tls     *tls.Config
	proxies []netip.Prefix
}

// ServeTLS makes the server speak TLS with cfg, which must hold certificates.
// Versions below TLS 1.2 are never spoken, whatever cfg says; a cfg that names
// none speaks TLS 1.3 only. Start the server with ListenAndServeTLS("", ""): a
// request that arrives without TLS is refused.
func ServeTLS(cfg *tls.Config) ServerOption {
	return func(s *serverSettings) { s.tls = cfg }
}

// BehindProxy declares that TLS ends at a proxy whose address is in one of the
// networks. Requests from any other address are refused.
func BehindProxy(networks ...netip.Prefix) ServerOption {
	return func(s *serverSettings) { s.proxies = networks }
}

// Server returns a server for handler with timeouts set, ready to start. addr
// must be a loopback address ("127.0.0.1:8080", "localhost:8080", "[::1]:0")
// unless [ServeTLS] or [BehindProxy] is given: tokens do not travel in clear
// (OAuth 2.1 section 1.5), and an unprotected local server is for local callers
// only (MCP transports, security warning).
//
// Timeouts: 5 s for headers, 30 s for a request, 2 min idle. Writing has none,
// since streams live long: they end by [HTTP].StreamAge. Headers are bounded by
// 32 KiB.
func Server(addr string, handler http.Handler, opts ...ServerOption) (*http.Server, error) {
	var s serverSettings
	for _, o := range opts {
		o(&s)
	}
	if handler == nil {
		return nil, errors.New("harden: Server needs a handler")
	}
	if s.tls == nil && len(s.proxies) == 0 && !isLoopbackAddr(addr) {
		return nil, fmt.Errorf("harden: %q is not a loopback address: give ServeTLS, or BehindProxy when a proxy ends TLS", addr)
	}
	srv := &http.Server{
		Addr:              addr,
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
	if s.tls != nil {
		cfg, err := hardenTLS(s.tls)
		if err != nil {
			return nil, err
		}
		srv.TLSConfig = cfg
		srv.Handler = onlyTLS(srv.Handler)
	}
	if len(s.proxies) > 0 {
		srv.Handler = onlyFrom(s.proxies, srv.Handler)
	}
	return srv, nil
}

func hardenTLS(cfg *tls.Config) (*tls.Config, error) {
	if len(cfg.Certificates) == 0 && cfg.GetCertificate == nil && cfg.GetConfigForClient == nil {
		return nil, errors.New("harden: ServeTLS: the configuration holds no certificate")
	}
	cfg = cfg.Clone()
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS13
	}
	if cfg.MinVersion < tls.VersionTLS12 {
		cfg.MinVersion = tls.VersionTLS12
	}
	return cfg, nil
}

// isLoopbackAddr reports whether listening on addr reaches this machine only.
// An empty host means all addresses.
func isLoopbackAddr(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// onlyTLS refuses requests that came in clear, which happens when the server is
// started with ListenAndServe by mistake.
func onlyTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			plainRefusal(w, http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func onlyFrom(networks []netip.Prefix, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !containsAddr(networks, remoteAddr(r)) {
			plainRefusal(w, http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func containsAddr(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// remoteAddr is the address that connected, without zone and mapping; the zero
// Addr on a unix socket.
func remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
