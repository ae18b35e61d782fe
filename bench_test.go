package harden_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden"
	"github.com/hardenmcp/harden/audit"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/hardentest"
	"github.com/hardenmcp/harden/insecure"
	"github.com/hardenmcp/harden/ratelimit"
	"github.com/hardenmcp/harden/session"
)

// What a tools/call costs through the guard, next to the bare SDK in the same
// run. docs/PERFORMANCE.md is made from it by make bench.

const benchResource = "http://127.0.0.1/mcp"

func benchServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "b", Version: "1"}, nil)
	s.AddTool(&mcp.Tool{Name: "echo", InputSchema: json.RawMessage(`{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}`)},
		func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) { return text("hi"), nil })
	return s
}

// A fixture is everything that the benchmarks call.
type fixture struct {
	issuer                  *hardentest.Issuer
	stateless, stateful     http.Handler
	guard                   http.Handler
	token                   string
	bareSession, ourSession string
}

func newFixture(b *testing.B) *fixture {
	b.Helper()
	f := &fixture{issuer: hardentest.NewIssuer(b)}
	bare := benchServer()
	get := func(*http.Request) *mcp.Server { return bare }
	f.stateless = mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{Stateless: true})
	f.stateful = mcp.NewStreamableHTTPHandler(get, nil)
	guard, err := harden.New(
		harden.WithAuth(auth.Config{
			Resource: benchResource,
			Issuers:  []auth.Issuer{{URL: f.issuer.URL()}},
			Rules:    []auth.Rule{auth.Permit("tool:echo")},
			Loopback: insecure.Because("a benchmark has its identity provider on loopback"),
		}),
		harden.WithLimits(ratelimit.Config{
			Peer:   ratelimit.Rate{Requests: 1_000_000, Per: time.Second, Burst: 1_000_000},
			Caller: ratelimit.Rate{Requests: 1_000_000, Per: time.Second, Burst: 1_000_000},
		}),
		harden.WithSessions(session.Config{PerUser: 100}),
		harden.WithAudit(audit.Config{Handlers: []slog.Handler{slog.NewJSONHandler(io.Discard, nil)}}),
	)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = guard.Close(context.Background()) })
	if f.guard, err = guard.Handler(benchServer()); err != nil {
		b.Fatal(err)
	}
	f.token = f.issuer.Token(hardentest.Audience(benchResource))
	f.bareSession = openBench(f.stateful, "")
	f.ourSession = openBench(f.guard, f.token)
	if f.bareSession == "" || f.ourSession == "" {
		b.Fatalf("sessions: %q %q", f.bareSession, f.ourSession)
	}
	return f
}

func benchRequest(token, session, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, benchResource, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if session != "" {
		r.Header.Set("Mcp-Session-Id", session)
		r.Header.Set("Mcp-Protocol-Version", legacyVersion)
	}
	return r
}

func openBench(h http.Handler, token string) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, benchRequest(token, "", legacyInit))
	return w.Header().Get("Mcp-Session-Id")
}

