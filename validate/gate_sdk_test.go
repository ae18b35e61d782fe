package validate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/hardenmcp/harden/validate"
)

var seeds = []string{
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":9007199254740993,"b":"\u0061\u00e9\ud83d\ude42"}}}`,
	`{"params":{"name":"t","inputResponses":{"q":{"action":"accept","content":{"A":1,"a":2}}}},"method":"tools/call","id":"x\"","jsonrpc":"2.0"}`,
	`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`,
	`{"jsonrpc":"2.0","id":-5,"result":{"roots":[{"uri":"file:///a"}]}}`,
	`{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"","data":[1e5,-0.0]}}`,
	`{"jsonrpc":"2.0","id":1,"method":"x","Method":"y"}`,
	`{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1,"a":2}}`,
	`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a\u0001"}}`,
	`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a"]}}}`,
	`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, `{}`, ``, "\xef\xbb\xbf{}", `{"a":"\ud800"}`, strings.Repeat("[", 100),
}

// exact decodes without rounding.
func exact(b []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

// FuzzRead: whatever the gate lets through, encoding/json and the SDK read the
// same way, from the body as from the canonical form.
func FuzzRead(f *testing.F) {
	v, err := validate.New(validate.Config{})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		m, err := v.Read(body)
		if !bytes.Equal(body, before) {
			t.Fatal("the body was written to")
		}
		if m == nil {
			t.Fatal("no message")
		}
		if err != nil {
			if m.Canonical != nil {
				t.Fatal("a refused message has a canonical form")
			}
			return
		}
		if len(m.Canonical) > len(body) {
			t.Fatalf("canonical form of %d bytes from %d", len(m.Canonical), len(body))
		}
		again, err := v.Read(m.Canonical)
		if err != nil || !bytes.Equal(again.Canonical, m.Canonical) {
			t.Fatalf("not idempotent: %v\n%s\n%s", err, m.Canonical, again.Canonical)
		}
		same(t, body, m)
		same(t, m.Canonical, m)
	})
}

// same compares what encoding/json and the SDK read in body with m.
func same(t *testing.T, body []byte, m *validate.Message) {
	t.Helper()
	want, err := exact(m.Canonical)
	if err != nil {
		t.Fatalf("encoding/json: %v", err)
	}
	got, err := exact(body)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("encoding/json reads %v, want %v (%v)", got, want, err)
	}
	std(t, body, m)
	msg, err := jsonrpc.DecodeMessage(body)
	if err != nil {
		t.Fatalf("the SDK refuses: %v", err)
	}
	switch msg := msg.(type) {
	case *jsonrpc.Request:
		if m.Kind == validate.Response || msg.Method != m.Method || msg.IsCall() != (m.Kind == validate.Request) {
			t.Fatalf("the SDK reads %q, want %q of kind %d", msg.Method, m.Method, m.Kind)
		}
		sameJSON(t, msg.Params, m.Params)
		sameID(t, msg.ID, m.ID)
	case *jsonrpc.Response:
		if m.Kind != validate.Response {
			t.Fatalf("the SDK reads a response, want kind %d", m.Kind)
		}
		sameID(t, msg.ID, m.ID)
	}
}

// std reads body with a struct, which encoding/json fills without regard to
// case.
func std(t *testing.T, body []byte, m *validate.Message) {
	t.Helper()
	var s struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(body, &s); err != nil || s.Method != m.Method {
		t.Fatalf("encoding/json reads method %q, want %q (%v)", s.Method, m.Method, err)
	}
	sameJSON(t, s.ID, m.ID)
	sameJSON(t, s.Params, m.Params)
	if m.Method != "tools/call" {
		return
	}
	var p struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	}
	if err := json.Unmarshal(s.Params, &p); err != nil || p.Name != m.Name {
		t.Fatalf("encoding/json reads name %q, want %q (%v)", p.Name, m.Name, err)
	}
	sameJSON(t, p.Arguments, m.Arguments)
}

func sameJSON(t *testing.T, got, want []byte) {
	t.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	g, gerr := exact(got)
	w, werr := exact(want)
	if gerr != nil || werr != nil || fmt.Sprint(g) != fmt.Sprint(w) {
		t.Fatalf("got %s, want %s (%v, %v)", got, want, gerr, werr)
	}
}

func sameID(t *testing.T, id jsonrpc.ID, want json.RawMessage) {
	t.Helper()
	if want == nil {
		if id.IsValid() {
			t.Fatalf("the SDK reads id %v, want none", id.Raw())
		}
		return
	}
	got, err := json.Marshal(id.Raw())
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, got, want)
}
