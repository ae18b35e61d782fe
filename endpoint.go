package harden

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/session"
	"github.com/hardenmcp/harden/validate"
)

// An endpoint is a guard in front of one server.
type endpoint struct {
	*Guard
	tools    *validate.Validator // also the body gate
	metadata *metadata           // nil without authentication
	// transport names the transport of messages that do not come by HTTP.
	transport string
	suffix    string // of this endpoint's users in the session table
	wraps     bool   // the inner server is not of the SDK
	// forward hands a checked request on to the inner server.
	forward func(*httpExchange)
	// end tells the inner server that a session is over.
	end func(session.Ended)

	relearnMu sync.Mutex
	relearned time.Time
}

func (e *endpoint) init() error {
	var err error
	e.transport = "other"
	e.tools, err = validate.New(e.validate)
	return err
}

// An httpExchange is an exchange that came by HTTP. It is also the
// ResponseWriter that the inner handler writes to.
type httpExchange struct {
	exchange
	writer
	e *endpoint
	r *http.Request

	origin      string // an allowed one
	token       bool   // the request has an Authorization header
	msg         *validate.Message
	messages    []*validate.Message // a batch
	body        []byte              // canonical
	sessionID   string              // as the peer knows it
	inner       string              // as the inner server knows it
	reservation *session.Reservation
	release     func()    // of a stream
	streamEnd   time.Time // when the session of the stream ends
	id          [1]string // the correlation ID as a header
}

// ServeHTTP runs the HTTP stages.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &httpExchange{e: e, r: r}
	x.writer = writer{x: x, w: w}
	x.call = access.Call{
		ID:        newID(),
		Transport: "http",
		Received:  time.Now(),
		Peer:      e.peer(r),
		Version:   r.Header.Get("Mcp-Protocol-Version"),
	}
	securityHeaders(w.Header())
	x.id[0] = x.call.ID
	w.Header()["X-Correlation-Id"] = x.id[:]
	if !e.enter() {
		x.refuse("shape", access.Deny(access.Unavailable, nil))
		return
	}
	defer e.calls.Done()
	defer x.finish()
	if e.metadata != nil && e.metadata.serves(r) {
		x.serveMetadata()
		return
	}
	if r.Method == http.MethodOptions && x.preflight() {
		return
	}
	for _, s := range httpStages {
		if err := s.check(e, x); err != nil {
			x.refuse(s.name, err)
			return
		}
	}
	x.dispatch()
}

// dispatch hands the message on.
func (x *httpExchange) dispatch() {
	if x.msg == nil || x.msg.Kind != validate.Request {
		// Nothing at the method seam answers for it.
		x.claimed.Store(true)
		defer x.concludeHTTP()
	}
	ctx, cancel := x.context()
	defer cancel()
	x.r = x.r.WithContext(ctx)
	x.r.Header = x.innerHeader()
	if x.r.Method == http.MethodDelete && x.inner == noInner {
		x.WriteHeader(http.StatusNoContent) // there is nothing more to end
		return
	}
	x.e.forward(x)
}

