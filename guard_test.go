package harden_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden"
	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/audit"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/hardentest"
	"github.com/hardenmcp/harden/insecure"
)

func quietly() harden.Option {
	return harden.WithAudit(audit.Config{Handlers: []slog.Handler{slog.DiscardHandler}})
}

func someAuth() auth.Config {
	return auth.Config{
		Resource: "https://notes.example/mcp",
		Issuers:  []auth.Issuer{{URL: "https://login.example"}},
		Rules:    []auth.Rule{auth.Permit("tool:echo")},
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts []harden.Option
		want string
	}{
		{"option twice", []harden.Option{harden.WithBounds(harden.Bounds{}), harden.WithBounds(harden.Bounds{})}, "WithBounds"},
		{"waiver without reason", []harden.Option{harden.WithoutAuth(insecure.Waiver{})}, "WithoutAuth"},
		{"both kinds of auth", []harden.Option{harden.WithAuth(someAuth()), harden.WithoutAuth(insecure.Because("x"))}, "exclude"},
		{"no versions", []harden.Option{harden.WithVersions([]string{}...), harden.WithVersions()}, "twice"},
		{"unknown version", []harden.Option{harden.WithVersions("2099-01-01")}, "2099-01-01"},
		{"caller without subject", []harden.Option{harden.WithPrincipal(access.Principal{Issuer: "x"})}, "Subject"},
		{"long deadline", []harden.Option{harden.WithBounds(harden.Bounds{Call: 2 * time.Hour})}, "Bounds.Call"},
		{"negative deadline", []harden.Option{harden.WithBounds(harden.Bounds{Call: -1})}, "Bounds.Call"},
		{"large result", []harden.Option{harden.WithBounds(harden.Bounds{ResultBytes: 1 << 30})}, "ResultBytes"},
		{"relative path", []harden.Option{harden.WithHTTP(harden.HTTP{Path: "mcp"})}, "Path"},
		{"origin with a path", []harden.Option{harden.WithHTTP(harden.HTTP{Origins: []string{"https://a.example/"}})}, "Origins"},
		{"origin *", []harden.Option{harden.WithHTTP(harden.HTTP{Origins: []string{"*"}})}, "Origins"},
		{"negative lines", []harden.Option{harden.WithHTTP(harden.HTTP{HeaderLines: -1})}, "HeaderLines"},
		{"auth without issuer", []harden.Option{harden.WithAuth(auth.Config{Resource: "https://a.example"})}, "Issuers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := harden.New(append(tc.opts, quietly())...); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error that names %s", err, tc.want)
			}
		})
	}
}

func TestNewRefusesAWeakenedSDK(t *testing.T) {
	for _, v := range []string{"allowsessionsinstateless=1", "nowrapinvalidparams=1", "x=0"} {
		t.Setenv("MCPGODEBUG", v)
		if _, err := harden.New(quietly()); err == nil || !strings.Contains(err.Error(), "MCPGODEBUG") {
			t.Errorf("%s: got %v, want an error", v, err)
		}
	}
	t.Setenv("MCPGODEBUG", "")
	if _, err := harden.New(quietly()); err != nil {
		t.Error(err)
	}
}

func TestNewFailsWithoutAnAuditLog(t *testing.T) {
	h := failingHandler{err: errors.New("disk full")}
	if _, err := harden.New(harden.WithAudit(audit.Config{Handlers: []slog.Handler{&h}})); err == nil {
		t.Error("got no error, want that of the handler")
	}
}

type failingHandler struct {
	slog.Handler
	err error
}

