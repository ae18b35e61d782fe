package session

import (
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hardenmcp/harden/access"
)

const (
	idBytes = 32
	idChars = 43 // of unpadded base64url
	// hashDigits of a hash are enough for audit records to tell sessions apart.
	hashDigits = 32
	maxUser    = 512
	maxInner   = 256
	maxVersion = 64
	// sweepMost bounds what one request pays for the sessions of others.
	sweepMost = 64
	// lookedAt bounds how many sessions of a user a refusal looks at to say
	// when the next one ends.
	lookedAt = 64
	// streamRetry is the wait that is suggested when there are too many
	// streams: when one of them will end is not known.
	streamRetry = 5 * time.Second
)

// errNotFound is the one answer to an ID that is malformed, unknown, expired,
// ended or another caller's: whoever tries IDs learns nothing.
var errNotFound = &access.Error{Reason: access.NotFound, Rule: "session", Err: errors.New("session: no such session of this caller")}

var (
	errNoUser  = errors.New("session: no user to bind the session to")
	errOver    = errors.New("session: the reservation is over")
	errUsed    = errors.New("session: the reservation was used before")
	errUnswept = errors.New("session: too many ended sessions wait for Sweep")
)

// A Table holds the sessions of all callers, within the limits of its [Config].
// It is safe for concurrent use, starts no goroutine, and needs no closing.
type Table struct {
	cfg Config

	mu       sync.Mutex
	clock    clock
	sessions map[string]*entry // by <user_id>:<hash of session_id>
	users    map[string]*user
	held     int // sessions and reservations
	streams  int
	pending  list // reservations, oldest first
	ages     list // sessions, oldest first
	uses     list // sessions without an open stream, longest unused first
	ended    []Ended
}

// A user is a caller that has at least one entry or open stream.
type user struct {
	name    string
	held    int
	streams int
	own     list
}

// An entry is a reservation that becomes a session. Times are of the clock.
type entry struct {
	user           *user
	key            string // "" until it is a session
	inner, version string
	hash           string
	born, used     time.Duration
	streams        int
	over           bool
	age, use, own  link
}

// New returns a Table without sessions, or an error that names the field of cfg
// that is out of bounds.
func New(cfg Config) (*Table, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	t := &Table{cfg: cfg, sessions: map[string]*entry{}, users: map[string]*user{}}
	for _, l := range []*list{&t.pending, &t.ages, &t.uses} {
		l.init()
	}
	return t, nil
}

