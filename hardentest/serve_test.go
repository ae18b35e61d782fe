package hardentest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/hardentest"
	"github.com/hardenmcp/harden/ratelimit"
)

// versions are those that are served by default.
var versions = []string{"2025-11-25", "2026-07-28"}

type greeting struct {
	Name string `json:"name"`
}

// newServer has one of each.
func newServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "greet"}, func(ctx context.Context, _ *mcp.CallToolRequest, in greeting) (*mcp.CallToolResult, any, error) {
		caller, ok := harden.Caller(ctx)
		if !ok {
			return nil, nil, errors.New("no caller")
		}
		text := fmt.Sprintf("%s greets %s", caller.Subject, in.Name)
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
	})
	s.AddPrompt(&mcp.Prompt{Name: "hello"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: "hello"}}}}, nil
	})
	s.AddResource(&mcp.Resource{URI: "test:///x", Name: "x"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "test:///x", Text: "x"}}}, nil
	})
	return s
}

func connect(t *testing.T, e *hardentest.Endpoint, token, version string) *mcp.ClientSession {
	t.Helper()
	session, err := e.Client(t.Context(), token, version)
	if err != nil {
		t.Fatalf("%s: %v", version, err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

func greet(ctx context.Context, s *mcp.ClientSession) (string, error) {
	res, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "greet", Arguments: greeting{"Bob"}})
	if err != nil {
		return "", err
	}
	return res.Content[0].(*mcp.TextContent).Text, nil
}

func TestServePermitsWhatTheServerHas(t *testing.T) {
	e := hardentest.Serve(t, newServer())
	for _, version := range versions {
		s := connect(t, e, e.Token(hardentest.Subject("alice")), version)
		if got := s.InitializeResult().ProtocolVersion; got != version {
			t.Errorf("version: got %s, want %s", got, version)
		}
		if got, err := greet(t.Context(), s); got != "alice greets Bob" || err != nil {
			t.Errorf("%s: tool: got %q, %v", version, got, err)
		}
		if _, err := s.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "hello"}); err != nil {
			t.Errorf("%s: prompt: %v", version, err)
		}
		if _, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "test:///x"}); err != nil {
			t.Errorf("%s: resource: %v", version, err)
		}
	}
	called := e.Audit.Find(map[string]any{"method": "tools/call", "outcome": "allowed", "subject": "alice"})
	if len(called) != len(versions) {
		t.Errorf("audit: got %d allowed calls, want %d: %v", len(called), len(versions), e.Audit.Records())
	}
}

func TestServeAnEmptyServer(t *testing.T) {
	e := hardentest.Serve(t, mcp.NewServer(&mcp.Implementation{Name: "empty", Version: "1"}, nil))
	for _, version := range versions {
		connect(t, e, e.Token(), version)
	}
}

func TestServeRefusesWithoutAToken(t *testing.T) {
	e := hardentest.Serve(t, newServer())
	for _, version := range versions {
		if s, err := e.Client(t.Context(), "", version); err == nil {
			t.Errorf("%s: connected", version)
			_ = s.Close()
		}
	}
	if got := len(e.Audit.Find(map[string]any{"reason": "unauthenticated"})); got < len(versions) {
		t.Errorf("audit: got %d refusals, want at least %d", got, len(versions))
	}
}

// Every bad token meets the whole guard, not the verifier alone.
func TestServeRefusesEveryBadToken(t *testing.T) {
	e := hardentest.Serve(t, newServer(), harden.WithLimits(ratelimit.Config{
		Peer: ratelimit.Rate{Requests: 10_000, Per: time.Second, Burst: 10_000},
	}))
	for _, bad := range hardentest.BadTokens(e.Issuer, e.URL) {
		status, body := post(t, e, bad.Token)
		want := http.StatusUnauthorized
		switch {
		case len(bad.Token) > 16<<10:
			want = http.StatusRequestHeaderFieldsTooLarge // the bound of the headers comes first
		case strings.ContainsAny(bad.Token, `{,%`):
			want = http.StatusBadRequest // not a bearer token at all (RFC 6750 section 3.1)
		}
		if status != want {
			t.Errorf("%s: got %d, want %d (%s)", bad.Name, status, want, bad.Rule)
		}
		if strings.Contains(body, "greets") || strings.Contains(body, "auth:") {
			t.Errorf("%s: the body tells too much: %s", bad.Name, body)
		}
	}
	if status, body := post(t, e, e.Token()); status != http.StatusOK {
		t.Errorf("good token: got %d %s, want 200", status, body)
	}
}