func (h *failingHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (h *failingHandler) Handle(context.Context, slog.Record) error { return h.err }

func TestNoAuditNoAnswer(t *testing.T) {
	h := &failingHandler{}
	issuer := hardentest.NewIssuer(t)
	g, err := harden.New(
		harden.WithAuth(auth.Config{Resource: benchResource, Issuers: []auth.Issuer{{URL: issuer.URL()}},
			Rules: []auth.Rule{auth.Permit("tool:echo")}, Loopback: insecure.Because("a test")}),
		harden.WithAudit(audit.Config{Handlers: []slog.Handler{h}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := g.Handler(benchServer())
	if err != nil {
		t.Fatal(err)
	}
	call := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, modernBench(issuer.Token(hardentest.Audience(benchResource))))
		return w
	}
	if w := call(); w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	h.err = errors.New("disk full at /var/log")
	if w := call(); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "disk") || strings.Contains(w.Body.String(), `"hi"`) {
		t.Errorf("got %d %s, want 503 and no result", w.Code, w.Body)
	}
}

func TestHandlerNeedsADecisionAboutAuth(t *testing.T) {
	g, err := harden.New(quietly())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Handler(bareServer()); err == nil {
		t.Error("Handler: got no error")
	}
	if _, err := g.Wrap(http.NotFoundHandler()); err == nil {
		t.Error("Wrap: got no error")
	}
}

func TestHandlerNamesWhatItCannotGuard(t *testing.T) {
	g, err := harden.New(harden.WithAuth(someAuth()), quietly())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Handler(bareServer()); err == nil || !strings.Contains(err.Error(), "tool:echo") {
		t.Errorf("rule for an absent tool: got %v", err)
	}
	echo := addTool("echo", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) { return text("x"), nil })
	bad := bareServer(echo, func(s *mcp.Server) {
		s.AddTool(&mcp.Tool{Name: "bad", InputSchema: json.RawMessage(`{"type":"object","properties":{"a":{"$ref":"https://evil.example/s"}}}`)}, nil)
	})
	if _, err := g.Handler(bad); err == nil || !strings.Contains(err.Error(), "bad") {
		t.Errorf("remote $ref: got %v, want an error that names the tool", err)
	}
	good := bareServer(echo)
	if _, err := g.Handler(good); err != nil {
		t.Error(err)
	}
	if _, err := g.Handler(good); err == nil {
		t.Error("guarded twice: got no error")
	}
	if _, err := g.Handler(nil); err == nil {
		t.Error("no server: got no error")
	}
	if _, err := g.Wrap(nil); err == nil {
		t.Error("no handler: got no error")
	}
}

func TestWaiversAreListedAndAudited(t *testing.T) {
	rec := new(hardentest.Recorder)
	cfg := someAuth()
	cfg.Loopback = insecure.Because("demo")
	g, err := harden.New(harden.WithAuth(cfg), harden.WithAudit(audit.Config{Handlers: []slog.Handler{rec}}))
	if err != nil {
		t.Fatal(err)
	}
	if got := g.Waivers(); len(got) != 1 || got[0] != "auth.Config.Loopback: demo" {
		t.Errorf("got %v", got)
	}
	if found := rec.Find(map[string]any{"kind": "start", "waiver_1": "auth.Config.Loopback: demo"}); len(found) != 1 {
		t.Errorf("got %v, want a start record with the waiver", rec.Records())
	}
}

func TestWithoutAuthServesLoopbackOnly(t *testing.T) {
	g, err := harden.New(harden.WithoutAuth(insecure.Because("a test")), quietly())
	if err != nil {
		t.Fatal(err)
	}
	h, err := g.Handler(benchServer())
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]int{"127.0.0.1": 200, "::1": 200, "192.0.2.1": 403, "0.0.0.0": 403, "": 403} {
		r := modernBench("")
		r.Host = "localhost:8080"
		if addr != "" {
			ctx := context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(addr)})
			r = r.WithContext(ctx)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: got %d %s, want %d", addr, w.Code, w.Body, want)
		}
	}
}

func TestCloseDrainsAndRefuses(t *testing.T) {
	s := newTestServer()
	e := hardentest.ServeAuth(t, s.Server, rules)
	id := open(t, e, e.Token())
	done := make(chan reply)
	started := make(chan struct{})
	go func() {
		close(started)
		done <- ask(t, e, "tools/call", "slow", `"name":"slow","arguments":{}`)
	}()
	<-started
	time.AfterFunc(200*time.Millisecond, func() { close(s.wait) })
	time.Sleep(50 * time.Millisecond) // the call has to be under way; if it is not, it is refused below
	if err := e.Guard.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := <-done; got.status != http.StatusOK && got.status != http.StatusServiceUnavailable {
		t.Errorf("call under way: got %d %s", got.status, got.body)
	}
	if got := post(t, e, e.Token(), id, legacyEcho); got.status != http.StatusServiceUnavailable {
		t.Errorf("after Close: got %d %s, want 503", got.status, got.body)
	}
	n := 0
	for range s.Sessions() {
		n++
	}
	if n != 0 {
		t.Errorf("got %d sessions, want none", n)
	}
	if _, err := e.Guard.Handler(bareServer()); err == nil {
		t.Error("Handler after Close: got no error")
	}
	if err := e.Guard.Close(t.Context()); err != nil {
		t.Error("a second Close should do nothing")
	}
}

