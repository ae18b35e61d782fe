package validate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestLearn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.json")
	if err := os.WriteFile(file, []byte(`{"type":"string"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(s string) string { return `{"type":"object","properties":{"a":` + s + `}}` }
	const dialect = "dialect"
	for _, tc := range []struct{ name, schema, want string }{
		{"a schema is learned", `{"type":"object"}`, ""},
		{"2020-12 by name is learned", `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"}`, ""},
		{"2020-12 with a fragment is learned", `{"$schema":"https://json-schema.org/draft/2020-12/schema#","type":"object"}`, ""},
		{"an $id at the root is learned", `{"$id":"https://example.com/s","type":"object","properties":{"a":{"$ref":"#/properties/b"},"b":{}}}`, ""},
		{"draft-07 is refused", `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}`, dialect},
		{"draft-04 is refused", `{"$schema":"http://json-schema.org/draft-04/schema#","type":"object"}`, dialect},
		{"2019-09 is refused", `{"$schema":"https://json-schema.org/draft/2019-09/schema","type":"object"}`, dialect},
		{"a dialect of nobody is refused", `{"$schema":"https://example.com/mine","type":"object"}`, dialect},
		{"a dialect that is a number is refused", `{"$schema":7,"type":"object"}`, dialect},
		{"another dialect inside is refused", in(`{"$schema":"http://json-schema.org/draft-07/schema#"}`), dialect},
		{"no type is refused", `{}`, "type"},
		{"a list of types is refused", `{"type":["object"]}`, "type"},
		{"a root of another type is refused", `{"type":"string"}`, "type"},
		{"a schema of true is refused", `true`, "type"},
		{"nothing is refused", ``, "JSON"},
		{"what is no JSON is refused", `{"type":"object"`, "JSON"},
		{"twins are refused", `{"type":"object","type":"object"}`, "twice"},
		{"an unknown type inside is refused", in(`{"type":"strin"}`), "metaschema"},
		{"a type that is no type is refused", in(`{"type":7}`), "metaschema"},
		{"properties that are a list are refused", `{"type":"object","properties":[]}`, "metaschema"},
		{"a minimum that is a string is refused", in(`{"minimum":"1"}`), "metaschema"},
		{"a number that costs too much is refused", in(`{"maximum":1e3000000}`), "exponent"},
		{"a local reference is learned", in(`{"$ref":"#/$defs/x"}`)[:len(in(`{"$ref":"#/$defs/x"}`))-1] + `,"$defs":{"x":{"type":"string"}}}`, ""},
		{"a reference by anchor is learned", `{"type":"object","properties":{"a":{"$ref":"#x"},"b":{"$anchor":"x"}}}`, ""},
		{"a reference with escapes is learned", `{"type":"object","properties":{"a":{"$ref":"#/$defs/x~1y%20z"}},"$defs":{"x/y z":{}}}`, ""},
		{"a reference to an anchor of nobody is refused", in(`{"$ref":"#x"}`), "x"},
		{"a reference to nothing is refused", in(`{"$ref":"#/$defs/x"}`), "no subschema"},
		{"a reference to what is no schema is refused", `{"type":"object","x":{"y":{}},"properties":{"a":{"$ref":"#/x/y"}}}`, "no subschema"},
		{"a remote reference is refused", in(`{"$ref":"https://example.com/s"}`), "leaves"},
		{"a remote dynamic reference is refused", in(`{"$dynamicRef":"https://example.com/s#x"}`), "leaves"},
		{"a relative reference is refused", in(`{"$ref":"s.json"}`), "leaves"},
		{"a reference to a file is refused", in(`{"$ref":"file://` + file + `"}`), "leaves"},
		{"a reference to the metaschema is refused", in(`{"$ref":"https://json-schema.org/draft/2020-12/schema"}`), "leaves"},
		{"a schema in the schema is refused", in(`{"$id":"https://example.com/s"}`), "$id"},
		{"a reference in a constant is data", in(`{"const":{"$ref":"https://example.com"}}`), ""},
		{"a reference in a default is data", in(`{"default":{"$ref":"https://example.com","pattern":"("}}`), ""},
		{"a member named $ref is a member", `{"type":"object","properties":{"$ref":{"type":"string"},"format":{"type":"string"}}}`, ""},
		{"a loop is refused", `{"type":"object","$ref":"#"}`, "$ref"},
		{"an expression of RE2 is learned", in(`{"pattern":"^[a-z]+$"}`), ""},
		{"a look-ahead is refused", in(`{"pattern":"^(?=a)"}`), "/properties/a/pattern"},
		{"a back-reference is refused", in(`{"pattern":"(a)\\1"}`), "/properties/a/pattern"},
		{"a look-ahead for members is refused", in(`{"patternProperties":{"(?!a)":{}}}`), "/properties/a/patternProperties"},
		{"a long expression is refused", in(`{"pattern":"` + strings.Repeat("a", 1025) + `"}`), "1024"},
		{"a repetition of repetitions is refused", in(`{"pattern":"(((a{500}){500}){500})"}`), "pattern"},
		{"a deep schema is refused", in(strings.Repeat(`{"not":`, 63) + `{}` + strings.Repeat("}", 63)), "deeper"},
		{"a wide schema is refused", in(`{"anyOf":[` + strings.TrimSuffix(strings.Repeat("{},", 2000), ",") + `]}`), "subschemas"},
		{"a long schema is refused", in(`{"description":"` + strings.Repeat("x", 256<<10) + `"}`), "bytes"},
	} {
		v := mustNew(t, Config{})
		err := v.Learn("t", []byte(tc.schema))
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), `tool "t"`)):
			t.Errorf("%s: got %v, want an error with %q and the tool", tc.name, err, tc.want)
		case v.Known("t") != (err == nil):
			t.Errorf("%s: known %v after %v", tc.name, v.Known("t"), err)
		}
	}
}

