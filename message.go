package harden

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/validate"
)

// maxBatch bounds a batch, which only versions up to 2025-03-26 have.
const maxBatch = 32

const base64Prefix, base64Suffix = "=?base64?", "?="

// checkCaller proves who calls, on every request (row A16).
func (e *endpoint) checkCaller(x *httpExchange) error {
	if e.open != nil {
		x.call.Principal = e.open
		return nil
	}
	values := x.r.Header["Authorization"]
	x.token = len(values) > 0
	token, err := auth.Header(values)
	if err != nil {
		return err
	}
	x.call.Principal, err = e.auth.Verify(x.r.Context(), token)
	return err
}

// checkMessage reads the body, if there is to be one, and settles the version.
func (e *endpoint) checkMessage(x *httpExchange) error {
	if x.r.Method != http.MethodPost {
		return e.checkStreamVersion(x)
	}
	body, err := e.readBody(x)
	if err != nil {
		return err
	}
	if err := e.parse(x, body); err != nil {
		return err
	}
	if x.batch {
		return nil
	}
	return e.checkVersion(x)
}

func (e *endpoint) readBody(x *httpExchange) ([]byte, error) {
	limit := e.tools.MaxBytes()
	if x.r.ContentLength > int64(limit) {
		return nil, shapeError(access.TooLarge, "body", "body of %d bytes, the bound is %d", x.r.ContentLength, limit)
	}
	var buf bytes.Buffer
	if n := x.r.ContentLength; n > 0 {
		buf.Grow(int(n) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(http.MaxBytesReader(x.w, x.r.Body, int64(limit))); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, shapeError(access.TooLarge, "body", "body over %d bytes", limit)
		}
		return nil, &access.Error{Reason: access.Invalid, Rule: "parse", Err: fmt.Errorf("harden: body: %w", err)}
	}
	x.call.Bytes = buf.Len()
	return buf.Bytes(), nil
}

// parse runs the strict gate over the body.
func (e *endpoint) parse(x *httpExchange, body []byte) error {
	if e.batchAllowed(x) && len(body) > 0 && bytes.TrimLeft(body, " \t\r\n")[0] == '[' {
		return e.parseBatch(x, body)
	}
	msg, err := e.tools.Read(body)
	x.msg = msg
	if readable := err == nil || access.AsError(err).Rule == "params"; readable && isModern(x.call.Version) &&
		msg.Kind == validate.Request && slices.Contains(removed, msg.Method) {
		x.call.Method = msg.Method
		return &access.Error{Reason: access.NotFound, Rule: "method", Err: fmt.Errorf("harden: method %q was removed in 2026-07-28", msg.Method)}
	}
	if err != nil {
		return err
	}
	x.body = msg.Canonical
	c := &x.call
	c.Method, c.Name, c.Arguments, c.Params = msg.Method, msg.Name, msg.Arguments, msg.Params
	c.Notification = msg.Kind != validate.Request
	return nil
}

// removed are the methods that 2026-07-28 no longer has. They are answered as
// unknown, whatever their parameters are (row D05).
var removed = []string{"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"}

func (e *endpoint) batchAllowed(x *httpExchange) bool {
	v := x.r.Header.Get("Mcp-Protocol-Version")
	return e.versions.loose && !e.wraps && v <= version20250326
}

func (e *endpoint) parseBatch(x *httpExchange, body []byte) error {
	messages, err := e.tools.ReadBatch(body, maxBatch)
	if err != nil {
		return err
	}
	x.batch, x.messages = true, messages
	x.call.Version = version20250326
	parts := make([][]byte, len(messages))
	for i, m := range messages {
		if m.Method == "initialize" {
			return &access.Error{Reason: access.Invalid, Rule: "batch", Err: errors.New("harden: initialize in a batch")}
		}
		parts[i] = m.Canonical
	}
	x.body = slices.Concat([]byte("["), bytes.Join(parts, []byte(",")), []byte("]"))
	return nil
}

func headerRefusal(format string, args ...any) error {
	return &access.Error{Reason: access.Invalid, Rule: "header", Err: fmt.Errorf("harden: "+format, args...)}
}