func TestCloseEndsStreams(t *testing.T) {
	_, e := guarded(t)
	done := make(chan reply, 1)
	go func() {
		done <- ask(t, e, "subscriptions/listen", "", `"notifications":{"toolsListChanged":true}`)
	}()
	deadline := time.After(20 * time.Second)
	time.Sleep(100 * time.Millisecond)
	if err := e.Guard.Close(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-done:
	case <-deadline:
		t.Error("the stream outlived its guard")
	}
}

func TestShapeIsRefused(t *testing.T) {
	s, e := guarded(t, harden.WithHTTP(harden.HTTP{HeaderLines: 30, HeaderBytes: 4096}))
	many := func(r *http.Request) {
		for i := range 40 {
			r.Header.Add(fmt.Sprintf("X-%d", i), "v")
		}
	}
	for _, tc := range []struct {
		name   string
		edit   func(*http.Request)
		status int
		rule   string
	}{
		{"other path", func(r *http.Request) { r.URL.Path = "/mcp/" }, 404, "path"},
		{"encoded path", func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/mcp", "/%6dcp" }, 404, "path"},
		{"PUT", func(r *http.Request) { r.Method = http.MethodPut }, 405, "http-method"},
		{"text/plain", header("Content-Type", "text/plain"), 415, "content-type"},
		{"no content type", header("Content-Type"), 415, "content-type"},
		{"other charset", header("Content-Type", "application/json; charset=utf-16"), 415, "content-type"},
		{"compressed", header("Content-Encoding", "gzip"), 415, "content-type"},
		{"many headers", many, 431, "headers"},
		{"large headers", header("X-Large", strings.Repeat("x", 5000)), 431, "headers"},
		{"token in the query", func(r *http.Request) { r.URL.RawQuery = "Access_Token=x" }, 400, "query"},
		{"name beyond ASCII", header("Mcp-Name", "\xc3\xa9cho"), 400, "header"},
		{"large body", setBody(strings.Repeat(" ", 2<<20)), 413, "body"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ask(t, e, "tools/call", "echo", echoHi, tc.edit)
			if got.status != tc.status {
				t.Errorf("got %d %s, want %d", got.status, got.body, tc.status)
			}
			found := e.Audit.Find(map[string]any{"id": got.header.Get("X-Correlation-Id")})
			if len(found) != 1 || found[0]["rule"] != tc.rule {
				t.Errorf("audit: got %v, want rule %s", found, tc.rule)
			}
			if tc.status == 405 && got.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
	if s.ran.Load() != 0 {
		t.Error("the tool ran")
	}
	echoes(t, ask(t, e, "tools/call", "echo", echoHi, header("Content-Type", "application/json; charset=UTF-8")))
}

func TestSecurityHeadersAreOnEveryResponse(t *testing.T) {
	_, e := guarded(t)
	for name, got := range map[string]reply{
		"allowed":  ask(t, e, "tools/call", "echo", echoHi),
		"refused":  ask(t, e, "tools/call", "echo", echoHi, header("Authorization")),
		"metadata": get(t, strings.Replace(e.URL, "/mcp", "/.well-known/oauth-protected-resource/mcp", 1)),
	} {
		for h, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"X-Frame-Options": "DENY", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got.header.Get(h) != want {
				t.Errorf("%s: %s is %q, want %q", name, h, got.header.Get(h), want)
			}
		}
	}
	stream := ask(t, e, "tools/call", "echo", echoHi)
	if strings.HasPrefix(stream.header.Get("Content-Type"), "text/event-stream") && stream.header.Get("X-Accel-Buffering") != "no" {
		t.Error("a stream without X-Accel-Buffering (row C15)")
	}
}

func get(t *testing.T, url string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, r)
}

func TestMetadataIsServedAndValid(t *testing.T) {
	_, e := guarded(t)
	for _, path := range []string{"/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"} {
		got := get(t, strings.Replace(e.URL, "/mcp", path, 1))
		var m struct {
			Resource string   `json:"resource"`
			Servers  []string `json:"authorization_servers"`
			Scopes   []string `json:"scopes_supported"`
		}
		if err := json.Unmarshal([]byte(got.body), &m); err != nil || got.status != http.StatusOK {
			t.Fatalf("%s: got %d %s", path, got.status, got.body)
		}
		if m.Resource != e.URL || len(m.Servers) != 1 || m.Servers[0] != e.Issuer.URL() {
			t.Errorf("%s: got %+v", path, m)
		}
		if got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: a browser client cannot read it", path)
		}
	}
	for path, want := range map[string]int{
		"/.well-known/oauth-protected-resource/other": 404,
		"/.well-known/openid-configuration":           404,
	} {
		if got := get(t, strings.Replace(e.URL, "/mcp", path, 1)); got.status != want {
			t.Errorf("%s: got %d, want %d", path, got.status, want)
		}
	}
}

