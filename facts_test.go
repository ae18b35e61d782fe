package harden_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The facts of the host SDK that the design stands on. When an upgrade of the
// SDK changes one of them, this file fails first, and says which part of the
// guard to look at.

const (
	legacyVersion = "2025-11-25"
	modernVersion = "2026-07-28"
)

func bareServer(tools ...func(*mcp.Server)) *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "bare", Version: "1"}, nil)
	for _, t := range tools {
		t(s)
	}
	return s
}

type echoIn struct {
	Text string `json:"text"`
}

func addTool(name string, h func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error)) func(*mcp.Server) {
	return func(s *mcp.Server) {
		s.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)}, h)
	}
}

func text(s string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s}}}
}

// modernBody is a request of 2026-07-28.
func modernBody(method, params string) string {
	if params != "" {
		params = "," + params
	}
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{"_meta":{` +
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}` + params + `}}`
}

func modernRequest(url, method, name, params string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, url, strings.NewReader(modernBody(method, params)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Mcp-Protocol-Version", modernVersion)
	r.Header.Set("Mcp-Method", method)
	if name != "" {
		r.Header.Set("Mcp-Name", name)
	}
	return r
}

func bareStateless(s *mcp.Server) http.Handler {
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s },
		&mcp.StreamableHTTPOptions{Stateless: true, DisableLocalhostProtection: true})
}

func bareStateful(s *mcp.Server) http.Handler {
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s },
		&mcp.StreamableHTTPOptions{DisableLocalhostProtection: true, JSONResponse: true})
}

