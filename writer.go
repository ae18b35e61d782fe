package harden

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

// A writer is what the inner server writes its response to. It lets nothing of
// the inner server's own errors through, gives refusals of the method seam
// their HTTP status, and translates the session ID.
type writer struct {
	x       *httpExchange
	w       http.ResponseWriter
	status  int
	started bool   // the header is written, or decided
	holding bool   // an error of the inner server is held back
	held    []byte // bounded by heldBytes
	closed  bool   // our refusal was written: nothing may follow it
}

const heldBytes = 64 << 10

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header { return w.w.Header() }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if w.started {
		return
	}
	if status < 200 {
		return // nothing of ours sends informational responses
	}
	w.started, w.status = true, status
	if status >= http.StatusBadRequest {
		w.holding = true
		return
	}
	h := w.w.Header()
	// Ours again: the inner server may have set its own.
	securityHeaders(h)
	h.Del("Server")
	h.Del("X-Powered-By")
	h.Del("Set-Cookie")
	h.Del("WWW-Authenticate")
	h["X-Correlation-Id"] = w.x.id[:]
	if ct := h["Content-Type"]; len(ct) == 1 && ct[0] == "text/event-stream" {
		h["X-Accel-Buffering"] = noBuffering
	}
	if err := w.x.translateSession(h); err != nil {
		w.x.writeError(w.x.e.wire(&w.x.call, err))
		w.closed = true
		return
	}
	w.x.cors(h)
	w.w.WriteHeader(status)
}

var noBuffering = []string{"no"}

// Write implements http.ResponseWriter. The SDK writes one event, or one JSON
// body, in each call.
func (w *writer) Write(b []byte) (int, error) {
	if !w.started {
		if refused := w.x.refused.Load(); refused != nil && bytes.Contains(b, []byte(w.x.call.ID)) {
			w.writeRefusal(refused, b)
			return len(b), nil
		}
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.closed:
	case w.holding:
		w.held = append(w.held, b[:min(len(b), heldBytes-len(w.held))]...)
	default:
		if _, err := w.w.Write(w.scrub(b)); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// writeRefusal writes a refusal of the method seam, which the SDK encoded in b,
// with the HTTP status that belongs to it.
func (w *writer) writeRefusal(refused *wireError, b []byte) {
	h := w.w.Header()
	refused.writeHeaders(h)
	securityHeaders(h)
	w.x.cors(h)
	w.started, w.status, w.closed = true, refused.status, true
	w.w.WriteHeader(refused.status)
	_, _ = w.w.Write(eventData(b))
}

// eventData returns the data of an event, or b itself when it is none.
func eventData(b []byte) []byte {
	if i := bytes.Index(b, []byte("data: ")); i >= 0 && (i == 0 || b[i-1] == '\n') {
		return bytes.TrimSpace(b[i+len("data: "):])
	}
	return b
}

// scrub replaces an error that the SDK wrote itself, past our middleware.
func (w *writer) scrub(b []byte) []byte {
	if !bytes.Contains(b, []byte(`"error":`)) {
		return b
	}
	data := eventData(b)
	clean := w.x.e.rewrite(&w.x.call, data)
	if len(data) == len(b) {
		return clean
	}
	head := b[:bytes.Index(b, []byte("data: "))+len("data: ")]
	return append(append(bytes.Clone(head), clean...), '\n', '\n')
}

// flushHeld answers an error of the inner server in our words.
func (w *writer) flushHeld() {
	if !w.holding {
		return
	}
	w.holding = false
	if refused := w.x.refused.Load(); refused != nil && bytes.Contains(w.held, []byte(w.x.call.ID)) {
		// Ours: the SDK chose the status for its code.
		w.writeRefusal(refused, w.held)
		return
	}
	w.x.writeError(w.x.innerError(w.status, w.held))
}

// innerError is what to say for an HTTP error of the inner server.
func (x *httpExchange) innerError(status int, body []byte) *wireError {
	var m struct {
		Error *jsonrpc.Error `json:"error"`
	}
	if json.Unmarshal(body, &m) == nil && m.Error != nil {
		w := foreignError(&x.call, m.Error, m.Error)
		w.status = status
		return w
	}
	reason := reasonOf(status)
	return &wireError{
		status:  status,
		code:    int64(status),
		message: reason.Message(),
		data:    errorData{Reason: reason, ID: x.call.ID},
	}
}

// FlushError implements what http.ResponseController looks for.
func (w *writer) FlushError() error {
	if !w.started {
		w.WriteHeader(http.StatusOK)
	}
	if w.holding || w.closed {
		return nil
	}
	return http.NewResponseController(w.w).Flush()
}

// Flush implements http.Flusher.
func (w *writer) Flush() { _ = w.FlushError() }

// SetReadDeadline and SetWriteDeadline are passed on; hijacking is not offered.
func (w *writer) SetReadDeadline(t time.Time) error {
	return http.NewResponseController(w.w).SetReadDeadline(t)
}

// SetWriteDeadline is passed on.
func (w *writer) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(w.w).SetWriteDeadline(t)
}
