package harden

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/audit"
)

// A lineClient speaks lines with a guarded server.
type lineClient struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Scanner
	done chan error
}

func stdioServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "s", Version: "1"}, nil)
	s.AddTool(&mcp.Tool{Name: "echo", InputSchema: json.RawMessage(`{"type":"object","properties":{"text":{"type":"string"}}}`)},
		func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			p, _ := Caller(ctx)
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: p.Subject + string(r.Params.Arguments)}}}, nil
		})
	s.AddTool(&mcp.Tool{Name: "crash", InputSchema: json.RawMessage(`{"type":"object"}`)},
		func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) { panic("boom") })
	return s
}

func local() Option {
	return WithPrincipal(access.Principal{Issuer: "local", Subject: "owner"})
}

func quiet() Option {
	return WithAudit(audit.Config{Handlers: []slog.Handler{slog.DiscardHandler}})
}

func startLines(t *testing.T, opts ...Option) *lineClient {
	t.Helper()
	g, err := New(append([]Option{quiet()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	c := &lineClient{t: t, in: inW, out: bufio.NewScanner(outR), done: make(chan error, 1)}
	c.out.Buffer(nil, 1<<20)
	go func() {
		err := g.serveLines(t.Context(), stdioServer(), inR, outW)
		outW.Close()
		c.done <- err
	}()
	t.Cleanup(func() {
		inW.Close()
		outR.Close()
		select {
		case <-c.done:
		case <-time.After(10 * time.Second):
			t.Error("the server does not end with its input (row F04)")
		}
	})
	return c
}

type lineReply struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code int64 `json:"code"`
		Data struct {
			Reason string `json:"reason"`
			ID     string `json:"correlation_id"`
		} `json:"data"`
	} `json:"error"`
}

func (c *lineClient) send(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *lineClient) ask(line string) (lineReply, string) {
	c.t.Helper()
	c.send(line)
	if !c.out.Scan() {
		c.t.Fatalf("%s: no answer: %v", line, c.out.Err())
	}
	var r lineReply
	if err := json.Unmarshal(c.out.Bytes(), &r); err != nil {
		c.t.Fatalf("%s: answer is not JSON: %q", line, c.out.Text())
	}
	return r, c.out.Text()
}

const (
	lineInit = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	linePing = `{"jsonrpc":"2.0","id":7,"method":"ping"}`
	lineEcho = `{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}`
)

func TestT16_BadLinesAreAnsweredAndEndNothing(t *testing.T) {
	c := startLines(t, local())
	if r, raw := c.ask(lineInit); r.Result == nil {
		t.Fatal(raw)
	}
	for _, tc := range []struct {
		name, line string
		code       int64
	}{
		{"not JSON", `{"jsonrpc":`, -32700},
		{"text", `hello`, -32700},
		{"batch", `[` + linePing + `]`, -32600},
		{"duplicate key", `{"jsonrpc":"2.0","id":2,"method":"ping","method":"ping"}`, -32700},
		{"control character in a URI", `{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"file:///no\u0001pe"}}`, -32602},
		{"line over the bound", `{"jsonrpc":"2.0","id":4,"method":"` + strings.Repeat("x", 3<<20) + `"}`, 413},
		{"unknown method", `{"jsonrpc":"2.0","id":5,"method":"no/such"}`, -32601},
		{"absent resource", `{"jsonrpc":"2.0","id":6,"method":"resources/read","params":{"uri":"file:///absent"}}`, -32602},
		{"bad parameters", `{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{"cursor":7}}`, -32602},
		{"panic", `{"jsonrpc":"2.0","id":10,"method":"tools/call","params":{"name":"crash"}}`, -32603},
		{"version that is not served", strings.Replace(modernLine, modern, "2099-01-01", 1), -32022},
	} {
		r, raw := c.ask(tc.line)
		if r.Error == nil || r.Error.Code != tc.code {
			t.Errorf("%s: got %s, want code %d", tc.name, raw, tc.code)
			continue
		}
		if r.Error.Data.ID == "" || strings.Contains(raw, "harden:") || strings.Contains(raw, "unmarshal") || strings.Contains(raw, "boom") {
			t.Errorf("%s: got %s, want a correlation ID and no detail", tc.name, raw)
		}
		if r, raw := c.ask(linePing); r.Result == nil {
			t.Errorf("after %s: ping got %s", tc.name, raw)
		}
	}
	if _, raw := c.ask(lineEcho); !strings.Contains(raw, "owner") {
		t.Errorf("got %s, want the stated caller", raw)
	}
}

const (
	modern     = "2026-07-28"
	modernLine = `{"jsonrpc":"2.0","id":11,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
)

func TestStdioServesTheNewGeneration(t *testing.T) {
	c := startLines(t, local())
	if r, raw := c.ask(modernLine); r.Result == nil {
		t.Errorf("got %s, want the tools", raw)
	}
}

func TestStdioWithOneVersion(t *testing.T) {
	c := startLines(t, local(), WithVersions(modern))
	if r, raw := c.ask(lineInit); r.Error == nil || r.Error.Code != -32022 {
		t.Errorf("initialize: got %s, want -32022", raw)
	}
	c = startLines(t, local(), WithVersions("2025-06-18"))
	if r, raw := c.ask(lineInit); !strings.Contains(string(r.Result), "2025-06-18") {
		t.Errorf("initialize: got %s, want the version that is served", raw)
	}
}

func TestStdioNeedsAStatedCaller(t *testing.T) {
	g, err := New(quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := g.serveLines(t.Context(), stdioServer(), strings.NewReader(""), io.Discard); err == nil {
		t.Error("got no error, want one that names WithPrincipal")
	}
}

func TestNotificationsAreNeverAnswered(t *testing.T) {
	c := startLines(t, local())
	c.ask(lineInit)
	c.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	c.send(`{"jsonrpc":"2.0","method":"notifications/no-such"}`)
	if r, raw := c.ask(linePing); string(r.ID) != "7" {
		t.Errorf("got %s, want the answer to the ping only", raw)
	}
}

// TestStdioProcess runs a server as clients do: a process with pipes, whose
// tool prints to standard output (row F01).
func TestStdioProcess(t *testing.T) {
	if os.Getenv("HARDEN_STDIO_CHILD") == "1" {
		stdioChild()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestStdioProcess$")
	cmd.Env = append(os.Environ(), "HARDEN_STDIO_CHILD=1")
	client := mcp.NewClient(&mcp.Implementation{Name: "c", Version: "1"}, nil)
	cs, err := client.Connect(t.Context(), &mcp.CommandTransport{Command: cmd}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cs.Close()
	res, err := cs.CallTool(t.Context(), &mcp.CallToolParams{Name: "noisy"})
	if err != nil || res.IsError {
		t.Errorf("got %v, %v, want a result although the tool printed", res, err)
	}
}

func stdioChild() {
	g, err := New(local(), quiet())
	if err != nil {
		panic(err)
	}
	s := mcp.NewServer(&mcp.Implementation{Name: "s", Version: "1"}, nil)
	s.AddTool(&mcp.Tool{Name: "noisy", InputSchema: json.RawMessage(`{"type":"object"}`)},
		func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			_, _ = os.Stdout.WriteString(`{"jsonrpc":"2.0","id":1,"result":{}}` + "\n")
			return &mcp.CallToolResult{Content: []mcp.Content{}}, nil
		})
	if err := g.Stdio(context.Background(), s); err != nil {
		panic(err)
	}
	os.Exit(0) // before the test framework prints its own summary
}

func TestReadLine(t *testing.T) {
	r := bufio.NewReaderSize(strings.NewReader("abc\n"+strings.Repeat("x", 100)+"\nlast"), 16)
	for _, want := range []struct {
		line string
		err  error
	}{{"abc\n", nil}, {"", errLongLine}, {"last", io.EOF}} {
		line, err := readLine(r, 10)
		if string(line) != want.line || err != want.err {
			t.Errorf("got %q, %v, want %q, %v", line, err, want.line, want.err)
		}
	}
}