// checkVersion settles which generation the message belongs to (rows D01 to
// D04, G12).
func (e *endpoint) checkVersion(x *httpExchange) error {
	if x.msg.Method == "initialize" && x.msg.Kind == validate.Request {
		return e.checkInitialize(x)
	}
	if err := e.checkVersionHeader(x); err != nil {
		return err
	}
	if v := x.msg.Version; v != "" && v != x.call.Version {
		return headerRefusal("version header %q, message %q", x.call.Version, v)
	}
	return e.checkMirrors(x)
}

func (e *endpoint) checkVersionHeader(x *httpExchange) error {
	v := x.call.Version
	switch {
	case v == "" && e.versions.loose:
		x.call.Version = version20250326
	case v == "":
		return headerRefusal("no version header")
	case !e.versions.allows(v):
		return versionRefusal(v, e.versions.allowed)
	}
	return nil
}

// checkStreamVersion is for GET and DELETE, which only sessions have.
func (e *endpoint) checkStreamVersion(x *httpExchange) error {
	if err := e.checkVersionHeader(x); err != nil {
		return err
	}
	if isModern(x.call.Version) {
		return &access.Error{Reason: access.Invalid, Rule: "http-method", Err: errMethod}
	}
	return nil
}

// checkInitialize makes sure that the answer will be a version that is served:
// the SDK would answer with its own choice (T04).
func (e *endpoint) checkInitialize(x *httpExchange) error {
	asked := x.msg.Requested
	if e.versions.legacy == "" || isModern(x.call.Version) {
		return versionRefusal(asked, e.versions.allowed)
	}
	if v := x.call.Version; v != "" && !e.versions.allows(v) {
		return versionRefusal(v, e.versions.allowed)
	}
	x.call.Version = e.versions.negotiate(asked)
	if x.call.Version == asked {
		return nil
	}
	body, err := withVersion(x.msg, x.call.Version)
	if err != nil {
		return err
	}
	msg, err := e.tools.Read(body)
	if err != nil {
		return err
	}
	x.msg, x.body = msg, msg.Canonical
	x.call.Params = msg.Params
	return nil
}

// withVersion returns the initialize message with another protocolVersion.
func withVersion(m *validate.Message, version string) ([]byte, error) {
	params := map[string]json.RawMessage{}
	if len(m.Params) > 0 {
		if err := json.Unmarshal(m.Params, &params); err != nil {
			return nil, &access.Error{Reason: access.Invalid, Rule: "params", Err: err}
		}
	}
	params["protocolVersion"] = json.RawMessage(`"` + version + `"`)
	return json.Marshal(struct {
		JSONRPC string                     `json:"jsonrpc"`
		ID      json.RawMessage            `json:"id"`
		Method  string                     `json:"method"`
		Params  map[string]json.RawMessage `json:"params"`
	}{"2.0", m.ID, m.Method, params})
}

// checkMirrors compares Mcp-Method and Mcp-Name with the message. Newer
// versions require them; on older ones a lying header would fool whoever reads
// headers only (rows D06, D07, D11, T37).
func (e *endpoint) checkMirrors(x *httpExchange) error {
	h := x.r.Header
	modern := isModern(x.call.Version)
	method, name := h.Get("Mcp-Method"), h.Get("Mcp-Name")
	if x.msg.Kind == validate.Response {
		return nil
	}
	if method == "" && modern {
		return headerRefusal("no Mcp-Method header")
	}
	if method != "" && method != x.msg.Method {
		return headerRefusal("Mcp-Method %q, message %q", method, x.msg.Method)
	}
	if name == "" {
		if modern && namedMethod(x.msg.Method) {
			return headerRefusal("no Mcp-Name header")
		}
		return nil
	}
	decoded, err := decodeName(name)
	if err != nil {
		return err
	}
	if x.msg.Name != "" && decoded != x.msg.Name && strings.TrimPrefix(x.msg.Name, "prompt:") != decoded {
		return headerRefusal("Mcp-Name %q, message %q", decoded, x.msg.Name)
	}
	return nil
}

