package harden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden/access"
)

// This file is the only place where an error meets a peer. What is not said
// here is not said at all.

// A wireError is an error as the peer will see it.
type wireError struct {
	status    int // HTTP
	code      int64
	message   string
	data      errorData
	extra     json.RawMessage // members that the specification asks for in data
	challenge string          // WWW-Authenticate
	tool      bool            // it is a tool execution error, not a protocol error
}

// errorData is the data member of our errors.
type errorData struct {
	Reason     access.Reason      `json:"reason"`
	ID         string             `json:"correlation_id"`
	RetryAfter int64              `json:"retry_after,omitempty"` // seconds
	Scopes     []string           `json:"scopes,omitempty"`
	Violations []access.Violation `json:"violations,omitempty"`
	Supported  []string           `json:"supported,omitempty"`
	Requested  string             `json:"requested,omitempty"`
}

// unsupported is the cause of a version refusal. The specification wants both
// members in the error's data.
type unsupported struct {
	requested string
	supported []string
}

func (u *unsupported) Error() string {
	return fmt.Sprintf("harden: version %q is not served (%s)", u.requested, strings.Join(u.supported, ", "))
}

func versionRefusal(requested string, supported []string) error {
	if len(requested) > 32 {
		requested = requested[:32]
	}
	return &access.Error{
		Reason: access.Invalid,
		Rule:   "version",
		Err:    &unsupported{strings.ToValidUTF8(requested, ""), supported},
	}
}

// The codes that the specifications assign; every other code of ours is the
// HTTP status, which is outside their range.
const codeParse = -32700

var ruleCodes = map[string]int64{
	"parse":   codeParse,
	"request": jsonrpc.CodeInvalidRequest,
	"batch":   jsonrpc.CodeInvalidRequest,
	"params":  jsonrpc.CodeInvalidParams,
	"method":  jsonrpc.CodeMethodNotFound,
	"header":  mcp.CodeHeaderMismatch,
	"version": mcp.CodeUnsupportedProtocolVersion,
}

var reasonStatus = map[access.Reason]int{
	access.Unauthenticated:   http.StatusUnauthorized,
	access.Forbidden:         http.StatusForbidden,
	access.InsufficientScope: http.StatusForbidden,
	access.RateLimited:       http.StatusTooManyRequests,
	access.Invalid:           http.StatusBadRequest,
	access.TooLarge:          http.StatusRequestEntityTooLarge,
	access.NotFound:          http.StatusNotFound,
	access.Conflict:          http.StatusBadRequest,
	access.Unavailable:       http.StatusServiceUnavailable,
	access.Internal:          http.StatusInternalServerError,
}

// wire says err in the words of the protocol.
func (e *endpoint) wire(c *access.Call, err error) *wireError {
	var rpc *jsonrpc.Error
	var ours *access.Error
	if !errors.As(err, &ours) && errors.As(err, &rpc) {
		return foreignError(c, rpc, err)
	}
	refusal := access.AsError(err)
	w := &wireError{
		status:  reasonStatus[refusal.Reason],
		message: refusal.Reason.Message(),
		data: errorData{
			Reason:     refusal.Reason,
			ID:         c.ID,
			Scopes:     refusal.Scopes,
			Violations: refusal.Violations,
		},
	}
	if refusal.RetryAfter > 0 {
		w.data.RetryAfter = int64(math.Ceil(refusal.RetryAfter.Seconds()))
	}
	var u *unsupported
	if errors.As(refusal.Err, &u) {
		w.data.Supported, w.data.Requested = u.supported, u.requested
	}
	w.code = e.code(c, refusal, w.status)
	w.challenge = e.challenge(refusal)
	w.tool = c.Method == "tools/call" && refusal.Reason == access.Invalid && refusal.Rule == "schema"
	if w.tool {
		w.status = http.StatusOK
	}
	e.adjustStatus(c, refusal, w)
	return w
}

func (e *endpoint) code(c *access.Call, refusal *access.Error, status int) int64 {
	if code, ok := ruleCodes[refusal.Rule]; ok && (refusal.Reason == access.Invalid || refusal.Rule == "method") {
		return code
	}
	switch {
	case refusal.Reason == access.Internal:
		return jsonrpc.CodeInternalError
	case refusal.Reason == access.Invalid:
		return jsonrpc.CodeInvalidParams
	case refusal.Reason == access.NotFound && refusal.Rule == "session":
	case refusal.Reason == access.NotFound && c.Name != "":
		// As for an unknown tool, prompt or resource: what is hidden and what
		// is absent look alike.
		return jsonrpc.CodeInvalidParams
	case refusal.Reason == access.NotFound && c.Method != "":
		return jsonrpc.CodeMethodNotFound
	}
	return int64(status)
}

