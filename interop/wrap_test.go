package interop_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mcpgo "github.com/mark3labs/mcp-go/mcp"
	mcpgoserver "github.com/mark3labs/mcp-go/server"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden"
	"github.com/hardenmcp/harden/audit"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/hardentest"
	"github.com/hardenmcp/harden/insecure"
)

// guard puts a guard that permits "echo" alone in front of inner.
func guard(t *testing.T, inner http.Handler) *hardentest.Endpoint {
	t.Helper()
	e := &hardentest.Endpoint{Issuer: hardentest.NewIssuer(t), Audit: new(hardentest.Recorder)}
	var h atomic.Pointer[http.Handler]
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*h.Load()).ServeHTTP(w, r) }))
	e.URL = ts.URL + "/mcp"
	g, err := harden.New(
		harden.WithAuth(auth.Config{
			Resource: e.URL,
			Issuers:  []auth.Issuer{{URL: e.Issuer.URL()}},
			Rules:    []auth.Rule{auth.Permit("tool:echo")},
			Loopback: insecure.Because("a test"),
		}),
		harden.WithAudit(audit.Config{Handlers: []slog.Handler{e.Audit}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := g.Wrap(inner)
	if err != nil {
		t.Fatal(err)
	}
	h.Store(&wrapped)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = g.Close(ctx)
		ts.CloseClientConnections()
		ts.Close()
	})
	return e
}

// mcpGo is a server of mark3labs/mcp-go.
func mcpGo(opts ...mcpgoserver.StreamableHTTPOption) http.Handler {
	s := mcpgoserver.NewMCPServer("other", "1", mcpgoserver.WithToolCapabilities(true))
	text := func(out string) mcpgoserver.ToolHandlerFunc {
		return func(_ context.Context, r mcpgo.CallToolRequest) (*mcpgo.CallToolResult, error) {
			if in := r.GetString("text", ""); in != "" {
				out = in
			}
			return mcpgo.NewToolResultText(out), nil
		}
	}
	s.AddTool(mcpgo.NewTool("echo", mcpgo.WithString("text", mcpgo.Required())), text(""))
	s.AddTool(mcpgo.NewTool("secret"), text("TOP SECRET"))
	return mcpgoserver.NewStreamableHTTPServer(s, opts...)
}

// typescript starts ts/server.mjs and returns a proxy to it.
func typescript(t *testing.T, mode string) http.Handler {
	t.Helper()
	cmd := exec.Command("node", "server.mjs", mode)
	cmd.Dir = "ts"
	stdin, err := cmd.StdinPipe() // it ends when this is closed
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("node, which make test installs: %v", err)
	}
	t.Cleanup(func() { stdin.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		t.Fatalf("ts/server.mjs: %v\n%s", err, stderr.String())
	}
	target := &url.URL{Scheme: "http", Host: "127.0.0.1:" + strings.TrimSpace(port)}
	return &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if r.In.Header.Get("Authorization") != "" {
				t.Error("the token reached the inner server")
			}
		},
	}
}

// The inner servers, each with the version of the protocol that it speaks.
func servers(t *testing.T) map[string]struct {
	handler http.Handler
	version string
} {
	type server = struct {
		handler http.Handler
		version string
	}
	return map[string]server{
		"mcp-go/sessions":       {mcpGo(mcpgoserver.WithStateful(true)), "2025-11-25"},
		"mcp-go/stateless":      {mcpGo(mcpgoserver.WithStateLess(true)), "2025-11-25"},
		"mcp-go/2026-07-28":     {mcpGo(mcpgoserver.WithStateLess(true)), "2026-07-28"},
		"typescript/sessions":   {typescript(t, "sessions"), "2025-11-25"},
		"typescript/2026-07-28": {typescript(t, "stateless"), "2026-07-28"},
	}
}

