package validate

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hardenmcp/harden/access"
)

// refusal returns the reason and rule of err, "" for none.
func refusal(err error) string {
	var e *access.Error
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &e):
		return "not a refusal: " + err.Error()
	case e.Reason == access.TooLarge:
		return "too_large " + e.Rule
	case e.Reason == access.Invalid:
		return e.Rule
	}
	return string(e.Reason) + " " + e.Rule
}

func TestT13_OneMessageInStrictJSON(t *testing.T) {
	v := mustNew(t, Config{})
	for _, tc := range []struct{ name, body, want string }{
		{"trailing data is refused", `{"jsonrpc":"2.0","id":1,"method":"ping"}{"evil":1} trailing`, "parse"},
		{"twins of method are refused", `{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}`, "parse"},
		{"twins of name are refused", call(`{"name":"a","name":"b"}`), "parse"},
		{"twins of an argument are refused", call(`{"name":"a","arguments":{"x":1,"x":2}}`), "parse"},
		{"id 1.5 is refused", `{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, "request"},
		{"an empty id is refused", `{"jsonrpc":"2.0","id":"","method":"ping"}`, "request"},
		{"an id of 3000 bytes is refused", `{"jsonrpc":"2.0","id":"` + strings.Repeat("i", 3000) + `","method":"ping"}`, "request"},
		{"bytes ff fe in a string are refused", args("\"\xff\xfe\""), "parse"},
		{"a byte order mark is refused", "\xef\xbb\xbf{}", "parse"},
	} {
		if _, err := v.Read([]byte(tc.body)); refusal(err) != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, refusal(err), tc.want)
		}
	}
}

func TestT14_AnswersInExactCase(t *testing.T) {
	v := mustNew(t, Config{})
	for _, tc := range []struct{ name, body, want string }{
		{"an answer is read", answer(`{"action":"accept","content":{"Action":1,"ACTION":2}}`), ""},
		{"roots are read", answer(`{"roots":[{"uri":"file:///a","name":"a"}]}`), ""},
		{"a sample is read", answer(`{"role":"assistant","model":"m","content":{"type":"text","text":""}}`), ""},
		{"a second ACTION is refused", answer(`{"action":"decline","ACTION":"accept","content":{}}`), "params"},
		{"ACTION alone is refused", answer(`{"ACTION":"accept"}`), "params"},
		{"roleſ folding is refused", answer(`{"rootſ":[]}`), "params"},
		{"URI in a root is refused", answer(`{"roots":[{"uri":"file:///a","URI":"file:///b"}]}`), "params"},
		{"an unknown action is refused", answer(`{"action":"bogus"}`), "params"},
		{"an action that is a number is refused", answer(`{"action":1}`), "params"},
		{"two sorts of answer in one are refused", answer(`{"action":"decline","roots":[]}`), "params"},
		{"no answer is refused", answer(`{}`), "params"},
		{"a null answer is refused", answer(`null`), "params"},
		{"roots that are no list are refused", answer(`{"roots":{}}`), "params"},
		{"a second answer is judged by itself", call(`{"name":"t","inputResponses":{"a":{"action":"accept"},"b":{}}}`), "params"},
		{"InputResponses is refused", call(`{"name":"t","InputResponses":{}}`), "params"},
		{"params in front of the method are judged too", `{"params":{"name":"t","inputResponses":{"q":{"ACTION":"accept"}}},"method":"tools/call","id":1,"jsonrpc":"2.0"}`, "params"},
		{"a result with ACTION is refused", `{"jsonrpc":"2.0","id":1,"result":{"action":"decline","ACTION":"accept"}}`, "request"},
		{"a result is read", `{"jsonrpc":"2.0","id":1,"result":{"action":"accept","content":{"a":1}}}`, ""},
	} {
		if _, err := v.Read([]byte(tc.body)); refusal(err) != tc.want {
			t.Errorf("%s: got %q, want %q (%v)", tc.name, refusal(err), tc.want, err)
		}
	}
}

func TestT16_ControlCharactersInURI(t *testing.T) {
	v := mustNew(t, Config{})
	for _, method := range []string{"resources/read", "resources/subscribe", "resources/unsubscribe"} {
		if _, err := v.Read([]byte(req(method, `{"uri":"file:///no\u0001pe"}`))); refusal(err) != "params" {
			t.Errorf("%s: got %q, want params", method, refusal(err))
		}
		m, err := v.Read([]byte(req(method, `{"uri":"file:///nope"}`)))
		if err != nil || m.Name != "file:///nope" {
			t.Errorf("%s: got %q, %v", method, m.Name, err)
		}
	}
	_, err := v.Read([]byte(req("resources/read", `{"uri":"file:///no\u0001pe"}`)))
	want := []access.Violation{{Pointer: "/params/uri", Rule: "name", Expected: "a string of 1 to 2048 bytes without control characters"}}
	if diff := cmp.Diff(want, access.AsError(err).Violations); diff != "" {
		t.Error(diff)
	}
}

func TestT31_UnknownLogLevel(t *testing.T) {
	v := mustNew(t, Config{})
	meta := func(level string) string {
		return req("tools/list", `{"_meta":{"io.modelcontextprotocol/logLevel":`+level+`}}`)
	}
	for _, tc := range []struct{ body, want, level string }{
		{meta(`"debug"`), "", "debug"},
		{meta(`"emergency"`), "", "emergency"},
		{meta(`"bogus"`), "params", ""},
		{meta(`"Debug"`), "params", ""},
		{meta(`7`), "params", ""},
		{meta(`null`), "params", ""},
		{req("logging/setLevel", `{"level":"warning"}`), "", "warning"},
		{req("logging/setLevel", `{"level":"warn"}`), "params", ""},
		{req("logging/setLevel", `{}`), "params", ""},
	} {
		m, err := v.Read([]byte(tc.body))
		if refusal(err) != tc.want || m.LogLevel != tc.level {
			t.Errorf("%s: got %q %q, want %q %q", tc.body, refusal(err), m.LogLevel, tc.want, tc.level)
		}
	}
}

func TestT12_ListenedURIs(t *testing.T) {
	v := mustNew(t, Config{})
	listen := func(uris string) string {
		return req("subscriptions/listen", `{"notifications":{"toolsListChanged":true,"resourceSubscriptions":`+uris+`}}`)
	}
	m, err := v.Read([]byte(listen(`["file:///a","b\u003ac"]`)))
	if err != nil || !cmp.Equal(m.URIs, []string{"file:///a", "b:c"}) {
		t.Errorf("got %q, %v", m.URIs, err)
	}
	many := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat(`"u",`, n), ",") + "]" }
	for name, tc := range map[string][2]string{
		"64 are read":                     {many(64), ""},
		"65 are refused":                  {many(65), "params"},
		"a control character is refused":  {`["a\u0000"]`, "params"},
		"an empty one is refused":         {`[""]`, "params"},
		"one that is a number is refused": {`["a",1]`, "params"},
		"no list is refused":              {`"a"`, "params"},
	} {
		if _, err := v.Read([]byte(listen(tc[0]))); refusal(err) != tc[1] {
			t.Errorf("%s: got %q, want %q", name, refusal(err), tc[1])
		}
	}
}

func TestMessage(t *testing.T) {
	v := mustNew(t, Config{})
	type want struct {
		Kind                                            Kind
		ID, Method, Name, Version, Requested, Arguments string
	}
	for _, tc := range []struct {
		body string
		want want
	}{
		{smallCall, want{Request, "1", "tools/call", "add", "2026-07-28", "", `{"a":1,"b":2}`}},
		{`{"params":{"arguments":{"a" : 1.50e1},"name":"\u0061dd"},"method":"tools/call","id":"x\"","jsonrpc":"2.0"}`, want{Request, `"x\""`, "tools/call", "add", "", "", `{"a":1.50e1}`}},
		{req("prompts/get", `{"name":"p","arguments":{"a":"b"}}`), want{Request, "1", "prompts/get", "p", "", "", `{"a":"b"}`}},
		{req("completion/complete", `{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":"b"}}`), want{Request, "1", "completion/complete", "prompt:p", "", "", ""}},
		{req("completion/complete", `{"ref":{"type":"ref/resource","uri":"u:{x}"}}`), want{Request, "1", "completion/complete", "resource:u:{x}", "", "", ""}},
		{req("tasks/cancel", `{"taskId":"t1"}`), want{Request, "1", "tasks/cancel", "t1", "", "", ""}},
		{req("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"a","version":"1"}}`), want{Request, "1", "initialize", "", "", "2025-11-25", ""}},
		{`{"jsonrpc":"2.0","method":"notifications/initialized"}`, want{Notification, "", "notifications/initialized", "", "", "", ""}},
		{`{"jsonrpc":"2.0","id":-5,"result":{}}`, want{Response, "-5", "", "", "", "", ""}},
		{req("x/y", `{"name":"n","arguments":{}}`), want{Request, "1", "x/y", "", "", "", ""}},
	} {
		m, err := v.Read([]byte(tc.body))
		if err != nil {
			t.Errorf("%s: %v", tc.body, err)
			continue
		}
		got := want{m.Kind, string(m.ID), m.Method, m.Name, m.Version, m.Requested, string(m.Arguments)}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s:\n%s", tc.body, diff)
		}
	}
}

// A refusal is answered to the ID that it belongs to, and to nobody when two
// readers could name two.
func TestRefusedID(t *testing.T) {
	v := mustNew(t, Config{})
	for _, tc := range []struct {
		name, body, id string
		kind           Kind
	}{
		{"an id in front", `{"id":1,"jsonrpc":"2.0","method":"ping","x":1}`, "1", Request},
		{"an id at the end", `{"jsonrpc":"2.0","method":"tools/call","params":{"Name":"x"},"id":"a"}`, `"a"`, Request},
		{"an id before broken JSON", `{"id":1,"jsonrpc":"2.0","method":"ping","params":{"a":1,"a":2}}`, "1", Request},
		{"an id after broken JSON", `{"jsonrpc":"2.0","method":"ping","params":{"a":1,"a":2},"id":1}`, "", 0},
		{"two ids", `{"id":1,"id":2,"jsonrpc":"2.0","method":"ping"}`, "", Request},
		{"an id that is null", `{"id":null,"jsonrpc":"2.0","method":"ping"}`, "", Request},
		{"an id over the bound", `{"id":9007199254740992,"jsonrpc":"2.0","method":"ping"}`, "", Request},
		{"a notification", `{"jsonrpc":"2.0","method":"tools/call","params":{}}`, "", Notification},
		{"nothing", ``, "", 0},
	} {
		m, err := v.Read([]byte(tc.body))
		if err == nil {
			t.Errorf("%s: let through", tc.name)
		}
		if tc.name == "two ids" {
			m.Kind = tc.kind // either will do
		}
		if string(m.ID) != tc.id || m.Kind != tc.kind {
			t.Errorf("%s: got id %s kind %d, want %s %d", tc.name, m.ID, m.Kind, tc.id, tc.kind)
		}
	}
}

func TestRefusalNamesThePlace(t *testing.T) {
	v := mustNew(t, Config{})
	for _, tc := range []struct {
		body string
		want access.Violation
	}{
		{call(`{"name":"a","Arguments":{}}`), access.Violation{Pointer: "/params/Arguments", Rule: "case", Expected: `exactly "arguments"`}},
		{args(`[0,{"b":1,"b":2}]`), access.Violation{Pointer: "/params/arguments/v/1/b", Rule: "duplicate"}},
		{args("\"\xff\""), access.Violation{Pointer: "/params/arguments/v", Rule: "utf8"}},
		{args(`[1,1e999]`), access.Violation{Pointer: "/params/arguments/v/1", Rule: "exponent", Expected: "at most 400"}},
		{answer(`{"roots":[{"uri":1}]}`), access.Violation{Pointer: "/params/inputResponses/q/roots/0/uri", Rule: "type", Expected: "a string"}},
		{`{"jsonrpc":"2.0","id":null,"method":"ping"}`, access.Violation{Pointer: "/id", Rule: "type", Expected: "a string or a number"}},
	} {
		_, err := v.Read([]byte(tc.body))
		e := access.AsError(err)
		if e == nil || len(e.Violations) == 0 || e.Violations[0] != tc.want {
			t.Errorf("%s: got %+v, want %+v", tc.body, e, tc.want)
		}
	}
	long := strings.Repeat("k", 1000)
	_, err := v.Read([]byte(args(`{"` + long + `":{"` + long + `":{"a":1,"a":2}}}`)))
	if e := access.AsError(err); len(e.Violations[0].Pointer) > maxPointer || len(e.Error()) > 2*maxPointer {
		t.Errorf("a pointer of %d bytes, an error of %d", len(e.Violations[0].Pointer), len(e.Error()))
	}
}

func TestReadBatch(t *testing.T) {
	v := mustNew(t, Config{})
	ping := func(id int) string { return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"ping"}`, id) }
	half := args("[" + strings.Repeat("0,", 9_990) + "0]")
	for _, tc := range []struct{ name, body, want string }{
		{"two messages are read", "[" + ping(1) + "," + ping(2) + "] ", ""},
		{"a notification has no id", `[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"a"}]`, ""},
		{"an empty batch is refused", "[]", "batch"},
		{"one message is refused", ping(1), "batch"},
		{"four messages are refused", "[" + ping(1) + "," + ping(2) + "," + ping(3) + "," + ping(4) + "]", "too_large batch"},
		{"one id twice is refused", "[" + ping(1) + "," + ping(1) + "]", "batch"},
		{"a batch in a batch is refused", "[[" + ping(1) + "]]", "batch"},
		{"a member that is no message is refused", "[1]", "request"},
		{"bytes after the batch are refused", "[" + ping(1) + "]x", "parse"},
		{"half a batch is refused", "[" + ping(1), "parse"},
		{"twins are refused", `[{"jsonrpc":"2.0","id":1,"id":1,"method":"ping"}]`, "parse"},
		{"the members count together", "[" + half + "," + strings.Replace(half, `"id":1`, `"id":2`, 1) + "," + half + "]", "too_large members"},
	} {
		m, err := v.ReadBatch([]byte(tc.body), 3)
		if refusal(err) != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, refusal(err), tc.want)
		}
		if (err == nil) != (len(m) == 2) {
			t.Errorf("%s: %d messages", tc.name, len(m))
		}
	}
	_, err := v.ReadBatch([]byte("["+ping(1)+`,{"jsonrpc":"2.0","id":2}]`), 3)
	if got := access.AsError(err).Violations[0].Pointer; got != "/1" {
		t.Errorf("pointer: got %q, want /1", got)
	}
}

func TestFold(t *testing.T) {
	words := []string{"", "a", "A", "action", "ACTION", "actıon", "K", "k", "\u212a", "s", "S", "\u017f", "σ", "ς", "Σ", "ß", "ẞ", "ss", "é", "É", "İ", "i", "I", "ǅ", "ǆ", "Ǆ"}
	for _, a := range words {
		for _, b := range words {
			if got := fold(a) == fold(b); got != strings.EqualFold(a, b) {
				t.Errorf("fold %q, %q: got %v, want %v", a, b, got, !got)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	for name, l := range map[string]Limits{
		"Bytes": {Bytes: -1}, "Depth": {Depth: -1}, "Depth over the SDK's": {Depth: 1001},
		"SchemaDepth": {SchemaDepth: 1001}, "Steps": {Steps: -1},
	} {
		if _, err := New(Config{Limits: l}); err == nil || !strings.Contains(err.Error(), strings.Fields(name)[0]) {
			t.Errorf("%s: got %v, want an error that names it", name, err)
		}
	}
	v := mustNew(t, Config{Limits: Limits{Bytes: 100, Depth: 3, Members: 5, String: 10, Key: 9, Digits: 3, ID: 2, Name: 3}})
	if v.MaxBytes() != 100 {
		t.Errorf("MaxBytes: got %d, want 100", v.MaxBytes())
	}
	for _, tc := range []struct{ body, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"ping"}`, ""},
		{`{"jsonrpc":"2.0","id":"abc","method":"ping"}`, "request"},
		{`{"jsonrpc":"2.0","method":"p","params":{"a":[[]]}}`, "too_large depth"},
		{`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":1,"b":1}}`, "too_large members"},
		{`{"jsonrpc":"2.0","id":1,"method":"abcdefghijk"}`, "too_large string"},
		{`{"jsonrpc":"2.0","method":"x","params":{"abcdefghij":1}}`, "too_large key"},
		{`{"jsonrpc":"2.0","id":1234,"method":"x"}`, "too_large digits"},
	} {
		if _, err := v.Read([]byte(tc.body)); refusal(err) != tc.want {
			t.Errorf("%s: got %q, want %q", tc.body, refusal(err), tc.want)
		}
	}
}
