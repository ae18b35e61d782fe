package harden_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden"
	"github.com/hardenmcp/harden/audit"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/hardentest"
	"github.com/hardenmcp/harden/insecure"
)

// wrapped guards any handler, on loopback.
func wrapped(t *testing.T, inner http.Handler, opts ...harden.Option) *hardentest.Endpoint {
	t.Helper()
	e := &hardentest.Endpoint{Issuer: hardentest.NewIssuer(t), Audit: new(hardentest.Recorder)}
	var h atomic.Pointer[http.Handler]
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*h.Load()).ServeHTTP(w, r) }))
	t.Cleanup(ts.Close)
	e.URL = ts.URL + "/mcp"
	cfg := auth.Config{
		Resource: e.URL,
		Issuers:  []auth.Issuer{{URL: e.Issuer.URL()}},
		Loopback: insecure.Because("a test"),
	}
	rules(&cfg)
	g, err := harden.New(append([]harden.Option{
		harden.WithAuth(cfg),
		harden.WithAudit(audit.Config{Handlers: []slog.Handler{e.Audit}}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	e.Guard = g
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	handler, err := g.Wrap(inner)
	if err != nil {
		t.Fatal(err)
	}
	h.Store(&handler)
	return e
}

// The inner servers here are bare servers of the SDK: real MCP, and nothing of
// the guard's middleware in them. Servers of other makers are tried in the
// conformance module.

func TestWrapRunsTheSameStages(t *testing.T) {
	s := newTestServer()
	e := wrapped(t, bareStateless(s.Server))
	echoes(t, ask(t, e, "tools/call", "echo", echoHi))

	got := ask(t, e, "tools/call", "raw", `"name":"raw","arguments":{"n":"str"}`)
	if !strings.Contains(got.body, `"isError":true`) || s.ran.Load() != 1 {
		t.Errorf("schema: got %s, ran %d, want a tool execution error", got.body, s.ran.Load())
	}
	hidden := ask(t, e, "tools/call", "secret", `"name":"secret","arguments":{}`)
	refusedWith(t, e, hidden, http.StatusBadRequest, -32602, "not_found", "permit")
	noScope := ask(t, e, "tools/call", "schedule", `"name":"schedule","arguments":{"title":"x","n":1}`, header("Authorization", "Bearer "+e.Token()))
	refusedWith(t, e, noScope, http.StatusForbidden, 403, "insufficient_scope", "scope")
	list := ask(t, e, "tools/list", "", "")
	if strings.Contains(list.body, `"secret"`) || !strings.Contains(list.body, `"echo"`) || strings.Contains(list.body, `"public"`) {
		t.Errorf("list: got %s, want it filtered and private", list.body)
	}
	crash := ask(t, e, "tools/call", "absent", `"name":"absent","arguments":{}`)
	refusedWith(t, e, crash, http.StatusBadRequest, -32602, "not_found", "permit")
	if h := s.header.Load(); h.Get("Authorization") != "" {
		t.Error("the token reached the inner server")
	}
}

func TestWrapBindsSessions(t *testing.T) {
	s := newTestServer()
	for name, inner := range map[string]http.Handler{
		"JSON": bareStateful(s.Server),
		"events": mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s.Server },
			&mcp.StreamableHTTPOptions{DisableLocalhostProtection: true}),
	} {
		e := wrapped(t, inner)
		alice, bob := e.Token(), e.Token(hardentest.Subject("bob"))
		id := open(t, e, alice)
		for ss := range s.Sessions() {
			if ss.ID() == id {
				t.Errorf("%s: the peer got the inner server's session ID", name)
			}
		}
		echoes(t, post(t, e, alice, id, legacyEcho))
		got := post(t, e, alice, id, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
		if got.status != http.StatusAccepted {
			t.Errorf("%s: notification got %d, want 202", name, got.status)
		}
		refusedWith(t, e, post(t, e, bob, id, legacyEcho), http.StatusNotFound, 404, "not_found", "session")
		ended := post(t, e, alice, id, "", func(r *http.Request) { r.Method = http.MethodDelete })
		if ended.status != http.StatusNoContent {
			t.Errorf("%s: DELETE got %d, want 204", name, ended.status)
		}
		refusedWith(t, e, post(t, e, alice, id, legacyEcho), http.StatusNotFound, 404, "not_found", "session")
	}
}

// A hostile inner server must not leak through the guard, nor break it.
func TestWrapDistrustsTheInnerServer(t *testing.T) {
	for _, tc := range []struct {
		name        string
		contentType string
		status      int
		body        string
		code        int64
	}{
		{"error text", "application/json", 200, `{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"db 10.1.2.3 SECRET"}}`, -32603},
		{"unknown code", "application/json", 200, `{"jsonrpc":"2.0","id":1,"error":{"code":7,"message":"SECRET"}}`, -32603},
		{"plain text error", "text/plain", 502, "upstream SECRET", -32603},
		{"empty", "application/json", 200, ``, -32603},
		{"other id", "application/json", 200, `{"jsonrpc":"2.0","id":9,"result":{"SECRET":1}}`, -32603},
		{"events without a response", "text/event-stream", 200, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n", -32603},
		{"too long", "application/json", 200, `{"jsonrpc":"2.0","id":1,"result":{"x":"` + strings.Repeat("y", 4096) + `"}}`, 413},
		{"endless event", "text/event-stream", 200, "data: " + strings.Repeat("y", 4096), 413},
		{"not JSON", "application/json", 200, `SECRET`, -32603},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := wrapped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", tc.contentType)
				w.Header().Set("Set-Cookie", "SECRET=1")
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			}), harden.WithBounds(harden.Bounds{ResultBytes: 2048}))
			got := ask(t, e, "tools/list", "", "")
			if got.rpc.Error == nil && !strings.Contains(got.body, `"error"`) {
				t.Fatalf("got %d %s, want an error", got.status, got.body)
			}
			if !strings.Contains(got.body, fmt.Sprintf(`"code":%d`, tc.code)) {
				t.Errorf("got %s, want code %d", got.body, tc.code)
			}
			if strings.Contains(got.body, "SECRET") || got.header.Get("Set-Cookie") != "" {
				t.Errorf("leaks: %s %v", got.body, got.header)
			}
		})
	}
}

