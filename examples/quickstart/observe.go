package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
)

// observed is what the client got for one request.
type observed struct {
	status    int
	challenge string // WWW-Authenticate
	retry     string // Retry-After, seconds
	id        string // X-Correlation-Id
	code      int64  // JSON-RPC error code, or 0
	message   string // JSON-RPC error message, or the text of the result
	toolError bool   // the result has isError
}

// tap is an HTTP transport that sends a bearer token and keeps what came back
// for the last POST.
type tap struct {
	token string

	mu   sync.Mutex
	last observed
}

// RoundTrip implements http.RoundTripper.
func (t *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if t.token != "" {
		r.Header.Set("Authorization", "Bearer "+t.token)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || r.Method != http.MethodPost {
		return resp, err
	}
	// The answer to a POST ends by itself, as JSON and as a stream.
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = observe(resp, body)
	return resp, nil
}

func (t *tap) seen() observed {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

func observe(resp *http.Response, body []byte) observed {
	o := observed{
		status:    resp.StatusCode,
		challenge: resp.Header.Get("WWW-Authenticate"),
		retry:     resp.Header.Get("Retry-After"),
		id:        resp.Header.Get("X-Correlation-Id"),
	}
	var msg struct {
		Result struct {
			IsError bool
			Content []struct{ Text string }
		}
		Error *struct {
			Code    int64
			Message string
		}
	}
	if json.Unmarshal(message(resp, body), &msg) != nil {
		o.message = string(body)
		return o
	}
	o.toolError = msg.Result.IsError
	for _, c := range msg.Result.Content {
		o.message += c.Text
	}
	if msg.Error != nil {
		o.code, o.message = msg.Error.Code, msg.Error.Message
	}
	return o
}

// message returns the JSON of a body, which is the last event when the body is
// a stream.
func message(resp *http.Response, body []byte) []byte {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return body
	}
	var last []byte
	for line := range bytes.Lines(body) {
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok && len(bytes.TrimSpace(data)) > 0 {
			last = data
		}
	}
	return last
}

// auditLog keeps the JSON lines that the guard writes.
type auditLog struct {
	mu    sync.Mutex
	lines []auditLine
}

// auditLine is the short form of a record.
type auditLine struct {
	ID, Outcome, Reason, Rule, Cause string
}

// Write takes one line.
func (l *auditLog) Write(p []byte) (int, error) {
	var line auditLine
	if err := json.Unmarshal(p, &line); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return len(p), nil
}

// find returns the last line of the call with that correlation ID.
func (l *auditLog) find(id string) (auditLine, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.lines) - 1; i >= 0; i-- {
		if l.lines[i].ID == id {
			return l.lines[i], true
		}
	}
	return auditLine{}, false
}