func legacyPost(t *testing.T, h http.Handler, session, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/mcp", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		r.Header.Set("Mcp-Session-Id", session)
		r.Header.Set("Mcp-Protocol-Version", legacyVersion)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const legacyInit = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

// withToken makes the SDK see a token whose scopes are the bearer value itself.
func withToken(h http.Handler) http.Handler {
	return sdkauth.RequireBearerToken(func(_ context.Context, token string, _ *http.Request) (*sdkauth.TokenInfo, error) {
		return &sdkauth.TokenInfo{UserID: "u", Scopes: []string{token}, Expiration: time.Now().Add(time.Hour)}, nil
	}, nil)(h)
}

func TestFact1_SessionContextIsStaleAndExtraIsNot(t *testing.T) {
	var fromCtx, fromExtra []string
	s := bareServer(addTool("who", func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		fromCtx = sdkauth.TokenInfoFromContext(ctx).Scopes
		fromExtra = r.GetExtra().TokenInfo.Scopes
		return text("ok"), nil
	}))
	h := withToken(bareStateful(s))
	send := func(token, session, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/mcp", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		r.Header.Set("Authorization", "Bearer "+token)
		if session != "" {
			r.Header.Set("Mcp-Session-Id", session)
			r.Header.Set("Mcp-Protocol-Version", legacyVersion)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	session := send("wide", "", legacyInit).Header().Get("Mcp-Session-Id")
	send("narrow", session, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"who","arguments":{}}}`)
	if !slices.Equal(fromCtx, []string{"wide"}) {
		t.Errorf("context: got %v, want the scopes of the first request; the call stage may trust the context now", fromCtx)
	}
	if !slices.Equal(fromExtra, []string{"narrow"}) {
		t.Errorf("extra: got %v, want the scopes of this request", fromExtra)
	}
}

func TestFact2_ExtraIsNilInMemory(t *testing.T) {
	extra := &mcp.RequestExtra{}
	s := bareServer(addTool("x", func(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		extra = r.GetExtra()
		return text("ok"), nil
	}))
	cs := connectMemory(t, s)
	if _, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	if extra != nil {
		t.Errorf("got %v, want nil: statedExchange tells transports apart by it", extra)
	}
}

func connectMemory(t *testing.T, s *mcp.Server) *mcp.ClientSession {
	t.Helper()
	here, there := mcp.NewInMemoryTransports()
	ss, err := s.Connect(t.Context(), there, nil)
	if err != nil {
		t.Fatal(err)
	}
	cs, err := mcp.NewClient(&mcp.Implementation{Name: "c", Version: "1"}, nil).Connect(t.Context(), here, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cs.Close(); ss.Close() })
	return cs
}

func TestFact3_ErrorTextReachesThePeerAndBareErrorsKeepData(t *testing.T) {
	wrapped := false
	s := bareServer(addTool("x", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		err := error(&jsonrpc.Error{Code: 429, Message: "slow", Data: json.RawMessage(`{"a":1}`)})
		if wrapped {
			err = errors.Join(errors.New("postgres://u:p@db"), err)
		}
		return nil, err
	}))
	h := bareStateless(s)
	call := func() string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, modernRequest("http://127.0.0.1/mcp", "tools/call", "x", `"name":"x","arguments":{}`))
		return w.Body.String()
	}
	if got := call(); !strings.Contains(got, `"data":{"a":1}`) {
		t.Errorf("bare: got %s, want its data", got)
	}
	wrapped = true
	if got := call(); strings.Contains(got, `"data"`) || !strings.Contains(got, "postgres") {
		t.Errorf("wrapped: got %s, want the wrapper's text and no data", got)
	}
}

func TestFact4_MiddlewareCanRecover(t *testing.T) {
	s := bareServer(addTool("x", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) { panic("boom") }))
	s.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (res mcp.Result, err error) {
			defer func() {
				if recover() != nil {
					err = &jsonrpc.Error{Code: -32603, Message: "recovered"}
				}
			}()
			return next(ctx, method, req)
		}
	})
	_, err := connectMemory(t, s).CallTool(t.Context(), &mcp.CallToolParams{Name: "x"})
	if err == nil || !strings.Contains(err.Error(), "recovered") {
		t.Errorf("got %v, want the recovered error", err)
	}
}

func TestFact5_LaterMiddlewareRunsFirst(t *testing.T) {
	var order []string
	mw := func(name string) mcp.Middleware {
		return func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				if method == "ping" {
					order = append(order, name)
				}
				return next(ctx, method, req)
			}
		}
	}
	s := bareServer()
	s.AddReceivingMiddleware(mw("early"))
	s.AddReceivingMiddleware(mw("late"))
	if err := connectMemory(t, s).Ping(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(order, []string{"late", "early"}) {
		t.Errorf("got %v, want late before early", order)
	}
}

func TestFact6_SchemaFailureIsAResult(t *testing.T) {
	s := bareServer(func(s *mcp.Server) {
		mcp.AddTool(s, &mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.CallToolRequest, in echoIn) (*mcp.CallToolResult, any, error) {
			return text(in.Text), nil, nil
		})
	})
	res, err := connectMemory(t, s).CallTool(t.Context(), &mcp.CallToolParams{Name: "echo", Arguments: map[string]any{"text": 7}})
	if err != nil || !res.IsError {
		t.Errorf("got %v, %v, want an error result", res, err)
	}
}

func TestFact7_RawToolsAreNotValidated(t *testing.T) {
	reached := false
	s := bareServer(func(s *mcp.Server) {
		s.AddTool(&mcp.Tool{Name: "raw", InputSchema: json.RawMessage(`{"type":"object","required":["n"]}`)},
			func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				reached = true
				return text("ok"), nil
			})
	})
	if _, err := connectMemory(t, s).CallTool(t.Context(), &mcp.CallToolParams{Name: "raw"}); err != nil || !reached {
		t.Errorf("got %v, reached %v: the SDK validates raw tools now", err, reached)
	}
}

func TestFact8_EachGenerationNeedsItsHandler(t *testing.T) {
	s := bareServer()
	for _, tc := range []struct {
		name string
		h    http.Handler
		want int
	}{
		{"2026-07-28 at a stateless handler", bareStateless(s), http.StatusOK},
		{"2026-07-28 at a stateful handler", bareStateful(s), http.StatusBadRequest},
	} {
		w := httptest.NewRecorder()
		tc.h.ServeHTTP(w, modernRequest("http://127.0.0.1/mcp", "tools/list", "", ""))
		if w.Code != tc.want {
			t.Errorf("%s: got %d %s, want %d", tc.name, w.Code, w.Body, tc.want)
		}
	}
}

func TestFact10_SessionsAreUnbounded(t *testing.T) {
	s := bareServer()
	h := bareStateful(s)
	for range 50 {
		legacyPost(t, h, "", legacyInit)
	}
	n := 0
	for ss := range s.Sessions() {
		n++
		defer ss.Close()
	}
	if n != 50 {
		t.Errorf("got %d sessions, want 50: the SDK bounds them now", n)
	}
}

func TestFact11_MiddlewareCanListTools(t *testing.T) {
	var names []string
	s := bareServer(addTool("x", func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) { return text("ok"), nil }))
	s.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
			if method == "ping" {
				res, err := next(ctx, "tools/list", &mcp.ListToolsRequest{Session: req.GetSession().(*mcp.ServerSession), Params: &mcp.ListToolsParams{}})
				if err != nil {
					return nil, err
				}
				for _, tool := range res.(*mcp.ListToolsResult).Tools {
					names = append(names, tool.Name)
				}
			}
			return next(ctx, method, req)
		}
	})
	if err := connectMemory(t, s).Ping(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(names, []string{"x"}) {
		t.Errorf("got %v, want the registered tool", names)
	}
}

// countingWriter counts the writes of a response.
type countingWriter struct {
	*httptest.ResponseRecorder
	writes [][]byte
}

func (c *countingWriter) Write(b []byte) (int, error) {
	c.writes = append(c.writes, bytes.Clone(b))
	return c.ResponseRecorder.Write(b)
}

func TestFact_EachWriteIsOneEvent(t *testing.T) {
	s := bareServer(addTool("x", func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		_ = r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: "p", Progress: 1})
		return text("ok"), nil
	}))
	w := &countingWriter{ResponseRecorder: httptest.NewRecorder()}
	bareStateless(s).ServeHTTP(w, modernRequest("http://127.0.0.1/mcp", "tools/call", "x", `"name":"x","arguments":{}`))
	if len(w.writes) != 2 {
		t.Fatalf("got %d writes, want 2: %q", len(w.writes), w.writes)
	}
	for _, b := range w.writes {
		if !bytes.HasPrefix(b, []byte("event: message\ndata: ")) || !bytes.HasSuffix(b, []byte("\n\n")) {
			t.Errorf("got %q, want one whole event: the writer scrubs write by write", b)
		}
	}
}

func TestFact_StdioWritesWholeLines(t *testing.T) {
	in, feed := io.Pipe()
	var out writesRecorder
	s := bareServer()
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context(), &mcp.IOTransport{Reader: in, Writer: &out}) }()
	if _, err := io.WriteString(feed, legacyInit+"\n"); err != nil {
		t.Fatal(err)
	}
	feed.Close()
	<-done
	for _, b := range out.writes {
		if bytes.Count(b, []byte("\n")) != 1 || b[len(b)-1] != '\n' {
			t.Errorf("got %q, want one line: lineWriter works line by line", b)
		}
	}
}

type writesRecorder struct{ writes [][]byte }

func (w *writesRecorder) Write(b []byte) (int, error) {
	w.writes = append(w.writes, bytes.Clone(b))
	return len(b), nil
}
func (w *writesRecorder) Close() error { return nil }

func TestFact_MethodsOfTheSDK(t *testing.T) {
	// A new method must be classified before it can be permitted.
	got := mcp.SupportedProtocolVersions()
	want := []string{"2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"}
	if !slices.Equal(got, want) {
		t.Errorf("versions: got %v, want %v: read the new version's changes", got, want)
	}
}
