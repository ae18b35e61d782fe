package session

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/hardenmcp/harden/access"
)

// A Reservation holds the place of a session that is being opened. Either
// Commit or Cancel must follow; a reservation that is forgotten gives its place
// back after [Config.Pending]. It is safe for concurrent use.
type Reservation struct {
	table *Table
	entry *entry
}

// Reserve takes a place for a new session of user, so that a flood of
// initialize requests is refused before the wrapped server allocates anything.
// It refuses with [access.RateLimited] when the user or the table is full, and
// says when the next session ends by itself; with [access.Unauthenticated] for
// the user ""; and with [access.Unavailable] when twice Config.Total expired
// sessions wait for [Table.Sweep]. Sessions that expired do not count.
func (t *Table) Reserve(name string) (*Reservation, error) {
	switch {
	case name == "":
		return nil, access.Deny(access.Unauthenticated, errNoUser)
	case len(name) > maxUser:
		return nil, access.Deny(access.Internal, fmt.Errorf("session: user is longer than %d bytes", maxUser))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.read(t.cfg.Now())
	t.expire(now, -1)
	if err := t.checkRoom(name, now); err != nil {
		return nil, err
	}
	u := t.users[name]
	if u == nil {
		u = &user{name: name}
		u.own.init()
		t.users[name] = u
	}
	e := &entry{user: u, born: now}
	e.age.entry, e.use.entry, e.own.entry = e, e, e
	t.pending.push(&e.age)
	u.own.push(&e.own)
	u.held++
	t.held++
	return &Reservation{t, e}, nil
}

// checkRoom refuses when there is no place for one more entry of the user.
func (t *Table) checkRoom(name string, now time.Duration) error {
	if u := t.users[name]; u != nil && u.held >= t.cfg.PerUser {
		return full("sessions-per-user", t.cfg.PerUser, t.firstEnd(u)-now)
	}
	if t.held >= t.cfg.Total {
		return full("sessions-total", t.cfg.Total, t.nextEnd()-now)
	}
	if len(t.ended) >= 2*t.cfg.Total {
		return &access.Error{Reason: access.Unavailable, Rule: "sessions-unswept", Err: errUnswept}
	}
	return nil
}

func full(rule string, limit int, wait time.Duration) error {
	return &access.Error{
		Reason: access.RateLimited, RetryAfter: wait, Rule: rule,
		Err: fmt.Errorf("session: limit %s of %d is reached", rule, limit),
	}
}

// firstEnd returns when the first of the user's oldest entries ends unused.
func (t *Table) firstEnd(u *user) time.Duration {
	e := u.own.first()
	first := t.end(e)
	for range lookedAt {
		if e = after(&e.own); e == nil {
			break
		}
		first = min(first, t.end(e))
	}
	return first
}

// nextEnd returns when the first of all entries ends unused.
func (t *Table) nextEnd() time.Duration {
	next := time.Duration(1<<63 - 1)
	for _, l := range []*list{&t.pending, &t.ages, &t.uses} {
		if e := l.first(); e != nil {
			next = min(next, t.end(e))
		}
	}
	return next
}

// end returns when e ends if it is not used again.
func (t *Table) end(e *entry) time.Duration {
	switch {
	case e.key == "":
		return e.born + t.cfg.Pending
	case e.streams > 0:
		return e.born + t.cfg.Lifetime
	default:
		return min(e.born+t.cfg.Lifetime, e.used+t.cfg.Idle)
	}
}

// Commit makes the session: inner is the wrapped server's ID for it, 1 to 256
// characters of visible ASCII, and version the protocol version that was
// settled, 1 to 64 of them. It returns the ID for the peer, 43 characters of
// base64url that are kept nowhere. It refuses with [access.Internal] when inner
// or version is malformed or the Reservation was used before, and with
// [access.Unavailable] when it ran out or was cancelled. After an error there is
// no session and no place is held: the caller closes the inner one.
func (r *Reservation) Commit(inner, version string) (string, error) {
	if err := errors.Join(checkVisible("inner ID", inner, maxInner), checkVisible("version", version, maxVersion)); err != nil {
		r.Cancel()
		return "", access.Deny(access.Internal, err)
	}
	var secret [idBytes]byte
	_, _ = rand.Read(secret[:]) // never fails: it ends the process instead
	id := base64.RawURLEncoding.EncodeToString(secret[:])
	sum := hashID(id)

	t, e := r.table, r.entry
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.read(t.cfg.Now())
	if e.key != "" {
		return "", access.Deny(access.Internal, errUsed)
	}
	if e.over || now >= t.end(e) {
		t.drop(e)
		return "", access.Deny(access.Unavailable, errOver)
	}
	e.key = string(appendKey(nil, e.user.name, sum))
	e.inner, e.version, e.hash = inner, version, hex.EncodeToString(sum[:])[:hashDigits]
	e.born, e.used = now, now
	t.sessions[e.key] = e
	e.age.remove()
	t.ages.push(&e.age)
	t.uses.push(&e.use)
	return id, nil
}

// Cancel gives the place back. It does nothing after Commit or another Cancel,
// nor on a nil Reservation.
func (r *Reservation) Cancel() {
	if r == nil {
		return
	}
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	if r.entry.key == "" {
		r.table.drop(r.entry)
	}
}

func checkVisible(what, s string, most int) error {
	if s == "" || len(s) > most {
		return fmt.Errorf("session: %s has %d characters, want 1 to %d", what, len(s), most)
	}
	for i := range len(s) {
		// MCP 2025-11-25, Session Management: 0x21 to 0x7E.
		if s[i] < 0x21 || s[i] > 0x7E {
			return fmt.Errorf("session: %s has a character that is not visible ASCII", what)
		}
	}
	return nil
}
