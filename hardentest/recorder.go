package hardentest

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
)

// maxRecords is how many records a Recorder keeps by default.
const maxRecords = 10_000

// A Recorder is a [slog.Handler] that keeps audit records for assertions:
//
//	rec := new(hardentest.Recorder)
//	guard, err := harden.New(harden.WithAudit(audit.Config{Handlers: []slog.Handler{rec}}), ...)
//
// The zero value is ready to use. A Recorder is safe for concurrent use, and
// must not be copied.
type Recorder struct {
	// Max bounds how many records are kept; the oldest go first. Default
	// 10,000. Set it before the first record.
	Max int

	mu      sync.Mutex
	records []map[string]any
}

// Enabled implements [slog.Handler]: every level is kept.
func (r *Recorder) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements [slog.Handler].
func (r *Recorder) Handle(_ context.Context, rec slog.Record) error {
	r.keep(rec, nil)
	return nil
}

// WithAttrs implements [slog.Handler]. The records go to r.
func (r *Recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &scoped{recorder: r, layers: []layer{{attrs: attrs}}}
}

// WithGroup implements [slog.Handler]. The records go to r.
func (r *Recorder) WithGroup(name string) slog.Handler {
	return (&scoped{recorder: r}).WithGroup(name)
}

// Records returns a copy of what was recorded, oldest first. The keys are those
// of the attributes; a group is a map of its own; "msg" holds the message and
// "level" the [slog.Level]. The inner maps must not be changed.
func (r *Recorder) Records() []map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.records)
}

// Find returns the records, oldest first, in which every key of want has that
// value, by reflect.DeepEqual. An empty want finds all.
func (r *Recorder) Find(want map[string]any) []map[string]any {
	var found []map[string]any
	for _, rec := range r.Records() {
		if matches(rec, want) {
			found = append(found, rec)
		}
	}
	return found
}

// Reset forgets all records.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = nil
}

func matches(rec, want map[string]any) bool {
	for k, v := range want {
		got, ok := rec[k]
		if !ok || !reflect.DeepEqual(got, v) {
			return false
		}
	}
	return true
}

func (r *Recorder) keep(rec slog.Record, layers []layer) {
	m := map[string]any{"msg": rec.Message, "level": rec.Level}
	at := m
	for _, l := range layers {
		if l.group != "" {
			at = child(at, l.group)
		}
		for _, a := range l.attrs {
			put(at, a)
		}
	}
	rec.Attrs(func(a slog.Attr) bool {
		put(at, a)
		return true
	})
	limit := r.Max
	if limit <= 0 {
		limit = maxRecords
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, m)
	if extra := len(r.records) - limit; extra > 0 {
		r.records = slices.Delete(r.records, 0, extra)
	}
}

func put(m map[string]any, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		m[a.Key] = v.Any()
		return
	}
	if a.Key != "" { // a group without a name is part of what it stands in
		m = child(m, a.Key)
	}
	for _, b := range v.Group() {
		put(m, b)
	}
}

func child(m map[string]any, name string) map[string]any {
	if c, ok := m[name].(map[string]any); ok {
		return c
	}
	c := map[string]any{}
	m[name] = c
	return c
}

// scoped is a Recorder with attributes and groups in front.
type scoped struct {
	recorder *Recorder
	layers   []layer
}

// layer opens a group, or adds attributes, or both.
type layer struct {
	group string
	attrs []slog.Attr
}

func (s *scoped) Enabled(context.Context, slog.Level) bool { return true }

func (s *scoped) Handle(_ context.Context, rec slog.Record) error {
	s.recorder.keep(rec, s.layers)
	return nil
}

func (s *scoped) WithAttrs(attrs []slog.Attr) slog.Handler { return s.with(layer{attrs: attrs}) }

func (s *scoped) WithGroup(name string) slog.Handler {
	if name == "" {
		return s
	}
	return s.with(layer{group: name})
}

func (s *scoped) with(l layer) slog.Handler {
	return &scoped{recorder: s.recorder, layers: append(slices.Clip(slices.Clone(s.layers)), l)}
}
