package hardentest_test

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hardenmcp/harden/hardentest"
)

func TestRecorderKeepsEveryLevelAndGroup(t *testing.T) {
	var rec hardentest.Recorder
	log := slog.New(&rec)
	log.Debug("one", "a", 1, slog.Group("g", "b", true), slog.Group("", "inline", "x"))
	log.With("w", "v").WithGroup("outer").With("c", "d").Info("two", "e", "f")
	log.WithGroup("").Error("three")
	want := []map[string]any{
		{"msg": "one", "level": slog.LevelDebug, "a": int64(1), "g": map[string]any{"b": true}, "inline": "x"},
		{"msg": "two", "level": slog.LevelInfo, "w": "v", "outer": map[string]any{"c": "d", "e": "f"}},
		{"msg": "three", "level": slog.LevelError},
	}
	if diff := cmp.Diff(rec.Records(), want); diff != "" {
		t.Errorf("got -, want +:\n%s", diff)
	}
}

func TestRecorderFind(t *testing.T) {
	var rec hardentest.Recorder
	log := slog.New(&rec)
	log.Info("call", "reason", "", "list", []string{"a"})
	log.Info("refusal", "reason", "invalid", "list", []string{"a"})
	for _, tc := range []struct {
		name string
		want map[string]any
		n    int
	}{
		{"nothing asked finds all", nil, 2},
		{"a value is matched", map[string]any{"reason": "invalid"}, 1},
		{"all values must match", map[string]any{"reason": "invalid", "msg": "call"}, 0},
		{"a key that is missing does not match nil", map[string]any{"absent": nil}, 0},
		{"values that == cannot compare are matched", map[string]any{"list": []string{"a"}}, 2},
		{"another type does not match", map[string]any{"reason": 7}, 0},
	} {
		if got := len(rec.Find(tc.want)); got != tc.n {
			t.Errorf("%s: got %d, want %d", tc.name, got, tc.n)
		}
	}
	rec.Reset()
	if got := len(rec.Records()); got != 0 {
		t.Errorf("after Reset: got %d, want 0", got)
	}
}

func TestRecorderIsBounded(t *testing.T) {
	rec := hardentest.Recorder{Max: 3}
	for i := range 10 {
		slog.New(&rec).Info(fmt.Sprint(i))
	}
	got := rec.Records()
	if len(got) != 3 || got[0]["msg"] != "7" {
		t.Errorf("got %v, want the last three", got)
	}
}

func TestRecorderIsSafeForConcurrentUse(t *testing.T) {
	var rec hardentest.Recorder
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			log := slog.New(&rec).With("a", 1)
			for range 100 {
				log.Info("x")
				rec.Find(map[string]any{"a": int64(1)})
			}
		})
	}
	wg.Wait()
	if got := len(rec.Records()); got != 800 {
		t.Errorf("got %d records, want 800", got)
	}
}

func ExampleRecorder() {
	rec := new(hardentest.Recorder)
	slog.New(rec).Info("refusal", "reason", "rate_limited") // a guard does this
	for _, r := range rec.Find(map[string]any{"reason": "rate_limited"}) {
		fmt.Println(r["msg"])
	}
	// Output: refusal
}
