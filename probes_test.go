package harden_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/hardentest"
	"github.com/hardenmcp/harden/ratelimit"
	"github.com/hardenmcp/harden/session"
)

// One regression test for each probe of the requirement list that the guard
// answers, named after it. Each states what a bare SDK server does, and what
// must happen here instead.

// A testServer has one tool of every kind that the probes need.
type testServer struct {
	*mcp.Server
	ran    atomic.Int64 // calls of echo
	header atomic.Pointer[http.Header]
	wait   chan struct{} // closed to let "slow" go on
	gone   chan struct{} // closed when the context of "slow" is done
}

type scheduleIn struct {
	Title string `json:"title"`
	N     int64  `json:"n"`
}

func newTestServer() *testServer {
	s := &testServer{
		Server: mcp.NewServer(&mcp.Implementation{Name: "t", Version: "1"}, &mcp.ServerOptions{
			CompletionHandler: func(context.Context, *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
				return &mcp.CompleteResult{}, nil
			},
			SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
			UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
		}),
		wait: make(chan struct{}),
		gone: make(chan struct{}),
	}
	mcp.AddTool(s.Server, &mcp.Tool{Name: "echo"}, func(_ context.Context, r *mcp.CallToolRequest, in echoIn) (*mcp.CallToolResult, any, error) {
		s.ran.Add(1)
		h := r.GetExtra().Header.Clone()
		s.header.Store(&h)
		return text(in.Text), nil, nil
	})
	mcp.AddTool(s.Server, &mcp.Tool{Name: "schedule"}, func(_ context.Context, _ *mcp.CallToolRequest, in scheduleIn) (*mcp.CallToolResult, any, error) {
		return text(in.Title), nil, nil
	})
	s.AddTool(&mcp.Tool{Name: "raw", InputSchema: json.RawMessage(`{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}`)},
		func(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			s.ran.Add(1)
			return text(string(r.Params.Arguments)), nil
		})
	mcp.AddTool(s.Server, &mcp.Tool{Name: "crash"}, func(_ context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		panic("secret of the panic")
	})
	mcp.AddTool(s.Server, &mcp.Tool{Name: "fails"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return nil, nil, errors.New("dial tcp 10.1.2.3:5432: password rejected")
	})
	s.AddTool(&mcp.Tool{Name: "rawfails", InputSchema: json.RawMessage(`{"type":"object"}`)},
		func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return nil, errors.New("dial tcp 10.1.2.3:5432: password rejected")
		})
	mcp.AddTool(s.Server, &mcp.Tool{Name: "slow"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		select {
		case <-ctx.Done():
			close(s.gone)
		case <-s.wait:
		}
		return text("done"), nil, nil
	})
	mcp.AddTool(s.Server, &mcp.Tool{Name: "secret"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return text("hidden"), nil, nil
	})
	s.AddResource(&mcp.Resource{URI: "file:///a", Name: "a"}, func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, Text: "a"}}}, nil
	})
	s.AddResource(&mcp.Resource{URI: "file:///broken", Name: "b"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return nil, errors.New("open /srv/private/key: denied")
	})
	s.AddPrompt(&mcp.Prompt{Name: "p"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{}, nil
	})
	return s
}

// rules permit everything but "secret", and ask for a scope for "schedule".
func rules(cfg *auth.Config) {
	cfg.Rules = []auth.Rule{
		auth.Permit("tool:echo", "tool:raw", "tool:crash", "tool:fails", "tool:rawfails", "tool:slow", "resource:file:///a", "resource:file:///broken", "resource:file:///no*", "prompt:p"),
		auth.Permit("tool:schedule").Scopes("calendar.write"),
	}
}

func guarded(t *testing.T, opts ...harden.Option) (*testServer, *hardentest.Endpoint) {
	t.Helper()
	s := newTestServer()
	return s, hardentest.ServeAuth(t, s.Server, rules, opts...)
}

