package auth

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/hardenmcp/harden/access"
)

func TestHeader(t *testing.T) {
	for _, tc := range []struct {
		name   string
		lines  []string
		want   string
		reason access.Reason
		rule   string
	}{
		{"a token", []string{"Bearer abc.DEF-_~+/09=="}, "abc.DEF-_~+/09==", "", ""},
		{"scheme in any case", []string{"bEARER abc"}, "abc", "", ""},
		{"no line", nil, "", access.Unauthenticated, "authorization"},
		{"two lines", []string{"Bearer abc", "Bearer abc"}, "", access.Invalid, "authorization"},
		{"a line and an empty one", []string{"Bearer abc", ""}, "", access.Invalid, "authorization"},
		{"an empty line", []string{""}, "", access.Unauthenticated, "scheme"},
		{"Basic", []string{"Basic YTpi"}, "", access.Unauthenticated, "scheme"},
		{"DPoP", []string{"DPoP abc"}, "", access.Unauthenticated, "scheme"},
		{"a longer scheme", []string{"Bearers abc"}, "", access.Unauthenticated, "scheme"},
		{"no scheme", []string{"abc"}, "", access.Unauthenticated, "scheme"},
		{"leading space", []string{" Bearer abc"}, "", access.Unauthenticated, "scheme"},
		{"a tab", []string{"Bearer\tabc"}, "", access.Unauthenticated, "scheme"},
		{"scheme alone", []string{"Bearer"}, "", access.Unauthenticated, "authorization"},
		{"scheme and a space", []string{"Bearer "}, "", access.Unauthenticated, "authorization"},
		{"two spaces", []string{"Bearer  abc"}, "", access.Invalid, "form"},
		{"two tokens", []string{"Bearer abc def"}, "", access.Invalid, "form"},
		{"two credentials in a line", []string{"Bearer abc, Bearer def"}, "", access.Invalid, "form"},
		{"a comma", []string{"Bearer abc,"}, "", access.Invalid, "form"},
		{"trailing space", []string{"Bearer abc "}, "", access.Invalid, "form"},
		{"padding alone", []string{"Bearer =="}, "", access.Invalid, "form"},
		{"padding inside", []string{"Bearer a=b"}, "", access.Invalid, "form"},
		{"a quote", []string{`Bearer "abc"`}, "", access.Invalid, "form"},
		{"beyond ASCII", []string{"Bearer abcé"}, "", access.Invalid, "form"},
		{"a line break", []string{"Bearer abc\r\nX: y"}, "", access.Invalid, "form"},
		{"a NUL", []string{"Bearer abc\x00"}, "", access.Invalid, "form"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Header(tc.lines)
			if got != tc.want {
				t.Errorf("got token %q, want %q", got, tc.want)
			}
			if tc.reason != "" {
				wantRefusal(t, err, tc.reason, tc.rule)
			} else if err != nil {
				t.Errorf("got %v, want it allowed", err)
			}
		})
	}
}

var b64Token = regexp.MustCompile(`\A(?i:bearer) ([A-Za-z0-9._~+/-]+=*)\z`)

func FuzzHeader(f *testing.F) {
	for _, s := range []string{"Bearer abc", "bearer a==", "Bearer ", "Basic x", "Bearer a b", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		token, err := Header([]string{line})
		m := b64Token.FindStringSubmatch(line)
		switch {
		case (m == nil) != (err != nil):
			t.Fatalf("%q: got %v, which the reference sees the other way", line, err)
		case err != nil && token != "":
			t.Fatalf("%q: a refusal with a token", line)
		case err == nil && token != m[1]:
			t.Fatalf("%q: got %q, want %q", line, token, m[1])
		}
		if _, err := Header([]string{line, line}); err == nil {
			t.Fatal("two lines were allowed")
		}
	})
}

func BenchmarkHeader(b *testing.B) {
	h := http.Header{"Authorization": {"Bearer " + strings.Repeat("aB3-_", 150)}}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Header(h.Values("Authorization"))
	}
}