// adjustStatus keeps older peers from taking "no such tool" for "no such
// session", which is what 404 means to them, and gives newer ones the status
// that the specification assigns to the code.
func (e *endpoint) adjustStatus(c *access.Call, refusal *access.Error, w *wireError) {
	if refusal.Reason != access.NotFound || refusal.Rule == "session" || refusal.Rule == "path" {
		return
	}
	switch {
	case c.Method == "":
	case !isModern(c.Version):
		w.status = http.StatusOK
	case w.code == jsonrpc.CodeInvalidParams:
		w.status = http.StatusBadRequest
	}
}

// challenge is the WWW-Authenticate of RFC 6750 section 3 with the
// resource_metadata of RFC 9728 section 5.1.
func (e *endpoint) challenge(refusal *access.Error) string {
	if e.auth == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("Bearer ")
	scopes := e.auth.Scopes()
	switch refusal.Reason {
	case access.Unauthenticated:
		// RFC 6750 section 3.1: no error code for a request without any
		// authentication information.
		if refusal.Rule != "authorization" {
			b.WriteString(`error="invalid_token", error_description="The access token is not valid for this server or has expired", `)
		}
	case access.InsufficientScope:
		b.WriteString(`error="insufficient_scope", error_description="The access token lacks a scope for this operation", `)
		scopes = refusal.Scopes
	default:
		return ""
	}
	if len(scopes) > 0 {
		b.WriteString(`scope="` + strings.Join(scopes, " ") + `", `)
	}
	b.WriteString(`resource_metadata="` + e.auth.MetadataURL() + `"`)
	return b.String()
}

// foreignMessages are our words for the codes that the SDK or an inner server
// may send. Their own words can hold anything: addresses, types, arguments.
var foreignMessages = map[int64]string{
	codeParse:                                 "The message is not valid JSON.",
	jsonrpc.CodeInvalidRequest:                "The message is not a valid request.",
	jsonrpc.CodeMethodNotFound:                "There is no such method here.",
	jsonrpc.CodeInvalidParams:                 "The parameters are not valid, or name something that is not here.",
	jsonrpc.CodeInternalError:                 access.Internal.Message(),
	mcp.CodeHeaderMismatch:                    "A required header is missing or does not match the message.",
	mcp.CodeMissingRequiredClientCapabilities: "The client lacks a capability that this needs.",
	mcp.CodeUnsupportedProtocolVersion:        "This protocol version is not served.",
	mcp.CodeURLElicitationRequired:            "The user has to visit a page first.",
}

// foreignError translates an error of the SDK, of a handler or of an inner
// server: its code stays when the specification knows it, its text stays only
// when its author marked it with access.Safe.
func foreignError(c *access.Call, rpc *jsonrpc.Error, err error) *wireError {
	w := &wireError{code: rpc.Code, status: http.StatusOK, data: errorData{Reason: access.Invalid, ID: c.ID}}
	message, known := foreignMessages[rpc.Code]
	if !known || rpc.Code == jsonrpc.CodeInternalError {
		w.code, message = jsonrpc.CodeInternalError, access.Internal.Message()
		w.data.Reason = access.Internal
	}
	w.message = message
	if text, ok := access.SafeText(err); ok {
		w.message = text
	}
	switch rpc.Code {
	case mcp.CodeMissingRequiredClientCapabilities, mcp.CodeUnsupportedProtocolVersion,
		mcp.CodeURLElicitationRequired, jsonrpc.CodeInvalidParams:
		// Their data is part of the protocol. What is not JSON would break
		// the frame (T16).
		if len(rpc.Data) <= 16<<10 && json.Valid(rpc.Data) {
			w.extra = rpc.Data
		}
	}
	if isModern(c.Version) {
		switch w.code {
		case jsonrpc.CodeMethodNotFound:
			w.status = http.StatusNotFound
		case jsonrpc.CodeInvalidParams, mcp.CodeUnsupportedProtocolVersion, mcp.CodeMissingRequiredClientCapabilities:
			w.status = http.StatusBadRequest
		}
	}
	return w
}

// rpc is the error for the SDK to send. It is returned bare: the SDK sends the
// text of a wrapper, and drops Data.
func (w *wireError) rpc() *jsonrpc.Error {
	return &jsonrpc.Error{Code: w.code, Message: w.message, Data: w.dataJSON()}
}