// A reply is an HTTP response, read.
type reply struct {
	status int
	header http.Header
	body   string
	rpc    struct {
		ID     json.RawMessage `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int64  `json:"code"`
			Message string `json:"message"`
			Data    struct {
				Reason    string   `json:"reason"`
				ID        string   `json:"correlation_id"`
				Supported []string `json:"supported"`
				Scopes    []string `json:"scopes"`
			} `json:"data"`
		} `json:"error"`
	}
}

// ask sends a request of 2026-07-28 that edit may spoil.
func ask(t *testing.T, e *hardentest.Endpoint, method, name, params string, edit ...func(*http.Request)) reply {
	t.Helper()
	r := modernRequest(e.URL, method, name, params)
	r.RequestURI = ""
	r.Header.Set("Authorization", "Bearer "+e.Token(hardentest.Scopes("calendar.write")))
	for _, f := range edit {
		f(r)
	}
	return do(t, r)
}

func do(t *testing.T, r *http.Request) reply {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := reply{status: res.StatusCode, header: res.Header, body: string(b)}
	data := b
	if i := bytes.Index(b, []byte("data: ")); i >= 0 {
		data = b[i+len("data: "):]
	}
	_ = json.Unmarshal(data, &out.rpc) // some answers have no body
	return out
}

func setBody(body string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		r.GetBody = nil
	}
}

func header(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Del(name)
		for _, v := range values {
			r.Header.Add(name, v)
		}
	}
}

// refusedWith checks the wire and the audit record of a refusal.
func refusedWith(t *testing.T, e *hardentest.Endpoint, got reply, status int, code int64, reason, rule string) {
	t.Helper()
	if got.status != status {
		t.Errorf("status: got %d %s, want %d", got.status, got.body, status)
	}
	if got.rpc.Error == nil {
		t.Errorf("got %q, want a JSON-RPC error", got.body)
		return
	}
	if got.rpc.Error.Code != code {
		t.Errorf("code: got %d %s, want %d", got.rpc.Error.Code, got.body, code)
	}
	id := got.header.Get("X-Correlation-Id")
	if id == "" || got.rpc.Error.Data.ID != id {
		t.Errorf("correlation ID: header %q, body %q", id, got.rpc.Error.Data.ID)
	}
	found := e.Audit.Find(map[string]any{"id": id})
	if len(found) != 1 {
		t.Errorf("audit: got %d records for %s, want 1", len(found), id)
		return
	}
	if found[0]["reason"] != reason || found[0]["rule"] != rule {
		t.Errorf("audit: got reason %v rule %v, want %s %s", found[0]["reason"], found[0]["rule"], reason, rule)
	}
}

const echoHi = `"name":"echo","arguments":{"text":"hi"}`

func echoes(t *testing.T, got reply) {
	t.Helper()
	if got.status != http.StatusOK || !strings.Contains(got.body, `"text":"hi"`) {
		t.Errorf("got %d %s, want the echo", got.status, got.body)
	}
}

func TestT01_ForeignOriginIsRefused(t *testing.T) {
	s, e := guarded(t, harden.WithHTTP(harden.HTTP{Origins: []string{"https://app.example"}}))
	for _, origin := range []string{"https://evil.example", "null", "https://app.example.evil", "http://app.example", "https://app.example:8443"} {
		got := ask(t, e, "tools/call", "echo", echoHi, header("Origin", origin))
		refusedWith(t, e, got, http.StatusForbidden, 403, "forbidden", "origin")
	}
	if s.ran.Load() != 0 {
		t.Error("the tool ran")
	}
	got := ask(t, e, "tools/call", "echo", echoHi, header("Origin", "https://app.example"))
	echoes(t, got)
	if got.header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("got %v, want CORS headers for the allowed origin", got.header)
	}
}

func TestT02_OriginIsCheckedOnEveryMethod(t *testing.T) {
	_, e := guarded(t)
	for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodPost, http.MethodOptions, http.MethodPut} {
		got := ask(t, e, "tools/call", "echo", echoHi, header("Origin", "http://"+strings.TrimPrefix(e.URL, "http://")), func(r *http.Request) { r.Method = method })
		if got.status != http.StatusForbidden {
			t.Errorf("%s: got %d, want 403", method, got.status)
		}
	}
}

func TestT03_ForeignHostIsRefused(t *testing.T) {
	_, e := guarded(t)
	own := strings.TrimSuffix(strings.TrimPrefix(e.URL, "http://"), "/mcp")
	for _, host := range []string{"evil.example", "localhost", "localhost.", own + ".evil", "127.0.0.1", "[::1]"} {
		got := ask(t, e, "tools/call", "echo", echoHi, func(r *http.Request) { r.Host = host })
		refusedWith(t, e, got, http.StatusForbidden, 403, "forbidden", "host")
	}
	echoes(t, ask(t, e, "tools/call", "echo", echoHi, func(r *http.Request) { r.Host = own }))
}

func TestT04_OldVersionsAreRefused(t *testing.T) {
	_, e := guarded(t, harden.WithVersions(modernVersion))
	token := header("Authorization", "Bearer "+e.Token())
	got := ask(t, e, "tools/call", "echo", echoHi, token, header("Mcp-Protocol-Version"))
	refusedWith(t, e, got, http.StatusBadRequest, -32020, "invalid", "header")
	got = ask(t, e, "", "", "", token, header("Mcp-Protocol-Version"), setBody(legacyInit))
	refusedWith(t, e, got, http.StatusBadRequest, -32022, "invalid", "version")
	if !slices.Equal(got.rpc.Error.Data.Supported, []string{modernVersion}) {
		t.Errorf("supported: got %v, want the one version", got.rpc.Error.Data.Supported)
	}
	for _, v := range []string{"2025-11-25", "2099-01-01", "2026-07-29", "x"} {
		got = ask(t, e, "tools/call", "echo", echoHi, token, header("Mcp-Protocol-Version", v))
		refusedWith(t, e, got, http.StatusBadRequest, -32022, "invalid", "version")
	}
	echoes(t, ask(t, e, "tools/call", "echo", echoHi))
}

func TestT05_BatchesAreRefused(t *testing.T) {
	s, e := guarded(t)
	batch := "[" + modernBody("tools/call", echoHi) + "," + modernBody("tools/call", echoHi) + "]"
	for _, v := range []string{modernVersion, legacyVersion} {
		got := ask(t, e, "tools/call", "echo", "", header("Mcp-Protocol-Version", v), setBody(batch))
		refusedWith(t, e, got, http.StatusBadRequest, -32600, "invalid", "batch")
	}
	if s.ran.Load() != 0 {
		t.Error("a tool ran")
	}
}

func TestT06_ChallengesFollowRFC6750AndLeakNothing(t *testing.T) {
	_, e := guarded(t)
	metadata := `resource_metadata="` + strings.Replace(e.URL, "/mcp", "/.well-known/oauth-protected-resource/mcp", 1) + `"`
	for _, tc := range []struct {
		name, token string
		status      int
		want        string
	}{
		{"no token", "", 401, `Bearer ` + metadata},
		{"expired", e.Token(hardentest.Lifetime(-time.Hour)), 401, `error="invalid_token"`},
		{"other audience", e.Issuer.Token(hardentest.Audience("https://other.example")), 401, `error="invalid_token"`},
		{"missing scope", e.Token(hardentest.Scopes("calendar.read")), 403, `error="insufficient_scope"`},
	} {
		edit := header("Authorization")
		if tc.token != "" {
			edit = header("Authorization", "Bearer "+tc.token)
		}
		got := ask(t, e, "tools/call", "schedule", `"name":"schedule","arguments":{"title":"x","n":1}`, edit)
		challenge := got.header.Get("Www-Authenticate")
		if got.status != tc.status || !strings.Contains(challenge, tc.want) || !strings.Contains(challenge, metadata) {
			t.Errorf("%s: got %d %q, want %d with %s", tc.name, got.status, challenge, tc.status, tc.want)
		}
		if tc.token == "" && strings.Contains(challenge, "error=") {
			t.Errorf("no token: got %q, want no error code (RFC 6750 section 3.1)", challenge)
		}
		if tc.status == 403 && !strings.Contains(challenge, `scope="calendar.write"`) {
			t.Errorf("missing scope: got %q, want the scope that is needed", challenge)
		}
		for _, leak := range []string{"auth:", "jwks", "kid", e.Issuer.URL(), "other.example", "exp"} {
			if strings.Contains(got.body, leak) {
				t.Errorf("%s: body leaks %q: %s", tc.name, leak, got.body)
			}
		}
	}
}

func TestT07_CredentialsNeverReachAHandler(t *testing.T) {
	s, e := guarded(t)
	echoes(t, ask(t, e, "tools/call", "echo", echoHi, header("Cookie", "sid=1"), header("Proxy-Authorization", "Basic x"), header("DPoP", "proof")))
	h := *s.header.Load()
	for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization", "Dpop"} {
		if v, ok := h[name]; ok {
			t.Errorf("%s reached the handler: %q", name, v)
		}
	}
	if h.Get("Mcp-Method") != "tools/call" {
		t.Error("other headers should reach the handler")
	}
}

// open starts a session of 2025-11-25.
func open(t *testing.T, e *hardentest.Endpoint, token string) string {
	t.Helper()
	got := post(t, e, token, "", legacyInit)
	id := got.header.Get("Mcp-Session-Id")
	if got.status != http.StatusOK || id == "" {
		t.Fatalf("initialize: got %d %s %v", got.status, got.body, got.header)
	}
	return id
}

func post(t *testing.T, e *hardentest.Endpoint, token, session, body string, edit ...func(*http.Request)) reply {
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
		r.Header.Set("Mcp-Protocol-Version", legacyVersion)
	}
	for _, f := range edit {
		f(r)
	}
	return do(t, r)
}

const legacyEcho = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}`

func TestT08_EachRequestIsJudgedByItsOwnToken(t *testing.T) {
	_, e := guarded(t)
	wide, narrow := e.Token(hardentest.Scopes("calendar.write")), e.Token()
	id := open(t, e, wide)
	call := `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"schedule","arguments":{"title":"x","n":1}}}`
	if got := post(t, e, wide, id, call); got.rpc.Result == nil {
		t.Errorf("wide: got %s, want a result", got.body)
	}
	got := post(t, e, narrow, id, call)
	refusedWith(t, e, got, http.StatusForbidden, 403, "insufficient_scope", "scope")
}

func TestT09_SessionsAreBoundAndBounded(t *testing.T) {
	s, e := guarded(t, harden.WithSessions(session.Config{PerUser: 3}))
	alice, bob := e.Token(), e.Token(hardentest.Subject("bob"))
	id := open(t, e, alice)
	echoes(t, post(t, e, alice, id, legacyEcho))

	foreign := post(t, e, bob, id, legacyEcho)
	refusedWith(t, e, foreign, http.StatusNotFound, 404, "not_found", "session")
	unknown := post(t, e, bob, "0123456789abcdef", legacyEcho)
	refusedWith(t, e, unknown, http.StatusNotFound, 404, "not_found", "session")
	if a, b := strip(foreign), strip(unknown); a != b {
		t.Errorf("another's session %q and an unknown one %q look different", a, b)
	}
	otherClient := post(t, e, e.Token(hardentest.Client("other")), id, legacyEcho)
	refusedWith(t, e, otherClient, http.StatusNotFound, 404, "not_found", "session")

	refusedWith(t, e, post(t, e, alice, "", legacyEcho, header("Mcp-Protocol-Version", legacyVersion)),
		http.StatusBadRequest, -32600, "invalid", "request")
	refusedWith(t, e, post(t, e, alice, id, legacyEcho, header("Mcp-Protocol-Version")),
		http.StatusBadRequest, -32020, "invalid", "header")
	refusedWith(t, e, post(t, e, alice, id, legacyEcho, header("Mcp-Protocol-Version", "2024-11-05")),
		http.StatusBadRequest, -32022, "invalid", "version")

	for range 200 {
		post(t, e, alice, "", legacyInit)
	}
	n := 0
	for range s.Sessions() {
		n++
	}
	if n != 3 {
		t.Errorf("got %d sessions in the SDK, want the cap of 3", n)
	}
}

// strip removes what is allowed to differ between two refusals.
func strip(r reply) string {
	return strings.ReplaceAll(r.body, r.header.Get("X-Correlation-Id"), "")
}

func TestT10_StreamsEndWithTheToken(t *testing.T) {
	_, e := guarded(t)
	for _, name := range []string{"GET", "subscriptions/listen"} {
		token := e.Token(hardentest.Lifetime(2 * time.Second))
		var r *http.Request
		if name == "GET" {
			id := open(t, e, token)
			r, _ = http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL, nil)
			r.Header.Set("Mcp-Session-Id", id)
			r.Header.Set("Mcp-Protocol-Version", legacyVersion)
			r.Header.Set("Accept", "text/event-stream")
		} else {
			r = modernRequest(e.URL, name, "", `"notifications":{"toolsListChanged":true}`).WithContext(t.Context())
			r.RequestURI = ""
		}
		r.Header.Set("Authorization", "Bearer "+token)
		start := time.Now()
		got := do(t, r) // returns when the stream ends
		if got.status != http.StatusOK || time.Since(start) > 10*time.Second {
			t.Errorf("%s: got %d after %v %s, want a stream that ends with its token", name, got.status, time.Since(start), got.body)
		}
	}
}

func TestT12_SubscriptionsAreReads(t *testing.T) {
	_, e := guarded(t)
	got := ask(t, e, "subscriptions/listen", "", `"notifications":{"resourceSubscriptions":["file:///a","file:///secret"]}`)
	if got.rpc.Error == nil || got.rpc.Error.Data.Reason != "not_found" {
		t.Errorf("got %d %s, want not_found", got.status, got.body)
	}
}

func TestT13_TwoReadingsAreRefused(t *testing.T) {
	s, e := guarded(t)
	good := modernBody("tools/call", echoHi)
	for _, tc := range []struct {
		name, body string
		code       int64
		rule       string
	}{
		{"trailing object", good + `{"evil":1}`, -32700, "parse"},
		{"duplicate method", strings.Replace(good, `"method":`, `"method":"ping","method":`, 1), -32700, "parse"},
		{"duplicate argument", strings.Replace(good, `"text":"hi"`, `"text":"hi","text":"ho"`, 1), -32700, "parse"},
		{"invalid UTF-8", strings.Replace(good, `"hi"`, "\"\xff\xfe\"", 1), -32700, "parse"},
		{"byte order mark", "\ufeff" + good, -32700, "parse"},
		{"fractional id", strings.Replace(good, `"id":1`, `"id":1.5`, 1), -32600, "request"},
		{"empty id", strings.Replace(good, `"id":1`, `"id":""`, 1), -32600, "request"},
		{"null id", strings.Replace(good, `"id":1`, `"id":null`, 1), -32600, "request"},
		{"long id", strings.Replace(good, `"id":1`, `"id":"`+strings.Repeat("x", 3000)+`"`, 1), -32600, "request"},
		{"method in other case", strings.Replace(good, `"method"`, `"Method"`, 1), -32600, "request"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ask(t, e, "tools/call", "echo", "", setBody(tc.body))
			refusedWith(t, e, got, http.StatusBadRequest, tc.code, "invalid", tc.rule)
		})
	}
	if s.ran.Load() != 0 {
		t.Error("the tool ran")
	}
	echoes(t, ask(t, e, "tools/call", "echo", "", setBody(" "+good+"\n")))
}