func TestPreflightIsForAllowedOrigins(t *testing.T) {
	_, e := guarded(t, harden.WithHTTP(harden.HTTP{Origins: []string{"https://app.example"}}))
	for origin, want := range map[string]int{"https://app.example": 204, "https://evil.example": 403} {
		got := ask(t, e, "tools/call", "echo", echoHi, header("Origin", origin), header("Access-Control-Request-Method", "POST"),
			func(r *http.Request) { r.Method = http.MethodOptions }, header("Authorization"))
		if got.status != want {
			t.Errorf("%s: got %d, want %d", origin, got.status, want)
		}
		if allowed := got.header.Get("Access-Control-Allow-Origin"); (allowed != "") != (want == 204) {
			t.Errorf("%s: Access-Control-Allow-Origin %q", origin, allowed)
		}
	}
}

func TestOldVersionsByName(t *testing.T) {
	s, e := guarded(t, harden.WithVersions("2025-03-26", modernVersion))
	token := e.Token()
	got := post(t, e, token, "", legacyInit)
	if !strings.Contains(got.body, `"protocolVersion":"2025-03-26"`) {
		t.Fatalf("got %s, want the older version that is served", got.body)
	}
	id := got.header.Get("Mcp-Session-Id")
	bare := func(r *http.Request) { r.Header.Del("Mcp-Protocol-Version") }
	echoes(t, post(t, e, token, id, legacyEcho, bare))
	batch := "[" + legacyEcho + "," + strings.Replace(legacyEcho, `"id":2`, `"id":3`, 1) + "]"
	if got := post(t, e, token, id, batch, bare); strings.Count(got.body, `"text":"hi"`) != 2 {
		t.Errorf("batch: got %d %s, want two results", got.status, got.body)
	}
	if n := s.ran.Load(); n != 3 {
		t.Errorf("got %d calls, want 3", n)
	}
	hidden := "[" + legacyEcho + "," + `{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"secret","arguments":{}}}` + "]"
	post(t, e, token, id, hidden, bare)
	if n := s.ran.Load(); n != 3 {
		t.Error("a batch with a call that is not permitted ran")
	}
	long := "[" + strings.Repeat(legacyEcho+",", 40) + legacyEcho + "]"
	post(t, e, token, id, long, bare)
	if n := s.ran.Load(); n != 3 {
		t.Error("a batch over the bound ran")
	}
}

