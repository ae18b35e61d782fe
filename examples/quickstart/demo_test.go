package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The demo is a test: it fails when a row is not as expected.
func TestDemo(t *testing.T) {
	slog.SetLogLoggerLevel(slog.LevelError)
	var out bytes.Buffer
	if err := runDemo(t.Context(), &out); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// Every row about a refusal must fail against the same server without the
// guard, or it shows nothing.
func TestRefusalsFailWithoutTheGuard(t *testing.T) {
	slog.SetLogLoggerLevel(slog.LevelError)
	s, err := start("127.0.0.1:0", "127.0.0.1:0", slog.DiscardHandler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.stop() })
	server := newServer()
	server.RemoveTools("crash") // it would end the test
	bare := httptest.NewServer(mcp.NewStreamableHTTPHandler(
		func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true}))
	t.Cleanup(bare.Close)
	rows, err := script(&peer{ctx: t.Context(), resource: bare.URL, issuer: s.issuer})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.want.outcome != "refused" || r.name == "flood" {
			continue
		}
		o, err := r.run()
		if err != nil {
			continue
		}
		if o.status == r.want.status && o.toolError == r.want.toolError {
			t.Errorf("%s: got %d without the guard too", r.name, o.status)
		}
	}
}

func TestRowsThatAreNotAsExpectedAreFound(t *testing.T) {
	w := want{status: 401, code: 401, outcome: "refused", reason: "unauthenticated", challenge: "Bearer"}
	good := observed{status: 401, code: 401, challenge: "Bearer x"}
	line := auditLine{Outcome: "refused", Reason: "unauthenticated"}
	for _, tc := range []struct {
		name   string
		change func(*observed, *auditLine)
		faults int
	}{
		{"as expected", func(*observed, *auditLine) {}, 0},
		{"another status", func(o *observed, _ *auditLine) { o.status = 200 }, 1},
		{"another code", func(o *observed, _ *auditLine) { o.code = 0 }, 1},
		{"no challenge", func(o *observed, _ *auditLine) { o.challenge = "" }, 1},
		{"a tool error", func(o *observed, _ *auditLine) { o.toolError = true }, 1},
		{"no audit record", func(_ *observed, l *auditLine) { *l = auditLine{} }, 2},
		{"a secret in the answer", func(o *observed, _ *auditLine) { o.message = "hunter2" }, 1},
	} {
		o, l := good, line
		tc.change(&o, &l)
		if got := compare(w, o, l); len(got) != tc.faults {
			t.Errorf("%s: got %v, want %d faults", tc.name, got, tc.faults)
		}
	}
}

func TestAnswersAreReadFromJSONAndFromStreams(t *testing.T) {
	for _, tc := range []struct {
		name, contentType, body string
		want                    observed
	}{
		{"a result", "application/json", `{"result":{"content":[{"text":"hi"}]}}`, observed{message: "hi"}},
		{"an error", "application/json", `{"error":{"code":7,"message":"no"}}`, observed{code: 7, message: "no"}},
		{"the last event of a stream", "text/event-stream", "data: {}\n\nevent: message\ndata: {\"result\":{\"isError\":true}}\n\n", observed{toolError: true}},
		{"text", "text/plain", "oops", observed{message: "oops"}},
	} {
		resp := &http.Response{Header: http.Header{"Content-Type": {tc.contentType}}}
		if got := observe(resp, []byte(tc.body)); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestServeRunsUntilItIsInterrupted(t *testing.T) {
	slog.SetLogLoggerLevel(slog.LevelError)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var out bytes.Buffer
	if err := runServer(ctx, &out, "127.0.0.1:0", "127.0.0.1:0"); err != nil {
		t.Error(err)
	}
	for _, part := range []string{"/token", "/mcp", modern, legacy, "inspector"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the usage lacks %q:\n%s", part, out.String())
		}
	}
}

func TestIdentityProviderRefuses(t *testing.T) {
	slog.SetLogLoggerLevel(slog.LevelError)
	s, err := start("127.0.0.1:0", "127.0.0.1:0", slog.DiscardHandler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.stop() })
	p := &peer{ctx: t.Context(), resource: s.resource, issuer: s.issuer}
	for _, tc := range []struct {
		name, client, resource string
		ok                     bool
	}{
		{"a known client", "alice", s.resource, true},
		{"an unknown client", "mallory", s.resource, false},
		{"a token for no server", "alice", "", false},
	} {
		if _, err := p.getToken(tc.client, tc.resource, "notes.read"); (err == nil) != tc.ok {
			t.Errorf("%s: got %v, want ok %v", tc.name, err, tc.ok)
		}
	}
}