func TestT14_KeyCaseIsExact(t *testing.T) {
	_, e := guarded(t)
	for _, answer := range []string{
		`{"action":"decline","ACTION":"accept"}`,
		`{"ACTION":"accept"}`,
		`{"action":"accept","Content":{}}`,
	} {
		got := ask(t, e, "tools/call", "echo", echoHi+`,"inputResponses":{"q":`+answer+`}`)
		refusedWith(t, e, got, http.StatusBadRequest, -32602, "invalid", "params")
	}
}

func TestT15_APanicEndsOneCallOnly(t *testing.T) {
	_, e := guarded(t)
	got := ask(t, e, "tools/call", "crash", `"name":"crash","arguments":{}`)
	if got.rpc.Error == nil || got.rpc.Error.Code != -32603 {
		t.Fatalf("got %d %s, want an internal error", got.status, got.body)
	}
	if strings.Contains(got.body, "secret") || strings.Contains(got.body, "goroutine") {
		t.Errorf("the panic leaks: %s", got.body)
	}
	found := e.Audit.Find(map[string]any{"id": got.rpc.Error.Data.ID})
	if len(found) != 1 || !strings.Contains(found[0]["cause"].(string), "secret of the panic") {
		t.Errorf("audit: got %v, want the panic for the operator", found)
	}
	echoes(t, ask(t, e, "tools/call", "echo", echoHi))
}

