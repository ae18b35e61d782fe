package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func writeJSON(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func TestMembers(t *testing.T) {
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	for _, tc := range []struct {
		name, src string
		want      error
	}{
		{"empty", ``, errJSON},
		{"empty object", `{}`, nil},
		{"space around", " {\n\"a\" : [ 1 , { \"b\" : \"}\\\"\" } ] , \"c\":null}\r\n", nil},
		{"array", `[]`, errObject},
		{"number", `1`, errObject},
		{"two values", `{}{}`, errJSON},
		{"comment", `{}//`, errJSON},
		{"trailing comma", `{"a":1,}`, errJSON},
		{"NaN", `{"a":NaN}`, errJSON},
		{"not UTF-8", "{\"a\":\"\xff\"}", errJSON},
		{"the same name", `{"a":1,"a":1}`, errTwice},
		{"the same name in escapes", `{"a":1,"\u0061":1}`, errTwice},
		{"the same name in an array", `{"x":[1,{"a":1,"a":1}]}`, errTwice},
		{"the same name at two depths", `{"a":{"a":1}}`, nil},
		{"names that differ in case", `{"a":1,"A":1}`, nil},
		{"half a surrogate in a name", `{"\ud800":1}`, errUnicode},
		{"a pair of surrogates", `{"\ud83d\ude00":1}`, nil},
		{"the replacement character in escapes", `{"\ufffd":1}`, errUnicode},
		{"just deep enough", deep(maxDepth), nil},
		{"too deep", deep(maxDepth + 1), errDepth},
		{"just enough members", `{"z":1` + manyMembers(maxMembers-1) + `}`, nil},
		{"too many members", `{"z":1` + manyMembers(maxMembers) + `}`, errMembers},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := members([]byte(tc.src)); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// reference reads an object the slow way, and fails the test when a name is
// there twice, at any depth.
func reference(t *testing.T, src []byte) map[string]any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	if err := noTwins(dec); err != nil {
		t.Fatalf("%q was accepted: %v", src, err)
	}
	var out map[string]any
	if err := json.Unmarshal(src, &out); err != nil {
		t.Fatalf("%q was accepted: %v", src, err)
	}
	return out
}

var errTwins = errors.New("the same name twice")

func noTwins(dec *json.Decoder) error {
	tok, err := dec.Token()
	if err != nil {
		return err
	}
	switch tok {
	case json.Delim('{'):
		seen := map[any]bool{}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			if seen[name] {
				return errTwins
			}
			seen[name] = true
			if err := noTwins(dec); err != nil {
				return err
			}
		}
		_, err = dec.Token()
	case json.Delim('['):
		for dec.More() {
			if err := noTwins(dec); err != nil {
				return err
			}
		}
		_, err = dec.Token()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[true,{"c":"\"]"}]}`, `{"a":1,"\u0061":2}`, ` {"a" : -1e9 , "b":{}} `, `{"a":"\\"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		all, err := members(src)
		if err != nil {
			return
		}
		want := reference(t, src)
		if len(all) != len(want) {
			t.Fatalf("%q: got %d members, want %d", src, len(all), len(want))
		}
		for _, m := range all {
			var got any
			if err := json.Unmarshal(m.value, &got); err != nil {
				t.Fatalf("%q: value %q: %v", src, m.value, err)
			}
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(want[m.name])
			if !bytes.Equal(a, b) {
				t.Fatalf("%q: member %q: got %s, want %s", src, m.name, a, b)
			}
			if s, err := text(m.value); err == nil && s != want[m.name] {
				t.Fatalf("%q: text %q, want %v", src, s, want[m.name])
			}
			if list, err := texts(m.value, 8); err == nil {
				a, _ := json.Marshal(list)
				if len(list) > 0 && !bytes.Equal(a, b) {
					t.Fatalf("%q: texts %s, want %s", src, a, b)
				}
			}
		}
	})
}

// FuzzVerify: nothing but the token that was signed is accepted.
func FuzzVerify(f *testing.F) {
	p := newProvider(f)
	v := newVerifier(f, p.config(newClock()))
	good := p.good().sign()
	f.Add(good)
	f.Add(good + "=")
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		got, err := v.Verify(ctx(), token)
		if (err == nil) != (token == good) || (got == nil) != (err != nil) {
			t.Fatalf("%q: got %v, %v", token, got, err)
		}
		// And with a signature that holds: the strict reader against the slow one.
		all, err := members([]byte(token))
		if err != nil {
			return
		}
		c, err := readClaims(all, "tid")
		if err != nil || v.check(c, &header{typ: "at+jwt"}, start) != nil {
			return
		}
		doc := reference(t, []byte(token))
		if doc["sub"] != c.Subject || doc["sub"] == "" || doc["exp"] == nil {
			t.Fatalf("%q: got %+v", token, c)
		}
	})
}
