package validate

import (
	"context"
	"strings"
	"testing"

	"github.com/hardenmcp/harden/access"
)

const smallCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1,"b":2},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`

// mediumCall is a call of about 8 KiB.
func mediumCall() string {
	item := `{"id":12345,"title":"a title of some length","tags":["red","green","blue"],"done":false,"weight":1.25}`
	return `{"jsonrpc":"2.0","id":"a-1","method":"tools/call","params":{"name":"store","arguments":{"items":[` +
		strings.TrimSuffix(strings.Repeat(item+",", 80), ",") + `]}}}`
}

func mustNew(tb testing.TB, cfg Config) *Validator {
	tb.Helper()
	v, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func BenchmarkRead(b *testing.B) {
	v := mustNew(b, Config{})
	for _, bc := range []struct{ name, body string }{
		{"small", smallCall},
		{"medium", mediumCall()},
		{"params before method", `{"params":{"name":"add","arguments":{"a":1,"b":2}},"method":"tools/call","jsonrpc":"2.0","id":1}`},
		{"refused", strings.Replace(smallCall, `"a":1`, `"a":1,"a":2`, 1)},
	} {
		b.Run(bc.name, func(b *testing.B) {
			body := []byte(bc.body)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = v.Read(body)
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	v := mustNew(b, Config{})
	for name, schema := range map[string]string{
		"add": `{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"required":["a","b"]}`,
		"store": `{"type":"object","properties":{"items":{"type":"array","items":{"type":"object","properties":{
			"id":{"type":"integer"},"title":{"type":"string","maxLength":100},"tags":{"type":"array","items":{"type":"string"}},
			"done":{"type":"boolean"},"weight":{"type":"number","minimum":0}},"required":["id"]}}},"required":["items"]}`,
	} {
		if err := v.Learn(name, []byte(schema)); err != nil {
			b.Fatal(err)
		}
	}
	for _, bc := range []struct{ name, body string }{
		{"small", smallCall},
		{"medium", mediumCall()},
		{"refused", strings.Replace(smallCall, `"a":1`, `"a":true`, 1)},
	} {
		b.Run(bc.name, func(b *testing.B) {
			m, err := v.Read([]byte(bc.body))
			if err != nil {
				b.Fatal(err)
			}
			call := &access.Call{Method: m.Method, Name: m.Name, Arguments: m.Arguments}
			b.ReportAllocs()
			for b.Loop() {
				_ = v.Check(context.Background(), call)
			}
		})
	}
}