// Lookup returns the session id of user and counts as use of it. For every ID
// that is not a live session of that very user it refuses with one and the same
// error of reason [access.NotFound], after the same work.
func (t *Table) Lookup(user, id string) (Session, error) {
	sum := hashID(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.read(t.cfg.Now())
	e := t.find(user, id, sum, now)
	if e == nil {
		return Session{}, errNotFound
	}
	t.touch(e, now)
	return t.session(e, now), nil
}

// hashID hashes an ID of any length in the same time. find refuses those of the
// wrong length.
func hashID(id string) [sha256.Size]byte {
	var b [idChars]byte
	copy(b[:], id)
	return sha256.Sum256(b[:])
}

func appendKey(b []byte, user string, sum [sha256.Size]byte) []byte {
	b = append(b, user...)
	b = append(b, ':')
	return append(b, sum[:]...)
}

// find returns the live session, or nil. An expired one stays for Sweep to
// find, so that it costs the same as one that never was.
func (t *Table) find(user, id string, sum [sha256.Size]byte, now time.Duration) *entry {
	var b [maxUser + 1 + sha256.Size]byte
	e := t.sessions[string(appendKey(b[:0], user, sum))]
	if e == nil || len(id) != idChars || now >= t.end(e) {
		return nil
	}
	return e
}

// touch records a use of e.
func (t *Table) touch(e *entry, now time.Duration) {
	e.used = now
	e.use.remove()
	if e.streams == 0 {
		t.uses.push(&e.use)
	}
}

func (t *Table) session(e *entry, now time.Duration) Session {
	return Session{
		Inner: e.inner, Version: e.version, Hash: e.hash,
		Expires: t.clock.last.Add(e.born + t.cfg.Lifetime - now),
	}
}

// Stream opens a stream in the session id of user: a response that stays open,
// such as that to GET. It counts as use of the session until release is called,
// which must happen once the stream is over; calling it again does nothing. A
// stream does not outlive Config.Lifetime by being counted: end it at
// [Session.Expires]. It refuses as [Table.Lookup] does, and with
// [access.RateLimited] when the session, the user or the table has too many.
func (t *Table) Stream(user, id string) (release func(), err error) {
	sum := hashID(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.read(t.cfg.Now())
	e := t.find(user, id, sum, now)
	if e == nil {
		return nil, errNotFound
	}
	switch {
	case e.streams >= t.cfg.Streams:
		return nil, full("streams-per-session", t.cfg.Streams, streamRetry)
	case e.user.streams >= t.cfg.StreamsPerUser:
		return nil, full("streams-per-user", t.cfg.StreamsPerUser, streamRetry)
	case t.streams >= t.cfg.StreamsTotal:
		return nil, full("streams-total", t.cfg.StreamsTotal, streamRetry)
	}
	t.addStream(e, 1)
	t.touch(e, now)
	return sync.OnceFunc(func() { t.release(e) }), nil
}

func (t *Table) addStream(e *entry, n int) {
	e.streams += n
	e.user.streams += n
	t.streams += n
}

// release ends a stream. The session may have ended before it.
func (t *Table) release(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.read(t.cfg.Now())
	t.addStream(e, -1)
	if e.over {
		t.forget(e.user)
		return
	}
	t.touch(e, now)
}

// End ends the session id of user and returns it, for its inner session to be
// closed: [Table.Sweep] will not report it. It reports false, as
// [Table.Lookup] refuses, when there is no such session.
func (t *Table) End(user, id string) (Session, bool) {
	sum := hashID(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.read(t.cfg.Now())
	e := t.find(user, id, sum, now)
	if e == nil {
		return Session{}, false
	}
	s := t.session(e, now)
	t.drop(e)
	return s, true
}

// Sweep returns sessions that expired since they were last reported, for their
// inner sessions to be closed, and nil when there are none. It returns at most
// 64, so that one request does not pay for the sessions of all: call it after
// every request, or until it returns nil.
func (t *Table) Sweep() []Ended {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(t.clock.read(t.cfg.Now()), sweepMost)
	n := min(len(t.ended), sweepMost)
	if n == 0 {
		return nil
	}
	out := slices.Clone(t.ended[:n])
	clear(t.ended[:n])
	if t.ended = t.ended[n:]; len(t.ended) == 0 {
		t.ended = nil
	}
	return out
}

// EndAll ends every session and reservation, and returns those whose inner
// sessions are to be closed, with those that Sweep had not reported.
func (t *Table) EndAll() []Ended {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := t.pending.first(); e != nil; e = t.pending.first() {
		t.drop(e)
	}
	for e := t.ages.first(); e != nil; e = t.ages.first() {
		t.retire(e)
	}
	out := t.ended
	t.ended = nil
	return out
}

// Len returns the number of live sessions.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(t.clock.read(t.cfg.Now()), -1)
	return len(t.sessions)
}

// expire ends what is over at now, at most n sessions of it, or all for a
// negative n. As all entries of a list live equally long, those that are over
// are in front.
func (t *Table) expire(now time.Duration, n int) {
	for e := t.pending.first(); e != nil && now >= t.end(e); e = t.pending.first() {
		t.drop(e)
	}
	for _, l := range [...]*list{&t.uses, &t.ages} {
		for e := l.first(); n != 0 && e != nil && now >= t.end(e); e = l.first() {
			t.retire(e)
			n--
		}
	}
}

// retire ends a session and keeps it for Sweep.
func (t *Table) retire(e *entry) {
	t.ended = append(t.ended, Ended{User: e.user.name, Inner: e.inner, Version: e.version, Hash: e.hash})
	t.drop(e)
}

// drop takes e out of everything. Its open streams stay counted until they are
// released.
func (t *Table) drop(e *entry) {
	if e.over {
		return
	}
	e.over = true
	delete(t.sessions, e.key)
	e.age.remove()
	e.use.remove()
	e.own.remove()
	e.user.held--
	t.held--
	t.forget(e.user)
}

// forget drops a user that nothing is counted for.
func (t *Table) forget(u *user) {
	if u.held == 0 && u.streams == 0 {
		delete(t.users, u.name)
	}
}