func TestWrapSurvivesAPanic(t *testing.T) {
	e := wrapped(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("SECRET") }))
	got := ask(t, e, "tools/list", "", "")
	if got.rpc.Error == nil || got.rpc.Error.Code != -32603 || strings.Contains(got.body, "SECRET") {
		t.Errorf("got %d %s, want an internal error", got.status, got.body)
	}
}

func TestWrapPassesEventsOn(t *testing.T) {
	s := bareServer(addTool("echo", func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		_ = r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: "p", Progress: 1})
		return text("hi"), nil
	}))
	e := wrapped(t, bareStateless(s))
	got := ask(t, e, "tools/call", "echo", `"name":"echo","arguments":{}`)
	if strings.Count(got.body, "data: ") != 2 || !strings.Contains(got.body, "notifications/progress") {
		t.Errorf("got %s, want the notification and the result", got.body)
	}
}

// An inner session whose peer is gone must not stay: the guard ends it where
// the inner server listens.
func TestWrapEndsInnerSessions(t *testing.T) {
	var deleted atomic.Pointer[http.Request]
	inner := bareStateful(newTestServer().Server)
	e := wrapped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			deleted.Store(r)
		}
		inner.ServeHTTP(w, r)
	}))
	id := open(t, e, e.Token())
	if err := e.Guard.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := deleted.Load()
	if r == nil || r.URL.Path != "/mcp" || r.Header.Get("Mcp-Session-Id") == "" || r.Header.Get("Mcp-Session-Id") == id {
		t.Errorf("got %+v, want a DELETE of the inner session at the endpoint", r)
	}
}
