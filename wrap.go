package harden

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/session"
	"github.com/hardenmcp/harden/validate"
)

var errNoAnswer = errors.New("harden: the inner server sent no response to the request")

// serveInner puts the endpoint in front of any MCP handler. The method stages
// run here, on the decoded request, and end in a call of that handler.
func (e *endpoint) serveInner(inner http.Handler) {
	e.wraps = true
	e.forward = func(x *httpExchange) {
		if x.msg == nil || x.msg.Kind == validate.Response {
			x.serve(inner, &x.writer)
			return
		}
		x.wrapCall(inner)
	}
	e.end = func(s session.Ended) { endSession(recoverHandler(inner), e.http.Path, s) }
}

func recoverHandler(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }() // nobody waits for this answer
		inner.ServeHTTP(w, r)
	})
}

// wrapCall runs the method stages around one request to inner.
func (x *httpExchange) wrapCall(inner http.Handler) {
	c := newCapture(x)
	x.list = func(ctx context.Context, _ *exchange, cursor string) (*mcp.ListToolsResult, error) {
		return x.listInner(ctx, inner, cursor)
	}
	chain := x.e.chain(func(ctx context.Context, _ *exchange) (outcome, error) {
		x.r = x.r.WithContext(ctx)
		x.serve(inner, c)
		return c.outcome()
	})
	// A notification's record was claimed by dispatch, which has its status.
	if x.msg.Kind == validate.Request {
		x.claimed.Store(true)
	}
	out, err := chain(x.r.Context(), &x.exchange)
	if err != nil {
		body, refused := x.refusalBody(err)
		x.writeWrapped(c, body, refused)
		return
	}
	if x.msg.Kind != validate.Request {
		x.WriteHeader(c.status)
		return
	}
	x.writeWrapped(c, responseBody(x.msg.ID, out.raw), nil)
}

// refusalBody is the response to say for err, and the refusal when it is an
// HTTP matter.
func (x *httpExchange) refusalBody(err error) ([]byte, *wireError) {
	w := x.e.wire(&x.call, err)
	if w.tool {
		return w.toolBody(x.msg.ID, isModern(x.call.Version)), nil
	}
	return w.body(x.msg.ID), w
}

func responseBody(id, result json.RawMessage) []byte {
	b := make([]byte, 0, len(id)+len(result)+40)
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, id...)
	b = append(b, `,"result":`...)
	b = append(b, result...)
	return append(b, '}')
}

// writeWrapped writes the one response to a request: as JSON, or as the last
// event of a stream that began already.
func (x *httpExchange) writeWrapped(c *capture, body []byte, refused *wireError) {
	if c.streaming || refused == nil && c.sse {
		if !x.started {
			x.Header().Set("Content-Type", "text/event-stream")
		}
		_, _ = x.Write(joinEvent("event: message\ndata: ", body, "\n\n"))
		x.Flush()
		return
	}
	if refused != nil {
		x.writeError(refused)
		return
	}
	x.Header().Set("Content-Type", "application/json")
	_, _ = x.Write(body)
}

func joinEvent(head string, body []byte, tail string) []byte {
	b := make([]byte, 0, len(head)+len(body)+len(tail))
	return append(append(append(b, head...), body...), tail...)
}

// listInner asks the inner server for its tools, in this caller's session.
func (x *httpExchange) listInner(ctx context.Context, inner http.Handler, cursor string) (*mcp.ListToolsResult, error) {
	params := map[string]json.RawMessage{}
	if meta := metaOf(x.call.Params); meta != nil {
		params["_meta"] = meta
	}
	if cursor != "" {
		params["cursor"], _ = json.Marshal(cursor) // a string
	}
	body, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": "harden-" + x.call.ID, "method": "tools/list", "params": params,
	})
	if err != nil {
		return nil, err
	}
	ask := &httpExchange{e: x.e, r: x.r.Clone(ctx), body: body}
	ask.msg = &validate.Message{Kind: validate.Request, ID: json.RawMessage(`"harden-` + x.call.ID + `"`), Method: "tools/list"}
	ask.r.Header.Set("Mcp-Method", "tools/list")
	ask.r.Header.Del("Mcp-Name")
	for name := range ask.r.Header {
		if strings.HasPrefix(name, "Mcp-Param-") {
			ask.r.Header.Del(name)
		}
	}
	c := newCapture(ask)
	c.quiet = true
	ask.serve(inner, c)
	out, err := c.outcome()
	if err != nil {
		return nil, err
	}
	return decodeTools(out.raw)
}