func post(t *testing.T, e *hardentest.Endpoint, token string) (int, string) {
	t.Helper()
	const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"greet","arguments":{"name":"Bob"},` +
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("MCP-Protocol-Version", "2026-07-28")
	r.Header.Set("Mcp-Method", "tools/call")
	r.Header.Set("Mcp-Name", "greet")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}

func TestServeAuthUsesTheRulesGiven(t *testing.T) {
	e := hardentest.ServeAuth(t, newServer(), func(cfg *auth.Config) {
		cfg.Rules = []auth.Rule{auth.Permit("tool:greet").Scopes("greet")}
	})
	for _, version := range versions {
		with := connect(t, e, e.Token(hardentest.Scopes("greet")), version)
		if got, err := greet(t.Context(), with); got != "alice greets Bob" || err != nil {
			t.Errorf("%s: with the scope: got %q, %v", version, got, err)
		}
		without := connect(t, e, e.Token(hardentest.Scopes("greet2")), version)
		if got, err := greet(t.Context(), without); err == nil {
			t.Errorf("%s: without the scope: got %q", version, got)
		}
		if _, err := with.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "hello"}); err == nil {
			t.Errorf("%s: a prompt that no rule permits was got", version)
		}
	}
	if got := len(e.Audit.Find(map[string]any{"reason": "insufficient_scope", "name": "greet"})); got != len(versions) {
		t.Errorf("audit: got %d refusals for scope, want %d", got, len(versions))
	}
}

func TestServeOutlivesAnOutage(t *testing.T) {
	e := hardentest.Serve(t, newServer())
	if status, body := post(t, e, e.Token()); status != http.StatusOK {
		t.Fatalf("before: got %d %s, want 200", status, body)
	}
	e.Issuer.Outage(true)
	if status, body := post(t, e, e.Token()); status != http.StatusOK {
		t.Errorf("in an outage, with a known key: got %d %s, want 200", status, body)
	}
}

func TestServeFollowsARotation(t *testing.T) {
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	e := hardentest.ServeAuth(t, newServer(), func(cfg *auth.Config) {
		cfg.Now = now
		cfg.Rules = []auth.Rule{auth.Permit("tool:greet")}
	})
	e.Issuer.Now = now
	before := e.Token()
	if status, body := post(t, e, before); status != http.StatusOK {
		t.Fatalf("before: got %d %s, want 200", status, body)
	}
	e.Issuer.Rotate()
	ahead.Store(int64(2 * time.Second)) // past auth.Keys.Throttle
	if status, body := post(t, e, e.Token()); status != http.StatusOK {
		t.Errorf("a token of the new key: got %d %s, want 200", status, body)
	}
	foreign := hardentest.NewIssuer(t).Token(hardentest.Audience(e.URL), hardentest.Claim("iss", e.Issuer.URL()))
	if status, _ := post(t, e, foreign); status != http.StatusUnauthorized {
		t.Errorf("a token of another issuer's key: got %d, want 401", status)
	}
}

func TestServeTokenIsForThisServerUnlessToldOtherwise(t *testing.T) {
	e := hardentest.Serve(t, newServer())
	for _, tc := range []struct {
		name  string
		token string
		want  int
	}{
		{"by default", e.Token(), http.StatusOK},
		{"with several audiences", e.Token(hardentest.Audience("https://other.example", e.URL)), http.StatusOK},
		{"for another server", e.Token(hardentest.Audience("https://other.example")), http.StatusUnauthorized},
		{"expired", e.Token(hardentest.Lifetime(-time.Hour)), http.StatusUnauthorized},
		{"of the issuer, for no server", e.Issuer.Token(), http.StatusUnauthorized},
	} {
		if got, body := post(t, e, tc.token); got != tc.want {
			t.Errorf("%s: got %d %s, want %d", tc.name, got, body, tc.want)
		}
	}
}

func TestServersDoNotTrustEachOther(t *testing.T) {
	a, b := hardentest.Serve(t, newServer()), hardentest.Serve(t, newServer())
	if got, _ := post(t, a, b.Token()); got != http.StatusUnauthorized {
		t.Errorf("a token of the other server: got %d, want 401", got)
	}
	if got, _ := post(t, a, b.Issuer.Token(hardentest.Audience(a.URL))); got != http.StatusUnauthorized {
		t.Errorf("a token of the other's issuer: got %d, want 401", got)
	}
	if got := b.Audit.Find(map[string]any{"kind": "refusal"}); len(got) != 0 {
		t.Errorf("the other's audit log: got %v, want nothing", got)
	}
}

func TestServeEndsItsGuardWithTheTest(t *testing.T) {
	var e *hardentest.Endpoint
	t.Run("a test", func(t *testing.T) {
		e = hardentest.Serve(t, newServer())
		// A stream that is left open does not keep the test from ending.
		if _, err := e.Client(t.Context(), e.Token(), "2025-11-25"); err != nil {
			t.Fatal(err)
		}
	})
	if got := len(e.Audit.Find(map[string]any{"kind": "stop"})); got != 1 {
		t.Errorf("stop records: got %d, want 1", got)
	}
	if _, err := http.Get(e.URL); err == nil {
		t.Error("the server still answers")
	}
}

func ExampleServe() {
	t := new(testing.T) // the t of a test
	_ = func() {
		e := hardentest.Serve(t, newServer())
		session, err := e.Client(t.Context(), e.Token(hardentest.Subject("alice")), "2026-07-28")
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
	}
}

func ExampleServeAuth() {
	t := new(testing.T) // the t of a test
	_ = func() {
		e := hardentest.ServeAuth(t, newServer(), func(cfg *auth.Config) {
			cfg.Rules = []auth.Rule{auth.Permit("tool:greet").Scopes("greet")}
		})
		_, err := e.Client(t.Context(), e.Token(hardentest.Scopes("greet")), "2026-07-28")
		if err != nil {
			t.Error(err)
		}
	}
}
