// Package audit writes one structured record for every decision of a guard.
//
// It stops a refusal or a call from leaving no trace: a record that cannot be
// written is an error, and the guard then refuses the call. It stops a peer
// from forging a line or a field: whatever a peer controls is cut to a bound,
// and control characters, invalid UTF-8 and direction overrides in it are
// escaped before any handler sees them.
//
//	log, err := audit.New(audit.Config{
//		Handlers: []slog.Handler{slog.NewJSONHandler(file, nil), siem},
//	})
//
// Arguments and results are never written, only their digest and size.
//
// What it does not do: it does not make records tamper-evident, does not
// pseudonymise subjects, and does not rotate files.
package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	slogmulti "github.com/samber/slog-multi"
)

// maxHandlers bounds the fan-out.
const maxHandlers = 16

var errClosed = errors.New("audit: the log is closed")

// A Config says where records go. The zero value writes JSON lines to standard
// error.
type Config struct {
	// Handlers get every record, each of them. At most 16. Default: one that
	// writes JSON lines to os.Stderr. A handler that returns an error or panics
	// makes the write fail, and so the call that it is about.
	Handlers []slog.Handler
	// Text is the bound of each string of a record in bytes; longer ones are
	// cut and end in "…". Default 512, at least 32, at most 64 KiB. Cause, which
	// holds the stack of a panic, may have 16 times as much.
	Text int
	// Now is the clock for records without a time. Default time.Now.
	Now func() time.Time
}

// A Log writes records. Make one with [New]; it is safe for concurrent use when
// its handlers are, as those of log/slog are.
type Log struct {
	handler slog.Handler
	text    int
	now     func() time.Time
	closed  atomic.Bool
}

// New returns a Log. It returns an error that names the field when a setting is
// out of bounds.
func New(cfg Config) (*Log, error) {
	if cfg.Text == 0 {
		cfg.Text = 512
	}
	if cfg.Text < 32 || cfg.Text > 64<<10 {
		return nil, fmt.Errorf("audit: Text %d is not within 32 to 65536", cfg.Text)
	}
	if len(cfg.Handlers) > maxHandlers {
		return nil, fmt.Errorf("audit: Handlers: %d are more than %d", len(cfg.Handlers), maxHandlers)
	}
	for i, h := range cfg.Handlers {
		if h == nil {
			return nil, fmt.Errorf("audit: Handlers[%d] is nil", i)
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Log{handler: fanout(cfg.Handlers), text: cfg.Text, now: cfg.Now}, nil
}

// fanout is the one handler that stands for all.
func fanout(handlers []slog.Handler) slog.Handler {
	switch len(handlers) {
	case 0:
		return slog.NewJSONHandler(os.Stderr, nil)
	case 1:
		return handlers[0]
	default:
		return slogmulti.Fanout(handlers...)
	}
}

// Write writes r to every handler, and returns the first error. A call whose
// record could not be written must not be answered. Level is Info for what was
// allowed, Warn for what was refused, Error for what failed; a handler that is
// not enabled for the level does not get the record.
func (l *Log) Write(ctx context.Context, r *Record) (err error) {
	if l.closed.Load() {
		return errClosed
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("audit: handler panicked: %v", v)
		}
	}()
	at, level := r.Time, r.level()
	if at.IsZero() {
		at = l.now()
	}
	if !l.handler.Enabled(ctx, level) {
		return nil
	}
	rec := slog.NewRecord(at, level, message, 0)
	r.attrs(&rec, l.text)
	if err := l.handler.Handle(ctx, rec); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// message is the msg of every record, by which a collector can tell them from
// a program's other lines.
const message = "mcp.audit"

// Close ends the log: later writes fail. Handlers are the caller's to close.
// Calling it again does nothing.
func (l *Log) Close(context.Context) error {
	l.closed.Store(true)
	return nil
}

// Digest names b without showing it: "sha256:" and 64 hexadecimal digits. Equal
// arguments have equal digests, so short or guessable ones can be guessed from
// it.
func Digest(b []byte) string {
	const prefix = "sha256:"
	sum := sha256.Sum256(b)
	out := make([]byte, len(prefix)+2*len(sum))
	copy(out, prefix)
	hex.Encode(out[len(prefix):], sum[:])
	return string(out)
}