func TestServerListensOnLoopbackUnlessTold(t *testing.T) {
	h := http.NotFoundHandler()
	for _, addr := range []string{":8080", "0.0.0.0:8080", "192.0.2.1:80", "[::]:80", "example.com:80", "nonsense", ""} {
		if _, err := harden.Server(addr, h); err == nil {
			t.Errorf("%q: got no error", addr)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:8080", "[::1]:8080"} {
		srv, err := harden.Server(addr, h)
		if err != nil {
			t.Errorf("%q: %v", addr, err)
			continue
		}
		if srv.ReadHeaderTimeout == 0 || srv.ReadTimeout == 0 || srv.IdleTimeout == 0 || srv.MaxHeaderBytes == 0 {
			t.Errorf("%q: a timeout or bound is missing: %+v", addr, srv)
		}
	}
	if _, err := harden.Server("127.0.0.1:0", nil); err == nil {
		t.Error("no handler: got no error")
	}
}

func TestServerWithTLSRefusesClearText(t *testing.T) {
	if _, err := harden.Server(":0", http.NotFoundHandler(), harden.ServeTLS(&tls.Config{})); err == nil {
		t.Error("no certificate: got no error")
	}
	cert := tls.Certificate{Certificate: [][]byte{{1}}}
	srv, err := harden.Server(":0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		harden.ServeTLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10}))
	if err != nil {
		t.Fatal(err)
	}
	if srv.TLSConfig.MinVersion != tls.VersionTLS12 {
		t.Errorf("got version %x, want TLS 1.2 at least", srv.TLSConfig.MinVersion)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	srv.Handler.ServeHTTP(w, r)
	if w.Code != http.StatusMisdirectedRequest {
		t.Errorf("clear: got %d, want 421", w.Code)
	}
	r.TLS = &tls.ConnectionState{}
	w = httptest.NewRecorder()
	srv.Handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("TLS: got %d, want 200", w.Code)
	}
}

func TestServerBehindAProxyRefusesOthers(t *testing.T) {
	srv, err := harden.Server(":0", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		harden.BehindProxy(netip.MustParsePrefix("10.0.0.0/8")))
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]int{"10.1.2.3:4": 200, "11.1.2.3:4": 421, "[::ffff:10.1.2.3]:4": 200, "@": 421} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = addr
		w := httptest.NewRecorder()
		srv.Handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: got %d, want %d", addr, w.Code, want)
		}
	}
}

func TestForwardedForIsBelievedFromProxiesOnly(t *testing.T) {
	issuer := hardentest.NewIssuer(t)
	for _, tc := range []struct{ name, remote, forwarded, want string }{
		{"no proxy", "192.0.2.1:1", "198.51.100.7", "192.0.2.1"},
		{"a proxy", "10.0.0.1:1", "198.51.100.7", "198.51.100.7"},
		{"forged hop on the left", "10.0.0.1:1", "1.1.1.1, 198.51.100.7", "198.51.100.7"},
		{"two proxies", "10.0.0.1:1", "198.51.100.7, 10.0.0.2", "198.51.100.7"},
		{"garbage", "10.0.0.1:1", "what", "10.0.0.1"},
		{"none", "10.0.0.1:1", "", "10.0.0.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := new(hardentest.Recorder)
			g, err := harden.New(
				harden.WithAuth(auth.Config{Resource: benchResource, Issuers: []auth.Issuer{{URL: issuer.URL()}},
					Rules: []auth.Rule{auth.Permit("tool:echo")}, Loopback: insecure.Because("a test")}),
				harden.WithAudit(audit.Config{Handlers: []slog.Handler{rec}}),
				harden.WithHTTP(harden.HTTP{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}),
			)
			if err != nil {
				t.Fatal(err)
			}
			h, err := g.Handler(benchServer())
			if err != nil {
				t.Fatal(err)
			}
			r := modernBench("")
			r.RemoteAddr = tc.remote
			if tc.forwarded != "" {
				r.Header.Set("X-Forwarded-For", tc.forwarded)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			found := rec.Find(map[string]any{"id": w.Header().Get("X-Correlation-Id")})
			if len(found) != 1 || found[0]["peer"] != tc.want {
				t.Errorf("got %v, want peer %s", found, tc.want)
			}
		})
	}
}