func TestT16_ControlCharactersInAURIAreRefused(t *testing.T) {
	_, e := guarded(t)
	got := ask(t, e, "resources/read", "x", `"uri":"file:///no\u0001pe"`)
	refusedWith(t, e, got, http.StatusBadRequest, -32602, "invalid", "params")
	got = ask(t, e, "resources/read", "file:///nope", `"uri":"file:///nope"`)
	if got.rpc.Error == nil || got.rpc.Error.Code != -32602 || got.status != http.StatusBadRequest {
		t.Errorf("absent resource: got %d %s, want -32602", got.status, got.body)
	}
}

func TestT17_NumbersReachTheCheckAsTheyWereSent(t *testing.T) {
	_, e := guarded(t)
	got := ask(t, e, "tools/call", "raw", `"name":"raw","arguments":{"n":9007199254740993}`)
	if !strings.Contains(got.body, "9007199254740993") {
		t.Errorf("got %s, want the number unchanged", got.body)
	}
}

func TestT18_EncodedNamesAreDecoded(t *testing.T) {
	_, e := guarded(t)
	encoded := func(v string) func(*http.Request) {
		return header("Mcp-Name", "=?base64?"+base64.StdEncoding.EncodeToString([]byte(v))+"?=")
	}
	echoes(t, ask(t, e, "tools/call", "echo", echoHi, encoded("echo")))
	refusedWith(t, e, ask(t, e, "tools/call", "echo", echoHi, encoded("raw")), http.StatusBadRequest, -32020, "invalid", "header")
	refusedWith(t, e, ask(t, e, "tools/call", "echo", echoHi, header("Mcp-Name", "=?base64?ZWNo*bw==?=")), http.StatusBadRequest, -32020, "invalid", "header")
}

