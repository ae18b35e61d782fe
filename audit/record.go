package audit

import (
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Record is what is kept about one decision. Fields that are empty are left
// out, but for those that are always set.
type Record struct {
	// Always set.

	// Time is when the message arrived.
	Time time.Time
	// ID is the correlation ID, which a refused peer was shown too.
	ID string
	// Kind is "start" and "stop" for a guard, "call" for a call that was
	// allowed, "refusal" for one that was not.
	Kind string
	// Outcome is "allowed", "refused", or "failed" when something broke.
	Outcome string

	// Set for calls and refusals, as far as they are known by then.

	// Issuer, Subject, Client and Tenant say who called.
	Issuer, Subject, Client, Tenant string
	// AuthMethod is how the caller proved itself: "jwt", "stated", "waived".
	AuthMethod string
	// Session is a hash of the session ID. The ID itself is a secret.
	Session string
	// Peer is the network address of the caller.
	Peer string
	// Transport is "http", "stdio" or "other".
	Transport string
	// Version is the protocol version.
	Version string
	// Method is the MCP method, or the HTTP method where there was none.
	Method string
	// Name is the tool, the prompt or the resource.
	Name string
	// ArgumentsDigest is [Digest] of the arguments.
	ArgumentsDigest string
	// BytesIn is the size of the message.
	BytesIn int
	// Duration is how long the call took.
	Duration time.Duration
	// IsError says that a tool which was allowed to run said that it failed.
	IsError bool

	// Set for refusals and failures.

	// Steps are the stages that did not let the message pass, outermost last.
	Steps []Step
	// Reason is why, as the peer was told.
	Reason string
	// Rule is the rule or setting that decided.
	Rule string
	// Cause is the operator's error text. The peer never sees it.
	Cause string
	// Status and Code are the HTTP status and the JSON-RPC code that were sent.
	Status int
	Code   int64

	// Set for starts.

	// Waivers are the weakenings in force, each as "setting: reason".
	Waivers []string
}

// A Step is the decision of one stage.
type Step struct {
	// Stage is its name in the guard's list of stages.
	Stage string
	// Reason and Rule are why it refused.
	Reason, Rule string
}

func (r *Record) level() slog.Level {
	switch r.Outcome {
	case "allowed":
		return slog.LevelInfo
	case "refused":
		return slog.LevelWarn
	default:
		// An outcome that nobody set is as loud as a failure.
		return slog.LevelError
	}
}

// attrs adds r to rec.
func (r *Record) attrs(rec *slog.Record, limit int) {
	var room [24]slog.Attr
	a := append(room[:0],
		slog.String("id", Clean(r.ID, limit)),
		slog.String("kind", Clean(r.Kind, limit)),
		slog.String("outcome", Clean(r.Outcome, limit)),
	)
	for _, s := range [...]struct{ key, value string }{
		{"issuer", r.Issuer}, {"subject", r.Subject}, {"client", r.Client}, {"tenant", r.Tenant},
		{"auth_method", r.AuthMethod}, {"session", r.Session}, {"peer", r.Peer}, {"transport", r.Transport},
		{"version", r.Version}, {"method", r.Method}, {"name", r.Name}, {"arguments_digest", r.ArgumentsDigest},
		{"reason", r.Reason}, {"rule", r.Rule},
	} {
		if s.value != "" {
			a = append(a, slog.String(s.key, Clean(s.value, limit)))
		}
	}
	rec.AddAttrs(a...)
	r.numbers(rec)
	if r.Cause != "" {
		rec.AddAttrs(slog.String("cause", Clean(r.Cause, 16*limit)))
	}
	if len(r.Steps) > 0 {
		rec.AddAttrs(slog.String("steps", steps(r.Steps, limit)))
	}
	for i, w := range r.Waivers {
		rec.AddAttrs(slog.String("waiver_"+strconv.Itoa(i+1), Clean(w, limit)))
	}
}

func (r *Record) numbers(rec *slog.Record) {
	if r.BytesIn != 0 {
		rec.AddAttrs(slog.Int("bytes_in", r.BytesIn))
	}
	if r.Duration != 0 {
		rec.AddAttrs(slog.Int64("duration_us", r.Duration.Microseconds()))
	}
	if r.IsError {
		rec.AddAttrs(slog.Bool("is_error", true))
	}
	if r.Status != 0 {
		rec.AddAttrs(slog.Int("status", r.Status))
	}
	if r.Code != 0 {
		rec.AddAttrs(slog.Int64("code", r.Code))
	}
}

// steps is a flat form that every collector can search: "permit:forbidden/rule".
func steps(all []Step, limit int) string {
	var b strings.Builder
	for i, s := range all {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s.Stage + ":" + s.Reason)
		if s.Rule != "" {
			b.WriteString("/" + s.Rule)
		}
	}
	return Clean(b.String(), limit)
}

// Clean returns s as it is safe in a log: cut to limit bytes, on a character's
// border and with "…" at the end when something was cut; and with every control
// character, line or paragraph separator, format character such as a direction
// override, and invalid byte written as an escape. Backslashes are escaped too,
// so that an escape cannot be forged. It does not allocate for a short string
// of plain characters.
func Clean(s string, limit int) string {
	if len(s) <= limit && plain(s) {
		return s
	}
	const mark = "…"
	b := make([]byte, 0, min(len(s), limit)+16)
	room := 0 // how much of b there is room for the mark after
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		piece := s[i : i+n]
		if r == '\\' || !visible(r, n) {
			piece = escape(r, n, s[i])
		}
		if len(b) <= limit-len(mark) {
			room = len(b)
		}
		if len(b)+len(piece) > limit {
			return string(b[:room]) + mark
		}
		b = append(b, piece...)
		i += n
	}
	return string(b)
}

// plain reports whether s is visible ASCII without backslashes.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '\\' {
			return false
		}
	}
	return true
}

func visible(r rune, size int) bool {
	if r == utf8.RuneError && size == 1 {
		return false
	}
	return r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Z, r)
}

func escape(r rune, size int, first byte) string {
	if r == utf8.RuneError && size == 1 {
		return `\x` + string("0123456789abcdef"[first>>4]) + string("0123456789abcdef"[first&15])
	}
	if r == '\\' {
		return `\\`
	}
	q := strconv.QuoteRuneToASCII(r)
	return q[1 : len(q)-1]
}