func TestMiddlewareGuardsOtherTransports(t *testing.T) {
	g, err := harden.New(harden.WithPrincipal(access.Principal{Issuer: "local", Subject: "owner"}), quietly())
	if err != nil {
		t.Fatal(err)
	}
	s := newTestServer()
	s.AddReceivingMiddleware(g.Middleware())
	cs := connectMemory(t, s.Server)
	if res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "raw", Arguments: map[string]any{"n": 1}}); err != nil || res.IsError {
		t.Errorf("got %v, %v, want a result", res, err)
	}
	if res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "raw", Arguments: map[string]any{"n": "x"}}); err != nil || !res.IsError {
		t.Errorf("got %v, %v, want a tool execution error", res, err)
	}
	if _, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "crash"}); err == nil {
		t.Error("panic: got no error")
	}
}

func TestMiddlewareWithoutACallerRefuses(t *testing.T) {
	g, err := harden.New(quietly())
	if err != nil {
		t.Fatal(err)
	}
	s := bareServer()
	s.AddReceivingMiddleware(g.Middleware())
	here, there := mcp.NewInMemoryTransports()
	ss, err := s.Connect(t.Context(), there, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ss.Close()
	if cs, err := mcp.NewClient(&mcp.Implementation{Name: "c", Version: "1"}, nil).Connect(t.Context(), here, nil); err == nil {
		cs.Close()
		t.Error("got a session, want a refusal")
	}
}

func TestASessionKeepsItsVersion(t *testing.T) {
	_, e := guarded(t, harden.WithVersions("2025-06-18", legacyVersion, modernVersion))
	token := e.Token()
	id := open(t, e, token)
	echoes(t, post(t, e, token, id, legacyEcho))
	refusedWith(t, e, post(t, e, token, id, legacyEcho, header("Mcp-Protocol-Version", "2025-06-18")),
		http.StatusBadRequest, -32020, "invalid", "header")
}

// The method seam asks for permission too: it is the only one that peers
// without HTTP meet.
func TestMiddlewareAsksForPermission(t *testing.T) {
	g, err := harden.New(
		harden.WithAuth(auth.Config{
			Resource: "https://notes.example/mcp",
			Issuers:  []auth.Issuer{{URL: "https://login.example"}},
			Rules:    []auth.Rule{auth.Permit("tool:raw"), auth.Permit("tool:schedule").Scopes("calendar.write")},
		}),
		harden.WithPrincipal(access.Principal{Issuer: "local", Subject: "owner"}), quietly())
	if err != nil {
		t.Fatal(err)
	}
	s := newTestServer()
	s.AddReceivingMiddleware(g.Middleware())
	cs := connectMemory(t, s.Server)
	if _, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "raw", Arguments: map[string]any{"n": 1}}); err != nil {
		t.Errorf("permitted: got %v", err)
	}
	for _, name := range []string{"secret", "schedule"} {
		if res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: map[string]any{"title": "x", "n": 1}}); err == nil {
			t.Errorf("%s: got %v, want a refusal", name, res)
		}
	}
}

// A fact of net/http that Server stands on: the timeout for reading a request
// does not end a call or a stream that takes longer.
func TestReadTimeoutEndsNoCall(t *testing.T) {
	s := newTestServer()
	issuer := hardentest.NewIssuer(t)
	ts := httptest.NewUnstartedServer(nil)
	resource := "http://" + ts.Listener.Addr().String() + "/mcp"
	cfg := auth.Config{Resource: resource, Issuers: []auth.Issuer{{URL: issuer.URL()}}, Loopback: insecure.Because("a test")}
	rules(&cfg)
	g, err := harden.New(harden.WithAuth(cfg), quietly())
	if err != nil {
		t.Fatal(err)
	}
	h, err := g.Handler(s.Server)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := harden.Server("127.0.0.1:0", h)
	if err != nil {
		t.Fatal(err)
	}
	srv.ReadTimeout = 100 * time.Millisecond
	ts.Config = srv
	ts.Start()
	defer ts.Close()
	e := &hardentest.Endpoint{URL: resource, Issuer: issuer, Audit: new(hardentest.Recorder)}
	time.AfterFunc(500*time.Millisecond, func() { close(s.wait) })
	got := ask(t, e, "tools/call", "slow", `"name":"slow","arguments":{}`)
	select {
	case <-s.gone:
		t.Error("the call was cancelled by the timeout for reading its request")
	default:
	}
	if !strings.Contains(got.body, "done") {
		t.Errorf("got %d %s, want the result", got.status, got.body)
	}
}