func TestT19_DuplicateHeadersAreRefused(t *testing.T) {
	_, e := guarded(t)
	for name, values := range map[string][]string{
		"Mcp-Method":           {"tools/call", "tools/list"},
		"Mcp-Name":             {"echo", "raw"},
		"Mcp-Protocol-Version": {modernVersion, legacyVersion},
		"Mcp-Session-Id":       {"a", "b"},
		"Authorization":        {"Bearer a", "Bearer b"},
		"Origin":               {"https://a.example", "https://b.example"},
		"Content-Type":         {"application/json", "text/plain"},
	} {
		got := ask(t, e, "tools/call", "echo", echoHi, header(name, values...))
		refusedWith(t, e, got, http.StatusBadRequest, -32602, "invalid", "duplicate")
	}
}

func TestT20_ErrorTextStaysInside(t *testing.T) {
	_, e := guarded(t)
	for _, tc := range []struct{ name, method, target, params, leak string }{
		{"typed tool", "tools/call", "fails", `"name":"fails","arguments":{}`, "10.1.2.3"},
		{"raw tool", "tools/call", "rawfails", `"name":"rawfails","arguments":{}`, "10.1.2.3"},
		{"resource", "resources/read", "file:///broken", `"uri":"file:///broken"`, "/srv/private"},
		{"bad parameters", "prompts/get", "p", `"name":"p","arguments":{"a":{"deep":7}}`, "*mcp."},
		{"bad parameters of a list", "tools/list", "", `"cursor":7`, "*mcp."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ask(t, e, tc.method, tc.target, tc.params)
			if strings.Contains(got.body, tc.leak) || strings.Contains(got.body, "unmarshal") {
				t.Errorf("leaks: %s", got.body)
			}
			if !strings.Contains(got.body, got.header.Get("X-Correlation-Id")) {
				t.Errorf("got %s, want the correlation ID", got.body)
			}
		})
	}
}