func modernBench(token string) *http.Request {
	r := modernRequest(benchResource, "tools/call", "echo", echoHi)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// nullWriter is the cheapest ResponseWriter, so that the numbers are the
// handler's.
type nullWriter struct {
	header http.Header
	status int
}

func (w *nullWriter) Header() http.Header         { return w.header }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(status int)      { w.status = status }
func (w *nullWriter) Flush()                      {}

// inProcess serves one request again and again.
func inProcess(b *testing.B, h http.Handler, want int, template *http.Request) {
	b.Helper()
	body, err := io.ReadAll(template.Body)
	if err != nil {
		b.Fatal(err)
	}
	text := string(body)
	b.ReportAllocs()
	for b.Loop() {
		r := template.WithContext(template.Context())
		r.Header = template.Header.Clone()
		r.Body = io.NopCloser(strings.NewReader(text))
		w := &nullWriter{header: http.Header{}}
		h.ServeHTTP(w, r)
		if w.status != 0 && w.status != want {
			b.Fatalf("status: got %d, want %d", w.status, want)
		}
	}
}

func BenchmarkGuard(b *testing.B) {
	f := newFixture(b)
	legacy := func(token, session string) func() *http.Request {
		return func() *http.Request { return benchRequest(token, session, legacyEcho) }
	}
	modern := func(token string) func() *http.Request {
		return func() *http.Request { return modernBench(token) }
	}
	spoiled := func(name, value string) func() *http.Request {
		return func() *http.Request {
			r := modernBench(f.token)
			r.Header.Set(name, value)
			return r
		}
	}
	badArgs := func() *http.Request {
		r := modernRequest(benchResource, "tools/call", "echo", `"name":"echo","arguments":{"text":1}`)
		r.Header.Set("Authorization", "Bearer "+f.token)
		return r
	}
	for _, bc := range []struct {
		name string
		h    http.Handler
		want int
		make func() *http.Request
	}{
		{"modern/bare", f.stateless, 200, modern("")},
		{"modern/allow", f.guard, 200, modern(f.token)},
		{"session/bare", f.stateful, 200, legacy("", f.bareSession)},
		{"session/allow", f.guard, 200, legacy(f.token, f.ourSession)},
		{"refuse/no-token", f.guard, 401, modern("")},
		{"refuse/garbage-token", f.guard, 401, modern("garbage")},
		{"refuse/forged-token", f.guard, 401, modern(f.token[:len(f.token)-4] + "AAAA")},
		{"refuse/origin", f.guard, 403, spoiled("Origin", "https://evil.example")},
		{"refuse/version", f.guard, 400, spoiled("Mcp-Protocol-Version", "2099-01-01")},
		{"refuse/foreign-session", f.guard, 404, legacy(f.token, strings.Repeat("x", 43))},
		{"refuse/schema", f.guard, 200, badArgs},
	} {
		b.Run("inproc/"+bc.name, func(b *testing.B) { inProcess(b, bc.h, bc.want, bc.make()) })
	}
	b.Run("inproc/modern/allow-new-token", func(b *testing.B) { benchNewTokens(b, f) })
	benchLoopback(b, f)
}

// benchNewTokens gives every call a token that was not seen before.
func benchNewTokens(b *testing.B, f *fixture) {
	tokens := make([]string, b.N)
	for i := range tokens {
		tokens[i] = f.issuer.Token(hardentest.Audience(benchResource), hardentest.Claim("jti", strconv.Itoa(i)))
	}
	body := modernBody("tools/call", echoHi)
	template := modernBench(f.token)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		r := template.WithContext(template.Context())
		r.Header = template.Header.Clone()
		r.Header["Authorization"] = []string{"Bearer " + tokens[i]}
		r.Body = io.NopCloser(strings.NewReader(body))
		w := &nullWriter{header: http.Header{}}
		f.guard.ServeHTTP(w, r)
		if w.status != 0 && w.status != 200 {
			b.Fatalf("status: got %d", w.status)
		}
	}
}

func benchLoopback(b *testing.B, f *fixture) {
	for _, bc := range []struct {
		name  string
		h     http.Handler
		want  int
		token string
		sess  string
	}{
		{"modern/bare", f.stateless, 200, "", ""},
		{"modern/allow", f.guard, 200, f.token, ""},
		{"session/bare", f.stateful, 200, "", f.bareSession},
		{"session/allow", f.guard, 200, f.token, f.ourSession},
		{"modern/refuse-no-token", f.guard, 401, "", ""},
	} {
		b.Run("loopback/"+bc.name, func(b *testing.B) {
			ts := httptest.NewServer(bc.h)
			defer ts.Close()
			b.ReportAllocs()
			for b.Loop() {
				r := modernBench(bc.token)
				if bc.sess != "" {
					r = benchRequest(bc.token, bc.sess, legacyEcho)
				}
				r.RequestURI = ""
				r.URL.Host = strings.TrimPrefix(ts.URL, "http://")
				r.Host = "127.0.0.1"
				res, err := ts.Client().Do(r)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != bc.want {
					b.Fatalf("status: got %d, want %d", res.StatusCode, bc.want)
				}
			}
		})
	}
}
