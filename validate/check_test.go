package validate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/insecure"
)

func toolCall(arguments string) *access.Call {
	return &access.Call{Method: "tools/call", Name: "t", Arguments: []byte(arguments)}
}

func learned(tb testing.TB, cfg Config, schema string) *Validator {
	tb.Helper()
	v := mustNew(tb, cfg)
	if err := v.Learn("t", []byte(schema)); err != nil {
		tb.Fatal(err)
	}
	return v
}

func TestCheck(t *testing.T) {
	ctx := context.Background()
	v := learned(t, Config{}, `{"type":"object","properties":{
		"n":{"type":"integer","minimum":1,"maximum":10},
		"s":{"type":"string","minLength":2,"maxLength":3,"pattern":"^a"},
		"e":{"enum":["x","y"]}, "c":{"const":1},
		"u":{"anyOf":[{"type":"string"},{"type":"null"}]},
		"l":{"type":"array","items":{"type":"number","multipleOf":0.5},"minItems":1,"maxItems":2,"uniqueItems":true},
		"o":{"type":"object","properties":{"a/b~c":{"type":"boolean"}},"required":["a/b~c"],"additionalProperties":false,"minProperties":1}
	},"patternProperties":{"^x-":{"type":"string"}},"required":["n"]}`)
	violation := func(p, rule, want string) []access.Violation {
		return []access.Violation{{Pointer: p, Rule: rule, Expected: want}}
	}
	for _, tc := range []struct {
		name, args string
		want       []access.Violation
	}{
		{"what fits is allowed", `{"n":1,"s":"ab","e":"x","c":1,"u":null,"l":[0.5,1],"o":{"a/b~c":true},"x-a":"1"}`, nil},
		{"1.0 is an integer", `{"n":1.0}`, nil},
		{"a missing member is refused", `{}`, violation("/n", "required", "present")},
		{"a wrong type is refused", `{"n":"1"}`, violation("/n", "type", "integer")},
		{"a fraction is no integer", `{"n":1.5}`, violation("/n", "type", "integer")},
		{"too little is refused", `{"n":0}`, violation("/n", "minimum", "at least 1")},
		{"too much is refused", `{"n":11}`, violation("/n", "maximum", "at most 10")},
		{"a short string is refused", `{"n":1,"s":"a"}`, violation("/s", "minLength", "at least 2 characters")},
		{"a long string is refused", `{"n":1,"s":"aaaa"}`, violation("/s", "maxLength", "at most 3 characters")},
		{"a string of no match is refused", `{"n":1,"s":"bb"}`, violation("/s", "pattern", "a match of ^a")},
		{"another value is refused", `{"n":1,"e":"z"}`, violation("/e", "enum", `"x", "y"`)},
		{"another constant is refused", `{"n":1,"c":2}`, violation("/c", "const", "1")},
		{"no alternative is refused", `{"n":1,"u":1}`, violation("/u", "anyOf", "one of the alternatives: string or null")},
		{"no items are refused", `{"n":1,"l":[]}`, violation("/l", "minItems", "at least 1 items")},
		{"three items are refused", `{"n":1,"l":[1,2,3]}`, violation("/l", "maxItems", "at most 2 items")},
		{"equal items are refused", `{"n":1,"l":[1,1.0]}`, violation("/l", "uniqueItems", "no two equal items")},
		{"a fraction between is refused", `{"n":1,"l":[0.25]}`, violation("/l/0", "multipleOf", "a multiple of 0.5")},
		{"a pointer is escaped", `{"n":1,"o":{"a/b~c":1}}`, violation("/o/a~1b~0c", "type", "boolean")},
		{"a member nobody described is refused", `{"n":1,"z":1}`, violation("/z", "additionalProperties", "no such member")},
		{"one inside is refused by the schema", `{"n":1,"o":{"a/b~c":true,"z":1}}`, violation("/o/z", "additionalProperties", "no such member")},
		{"a pattern describes members", `{"n":1,"x-a":1}`, violation("/x-a", "type", "string")},
		{"arguments that are no object are refused", `[]`, violation("", "type", "object")},
	} {
		err := v.Check(ctx, toolCall(tc.args))
		if tc.want == nil {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if refusal(err) != "schema" {
			t.Errorf("%s: got %q, want schema", tc.name, refusal(err))
			continue
		}
		if diff := cmp.Diff(tc.want, access.AsError(err).Violations); diff != "" {
			t.Errorf("%s:\n%s", tc.name, diff)
		}
	}
}

func TestCheckOtherCalls(t *testing.T) {
	ctx := context.Background()
	v := learned(t, Config{}, `{"type":"object"}`)
	if err := v.Check(ctx, &access.Call{Method: "tools/list"}); err != nil {
		t.Errorf("another method: %v", err)
	}
	if err := v.Check(ctx, toolCall("")); err != nil {
		t.Errorf("no arguments are {}: %v", err)
	}
	if err := v.Check(ctx, toolCall(`{"a":1}`)); refusal(err) != "schema" {
		t.Errorf("a member of a silent schema: got %q, want schema", refusal(err))
	}
	err := v.Check(ctx, &access.Call{Method: "tools/call", Name: "T"})
	if e := access.AsError(err); e.Reason != access.NotFound || e.Rule != "schema" {
		t.Errorf("a tool nobody learned: got %v", err)
	}
	v.Forget("t")
	if err := v.Check(ctx, toolCall("")); v.Known("t") || access.AsError(err).Reason != access.NotFound {
		t.Errorf("a forgotten tool: got %v", err)
	}
}

// Not every transport has the gate in front.
func TestCheckReadsStrictly(t *testing.T) {
	v := learned(t, Config{Open: insecure.Because("test")}, `{"type":"object"}`)
	for _, tc := range []struct{ args, want string }{
		{`{"a":1}`, ""},
		{`{"a":1,"a":2}`, "parse"},
		{`{"a":1}x`, "parse"},
		{"{\"a\":\"\xff\"}", "parse"},
		{`{"a":1e3000000}`, "too_large exponent"},
		{`{"a":` + nest(63) + `}`, ""},
		{`{"a":` + nest(64) + `}`, "too_large depth"},
	} {
		if err := v.Check(context.Background(), toolCall(tc.args)); refusal(err) != tc.want {
			t.Errorf("%.40s: got %q, want %q", tc.args, refusal(err), tc.want)
		}
	}
}

func TestT17_ExactIntegers(t *testing.T) {
	v := learned(t, Config{}, `{"type":"object","properties":{"i":{"type":"integer","maximum":9007199254740991},"j":{"type":"integer"},"k":{"const":9007199254740993}}}`)
	for _, tc := range []struct{ args, want string }{
		{`{"i":9007199254740991}`, ""},
		{`{"i":9007199254740992}`, "schema"},
		{`{"i":9007199254740993}`, "schema"},
		{`{"j":9007199254740993}`, ""},
		{`{"j":9007199254740993.5}`, "schema"},
		{`{"k":9007199254740993}`, ""},
		{`{"k":9007199254740992}`, "schema"},
	} {
		m, err := v.Read([]byte(call(`{"name":"t","arguments":` + tc.args + `}`)))
		if err != nil || string(m.Arguments) != tc.args {
			t.Errorf("%s: the gate gives %s, %v", tc.args, m.Arguments, err)
			continue
		}
		c := &access.Call{Method: m.Method, Name: m.Name, Arguments: m.Arguments}
		if err := v.Check(context.Background(), c); refusal(err) != tc.want {
			t.Errorf("%s: got %q, want %q", tc.args, refusal(err), tc.want)
		}
	}
}

// Raw AddTool checks nothing: a call that breaks the schema reaches the tool.
func TestT21_RawToolsAreChecked(t *testing.T) {
	v := learned(t, Config{}, `{"type":"object","properties":{"n":{"type":"integer"}},"additionalProperties":false}`)
	err := v.Check(context.Background(), toolCall(`{"n":"str","zz":1}`))
	want := []access.Violation{
		{Pointer: "/n", Rule: "type", Expected: "integer"},
		{Pointer: "/zz", Rule: "additionalProperties", Expected: "no such member"},
	}
	if diff := cmp.Diff(want, access.AsError(err).Violations); diff != "" {
		t.Error(diff)
	}
}

func TestClosedRoot(t *testing.T) {
	base := `"$defs":{"b":{"properties":{"b":{"type":"string"}}}}`
	for _, tc := range []struct{ name, schema, args, closed, open string }{
		{"a silent root", `{"type":"object","properties":{"a":{}}}`, `{"a":1,"z":1}`, "schema", ""},
		{"a root that allows others", `{"type":"object","properties":{"a":{}},"additionalProperties":true}`, `{"z":1}`, "", ""},
		{"a root that describes others", `{"type":"object","additionalProperties":{"type":"integer"}}`, `{"z":1}`, "", ""},
		{"a root that says unevaluated", `{"type":"object","unevaluatedProperties":{"type":"integer"}}`, `{"z":1}`, "", ""},
		{"a composed root, a member of a part", `{"type":"object",` + base + `,"allOf":[{"$ref":"#/$defs/b"}]}`, `{"b":"x"}`, "", ""},
		{"a composed root, a member of nobody", `{"type":"object",` + base + `,"allOf":[{"$ref":"#/$defs/b"}]}`, `{"b":"x","z":1}`, "schema", ""},
		{"a root by reference", `{"type":"object",` + base + `,"$ref":"#/$defs/b"}`, `{"z":1}`, "schema", ""},
		{"an object inside", `{"type":"object","properties":{"a":{"type":"object"}}}`, `{"a":{"z":1}}`, "", ""},
		{"a root that extends itself", `{"type":"object","properties":{"c":{"allOf":[{"$ref":"#"}],"properties":{"extra":{}}}}}`, `{"c":{"extra":1}}`, "", ""},
	} {
		closed := learned(t, Config{}, tc.schema)
		if err := closed.Check(context.Background(), toolCall(tc.args)); refusal(err) != tc.closed {
			t.Errorf("%s: got %q, want %q", tc.name, refusal(err), tc.closed)
		}
		open := learned(t, Config{Open: insecure.Because("test")}, tc.schema)
		if err := open.Check(context.Background(), toolCall(tc.args)); refusal(err) != tc.open {
			t.Errorf("%s, waived: got %q, want %q", tc.name, refusal(err), tc.open)
		}
	}
	v := learned(t, Config{}, `{"type":"object",`+base+`,"allOf":[{"$ref":"#/$defs/b"}]}`)
	err := v.Check(context.Background(), toolCall(`{"b":1}`))
	want := []access.Violation{{Pointer: "/b", Rule: "type", Expected: "string"}}
	if diff := cmp.Diff(want, access.AsError(err).Violations); diff != "" {
		t.Errorf("what is wrong is hidden by what follows:\n%s", diff)
	}
}

func TestViolationsAreFewAndInOrder(t *testing.T) {
	v := learned(t, Config{}, `{"type":"object","properties":{"l":{"items":{"type":"string"}}}}`)
	var b strings.Builder
	for i := range 50 {
		fmt.Fprintf(&b, `,"k%02d":1`, i)
	}
	arguments := `{"l":[1,2,3]` + b.String() + `}`
	first := access.AsError(v.Check(context.Background(), toolCall(arguments))).Violations
	if len(first) != 8 || first[0].Pointer != "/k00" || first[7].Pointer != "/k07" {
		t.Fatalf("got %+v", first)
	}
	for range 20 {
		again := access.AsError(v.Check(context.Background(), toolCall(arguments))).Violations
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatal(diff)
		}
	}
}