func TestT21_RawToolsAreValidated(t *testing.T) {
	s, e := guarded(t)
	for _, args := range []string{`{"n":"str"}`, `{}`, `{"n":1,"zz":1}`} {
		got := ask(t, e, "tools/call", "raw", `"name":"raw","arguments":`+args)
		if got.status != http.StatusOK || !strings.Contains(got.body, `"isError":true`) || strings.Contains(got.body, "str") {
			t.Errorf("%s: got %d %s, want a tool execution error without the value", args, got.status, got.body)
		}
	}
	if s.ran.Load() != 0 {
		t.Error("the tool ran")
	}
}

func TestT24_NothingIsPublic(t *testing.T) {
	_, e := guarded(t)
	for _, tc := range []struct{ method, name, params string }{
		{"tools/list", "", ""}, {"prompts/list", "", ""}, {"resources/list", "", ""},
		{"resources/read", "file:///a", `"uri":"file:///a"`}, {"server/discover", "", ""},
	} {
		got := ask(t, e, tc.method, tc.name, tc.params)
		if got.rpc.Result == nil || strings.Contains(got.body, `"public"`) {
			t.Errorf("%s: got %s, want a private result", tc.method, got.body)
		}
		if got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", tc.method, got.header.Get("Cache-Control"))
		}
	}
}

