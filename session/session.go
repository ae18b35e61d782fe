// Package session binds protocol sessions to the caller that opened them. It
// serves peers of protocol versions before 2026-07-28; later ones have none.
//
// It stops a session ID that was stolen, guessed or left over from being worth
// anything to another caller: the table is keyed by <user_id>:<session_id>, as
// the MCP security best practices ask (Session Hijacking), so an ID is looked up
// under the caller that the token of the request proves, and nobody else finds
// it. The peer gets an ID of 256 random bits that is made here, whatever the
// wrapped server makes; the server's own ID stays inside. Only a SHA-256 of an
// ID is kept. Sessions end when idle, and after a fixed life. Their number, and
// that of their open streams, is bounded per caller and in total, counting those
// that are still being opened.
//
// It does not authenticate: a session never says who calls. It does not survive
// a restart, nor span replicas. It does not end a session when a token is
// revoked; the token is checked on every request. It closes nothing by itself:
// the caller of [Table.Sweep] ends the inner sessions that are over.
//
//	table, err := session.New(session.Config{PerUser: 8})
//	...
//	r, err := table.Reserve(user)              // before the server allocates
//	defer r.Cancel()                           // does nothing after Commit
//	id, err := r.Commit(innerID, "2025-11-25") // the peer gets id
//	...
//	s, err := table.Lookup(user, id)           // on every later request
//	forward(s.Inner)
//	for _, over := range table.Sweep() {
//		closeInner(over.Inner)
//	}
package session

import (
	"fmt"
	"log/slog"
	"time"
)

const (
	defaultIdle     = 30 * time.Minute
	defaultLifetime = 8 * time.Hour
	defaultPending  = time.Minute
	defaultPerUser  = 32
	defaultTotal    = 10_000
	defaultStreams  = 4

	maxLifetime = 30 * 24 * time.Hour
	maxTotal    = 10_000_000
)

// A Config holds the limits of a [Table]. The zero value uses every default. A
// negative value, one above the stated maximum, and limits that contradict each
// other are errors of [New].
type Config struct {
	// Idle ends a session that was not used for so long. An open stream is use.
	// Zero means 30 minutes, or Lifetime when that is shorter. At most Lifetime.
	Idle time.Duration
	// Lifetime ends a session however much it is used. Zero means 8 hours. At
	// most 30 days.
	Lifetime time.Duration
	// Pending is how long a [Reservation] holds its place without Commit. Zero
	// means one minute, or Lifetime when that is shorter. At most Lifetime. It
	// should be longer than the server may take to answer initialize.
	Pending time.Duration
	// PerUser is how many sessions one user may have, with those that are being
	// opened. Zero means 32, or Total when that is less. At most Total.
	PerUser int
	// Total is how many sessions there may be, with those that are being
	// opened. Zero means 10,000. At most 10 million; each takes about 700 bytes.
	Total int
	// Streams is how many streams one session may have open at once. Zero means
	// 4, or StreamsPerUser when that is less. At most StreamsPerUser.
	Streams int
	// StreamsPerUser is how many streams all sessions of one user may have open.
	// Zero means as many as PerUser, or StreamsTotal when that is less. At most
	// StreamsTotal.
	StreamsPerUser int
	// StreamsTotal is how many streams may be open. Zero means as many as Total.
	// At most 10 million.
	StreamsTotal int
	// Now is the clock. Nil means [time.Now]. It must not call the Table. A
	// clock that steps back does not lengthen any life: time that was seen to
	// pass stays passed.
	Now func() time.Time
}

// filled returns c with its defaults, or the first error. A limit comes after
// the one that bounds it.
func (c Config) filled() (Config, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	var f filler
	c.Lifetime = fill(&f, "Lifetime", c.Lifetime, defaultLifetime, maxLifetime)
	c.Idle = fill(&f, "Idle", c.Idle, defaultIdle, c.Lifetime)
	c.Pending = fill(&f, "Pending", c.Pending, defaultPending, c.Lifetime)
	c.Total = fill(&f, "Total", c.Total, defaultTotal, maxTotal)
	c.PerUser = fill(&f, "PerUser", c.PerUser, defaultPerUser, c.Total)
	c.StreamsTotal = fill(&f, "StreamsTotal", c.StreamsTotal, c.Total, maxTotal)
	c.StreamsPerUser = fill(&f, "StreamsPerUser", c.StreamsPerUser, c.PerUser, c.StreamsTotal)
	c.Streams = fill(&f, "Streams", c.Streams, defaultStreams, c.StreamsPerUser)
	return c, f.err
}

// A filler keeps the first error of several fills.
type filler struct{ err error }

// fill returns value, or for zero standard as far as most allows.
func fill[T int | time.Duration](f *filler, name string, value, standard, most T) T {
	if value == 0 {
		return min(standard, most)
	}
	if f.err == nil && (value < 0 || value > most) {
		f.err = fmt.Errorf("session: %s is %v, want 0 for the default or 1 to %v", name, value, most)
	}
	return value
}

// A Session is what a caller's session ID stands for. It is a copy: it stays as
// it is when the session changes or ends.
type Session struct {
	// Inner is the ID that the wrapped server knows the session by. It is a
	// secret, as whoever may talk to that server directly could use it.
	Inner string `json:"-"`
	// Version is the protocol version that was settled when it was opened.
	Version string
	// Hash names the session in audit records: 32 hexadecimal digits of the
	// SHA-256 of its ID. It is not a secret.
	Hash string
	// Expires is when the session ends however much it is used, by
	// [Config.Now].
	Expires time.Time
}

// String names the session by its Hash, without secrets.
func (s Session) String() string { return "session " + s.Hash }

// GoString is [Session.String], so that %#v prints no secret either.
func (s Session) GoString() string { return s.String() }

// LogValue is [Session.String], so that slog prints no secret either.
func (s Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// An Ended session is over; its inner session is still to be closed.
type Ended struct {
	// User is the user that it was opened for.
	User string
	// Inner is the ID that the wrapped server knows it by. It is a secret.
	Inner string `json:"-"`
	// Version is its protocol version.
	Version string
	// Hash names it in audit records, as [Session] has it.
	Hash string
}

// String names the session by its Hash, without secrets.
func (e Ended) String() string { return "ended session " + e.Hash }

// GoString is [Ended.String], so that %#v prints no secret either.
func (e Ended) GoString() string { return e.String() }

// LogValue is [Ended.String], so that slog prints no secret either.
func (e Ended) LogValue() slog.Value { return slog.StringValue(e.String()) }
