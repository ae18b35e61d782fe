package harden_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden"
	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/audit"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/insecure"
	"github.com/hardenmcp/harden/ratelimit"
	"github.com/hardenmcp/harden/session"
	"github.com/hardenmcp/harden/validate"
)

func notesServer() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "1"}, nil)
	type in struct {
		Title string `json:"title" jsonschema:"which note"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "read_note"}, func(ctx context.Context, _ *mcp.CallToolRequest, in in) (*mcp.CallToolResult, any, error) {
		caller, _ := harden.Caller(ctx)
		if in.Title == "" {
			// The model sees this text; without Safe it would not.
			return nil, nil, access.Safe(errors.New("the title is empty"))
		}
		slog.Info("read", "user", caller.Subject, "call", harden.CorrelationID(ctx))
		return &mcp.CallToolResult{}, nil, nil
	})
	return server
}

func notesAuth() auth.Config {
	return auth.Config{
		Resource: "https://notes.example/mcp",
		Issuers:  []auth.Issuer{{URL: "https://login.example"}},
		Rules:    []auth.Rule{auth.Permit("tool:read_note").Scopes("notes.read")},
	}
}

func Example() {
	guard, err := harden.New(
		harden.WithAuth(notesAuth()),
		harden.WithAudit(audit.Config{Handlers: []slog.Handler{slog.DiscardHandler}}),
	)
	if err != nil {
		log.Fatal(err)
	}
	handler, err := guard.Handler(notesServer())
	if err != nil {
		log.Fatal(err)
	}
	srv, err := harden.Server("127.0.0.1:8080", handler)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(srv.Addr, len(guard.Waivers()))
	// then: srv.ListenAndServe()
	// Output: 127.0.0.1:8080 0
}

// Every option; each of them may be left out but for WithAuth.
func ExampleNew() {
	guard, err := harden.New(
		harden.WithAuth(notesAuth()),
		harden.WithVersions("2026-07-28"),
		harden.WithHTTP(harden.HTTP{
			Origins:        []string{"https://app.example"},
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")},
		}),
		harden.WithLimits(ratelimit.Config{Caller: ratelimit.Rate{Requests: 10, Per: time.Second, Burst: 20}}),
		harden.WithSessions(session.Config{PerUser: 4}),
		harden.WithValidation(validate.Config{Limits: validate.Limits{Bytes: 64 << 10}}),
		harden.WithBounds(harden.Bounds{Call: 10 * time.Second}),
		harden.WithAudit(audit.Config{Handlers: []slog.Handler{slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})}}),
	)
	fmt.Println(guard != nil, err)
	// Output: true <nil>
}

func ExampleWithoutAuth() {
	guard, err := harden.New(
		harden.WithoutAuth(insecure.Because("single-user server on a developer's machine")),
		harden.WithAudit(audit.Config{Handlers: []slog.Handler{slog.DiscardHandler}}),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(guard.Waivers())
	// Output: [WithoutAuth: single-user server on a developer's machine]
}

// A server in any language, behind a reverse proxy.
func ExampleGuard_Wrap() {
	guard, err := harden.New(
		harden.WithAuth(notesAuth()),
		harden.WithAudit(audit.Config{Handlers: []slog.Handler{slog.DiscardHandler}}),
	)
	if err != nil {
		log.Fatal(err)
	}
	inner := &url.URL{Scheme: "http", Host: "127.0.0.1:3000"}
	handler, err := guard.Wrap(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(inner) },
	})
	fmt.Println(handler != nil, err)
	// Output: true <nil>
}

// Over stdio nobody authenticates: the application says who calls.
func ExampleGuard_Stdio() {
	guard, err := harden.New(harden.WithPrincipal(access.Principal{
		Issuer:  "os",
		Subject: "uid:" + fmt.Sprint(os.Getuid()),
	}))
	if err != nil {
		log.Fatal(err)
	}
	if err := guard.Stdio(context.Background(), notesServer()); err != nil {
		log.Fatal(err)
	}
}

func ExampleServer() {
	// TLS ends here:
	_, err := harden.Server(":443", nil, harden.ServeTLS(&tls.Config{}))
	fmt.Println(err)
	// TLS ends at a proxy:
	_, err = harden.Server("10.0.0.5:8080", nil, harden.BehindProxy(netip.MustParsePrefix("10.0.0.0/24")))
	fmt.Println(err)
	// Output:
	// harden: Server needs a handler
	// harden: Server needs a handler
}
