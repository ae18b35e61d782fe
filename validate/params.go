package validate

import (
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// raw returns the bytes of what a slot holds.
func (r *reader) raw(s slot) []byte {
	p := r.spans[s]
	return r.out[p.start:p.end]
}

// string returns the string that a slot holds, and whether there is one.
func (r *reader) string(s slot) (string, bool) {
	if r.spans[s].kind != '"' {
		return "", false
	}
	return unquote(r.raw(s)), true
}

// unquote undoes the escapes of a string that was checked.
func unquote(v []byte) string {
	if !slices.Contains(v, '\\') {
		return string(v[1 : len(v)-1])
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return string(b)
}

// kind tells requests, notifications and responses apart by their members.
func (r *reader) kind() Kind {
	has := func(s slot) bool { return r.spans[s].kind != 0 }
	switch {
	case has(slotMethod) && has(slotID):
		return Request
	case has(slotMethod) && r.depth == 0:
		return Notification // the whole message was read: no id can follow
	case has(slotResult) || has(slotError):
		return Response
	}
	return 0
}

// maxMethod bounds a method's name.
const maxMethod = 128

// methodName returns the method, or "" when there is none or it is not one.
func (r *reader) methodName() string {
	if r.spans[slotMethod].kind != '"' {
		return ""
	}
	raw := r.raw(slotMethod)
	name := raw[1 : len(raw)-1]
	if m := methods[string(name)]; m != nil {
		return m.name
	}
	if len(name) == 0 || len(name) > maxMethod || slices.Contains(name, '\\') || !visible(name) {
		return ""
	}
	return string(name)
}

// visible reports whether b is visible ASCII.
func visible(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// paramsShape is the shape of the params of the method that was read.
func (r *reader) paramsShape() *shape {
	if r.spans[slotMethod].kind == 0 {
		return nil // not read yet
	}
	if m := methods[r.methodName()]; m != nil {
		return m.shape
	}
	return otherShape
}

// validID reports whether a slot holds an ID that every reader takes for the
// same: an integer that a float64 holds, or a short string of printable ASCII
// (row G01).
func (r *reader) validID(s slot) bool {
	v := r.raw(s)
	switch r.spans[s].kind {
	case '0':
		n, err := strconv.ParseInt(string(v), 10, 64)
		const most = 1<<53 - 1
		return err == nil && n >= -most && n <= most && string(v) != "-0"
	case '"':
		id := v[1 : len(v)-1]
		if slices.Contains(id, '\\') {
			id = []byte(unquote(v))
		}
		for _, c := range id {
			if c < ' ' || c >= 0x7f {
				return false
			}
		}
		return len(id) > 0 && len(id) <= r.limits.ID
	}
	return false
}

const expectedID = "an integer of at most 2^53-1 or a short string of printable ASCII"

// judge looks at the message as a whole.
func (r *reader) judge() *Message {
	m := &Message{Kind: r.kind(), Method: r.methodName()}
	if string(r.raw(slotJSONRPC)) != `"2.0"` {
		r.refuse("request", "/jsonrpc", "const", `"2.0"`)
	}
	if r.spans[slotID].kind != 0 && !r.validID(slotID) {
		r.refuse("request", "/id", "id", expectedID)
	}
	switch m.Kind {
	case Request, Notification:
		r.judgeRequest(m)
	case Response:
		r.judgeResponse()
	default:
		r.refuse("request", "", "required", "a method, a result or an error")
	}
	return m
}

func (r *reader) judgeRequest(m *Message) {
	if m.Method == "" {
		r.refuse("request", "/method", "method", "a name of 1 to 128 visible ASCII characters")
		return
	}
	for _, s := range []slot{slotResult, slotError} {
		if r.spans[s].kind != 0 {
			r.refuse("request", "", "unknown", "no result or error next to a method")
		}
	}
	r.judgeParams(m)
}

func (r *reader) judgeResponse() {
	if r.spans[slotID].kind == 0 {
		r.refuse("request", "/id", "required", expectedID)
	}
	if r.spans[slotParams].kind != 0 {
		r.refuse("request", "/params", "unknown", "no params in a response")
	}
	if r.spans[slotResult].kind != 0 && r.spans[slotError].kind != 0 {
		r.refuse("request", "", "oneOf", "a result or an error, not both")
	}
}

func (r *reader) judgeParams(m *Message) {
	var known bool
	m.Name, known = r.subject(m.Method)
	if !known {
		r.refuse("params", r.subjectPointer(m.Method), "name", "a string of 1 to "+
			strconv.Itoa(r.limits.Name)+" bytes without control characters")
	}
	if r.spans[slotMetaVersion].kind != 0 {
		m.Version = r.version(slotMetaVersion, "/params/_meta/io.modelcontextprotocol~1protocolVersion")
	}
	switch m.Method {
	case "initialize":
		if r.spans[slotProtocol].kind != 0 {
			m.Requested = r.version(slotProtocol, "/params/protocolVersion")
		}
	case "notifications/cancelled":
		if r.spans[slotRequestID].kind != 0 && !r.validID(slotRequestID) {
			r.refuse("params", "/params/requestId", "id", expectedID)
		}
	case "subscriptions/listen":
		m.URIs = r.uris()
	}
	m.LogLevel = r.logLevel(m.Method)
}

// subject returns what the method acts on, and false when that is missing or
// not fit to be shown to anybody (T16).
func (r *reader) subject(name string) (string, bool) {
	m := methods[name]
	if m == nil || m.subject == noSlot {
		return "", true
	}
	s, prefix := m.subject, ""
	if s == slotRef {
		if s, prefix = r.reference(); s == noSlot {
			return "", false
		}
	}
	v, _ := r.string(s)
	if !r.fit(v) {
		return "", false
	}
	return prefix + v, true
}

// fit reports whether v can be a name or URI.
func (r *reader) fit(v string) bool {
	return v != "" && len(v) <= r.limits.Name && !hasControl(v)
}

// reference returns the member of a completion's reference that counts, when
// there is no other that somebody else could go by.
func (r *reader) reference() (slot, string) {
	kind, _ := r.string(slotRefType)
	switch {
	case kind == "ref/prompt" && r.spans[slotRefURI].kind == 0:
		return slotRefName, "prompt:"
	case kind == "ref/resource" && r.spans[slotRefName].kind == 0:
		return slotRefURI, "resource:"
	}
	return noSlot, ""
}

func (r *reader) subjectPointer(name string) string {
	switch methods[name].subject {
	case slotName:
		return "/params/name"
	case slotURI:
		return "/params/uri"
	case slotTask:
		return "/params/taskId"
	}
	return "/params/ref"
}

// versions saves a string for the versions that are about.
var versions = map[string]string{}

func init() {
	for _, v := range []string{"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"} {
		versions[`"`+v+`"`] = v
	}
}

// maxVersion bounds a protocol version.
const maxVersion = 32

func (r *reader) version(s slot, pointer string) string {
	if v, ok := versions[string(r.raw(s))]; ok {
		return v
	}
	v, _ := r.string(s)
	if v == "" || len(v) > maxVersion || !visible([]byte(v)) {
		r.refuse("params", pointer, "version", "a protocol version")
		return ""
	}
	return v
}

var levels = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// logLevel returns the level that is asked for; one that does not exist is
// refused (row L09, T31).
func (r *reader) logLevel(method string) string {
	s, pointer := slotMetaLevel, "/params/_meta/io.modelcontextprotocol~1logLevel"
	if method == "logging/setLevel" {
		s, pointer = slotLevel, "/params/level"
	} else if r.spans[s].kind == 0 {
		return ""
	}
	v, _ := r.string(s)
	i := slices.Index(levels, v)
	if i < 0 {
		r.refuse("params", pointer, "enum", strings.Join(levels, ", "))
		return ""
	}
	return levels[i]
}

// uris returns the resources that a subscriptions/listen names (T12).
func (r *reader) uris() []string {
	const pointer = "/params/notifications/resourceSubscriptions"
	if r.spans[slotURIs].kind != '[' {
		return nil
	}
	items := itemsOf(r.raw(slotURIs), r.limits.URIs+1)
	if len(items) > r.limits.URIs {
		r.refuse("params", pointer, "maxItems", "at most "+strconv.Itoa(r.limits.URIs))
		return nil
	}
	uris := make([]string, 0, len(items))
	for i, item := range items {
		uri := ""
		if item.Kind() == '"' {
			uri = unquote(item)
		}
		if !r.fit(uri) {
			r.refuse("params", pointer+"/"+strconv.Itoa(i), "name", "a URI without control characters")
			continue
		}
		uris = append(uris, uri)
	}
	return uris
}

// checkError judges the error in a response of the client.
func (r *reader) checkError() {
	if _, err := strconv.ParseInt(string(r.raw(slotCode)), 10, 64); err != nil {
		r.refuse("request", "/error/code", "type", "an integer")
	}
	if r.spans[slotReason].kind == 0 {
		r.refuse("request", "/error/message", "required", "a string")
	}
}

// checkAnswer judges an answer to a question of the server. The SDK tells the
// sorts of answer apart by these members, and another reader may look at them
// in another order (row H11, T14).
func (r *reader) checkAnswer() {
	if r.answers() != 1 {
		r.refuse("params", r.pointer(), "oneOf", "one of action, role and roots")
	}
	r.checkAction("params")
}

// checkResult judges the result in a response of the client, which may be
// empty.
func (r *reader) checkResult() {
	if r.answers() > 1 {
		r.refuse("request", r.pointer(), "oneOf", "at most one of action, role and roots")
	}
	r.checkAction("request")
}

func (r *reader) answers() int {
	n := 0
	for _, s := range answerSlots {
		if r.spans[s].kind != 0 {
			n++
		}
	}
	return n
}

func (r *reader) checkAction(rule string) {
	if r.spans[slotAction].kind != 0 {
		if v, _ := r.string(slotAction); v != "accept" && v != "decline" && v != "cancel" {
			r.refuse(rule, r.pointer()+"/action", "enum", "accept, decline, cancel")
		}
	}
	if r.spans[slotRole].kind != 0 {
		if v, _ := r.string(slotRole); v != "assistant" && v != "user" {
			r.refuse(rule, r.pointer()+"/role", "enum", "assistant, user")
		}
	}
	if k := r.spans[slotRoots].kind; k != 0 && k != '[' {
		r.refuse(rule, r.pointer()+"/roots", "type", "an array")
	}
}