// context bounds the life of streams: they end with the token, with the guard,
// and with their own age (rows A16, T10).
func (x *httpExchange) context() (context.Context, context.CancelFunc) {
	ctx := context.WithValue(x.r.Context(), callerKey{}, &x.exchange)
	if x.r.Method != http.MethodGet && x.call.Method != "subscriptions/listen" {
		return ctx, func() {}
	}
	end := time.Now().Add(x.e.http.StreamAge)
	if p := x.call.Principal; !p.Expires.IsZero() && p.Expires.Before(end) {
		end = p.Expires
	}
	if s := x.streamEnd; !s.IsZero() && s.Before(end) {
		end = s
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	stop := context.AfterFunc(x.e.stopped, cancel)
	return ctx, func() { stop(); cancel() }
}

// innerHeader is the request's header as the inner server sees it: without
// credentials (rows A11, A12), and with the inner session.
func (x *httpExchange) innerHeader() http.Header {
	h := make(http.Header, len(x.r.Header))
	modern := isModern(x.call.Version)
	for name, values := range x.r.Header {
		switch name {
		case "Authorization", "Cookie", "Proxy-Authorization", "Dpop", "Accept-Encoding", "Content-Length", "Expect":
			continue
		case "Last-Event-Id":
			// In 2026-07-28 it means nothing and the SDK refuses it (T32).
			if modern {
				continue
			}
		case "Mcp-Session-Id":
			continue
		}
		h[name] = values
	}
	if x.inner != "" && x.inner != noInner {
		h["Mcp-Session-Id"] = []string{x.inner}
	}
	if x.msg != nil && x.msg.Name != "" && strings.HasPrefix(h.Get("Mcp-Name"), base64Prefix) {
		// The SDK compares without decoding (T18); ours compared equal.
		if printable(x.msg.Name) {
			h["Mcp-Name"] = []string{x.msg.Name}
		}
	}
	return h
}

// concludeHTTP writes the record of what no method stage will answer for.
func (x *httpExchange) concludeHTTP() {
	if x.written {
		return
	}
	x.record.Status = x.status
	if x.call.Method == "" {
		x.call.Method = x.r.Method
	}
	var err error
	if x.status >= http.StatusBadRequest {
		err = &access.Error{Reason: reasonOf(x.status), Rule: "server"}
	}
	if werr := x.e.conclude(x.r.Context(), &x.exchange, err); werr != nil && !x.started {
		x.writeError(x.e.wire(&x.call, werr))
	}
}

// reasonOf is the reason that fits a status of the inner server.
func reasonOf(status int) access.Reason {
	for _, reason := range []access.Reason{
		access.Unauthenticated, access.Forbidden, access.NotFound, access.TooLarge, access.RateLimited, access.Unavailable,
	} {
		if reasonStatus[reason] == status {
			return reason
		}
	}
	if status >= http.StatusInternalServerError {
		return access.Internal
	}
	return access.Invalid
}

// refuse answers err, which stage returned, and writes the record.
func (x *httpExchange) refuse(stage string, err error) {
	x.step(stage, err)
	w := x.e.wire(&x.call, err)
	x.claimed.Store(true)
	x.record.IsError = w.tool
	x.record.Status, x.record.Code = httpStatus(access.AsError(err), w.status), w.code
	if werr := x.e.conclude(x.r.Context(), &x.exchange, err); werr != nil {
		w = x.e.wire(&x.call, werr)
		x.writeError(w)
		return
	}
	w.status = x.record.Status
	x.writeError(w)
}

// httpStatus is the status of a refusal of the shape, which are finer than the
// reasons.
func httpStatus(e *access.Error, status int) int {
	switch e.Rule {
	case "http-method":
		return http.StatusMethodNotAllowed
	case "content-type":
		return http.StatusUnsupportedMediaType
	case "headers":
		return http.StatusRequestHeaderFieldsTooLarge
	}
	return status
}

// writeError writes an error of ours.
func (x *httpExchange) writeError(w *wireError) {
	h := x.w.Header()
	w.writeHeaders(h)
	if w.status == http.StatusMethodNotAllowed {
		h.Set("Allow", x.e.allow())
	}
	x.cors(h)
	var id json.RawMessage
	if x.msg != nil {
		id = x.msg.ID
	}
	x.started, x.status = true, w.status
	x.w.WriteHeader(w.status)
	if x.r.Method == http.MethodHead {
		return
	}
	if w.tool {
		_, _ = x.w.Write(w.toolBody(id, isModern(x.call.Version)))
		return
	}
	_, _ = x.w.Write(w.body(id))
}

// finish runs when the inner server is done, also after a panic in it.
func (x *httpExchange) finish() {
	if v := recover(); v != nil {
		if v == http.ErrAbortHandler {
			panic(v) // net/http's own way to end a response
		}
		x.panicked(v)
	}
	x.flushHeld()
	if x.reservation != nil {
		x.reservation.Cancel()
	}
	if x.release != nil {
		x.release()
	}
	if x.claimed.CompareAndSwap(false, true) {
		x.concludeHTTP()
	}
	x.e.endExpired()
}

// panicked answers for a panic at the HTTP seam. A panic in a handler of the
// SDK never gets here: that handler runs elsewhere, inside observe.
func (x *httpExchange) panicked(v any) {
	err := access.Deny(access.Internal, &errPanic{v, debug.Stack()})
	x.holding = false
	if x.started {
		x.claimed.Store(true)
		x.step("serve", err)
		_ = x.e.conclude(x.r.Context(), &x.exchange, err) // too late to tell the peer
		return
	}
	x.refuse("serve", err)
}

// endExpired tells the inner server of the sessions that are over.
func (e *endpoint) endExpired() {
	if e.versions.legacy == "" {
		return
	}
	for _, ended := range e.sessions.Sweep() {
		e.endSession(ended)
	}
}

// endInner ends the inner server's session, if it has one.
func (e *endpoint) endInner(s session.Ended) {
	user, ours := strings.CutSuffix(s.User, e.suffix)
	if e.end != nil && ours && s.Inner != noInner {
		s.User = user
		e.end(s)
	}
}

// inspect learns the tools and prompts of server, over a connection in memory.
func (e *endpoint) inspect(server *mcp.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	here, there := mcp.NewInMemoryTransports()
	ss, err := server.Connect(ctx, there, nil)
	if err != nil {
		return err
	}
	defer ss.Close()
	client := mcp.NewClient(&mcp.Implementation{Name: "harden", Version: "1"}, nil)
	cs, err := client.Connect(ctx, here, nil)
	if err != nil {
		return err
	}
	defer cs.Close()
	return e.inspectSession(ctx, cs)
}

func (e *endpoint) inspectSession(ctx context.Context, cs *mcp.ClientSession) error {
	var tools, prompts []string
	caps := serverCapabilities(cs)
	if caps == nil || caps.Tools != nil {
		for tool, err := range cs.Tools(ctx, nil) {
			if err != nil {
				return err
			}
			if err := e.learn(tool); err != nil {
				return err
			}
			tools = append(tools, tool.Name)
		}
	}
	if caps == nil || caps.Prompts != nil {
		for prompt, err := range cs.Prompts(ctx, nil) {
			if err != nil {
				return err
			}
			prompts = append(prompts, prompt.Name)
		}
	}
	if e.auth == nil {
		return nil
	}
	return e.auth.Names(tools, prompts)
}

func serverCapabilities(cs *mcp.ClientSession) *mcp.ServerCapabilities {
	if r := cs.InitializeResult(); r != nil {
		return r.Capabilities
	}
	return nil
}

func (e *endpoint) learn(tool *mcp.Tool) error {
	schema, err := json.Marshal(tool.InputSchema)
	if err != nil {
		return err
	}
	return e.tools.Learn(tool.Name, schema)
}

// relearn asks the server for its tools once more, at most once a second: a
// stranger who makes up names does not make us list.
func (e *endpoint) relearn(ctx context.Context, x *exchange) error {
	e.relearnMu.Lock()
	defer e.relearnMu.Unlock()
	if e.tools.Known(x.call.Name) {
		return nil
	}
	if x.list == nil || time.Since(e.relearned) < time.Second {
		return access.Deny(access.NotFound, errNoTool)
	}
	e.relearned = time.Now()
	// The lock is held while the server answers, so that may not last.
	ctx, cancel := context.WithTimeout(ctx, e.bounds.Call)
	defer cancel()
	const pages = 100
	cursor := ""
	for range pages {
		page, err := x.list(ctx, x, cursor)
		if err != nil {
			return err
		}
		for _, tool := range page.Tools {
			if err := e.learn(tool); err != nil && tool.Name == x.call.Name {
				return access.Deny(access.Unavailable, err)
			}
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if !e.tools.Known(x.call.Name) {
		return access.Deny(access.NotFound, errNoTool)
	}
	return nil
}