func TestT25_ListsHideWhatTheCallerMayNotUse(t *testing.T) {
	_, e := guarded(t)
	got := ask(t, e, "tools/list", "", "", header("Authorization", "Bearer "+e.Token()))
	if strings.Contains(got.body, `"secret"`) || !strings.Contains(got.body, `"echo"`) {
		t.Errorf("got %s, want echo and not secret", got.body)
	}
	hidden := ask(t, e, "tools/call", "secret", `"name":"secret","arguments":{}`)
	refusedWith(t, e, hidden, http.StatusBadRequest, -32602, "not_found", "permit")
	absent := ask(t, e, "tools/call", "absent", `"name":"absent","arguments":{}`)
	if a, b := strip(hidden), strip(absent); a != b {
		t.Errorf("hidden %s and absent %s look different", a, b)
	}
}

func TestT27_AClientThatIsGoneCancels(t *testing.T) {
	s, e := guarded(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := modernRequest(e.URL, "tools/call", "slow", `"name":"slow","arguments":{}`).WithContext(ctx)
	r.RequestURI = ""
	r.Header.Set("Authorization", "Bearer "+e.Token())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if res, err := http.DefaultClient.Do(r); err == nil {
			res.Body.Close()
		}
	}()
	time.AfterFunc(100*time.Millisecond, cancel)
	<-done
	select {
	case <-s.gone:
	case <-time.After(10 * time.Second):
		t.Error("the handler was not cancelled")
	}
}

func TestT31_UnknownLogLevelIsRefused(t *testing.T) {
	_, e := guarded(t)
	body := strings.Replace(modernBody("tools/call", echoHi), `"_meta":{`, `"_meta":{"io.modelcontextprotocol/logLevel":"bogus",`, 1)
	refusedWith(t, e, ask(t, e, "tools/call", "echo", "", setBody(body)), http.StatusBadRequest, -32602, "invalid", "params")
}