// decodeTools reads only what learning needs, and keeps schemas as they are.
func decodeTools(raw json.RawMessage) (*mcp.ListToolsResult, error) {
	var page struct {
		Tools []struct {
			Name        string          `json:"name"`
			InputSchema json.RawMessage `json:"inputSchema"`
		} `json:"tools"`
		NextCursor string `json:"nextCursor"`
	}
	if err := json.Unmarshal(raw, &page); err != nil {
		return nil, fmt.Errorf("harden: tools of the inner server: %w", err)
	}
	res := &mcp.ListToolsResult{NextCursor: page.NextCursor}
	for _, t := range page.Tools {
		res.Tools = append(res.Tools, &mcp.Tool{Name: t.Name, InputSchema: t.InputSchema})
	}
	return res, nil
}

func metaOf(params json.RawMessage) json.RawMessage {
	var p struct {
		Meta json.RawMessage `json:"_meta"`
	}
	if json.Unmarshal(params, &p) != nil {
		return nil
	}
	return p.Meta
}

// A capture is what an inner server writes the response to a request to. It
// passes the messages that come before the response on, and keeps the response
// for the method stages.
type capture struct {
	x         *httpExchange
	header    http.Header
	status    int
	sse       bool
	streaming bool // something was passed on
	quiet     bool // pass nothing on
	buf       []byte
	over      bool // the bound was passed
	response  json.RawMessage
}

func newCapture(x *httpExchange) *capture {
	return &capture{x: x, header: http.Header{}}
}

// Header implements http.ResponseWriter.
func (c *capture) Header() http.Header { return c.header }

// WriteHeader implements http.ResponseWriter.
func (c *capture) WriteHeader(status int) {
	if c.status != 0 || status < 200 {
		return
	}
	c.status = status
	c.sse = status == http.StatusOK && strings.HasPrefix(c.header.Get("Content-Type"), "text/event-stream")
	if c.quiet {
		return
	}
	// The session ID and nothing else of the inner server's headers goes out.
	if id := c.header.Get("Mcp-Session-Id"); id != "" {
		c.x.Header().Set("Mcp-Session-Id", id)
	}
}

// Flush implements http.Flusher: events are passed on as soon as they are
// whole.
func (c *capture) Flush() {}

// Write implements http.ResponseWriter.
func (c *capture) Write(b []byte) (int, error) {
	if c.status == 0 {
		c.WriteHeader(http.StatusOK)
	}
	if len(c.buf)+len(b) > c.x.e.bounds.ResultBytes {
		c.over = true
		return 0, errTooLong
	}
	c.buf = append(c.buf, b...)
	if c.sse {
		c.events()
	}
	return len(b), nil
}

var errTooLong = errors.New("harden: the inner server's response is over the bound")

// events takes the whole events out of the buffer.
func (c *capture) events() {
	for {
		end, next := eventEnd(c.buf)
		if end < 0 {
			return
		}
		c.event(c.buf[:end])
		c.buf = c.buf[:copy(c.buf, c.buf[next:])]
	}
}

// eventEnd finds the blank line after an event, in any of the three line
// endings that the SSE format has.
func eventEnd(b []byte) (end, next int) {
	best, length := -1, 0
	for _, sep := range []string{"\n\n", "\r\n\r\n", "\r\r"} {
		if i := bytes.Index(b, []byte(sep)); i >= 0 && (best < 0 || i < best) {
			best, length = i, len(sep)
		}
	}
	return best, best + length
}

// event passes one event on, or keeps it when it is the response.
func (c *capture) event(event []byte) {
	var data [][]byte
	for line := range bytes.FieldsFuncSeq(event, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if rest, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, bytes.TrimPrefix(rest, []byte(" ")))
		}
	}
	if len(data) == 0 {
		return // a comment or a priming event: nothing for the peer
	}
	msg := bytes.Join(data, []byte("\n"))
	if isResponse(msg) {
		if c.response == nil {
			c.response = bytes.Clone(msg)
		}
		return
	}
	if c.quiet || c.x.call.Notification || !json.Valid(msg) {
		return
	}
	if !c.streaming {
		c.streaming = true
		c.x.Header().Set("Content-Type", "text/event-stream")
	}
	var compact bytes.Buffer
	if json.Compact(&compact, msg) == nil {
		_, _ = c.x.Write(joinEvent("event: message\ndata: ", compact.Bytes(), "\n\n"))
		c.x.Flush()
	}
}

