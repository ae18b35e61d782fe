package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hardenmcp/harden/audit"
)

func newLog(t testing.TB, handlers ...slog.Handler) *audit.Log {
	t.Helper()
	l, err := audit.New(audit.Config{Handlers: handlers})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func full() *audit.Record {
	return &audit.Record{
		Time: time.Unix(1, 0), ID: "id-1", Kind: "refusal", Outcome: "refused",
		Issuer: "https://idp.example", Subject: "alice", Client: "app", Tenant: "t1", AuthMethod: "jwt",
		Session: "abc", Peer: "192.0.2.1", Transport: "http", Version: "2026-07-28",
		Method: "tools/call", Name: "echo", ArgumentsDigest: audit.Digest([]byte("{}")),
		BytesIn: 10, Duration: time.Millisecond, Steps: []audit.Step{{Stage: "permit", Reason: "forbidden", Rule: "tool:x"}},
		Reason: "forbidden", Rule: "tool:x", Cause: "auth: no", Status: 403, Code: 403,
	}
}

// write returns the one JSON line of r.
func write(t testing.TB, r *audit.Record) map[string]any {
	t.Helper()
	var b bytes.Buffer
	if err := newLog(t, slog.NewJSONHandler(&b, nil)).Write(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if bytes.Count(b.Bytes(), []byte("\n")) != 1 {
		t.Fatalf("got %q, want one line", b.String())
	}
	m := map[string]any{}
	if err := json.Unmarshal(b.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRecordHoldsEveryField(t *testing.T) {
	got := write(t, full())
	for key, want := range map[string]any{
		"msg": "mcp.audit", "level": "WARN", "id": "id-1", "kind": "refusal", "outcome": "refused",
		"issuer": "https://idp.example", "subject": "alice", "client": "app", "tenant": "t1", "auth_method": "jwt",
		"session": "abc", "peer": "192.0.2.1", "transport": "http", "version": "2026-07-28", "method": "tools/call",
		"name": "echo", "bytes_in": 10.0, "duration_us": 1000.0, "steps": "permit:forbidden/tool:x",
		"reason": "forbidden", "rule": "tool:x", "cause": "auth: no", "status": 403.0, "code": 403.0,
	} {
		if got[key] != want {
			t.Errorf("%s: got %v, want %v", key, got[key], want)
		}
	}
	if len(got) != 26 { // the above, the digest and the time
		t.Errorf("got %d fields: %v", len(got), got)
	}
}

func TestEmptyFieldsAreLeftOut(t *testing.T) {
	got := write(t, &audit.Record{ID: "x", Kind: "start", Outcome: "allowed", Waivers: []string{"a: b"}})
	if len(got) != 7 || got["waiver_1"] != "a: b" || got["level"] != "INFO" {
		t.Errorf("got %v, want time, level, msg, id, kind, outcome and the waiver", got)
	}
}

func TestLevelFollowsTheOutcome(t *testing.T) {
	for outcome, want := range map[string]string{"allowed": "INFO", "refused": "WARN", "failed": "ERROR", "": "ERROR"} {
		if got := write(t, &audit.Record{Outcome: outcome})["level"]; got != want {
			t.Errorf("%q: got %v, want %s", outcome, got, want)
		}
	}
}

func TestARecordWithoutTimeGetsTheClock(t *testing.T) {
	var b bytes.Buffer
	l, err := audit.New(audit.Config{
		Handlers: []slog.Handler{slog.NewJSONHandler(&b, nil)},
		Now:      func() time.Time { return time.Unix(42, 0).UTC() },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Write(context.Background(), &audit.Record{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "1970-01-01T00:00:42Z") {
		t.Errorf("got %s, want the clock's time", b.String())
	}
}

func TestNothingCanForgeALineOrAField(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"new line", "a\nb", `a\nb`},
		{"carriage return", "a\rb", `a\rb`},
		{"escape sequence", "a\x1b[2Jb", `a\x1b[2Jb`},
		{"NUL", "a\x00b", `a\x00b`},
		{"C1 control", "a\u0085b", `a\u0085b`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"direction override", "a\u202eb", `a\u202eb`},
		{"zero width", "a\u200bb", `a\u200bb`},
		{"byte order mark", "\ufeffa", `\ufeffa`},
		{"invalid UTF-8", "a\xffb", `a\xffb`},
		{"forged escape", `a\nb`, `a\\nb`},
		{"letters stay", "Grüße 世界", "Grüße 世界"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := full()
			r.Name = tc.in
			if got := write(t, r)["name"]; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			var b bytes.Buffer
			if err := newLog(t, slog.NewTextHandler(&b, nil)).Write(context.Background(), r); err != nil {
				t.Fatal(err)
			}
			if strings.Count(b.String(), "\n") != 1 {
				t.Errorf("text: got %q, want one line", b.String())
			}
		})
	}
}

func TestLongValuesAreCut(t *testing.T) {
	for _, tc := range []struct {
		n, limit, want int
	}{{512, 512, 512}, {513, 512, 512}, {100_000, 512, 512}, {33, 32, 32}} {
		got := audit.Clean(strings.Repeat("x", tc.n), tc.limit)
		if len(got) != tc.want || (tc.n > tc.limit) != strings.HasSuffix(got, "…") {
			t.Errorf("%d: got %d bytes %q, want %d", tc.n, len(got), got[len(got)-4:], tc.want)
		}
	}
}

type failing struct {
	slog.Handler
	err   error
	panic any
}

func (f failing) Enabled(context.Context, slog.Level) bool { return true }
func (f failing) Handle(context.Context, slog.Record) error {
	if f.panic != nil {
		panic(f.panic)
	}
	return f.err
}

func TestAHandlerThatFailsFailsTheWrite(t *testing.T) {
	disk := errors.New("disk full")
	var b bytes.Buffer
	ok := slog.NewJSONHandler(&b, nil)
	if err := newLog(t, ok, failing{Handler: ok, err: disk}).Write(context.Background(), full()); !errors.Is(err, disk) {
		t.Errorf("got %v, want the handler's error", err)
	}
	if b.Len() == 0 {
		t.Error("the handler that works got nothing")
	}
	if err := newLog(t, failing{Handler: ok, panic: "boom"}).Write(context.Background(), full()); err == nil {
		t.Error("panic: got no error")
	}
	if err := newLog(t, ok).Write(context.Background(), full()); err != nil {
		t.Errorf("got %v, want no error", err)
	}
}

func TestEveryHandlerGetsEveryRecord(t *testing.T) {
	var a, b bytes.Buffer
	l := newLog(t, slog.NewJSONHandler(&a, nil), slog.NewJSONHandler(&b, nil))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { _ = l.Write(context.Background(), full()) })
	}
	wg.Wait()
	if na, nb := strings.Count(a.String(), "\n"), strings.Count(b.String(), "\n"); na != 50 || nb != 50 {
		t.Errorf("got %d and %d lines, want 50", na, nb)
	}
}

func TestAClosedLogRefuses(t *testing.T) {
	l := newLog(t, slog.DiscardHandler)
	if err := errors.Join(l.Close(context.Background()), l.Close(context.Background())); err != nil {
		t.Fatal(err)
	}
	if err := l.Write(context.Background(), full()); err == nil {
		t.Error("got no error, want one")
	}
}

func TestConfigNamesTheField(t *testing.T) {
	for _, tc := range []struct {
		cfg  audit.Config
		want string
	}{
		{audit.Config{Text: 31}, "Text"},
		{audit.Config{Text: 64<<10 + 1}, "Text"},
		{audit.Config{Text: -1}, "Text"},
		{audit.Config{Handlers: []slog.Handler{nil}}, "Handlers[0]"},
		{audit.Config{Handlers: make([]slog.Handler, 17)}, "Handlers"},
	} {
		if _, err := audit.New(tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want an error that names %s", err, tc.want)
		}
	}
	if _, err := audit.New(audit.Config{Text: 32}); err != nil {
		t.Error(err)
	}
}

func TestDigestIsStableAndHidesTheValue(t *testing.T) {
	got := audit.Digest([]byte("{}"))
	if got != "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" {
		t.Errorf("got %s", got)
	}
	if got == audit.Digest([]byte("{} ")) {
		t.Error("one byte more has the same digest")
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\nb\\\u202e\xff", 32)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 32 || limit > 1<<16 {
			t.Skip()
		}
		got := audit.Clean(s, limit)
		if len(got) > limit {
			t.Errorf("got %d bytes, the bound is %d", len(got), limit)
		}
		if !utf8.ValidString(got) {
			t.Errorf("got %q, want valid UTF-8", got)
		}
		for _, r := range got {
			if r < 0x20 || r == 0x7f || r == '\u2028' || r == '\u202e' {
				t.Errorf("got %q, want no control characters", got)
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	for _, bc := range []struct {
		name string
		h    []slog.Handler
	}{
		{"one", []slog.Handler{slog.NewJSONHandler(io.Discard, nil)}},
		{"two", []slog.Handler{slog.NewJSONHandler(io.Discard, nil), slog.NewJSONHandler(io.Discard, nil)}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			l, r := newLog(b, bc.h...), full()
			b.ReportAllocs()
			for b.Loop() {
				_ = l.Write(context.Background(), r)
			}
		})
	}
}

func BenchmarkDigest(b *testing.B) {
	args := bytes.Repeat([]byte("x"), 128)
	b.ReportAllocs()
	for b.Loop() {
		audit.Digest(args)
	}
}

func ExampleNew() {
	l, err := audit.New(audit.Config{Handlers: []slog.Handler{slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})}})
	if err != nil {
		panic(err)
	}
	_ = l.Write(context.Background(), &audit.Record{ID: "1", Kind: "call", Outcome: "allowed", Method: "tools/call", Name: "echo"})
	// Output: {"level":"INFO","msg":"mcp.audit","id":"1","kind":"call","outcome":"allowed","method":"tools/call","name":"echo"}
}
