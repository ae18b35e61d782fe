package hardentest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden"
	"github.com/hardenmcp/harden/audit"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/insecure"
)

// An Endpoint is a guarded server on loopback. Make one with [Serve] or
// [ServeAuth]; it ends with the test.
type Endpoint struct {
	// URL is where the server is, and the audience of its tokens.
	URL string
	// Issuer is the one identity provider that it trusts.
	Issuer *Issuer
	// Audit keeps its audit records.
	Audit *Recorder
	// Guard is the guard itself.
	Guard *harden.Guard
}

// Serve guards server and serves it over HTTP on loopback, with an identity
// provider of its own. Every tool, prompt and resource that server has is
// permitted to every caller with a good token; everything else is as strict as
// [harden.New] makes it, budgets included. opts must not hold harden.WithAuth
// or harden.WithAudit, which Serve gives itself. Any error ends the test.
func Serve(tb testing.TB, server *mcp.Server, opts ...harden.Option) *Endpoint {
	tb.Helper()
	permit, err := everything(tb.Context(), server)
	if err != nil {
		tb.Fatalf("hardentest: what the server has: %v", err)
	}
	return ServeAuth(tb, server, func(cfg *auth.Config) { cfg.Rules = permit }, opts...)
}

// ServeAuth is [Serve] for a server whose permissions are part of the test:
// change gets the configuration as it would be used, without a single rule, and
// sets its rules, baseline scopes, clock or limits.
func ServeAuth(tb testing.TB, server *mcp.Server, change func(*auth.Config), opts ...harden.Option) *Endpoint {
	tb.Helper()
	// The address is part of the configuration, so the listener comes first.
	var handler atomic.Pointer[http.Handler]
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := handler.Load()
		if h == nil {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		(*h).ServeHTTP(w, r)
	}))
	e := &Endpoint{URL: ts.URL + "/mcp", Issuer: NewIssuer(tb), Audit: new(Recorder)}
	h, err := e.guard(server, change, opts)
	if err != nil {
		ts.Close()
		tb.Fatalf("hardentest: %v", err)
	}
	handler.Store(&h)
	tb.Cleanup(func() { e.close(tb, ts) })
	return e
}

func (e *Endpoint) guard(server *mcp.Server, change func(*auth.Config), opts []harden.Option) (http.Handler, error) {
	cfg := auth.Config{
		Resource: e.URL,
		Issuers:  []auth.Issuer{{URL: e.Issuer.URL()}},
		Keys:     auth.Keys{Throttle: time.Second},
		Loopback: insecure.Because("a test has its identity provider on loopback"),
	}
	change(&cfg)
	guard, err := harden.New(append([]harden.Option{
		harden.WithAuth(cfg),
		harden.WithAudit(audit.Config{Handlers: []slog.Handler{e.Audit}}),
	}, opts...)...)
	if err != nil {
		return nil, err
	}
	e.Guard = guard
	return guard.Handler(server)
}

// close ends the guard first: it ends the streams that the server would wait
// for.
func (e *Endpoint) close(tb testing.TB, ts *httptest.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := e.Guard.Close(ctx); err != nil {
		tb.Errorf("hardentest: closing the guard: %v", err)
	}
	ts.CloseClientConnections()
	ts.Close()
}

// Token issues a token for this server: [Issuer.Token] with its URL as the
// audience, unless opts say otherwise.
func (e *Endpoint) Token(opts ...TokenOption) string {
	return e.Issuer.Token(append([]TokenOption{Audience(e.URL)}, opts...)...)
}

// Client connects an SDK client that sends token as its bearer token, "" for
// none, and asks for the protocol version, "" for the newest. The session has
// to be closed before the test ends.
func (e *Endpoint) Client(ctx context.Context, token, version string) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "hardentest", Version: "1"}, nil)
	return client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint:   e.URL,
		HTTPClient: &http.Client{Transport: bearer(token)},
		MaxRetries: -1,
	}, &mcp.ClientSessionOptions{ProtocolVersion: version})
}

// bearer is a token that is sent with every request.
type bearer string

// RoundTrip implements [http.RoundTripper].
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if b != "" {
		r.Header.Set("Authorization", "Bearer "+string(b))
	}
	return http.DefaultTransport.RoundTrip(r)
}

// everything returns rules that permit what server has. A rule that matches
// nothing is an error of the guard, so there are only rules that match.
func everything(ctx context.Context, server *mcp.Server) ([]auth.Rule, error) {
	there, here := mcp.NewInMemoryTransports()
	ss, err := server.Connect(ctx, there, nil)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer ss.Close()
	client := mcp.NewClient(&mcp.Implementation{Name: "hardentest", Version: "1"}, nil)
	cs, err := client.Connect(ctx, here, nil)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer cs.Close()
	rules := []auth.Rule{auth.Permit("resource:*")}
	caps := cs.InitializeResult().Capabilities
	if caps.Tools != nil && has(cs.Tools(ctx, nil)) {
		rules = append(rules, auth.Permit("tool:*"))
	}
	if caps.Prompts != nil && has(cs.Prompts(ctx, nil)) {
		rules = append(rules, auth.Permit("prompt:*"))
	}
	return rules, nil
}

// has reports whether a list has a first item that could be read.
func has[T any](list func(yield func(T, error) bool)) bool {
	for _, err := range list {
		return err == nil
	}
	return false
}