func isResponse(msg []byte) bool {
	var m struct {
		Method *json.RawMessage `json:"method"`
	}
	return json.Unmarshal(msg, &m) == nil && m.Method == nil
}

// outcome is what the inner server answered.
func (c *capture) outcome() (outcome, error) {
	if c.over {
		return outcome{}, access.Deny(access.TooLarge, errTooLong)
	}
	if c.x.msg.Kind != validate.Request {
		if c.status >= http.StatusBadRequest {
			return outcome{}, c.httpError()
		}
		return outcome{}, nil
	}
	if c.sse && len(bytes.TrimSpace(c.buf)) > 0 {
		c.event(c.buf) // a last event without its blank line
	}
	if !c.sse {
		c.response = c.buf
	}
	return c.decode()
}

func (c *capture) decode() (outcome, error) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  *jsonrpc.Error  `json:"error"`
	}
	if err := json.Unmarshal(c.response, &m); err != nil || (m.Error == nil && m.Result == nil) {
		if c.status >= http.StatusBadRequest {
			return outcome{}, c.httpError()
		}
		return outcome{}, access.Deny(access.Internal, errNoAnswer)
	}
	if m.Error != nil {
		return outcome{}, m.Error
	}
	if !bytes.Equal(bytes.TrimSpace(m.ID), c.x.msg.ID) {
		return outcome{}, access.Deny(access.Internal, errNoAnswer)
	}
	return outcome{raw: m.Result}, nil
}

func (c *capture) httpError() error {
	return &access.Error{
		Reason: reasonOf(c.status),
		Rule:   "server",
		Err:    errors.New("harden: inner server: HTTP " + strconv.Itoa(c.status)),
	}
}

// cleanRaw looks at a result behind Wrap. It reads the result only where it has
// something to change.
func (e *endpoint) cleanRaw(ctx context.Context, x *exchange, out outcome) (outcome, error) {
	if out.raw == nil {
		return out, nil
	}
	var err error
	switch x.call.Method {
	case "initialize":
		var r struct {
			Version string `json:"protocolVersion"`
		}
		err = json.Unmarshal(out.raw, &r)
		x.negotiated = r.Version
	case "tools/list":
		out.raw, err = e.cleanList(ctx, x, out.raw, "tools", "name", "tools/call")
	case "prompts/list":
		out.raw, err = e.cleanList(ctx, x, out.raw, "prompts", "name", "prompts/get")
	case "resources/list":
		out.raw, err = e.cleanList(ctx, x, out.raw, "resources", "uri", "resources/read")
	case "resources/read", "resources/templates/list", "server/discover":
		out.raw, err = e.cleanMembers(x, out.raw, nil)
	}
	if err != nil {
		return outcome{}, fmt.Errorf("harden: result of the inner server: %w", err)
	}
	return out, nil
}

// cleanList removes the items that the caller may not know of.
func (e *endpoint) cleanList(ctx context.Context, x *exchange, raw json.RawMessage, list, name, method string) (json.RawMessage, error) {
	return e.cleanMembers(x, raw, func(members map[string]json.RawMessage) error {
		var items []json.RawMessage
		if err := json.Unmarshal(members[list], &items); err != nil {
			return err
		}
		kept := []json.RawMessage{}
		for _, item := range items {
			var fields map[string]json.RawMessage
			var id string
			if json.Unmarshal(item, &fields) != nil || json.Unmarshal(fields[name], &id) != nil {
				continue // without a name nobody can have permission for it
			}
			if e.mayKnow(ctx, x, method, id) {
				kept = append(kept, item)
			}
		}
		var err error
		members[list], err = json.Marshal(kept)
		return err
	})
}

// cleanMembers makes caching private and lets change edit the members.
func (e *endpoint) cleanMembers(x *exchange, raw json.RawMessage, change func(map[string]json.RawMessage) error) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	if isModern(x.call.Version) {
		members["cacheScope"] = json.RawMessage(`"private"`)
	}
	if raw, ok := members["supportedVersions"]; ok {
		var versions []string
		if err := json.Unmarshal(raw, &versions); err != nil {
			return nil, err
		}
		members["supportedVersions"], _ = json.Marshal(e.supported(versions)) // strings
	}
	if change != nil {
		if err := change(members); err != nil {
			return nil, err
		}
	}
	return json.Marshal(members)
}
