package harden

import (
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"

	"github.com/hardenmcp/harden/access"
)

// singleHeaders may stand on one line only: of two, one reader may take the
// first and another the last (rows D10, A14).
var singleHeaders = []string{
	"Authorization", "Content-Encoding", "Content-Length", "Content-Type", "Dpop", "Host",
	"Last-Event-Id", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "Mcp-Session-Id", "Origin",
}

func shapeError(reason access.Reason, rule, format string, args ...any) error {
	return &access.Error{Reason: reason, Rule: rule, Err: fmt.Errorf("harden: "+format, args...)}
}

// checkShape looks at everything of a request but its credentials and its body.
func (e *endpoint) checkShape(x *httpExchange) error {
	r := x.r
	if e.open != nil && !arrivedLocally(r) {
		return shapeError(access.Forbidden, "local", "without authentication only loopback is served")
	}
	if r.URL.Path != e.http.Path || r.URL.RawPath != "" && r.URL.RawPath != e.http.Path {
		return shapeError(access.NotFound, "path", "no such path")
	}
	if !e.hostAllowed(r.Host) {
		return shapeError(access.Forbidden, "host", "host %q is not served", r.Host)
	}
	if err := e.checkHeaders(r.Header); err != nil {
		return err
	}
	if err := e.checkOrigin(x); err != nil {
		return err
	}
	// RFC 6750 section 2.3: a token in a URL ends up in logs and histories.
	if strings.Contains(strings.ToLower(r.URL.RawQuery), "access_token") {
		return shapeError(access.Invalid, "query", "access token in the query")
	}
	return e.checkMethod(r)
}

// checkHeaders bounds the headers and wants one truth in each.
func (e *endpoint) checkHeaders(h http.Header) error {
	lines, bytes := 0, 0
	for name, values := range h {
		lines += len(values)
		for _, v := range values {
			bytes += len(name) + len(v)
		}
		if len(values) > 1 && (slices.Contains(singleHeaders, name) || strings.HasPrefix(name, "Mcp-")) {
			return shapeError(access.Invalid, "duplicate", "header %s stands on %d lines", name, len(values))
		}
		if strings.HasPrefix(name, "Mcp-") && !printable(values[0]) {
			return &access.Error{Reason: access.Invalid, Rule: "header", Err: fmt.Errorf("harden: header %s is not printable ASCII", name)}
		}
	}
	if lines > e.http.HeaderLines {
		return shapeError(access.TooLarge, "headers", "%d header lines, the bound is %d", lines, e.http.HeaderLines)
	}
	if bytes > e.http.HeaderBytes {
		return shapeError(access.TooLarge, "headers", "%d header bytes, the bound is %d", bytes, e.http.HeaderBytes)
	}
	return nil
}

// printable reports whether v is visible ASCII, spaces and tabs (row D09).
func printable(v string) bool {
	for i := range len(v) {
		if c := v[i]; c != '\t' && (c < 0x20 || c > 0x7e) {
			return false
		}
	}
	return true
}

// hostAllowed is the defence against DNS rebinding: a page that made its own
// name point here still sends that name.
func (e *endpoint) hostAllowed(host string) bool {
	if len(e.http.Hosts) == 0 {
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			name = host
		}
		switch strings.ToLower(name) {
		case "localhost", "127.0.0.1", "::1", "[::1]":
			return true
		}
		return false
	}
	for _, h := range e.http.Hosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

// checkOrigin runs for every method (row C02). An absent Origin means a client
// that is not a browser, or a same-origin GET, which reads nothing across
// sites.
func (e *endpoint) checkOrigin(x *httpExchange) error {
	origin := x.r.Header.Get("Origin")
	if origin == "" {
		if len(x.r.Header["Origin"]) > 0 {
			return shapeError(access.Forbidden, "origin", "empty origin")
		}
		return nil
	}
	if !slices.Contains(e.http.Origins, origin) {
		return shapeError(access.Forbidden, "origin", "origin %q is not allowed", origin)
	}
	x.origin = origin
	return nil
}

var errMethod = errors.New("harden: HTTP method is not served")

func (e *endpoint) checkMethod(r *http.Request) error {
	switch r.Method {
	case http.MethodPost:
		return checkContent(r.Header)
	case http.MethodGet, http.MethodDelete:
		if e.versions.legacy != "" {
			return nil
		}
	}
	return &access.Error{Reason: access.Invalid, Rule: "http-method", Err: errMethod}
}

// allow is the Allow header of a 405.
func (e *endpoint) allow() string {
	if e.versions.legacy == "" {
		return "POST"
	}
	return "GET, POST, DELETE"
}

func checkContent(h http.Header) error {
	if enc := h.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return shapeError(access.Invalid, "content-type", "content encoding %q", enc)
	}
	value := h.Get("Content-Type")
	if value == "application/json" {
		return nil
	}
	media, params, err := mime.ParseMediaType(value)
	if err != nil || media != "application/json" {
		return shapeError(access.Invalid, "content-type", "content type %q", value)
	}
	for k, v := range params {
		// JSON is UTF-8; another charset would be read in two ways.
		if k != "charset" || !strings.EqualFold(v, "utf-8") {
			return shapeError(access.Invalid, "content-type", "content type %q", value)
		}
	}
	return nil
}

// arrivedLocally reports whether the request came in on a loopback address or a
// unix socket of this machine.
func arrivedLocally(r *http.Request) bool {
	switch a := r.Context().Value(http.LocalAddrContextKey).(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

func (e *endpoint) checkPeer(x *httpExchange) error { return e.limits.Peer(x.call.Peer) }

// peer is the address of the caller: the one that connected, or, when that is a
// trusted proxy, the nearest one in X-Forwarded-For that is not. What stands
// further left was written by strangers.
func (e *endpoint) peer(r *http.Request) netip.Addr {
	addr := remoteAddr(r)
	if !containsAddr(e.http.TrustedProxies, addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header[textproto.CanonicalMIMEHeaderKey("X-Forwarded-For")], ","), ",")
	for i := len(hops) - 1; i >= 0 && i >= len(hops)-16; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return addr
		}
		addr = hop.Unmap().WithZone("")
		if !containsAddr(e.http.TrustedProxies, addr) {
			return addr
		}
	}
	return addr
}