func TestWrapGuardsServersOfOtherMakers(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			e := guard(t, s.handler)
			cs, err := e.Client(t.Context(), e.Token(), s.version)
			if err != nil {
				t.Fatal(err)
			}
			defer cs.Close()
			if got := cs.InitializeResult().ProtocolVersion; got != s.version {
				t.Errorf("version: got %s, want %s", got, s.version)
			}
			var names []string
			for tool, err := range cs.Tools(t.Context(), nil) {
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, tool.Name)
			}
			if !slices.Equal(names, []string{"echo"}) {
				t.Errorf("tools: got %v, want echo alone", names)
			}
			checkCalls(t, cs)
			if len(e.Audit.Find(map[string]any{"method": "tools/call", "outcome": "refused", "rule": "schema"})) != 1 {
				t.Errorf("audit: got %v, want the schema violation", e.Audit.Records())
			}
			if _, err := e.Client(t.Context(), e.Issuer.Token(hardentest.Audience("https://other.example")), s.version); err == nil {
				t.Error("a token for another server was let in")
			}
		})
	}
}

func checkCalls(t *testing.T, cs *mcp.ClientSession) {
	t.Helper()
	call := func(name string, args map[string]any) (*mcp.CallToolResult, error) {
		return cs.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: args})
	}
	res, err := call("echo", map[string]any{"text": "hi"})
	if err != nil || res.IsError || res.Content[0].(*mcp.TextContent).Text != "hi" {
		t.Errorf("echo: got %+v, %v", res, err)
	}
	res, err = call("echo", map[string]any{"text": 7})
	if err != nil || !res.IsError {
		t.Errorf("schema: got %+v, %v, want a tool execution error", res, err)
	}
	if res, err = call("secret", nil); err == nil {
		t.Errorf("secret: got %+v, want a refusal", res)
	}
}

func TestWrapBindsSessionsOfOtherMakers(t *testing.T) {
	for name, s := range servers(t) {
		if s.version != "2025-11-25" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			e := guard(t, s.handler)
			alice, bob := e.Token(), e.Token(hardentest.Subject("bob"))
			id := open(t, e, alice)
			if status := call(t, e, alice, id); status != http.StatusOK {
				t.Errorf("alice: got %d, want 200", status)
			}
			if status := call(t, e, bob, id); status != http.StatusNotFound {
				t.Errorf("bob on alice's session: got %d, want 404", status)
			}
		})
	}
}

func send(t *testing.T, e *hardentest.Endpoint, token, session, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Authorization", "Bearer "+token)
	if session != "" {
		r.Header.Set("Mcp-Session-Id", session)
		r.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res
}

func open(t *testing.T, e *hardentest.Endpoint, token string) string {
	t.Helper()
	res := send(t, e, token, "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	if res.Header.Get("Mcp-Session-Id") == "" {
		t.Fatalf("initialize: got %d %v", res.StatusCode, res.Header)
	}
	send(t, e, token, res.Header.Get("Mcp-Session-Id"), `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return res.Header.Get("Mcp-Session-Id")
}

func call(t *testing.T, e *hardentest.Endpoint, token, session string) int {
	t.Helper()
	return send(t, e, token, session, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}`).StatusCode
}

// The client of the TypeScript SDK, in front of a guarded server of the Go SDK
// and of one behind Wrap.
func TestTypeScriptClient(t *testing.T) {
	s := mcp.NewServer(&mcp.Implementation{Name: "go", Version: "1"}, nil)
	type in struct {
		Text string `json:"text"`
	}
	mcp.AddTool(s, &mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.CallToolRequest, in in) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: in.Text}}}, nil, nil
	})
	mcp.AddTool(s, &mcp.Tool{Name: "secret"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return nil, nil, errors.New("TOP SECRET")
	})
	for name, e := range map[string]*hardentest.Endpoint{
		"Handler": hardentest.ServeAuth(t, s, func(c *auth.Config) { c.Rules = []auth.Rule{auth.Permit("tool:echo")} }),
		"Wrap":    guard(t, typescript(t, "stateless")),
	} {
		cmd := exec.CommandContext(t.Context(), "node", "client.mjs", e.URL, e.Token())
		cmd.Dir = "ts"
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v %s", name, err, out)
		}
		var got struct {
			Tools   []string
			Echo    string
			Invalid bool
			Secret  string
			Error   string
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		if got.Error != "" || !slices.Equal(got.Tools, []string{"echo"}) || got.Echo != "hi" || !got.Invalid || got.Secret != "-32602" {
			t.Errorf("%s: got %s", name, out)
		}
	}
}