func TestT21_RemoteReferences(t *testing.T) {
	v := mustNew(t, Config{})
	for _, ref := range []string{"https://127.0.0.1:1/s", "http://169.254.169.254/x#/a", "file:///etc/passwd", "//host/s", "s.json", "/s", "urn:x", ""} {
		schema := fmt.Sprintf(`{"type":"object","$defs":{"d":{"items":{"$ref":%q}}}}`, ref)
		if err := v.Learn("t", []byte(schema)); err == nil {
			t.Errorf("%q: learned", ref)
		}
	}
	if _, err := (noLoader{}).Load("file:///etc/passwd"); err == nil {
		t.Error("the loader loads")
	}
}

// A tool whose new schema does not work is refused, not checked by the old one.
func TestLearnAgain(t *testing.T) {
	v := learned(t, Config{}, `{"type":"object","properties":{"a":{}}}`)
	if err := v.Learn("t", []byte(`{"type":"object","properties":{"b":{}}}`)); err != nil {
		t.Fatal(err)
	}
	if err := v.Check(context.Background(), toolCall(`{"b":1}`)); err != nil {
		t.Errorf("the new schema: %v", err)
	}
	if err := v.Check(context.Background(), toolCall(`{"a":1}`)); refusal(err) != "schema" {
		t.Errorf("the old schema: got %q, want schema", refusal(err))
	}
	if err := v.Learn("t", []byte(`{}`)); err == nil || v.Known("t") {
		t.Errorf("a broken schema: got %v, known %v", err, v.Known("t"))
	}
}

func TestToolsAreBounded(t *testing.T) {
	v := mustNew(t, Config{Limits: Limits{Tools: 2}})
	schema := []byte(`{"type":"object"}`)
	for name, ok := range map[string]bool{"": false, strings.Repeat("n", 2049): false} {
		if err := v.Learn(name, schema); (err == nil) != ok {
			t.Errorf("name of %d bytes: %v", len(name), err)
		}
	}
	for i, ok := range []bool{true, true, false} {
		if err := v.Learn(fmt.Sprint(i), schema); (err == nil) != ok {
			t.Errorf("tool %d: got %v", i, err)
		}
	}
	if err := v.Learn("0", []byte(`{"type":"object","title":"x"}`)); err != nil {
		t.Errorf("a tool that is there may change: %v", err)
	}
	v.Forget("0")
	if err := v.Learn("2", schema); err != nil {
		t.Errorf("after another was forgotten: %v", err)
	}
}

// The published schema is the server's, and stays as it is.
func TestLearnLeavesTheSchemaAlone(t *testing.T) {
	schema := []byte(`{"$id":"x:y","type":"object","properties":{"a":{"format":"email"}}}`)
	before := bytes.Clone(schema)
	v := mustNew(t, Config{})
	if err := v.Learn("t", schema); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, schema) {
		t.Errorf("got %s, want %s", schema, before)
	}
	if err := v.Check(context.Background(), toolCall(`{"a":"no address"}`)); err != nil {
		t.Errorf("a format is an annotation: %v", err)
	}
}

// decode gives the engine what its own decoder would.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.50,-0,"x\u0061",true,false,null,{}]}`, `1e5`, `""`, `[[]]`, `{"a":1,"a":2}`, `{`, ``} {
		f.Add([]byte(s))
	}
	limits := Limits{}
	if err := limits.fill(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := decode(&limits, text)
		if err != nil {
			return
		}
		want, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("the engine's decoder refuses: %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzLearn: no schema ends the process, and what was learned can be used.
func FuzzLearn(f *testing.F) {
	for _, s := range []string{doubling, `{"type":"object","$ref":"#"}`, `{"type":"object","properties":{"a":{"$ref":"#/properties"}}}`,
		`{"type":"object","dependentRequired":{"a":["b"]},"minProperties":1e5,"$dynamicAnchor":"x","$defs":{"a":{"$dynamicRef":"#x"}}}`} {
		f.Add([]byte(s), []byte(`{"a":{"b":[1]}}`))
	}
	f.Fuzz(func(t *testing.T, schema, arguments []byte) {
		v := mustNew(t, Config{Limits: Limits{Steps: 2000}})
		if err := v.Learn("t", schema); err != nil {
			return
		}
		if !json.Valid(schema) {
			t.Fatal("learned what is no JSON")
		}
		_ = v.Check(context.Background(), toolCall(string(arguments)))
	})
}