// namedMethod reports whether Mcp-Name is required.
func namedMethod(method string) bool {
	return method == "tools/call" || method == "resources/read" || method == "prompts/get"
}

// decodeName decodes a value in the form =?base64?...?= (T18).
func decodeName(v string) (string, error) {
	inner, ok := strings.CutPrefix(v, base64Prefix)
	if !ok {
		return v, nil
	}
	inner, ok = strings.CutSuffix(inner, base64Suffix)
	if !ok {
		return "", headerRefusal("Mcp-Name is not closed")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(inner)
	if err != nil {
		return "", headerRefusal("Mcp-Name: %w", err)
	}
	return string(b), nil
}

// checkPermitHTTP asks for permission before the SDK sees the message, so that
// a missing scope can answer 403 with a challenge (rows A17, A18).
func (e *endpoint) checkPermitHTTP(x *httpExchange) error {
	ctx := x.r.Context()
	if x.batch {
		for _, m := range x.messages {
			if m.Kind == validate.Response {
				continue
			}
			c := x.call
			c.Method, c.Name, c.Arguments, c.Params = m.Method, m.Name, m.Arguments, m.Params
			if err := e.permit(ctx, &c); err != nil {
				return err
			}
		}
		return nil
	}
	if x.msg == nil || x.msg.Kind == validate.Response {
		return nil
	}
	if err := e.permit(ctx, &x.call); err != nil {
		return err
	}
	return e.permitURIs(x)
}

// checkBudgetHTTP charges the caller for a request that came alone. The
// messages of a batch, and notifications, pay one by one at the method seam.
func (e *endpoint) checkBudgetHTTP(x *httpExchange) error {
	if x.msg == nil || x.msg.Kind != validate.Request {
		return nil
	}
	x.paid = true
	return e.limits.Check(x.r.Context(), &x.call)
}

// checkArgumentsHTTP checks the arguments of a tool that is known already.
func (e *endpoint) checkArgumentsHTTP(x *httpExchange) error {
	if x.msg == nil || x.call.Method != "tools/call" || !e.tools.Known(x.call.Name) {
		return nil
	}
	x.checked = true
	return e.tools.Check(x.r.Context(), &x.call)
}

// permitURIs treats each resource of a subscriptions/listen as a read (rows
// I04, T12): the SDK shows its middleware the list only.
func (e *endpoint) permitURIs(x *httpExchange) error {
	for _, uri := range x.msg.URIs {
		c := x.call
		c.Method, c.Name = "resources/read", uri
		if err := e.permit(x.r.Context(), &c); err != nil {
			return err
		}
	}
	return nil
}

// preflight answers a CORS preflight of an allowed origin. Any other OPTIONS
// goes through the stages, which refuse it.
func (x *httpExchange) preflight() bool {
	h := x.r.Header
	origin := h.Get("Origin")
	if origin == "" || len(h["Origin"]) != 1 || h.Get("Access-Control-Request-Method") == "" ||
		x.r.URL.Path != x.e.http.Path || !x.e.hostAllowed(x.r.Host) || !slices.Contains(x.e.http.Origins, origin) {
		return false
	}
	x.origin = origin
	x.claimed.Store(true) // no call was made
	out := x.w.Header()
	x.cors(out)
	out.Set("Access-Control-Allow-Methods", x.e.allow())
	out.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, DPoP, Last-Event-ID, "+
		"Mcp-Session-Id, Mcp-Protocol-Version, Mcp-Method, Mcp-Name")
	out.Set("Access-Control-Max-Age", "600")
	x.w.WriteHeader(http.StatusNoContent)
	return true
}

// cors lets an allowed origin, and no other, read the response.
func (x *httpExchange) cors(h http.Header) {
	if len(x.e.http.Origins) == 0 {
		return
	}
	h["Vary"] = varyOrigin
	if x.origin == "" {
		return
	}
	h.Set("Access-Control-Allow-Origin", x.origin)
	h.Set("Access-Control-Expose-Headers", "Mcp-Session-Id, WWW-Authenticate, Retry-After, X-Correlation-Id")
	h.Del("Cross-Origin-Resource-Policy")
}

var varyOrigin = []string{"Origin"}