func TestT32_LastEventIDIsIgnored(t *testing.T) {
	_, e := guarded(t)
	echoes(t, ask(t, e, "tools/call", "echo", echoHi, header("Last-Event-ID", "x_1"), header("Mcp-Session-Id", "whatever")))
}

func TestT33_AMethodRefusalHasItsHTTPStatus(t *testing.T) {
	_, e := guarded(t, harden.WithLimits(ratelimit.Config{Caller: ratelimit.Rate{Requests: 1, Per: time.Hour, Burst: 1}}))
	echoes(t, ask(t, e, "tools/call", "echo", echoHi))
	got := ask(t, e, "tools/call", "echo", echoHi)
	refusedWith(t, e, got, http.StatusTooManyRequests, 429, "rate_limited", "caller")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestT34_TheHandlerSeesTheCaller(t *testing.T) {
	s := newTestServer()
	mcp.AddTool(s.Server, &mcp.Tool{Name: "who"}, func(ctx context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		p, ok := harden.Caller(ctx)
		if !ok || r.GetExtra().TokenInfo.UserID != p.UserID() || harden.CorrelationID(ctx) == "" {
			return nil, nil, errors.New("no caller")
		}
		return text(p.Subject), nil, nil
	})
	e := hardentest.ServeAuth(t, s.Server, func(c *auth.Config) { rules(c); c.Rules = append(c.Rules, auth.Permit("tool:who")) })
	if got := ask(t, e, "tools/call", "who", `"name":"who","arguments":{}`); !strings.Contains(got.body, `"text":"alice"`) {
		t.Errorf("got %s, want alice", got.body)
	}
	alice, bob := e.Token(), e.Token(hardentest.Subject("bob"))
	for token, want := range map[string]string{alice: "alice", bob: "bob"} {
		id := open(t, e, token)
		got := post(t, e, token, id, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"who","arguments":{}}}`)
		if !strings.Contains(got.body, `"text":"`+want+`"`) {
			t.Errorf("got %s, want %s", got.body, want)
		}
	}
}

func TestT37_MirrorsMustNotLieOnOldVersions(t *testing.T) {
	_, e := guarded(t)
	token := e.Token()
	id := open(t, e, token)
	refusedWith(t, e, post(t, e, token, id, legacyEcho, header("Mcp-Method", "prompts/list")),
		http.StatusBadRequest, -32020, "invalid", "header")
	refusedWith(t, e, post(t, e, token, id, legacyEcho, header("Mcp-Method", "tools/call"), header("Mcp-Name", "raw")),
		http.StatusBadRequest, -32020, "invalid", "header")
	echoes(t, post(t, e, token, id, legacyEcho, header("Mcp-Method", "tools/call"), header("Mcp-Name", "echo")))
}

func TestRemovedMethodsAreUnknown(t *testing.T) {
	_, e := guarded(t)
	for _, method := range []string{"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "no/such"} {
		got := ask(t, e, method, "", "")
		if got.status != http.StatusNotFound || got.rpc.Error == nil || got.rpc.Error.Code != -32601 {
			t.Errorf("%s: got %d %s, want 404 and -32601", method, got.status, got.body)
		}
	}
}

func TestMirrorsAreRequired(t *testing.T) {
	_, e := guarded(t)
	for name, edit := range map[string]func(*http.Request){
		"no Mcp-Method":       header("Mcp-Method"),
		"other Mcp-Method":    header("Mcp-Method", "tools/list"),
		"Mcp-Method in caps":  header("Mcp-Method", "Tools/Call"),
		"no Mcp-Name":         header("Mcp-Name"),
		"other Mcp-Name":      header("Mcp-Name", "raw"),
		"Mcp-Name and a dot":  header("Mcp-Name", "echo."),
		"Mcp-Name in capital": header("Mcp-Name", "Echo"),
	} {
		got := ask(t, e, "tools/call", "echo", echoHi, edit)
		if got.status != http.StatusBadRequest || got.rpc.Error == nil || got.rpc.Error.Code != -32020 {
			t.Errorf("%s: got %d %s, want 400 and -32020", name, got.status, got.body)
		}
	}
}