// doubling is checked twice at every level: 2^depth steps without a bound.
const doubling = `{"type":"object","properties":{"c":{"$ref":"#/$defs/n"}},
	"$defs":{"n":{"type":"object","oneOf":[
		{"properties":{"c":{"$ref":"#/$defs/n"}},"required":["x"]},
		{"properties":{"c":{"$ref":"#/$defs/n"}},"required":["y"]}]}}}`

func TestStepsAreBounded(t *testing.T) {
	v := learned(t, Config{}, doubling)
	deep := strings.Repeat(`{"c":`, 60) + `{}` + strings.Repeat("}", 60)
	start := time.Now()
	err := v.Check(context.Background(), toolCall(deep))
	if refusal(err) != "too_large steps" {
		t.Errorf("got %q, want too_large steps", refusal(err))
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
	if err := v.Check(context.Background(), toolCall(`{"c":{"x":1}}`)); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestCheckEndsWithContext(t *testing.T) {
	v := learned(t, Config{Limits: Limits{Steps: 1 << 40}}, doubling)
	deep := strings.Repeat(`{"c":`, 60) + `{}` + strings.Repeat("}", 60)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err := v.Check(ctx, toolCall(deep))
	if e := access.AsError(err); e.Reason != access.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want unavailable", err)
	}
}

func TestEnginePanicIsRefused(t *testing.T) {
	v := learned(t, Config{}, `{"type":"object","properties":{"a":{"type":"integer"}}}`)
	entry := v.tools["t"]
	<-entry.programs
	entry.programs <- &program{schema: &jsonschema.Schema{AllOf: []*jsonschema.Schema{nil}}}
	err := v.Check(context.Background(), toolCall(`{"a":1}`))
	if refusal(err) != "schema" || !errors.Is(err, errEngine) {
		t.Errorf("got %v, want a refusal", err)
	}
	for _, p := range []any{"secret", fmt.Errorf("secret")} {
		if err := caught(p); strings.Contains(err.Error(), "secret") {
			t.Errorf("the text of a panic is shown: %v", err)
		}
	}
}

func TestCheckConcurrently(t *testing.T) {
	v := learned(t, Config{}, `{"type":"object","properties":{"a":{"type":"integer"}}}`)
	var wg sync.WaitGroup
	for i := range 4 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for range 50 {
				arguments, want := `{"a":1}`, ""
				if i%2 == 0 {
					arguments, want = `{"a":"x"}`, "schema"
				}
				if err := v.Check(context.Background(), toolCall(arguments)); refusal(err) != want {
					t.Errorf("got %q, want %q", refusal(err), want)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzCheck: no refusal tells what was sent.
func FuzzCheck(f *testing.F) {
	v := learned(f, Config{}, `{"type":"object","properties":{
		"s":{"type":"string","maxLength":1,"pattern":"^$"},"n":{"type":"integer","maximum":0},"e":{"enum":[1]},
		"c":{"const":null},"a":{"anyOf":[{"type":"null"},{"type":"integer"}]},"l":{"items":{"type":"null"},"uniqueItems":true,"contains":{"const":1}},
		"o":{"propertyNames":{"maxLength":5},"additionalProperties":{"type":"null"}},"not":{"not":{}}}}`)
	for _, key := range []string{"s", "n", "e", "c", "a", "l", "o", "not", "other"} {
		f.Add(key, "x", 0)
		f.Add(key, "", 1)
	}
	f.Fuzz(func(t *testing.T, key, value string, form int) {
		const marker = "s3cr3t"
		secret := literal(marker + value)
		switch form % 4 {
		case 1:
			secret = "[" + secret + "," + secret + "]"
		case 2:
			secret = `{"k":` + secret + `}`
		case 3:
			secret = `[{"k":` + secret + `}]`
		}
		if strings.Contains(key, marker) {
			t.Skip()
		}
		err := v.Check(context.Background(), toolCall(`{`+literal(key)+`:`+secret+`}`))
		if err != nil && strings.Contains(fmt.Sprintf("%+v", *access.AsError(err))+err.Error(), marker) {
			t.Fatalf("the refusal tells the value: %+v", err)
		}
	})
}
