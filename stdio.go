package harden

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/validate"
)

// Stdio serves server over standard input and output until the peer closes its
// end or ctx is done. The caller is the one of [WithPrincipal], which is
// required here: over stdio nobody authenticates (MCP authorization, section
// 1.2). A line that is not one strict message is answered with an error and
// does not end the session.
//
// While Stdio runs, os.Stdout is os.Stderr, so that a stray print cannot forge
// a message.
func (g *Guard) Stdio(ctx context.Context, server *mcp.Server) error {
	out := os.Stdout
	os.Stdout = os.Stderr
	defer func() { os.Stdout = out }()
	return g.serveLines(ctx, server, os.Stdin, out)
}

// serveLines is Stdio over any pair of streams.
func (g *Guard) serveLines(ctx context.Context, server *mcp.Server, in io.Reader, out io.Writer) error {
	if g.stated == nil {
		return errors.New("harden: Stdio needs WithPrincipal: the application states who calls")
	}
	e := &endpoint{Guard: g}
	if err := e.init(); err != nil {
		return err
	}
	e.transport = "stdio"
	if err := g.claim(server); err != nil {
		return err
	}
	if err := e.inspect(server); err != nil {
		g.disclaim(server)
		return err
	}
	server.AddReceivingMiddleware(e.middleware)

	checked, feed := io.Pipe()
	lines := &lineWriter{e: e, w: out}
	go func() { feed.CloseWithError(e.readLines(in, feed, lines)) }()
	stop := context.AfterFunc(g.stopped, func() { _ = checked.Close() })
	defer stop()
	err := server.Run(ctx, &mcp.IOTransport{Reader: checked, Writer: lines, MaxLineLength: 2 * e.tools.MaxBytes()})
	_ = checked.Close() // ends the reader at its next line
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// readLines passes the canonical form of every good line on, and answers every
// bad one (rows F05, T16).
func (e *endpoint) readLines(in io.Reader, feed io.Writer, out *lineWriter) error {
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := readLine(r, e.tools.MaxBytes())
		if errors.Is(err, errLongLine) {
			out.refuse(nil, &access.Error{Reason: access.TooLarge, Err: err})
			continue
		}
		if len(bytes.TrimSpace(line)) > 0 {
			if werr := e.passLine(line, feed, out); werr != nil {
				return werr
			}
		}
		if err != nil {
			return err
		}
	}
}

func (e *endpoint) passLine(line []byte, feed io.Writer, out *lineWriter) error {
	msg, err := e.tools.Read(line)
	if err == nil {
		msg, err = e.lineVersion(msg)
	}
	if err != nil {
		out.refuse(msg, err)
		return nil
	}
	_, err = feed.Write(append(msg.Canonical, '\n'))
	return err
}

// lineVersion is checkVersion for transports without headers.
func (e *endpoint) lineVersion(msg *validate.Message) (*validate.Message, error) {
	if msg.Kind != validate.Request {
		return msg, nil
	}
	if msg.Method != "initialize" {
		if v := msg.Version; v != "" && !e.versions.allows(v) {
			return msg, versionRefusal(v, e.versions.allowed)
		}
		return msg, nil
	}
	if e.versions.legacy == "" {
		return msg, versionRefusal(msg.Requested, e.versions.allowed)
	}
	v := e.versions.negotiate(msg.Requested)
	if v == msg.Requested {
		return msg, nil
	}
	body, err := withVersion(msg, v)
	if err != nil {
		return msg, err
	}
	return e.tools.Read(body)
}

var errLongLine = errors.New("harden: line over the bound")

// readLine returns the next line without its end. A line over limit is read to
// its end and thrown away, with errLongLine: it costs no memory and does not
// end the session.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if !long && len(line)+len(part) > limit+1 {
			long, line = true, nil
		}
		if !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case long && err == nil:
			return nil, errLongLine
		}
		return line, err
	}
}

// A lineWriter writes whole lines, from the SDK and from the line reader, and
// lets no error text of the SDK through.
type lineWriter struct {
	e  *endpoint
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer. The SDK writes one line in each call.
func (l *lineWriter) Write(b []byte) (int, error) {
	line := b
	if bytes.Contains(b, []byte(`"error":`)) {
		line = l.scrub(b)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(line); err != nil {
		return 0, err
	}
	return len(b), nil
}

// scrub replaces the errors of the SDK. Ours say their reason in data.
func (l *lineWriter) scrub(b []byte) []byte {
	var m struct {
		Error struct {
			Data struct {
				ID string `json:"correlation_id"`
			} `json:"data"`
		} `json:"error"`
	}
	if json.Unmarshal(b, &m) == nil && m.Error.Data.ID != "" {
		return b
	}
	c := access.Call{ID: newID()}
	return append(l.e.rewrite(&c, bytes.TrimRight(b, "\n")), '\n')
}

// Close implements io.Closer. Standard output is not ours to close.
func (l *lineWriter) Close() error { return nil }

// refuse answers a line that went no further, and writes its record.
func (l *lineWriter) refuse(msg *validate.Message, err error) {
	x := &exchange{}
	x.call = access.Call{ID: newID(), Transport: "stdio", Principal: l.e.stated, Received: time.Now()}
	var id json.RawMessage
	if msg != nil {
		id = msg.ID
		x.call.Method, x.call.Name = msg.Method, msg.Name
	}
	x.step("message", err)
	if werr := l.e.conclude(context.Background(), x, err); werr != nil {
		err = werr
	}
	if msg != nil && msg.Kind == validate.Notification && len(id) == 0 && msg.Method != "" {
		return // JSON-RPC: a notification is never answered
	}
	body := append(l.e.wire(&x.call, err).body(id), '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(body)
}