func (w *wireError) dataJSON() json.RawMessage {
	data, err := json.Marshal(w.data)
	if err != nil {
		return nil // only strings and numbers: cannot happen
	}
	if len(w.extra) < 2 || w.extra[0] != '{' {
		return data
	}
	inner := bytes.TrimSpace(w.extra[1 : len(w.extra)-1])
	if len(inner) == 0 {
		return data
	}
	out := append(make([]byte, 0, len(data)+len(inner)+1), data[:len(data)-1]...)
	return append(append(append(out, ','), inner...), '}')
}

// body is the JSON-RPC error response. id is null when it could not be read.
func (w *wireError) body(id json.RawMessage) []byte {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	b, err := json.Marshal(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   struct {
			Code    int64           `json:"code"`
			Message string          `json:"message"`
			Data    json.RawMessage `json:"data"`
		} `json:"error"`
	}{"2.0", id, struct {
		Code    int64           `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}{w.code, w.message, w.dataJSON()}})
	if err != nil {
		return []byte(`{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"internal"}}`)
	}
	return b
}

// toolText is what a model reads of a refusal of its arguments.
func (w *wireError) toolText() string {
	var b strings.Builder
	b.WriteString(w.message)
	for _, v := range w.data.Violations {
		place := v.Pointer
		if place == "" {
			place = "(the arguments)"
		}
		b.WriteString("\n- " + place + ": " + v.Rule)
		if v.Expected != "" {
			b.WriteString(", expected " + v.Expected)
		}
	}
	b.WriteString("\nCorrelation ID: " + w.data.ID)
	return b.String()
}

// toolBody is the response whose result is the tool execution error.
func (w *wireError) toolBody(id json.RawMessage, modern bool) []byte {
	raw, err := json.Marshal(toolRefusal(w.toolText(), modern))
	if err != nil {
		return w.body(id)
	}
	return responseBody(id, raw)
}

// toolRefusal is a tool execution error. In 2026-07-28 a result says that it is
// complete, which the SDK sets on its handlers' results only, in a field that
// can be reached by decoding and in no other way.
func toolRefusal(text string, modern bool) *mcp.CallToolResult {
	res := &mcp.CallToolResult{}
	if modern {
		_ = json.Unmarshal([]byte(`{"content":[],"resultType":"complete"}`), res) // a constant
	}
	res.IsError, res.Content = true, []mcp.Content{&mcp.TextContent{Text: text}}
	return res
}

// answer turns an error of the method stages into what the SDK is to send.
func (e *endpoint) answer(x *exchange, err error) (mcp.Result, error) {
	w := e.wire(&x.call, err)
	if w.tool {
		return toolRefusal(w.toolText(), isModern(x.call.Version)), nil
	}
	x.refused.Store(w)
	return nil, w.rpc()
}

// writeHeaders puts the refusal into the headers of an HTTP response.
func (w *wireError) writeHeaders(h http.Header) {
	h.Set("Content-Type", "application/json")
	h.Del("Content-Length")
	h.Del("Connection")
	if w.challenge != "" {
		h.Set("WWW-Authenticate", w.challenge)
	}
	if w.data.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(w.data.RetryAfter, 10))
	}
}

// rewrite replaces an error response that did not come from this file with our
// words for its code. Other messages, and our own errors, stay as they are.
func (e *endpoint) rewrite(c *access.Call, msg []byte) []byte {
	if !bytes.Contains(msg, []byte(`"error":`)) || bytes.Contains(msg, []byte(c.ID)) {
		return msg
	}
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method *string         `json:"method"`
		Error  *jsonrpc.Error  `json:"error"`
	}
	if json.Unmarshal(msg, &m) != nil || m.Error == nil || m.Method != nil {
		return msg
	}
	return foreignError(c, m.Error, m.Error).body(m.ID)
}

// plainRefusal answers where there is no MCP message yet and no guard.
func plainRefusal(w http.ResponseWriter, status int) {
	securityHeaders(w.Header())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(http.StatusText(status) + "\n"))
}

// securityHeaders are set on every response: nothing here is for a browser to
// sniff, frame, cache or leak.
func securityHeaders(h http.Header) {
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	h["Content-Security-Policy"] = csp
	h["Referrer-Policy"] = noReferrer
	h["X-Frame-Options"] = deny
	h["Cross-Origin-Resource-Policy"] = sameOrigin
}

// Shared, so that setting them costs nothing. Nobody may append to them: net/http
// and this package only read.
var (
	nosniff    = []string{"nosniff"}
	noStore    = []string{"no-store"}
	csp        = []string{"default-src 'none'; frame-ancestors 'none'"}
	noReferrer = []string{"no-referrer"}
	deny       = []string{"DENY"}
	sameOrigin = []string{"same-origin"}
)
