package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hardenmcp/harden/access"
)

// A model is what a Table should be, written to be obvious: one slice, and every
// question answered by looking at all of it.
type model struct {
	cfg   Config
	now   time.Duration
	items []*item
}

type item struct {
	user, id, inner string
	born, used      time.Duration
	pending         bool // a reservation
	over            bool // ended by its caller, cancelled or reported
	streams         int
}

func (m *model) end(i *item) time.Duration {
	if i.pending {
		return i.born + m.cfg.Pending
	}
	if i.streams > 0 {
		return i.born + m.cfg.Lifetime
	}
	return min(i.born+m.cfg.Lifetime, i.used+m.cfg.Idle)
}

func (m *model) alive(i *item) bool { return !i.over && m.now < m.end(i) }

// count returns the number of items that count, and when the first one ends.
func (m *model) count(match func(*item) bool) (n int, wait time.Duration) {
	wait = 1 << 62
	for _, i := range m.items {
		if m.alive(i) && match(i) {
			n++
			wait = min(wait, m.end(i)-m.now)
		}
	}
	return n, wait
}

func (m *model) streams(match func(*item) bool) (n int) {
	for _, i := range m.items {
		if match(i) {
			n += i.streams
		}
	}
	return n
}

func (m *model) reserve(user string) (want *access.Error) {
	if n, wait := m.count(func(i *item) bool { return i.user == user }); n >= m.cfg.PerUser {
		return &access.Error{Rule: "sessions-per-user", RetryAfter: wait, Reason: access.RateLimited}
	}
	if n, wait := m.count(func(*item) bool { return true }); n >= m.cfg.Total {
		return &access.Error{Rule: "sessions-total", RetryAfter: wait, Reason: access.RateLimited}
	}
	unswept := 0
	for _, i := range m.items {
		if !i.over && !i.pending && !m.alive(i) {
			unswept++
		}
	}
	if unswept >= 2*m.cfg.Total {
		return &access.Error{Rule: "sessions-unswept", Reason: access.Unavailable}
	}
	return nil
}

func (m *model) find(user, id string) *item {
	for _, i := range m.items {
		if i.user == user && i.id == id && !i.pending && m.alive(i) {
			return i
		}
	}
	return nil
}

func (m *model) stream(i *item) (rule string) {
	switch {
	case i.streams >= m.cfg.Streams:
		return "streams-per-session"
	case m.streams(func(j *item) bool { return j.user == i.user }) >= m.cfg.StreamsPerUser:
		return "streams-per-user"
	case m.streams(func(*item) bool { return true }) >= m.cfg.StreamsTotal:
		return "streams-total"
	}
	return ""
}

// sweep returns the inner IDs of expired sessions, each once.
func (m *model) sweep() (inners []string) {
	for _, i := range m.items {
		if !i.over && !m.alive(i) {
			i.over = true
			if !i.pending {
				inners = append(inners, i.inner)
			}
		}
	}
	m.items = slices.DeleteFunc(m.items, func(i *item) bool { return i.over && i.streams == 0 })
	return inners
}

// A run drives a Table and the model with the same steps.
type run struct {
	*fixture
	m        model
	rng      *rand.Rand
	pending  []pendingItem
	releases []func()
	n        int
}

type pendingItem struct {
	r *Reservation
	i *item
}

func (r *run) user() string { return fmt.Sprint("u", r.rng.IntN(3)) }

// pick returns any item that has an ID, of any state.
func (r *run) pick() *item {
	var all []*item
	for _, i := range r.m.items {
		if i.id != "" {
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		return &item{user: r.user(), id: "none", over: true}
	}
	return all[r.rng.IntN(len(all))]
}

func (r *run) stepTime() {
	d := time.Duration(r.rng.Int64N(int64(r.m.cfg.Idle)))
	if r.rng.IntN(4) == 0 {
		r.pass(-10 * d) // a step back
		d = 0
		r.Len() // a step that nobody sees is none
	}
	r.pass(d)
	r.m.now += d
}

func (r *run) stepReserve() {
	user := r.user()
	want := r.m.reserve(user)
	res, err := r.Reserve(user)
	if got := access.AsError(err); (got == nil) != (want == nil) ||
		got != nil && (got.Rule != want.Rule || got.RetryAfter != want.RetryAfter || got.Reason != want.Reason) {
		r.t.Fatalf("Reserve: got %+v, want %+v", got, want)
	}
	if err == nil {
		i := &item{user: user, born: r.m.now, pending: true}
		r.m.items = append(r.m.items, i)
		r.pending = append(r.pending, pendingItem{res, i})
	}
}

func (r *run) stepSettle() {
	if len(r.pending) == 0 {
		return
	}
	k := r.rng.IntN(len(r.pending))
	p := r.pending[k]
	r.pending = slices.Delete(r.pending, k, k+1)
	if r.rng.IntN(5) == 0 {
		p.r.Cancel()
		p.i.over = true
		return
	}
	r.n++
	inner := fmt.Sprint("inner-", r.n)
	id, err := p.r.Commit(inner, version)
	if want := r.m.alive(p.i); (err == nil) != want {
		r.t.Fatalf("Commit: got %v, want success %v", err, want)
	}
	if err != nil {
		p.i.over = true
		return
	}
	*p.i = item{user: p.i.user, id: id, inner: inner, born: r.m.now, used: r.m.now}
}

func (r *run) stepLookup() {
	i, user := r.pick(), r.user()
	want := r.m.find(user, i.id)
	s, err := r.Lookup(user, i.id)
	if (err == nil) != (want != nil) || want != nil && s.Inner != want.inner || err != nil && err != error(errNotFound) {
		r.t.Fatalf("Lookup: got %v and %v, want %+v", s, err, want)
	}
	if want != nil {
		want.used = r.m.now
		if left := s.Expires.Sub(r.now); left != want.born+r.m.cfg.Lifetime-r.m.now {
			r.t.Fatalf("Lookup: got %v left, want to the end of the life of %+v", left, want)
		}
	}
}

func (r *run) stepStream() {
	i, user := r.pick(), r.user()
	found := r.m.find(user, i.id)
	release, err := r.Stream(user, i.id)
	switch {
	case found == nil:
		if err != error(errNotFound) {
			r.t.Fatalf("Stream: got %v, want not_found", err)
		}
	case r.m.stream(found) != "":
		if got, want := access.AsError(err), r.m.stream(found); got == nil || got.Rule != want {
			r.t.Fatalf("Stream: got %v, want limit %s", err, want)
		}
	case err != nil:
		r.t.Fatalf("Stream: got %v, want a stream", err)
	default:
		found.streams++
		found.used = r.m.now
		r.releases = append(r.releases, func() {
			release()
			release()
			if r.m.alive(found) {
				found.used = r.m.now
			}
			found.streams--
		})
	}
}

func (r *run) stepRelease() {
	if len(r.releases) > 0 {
		r.releases[0]()
		r.releases = r.releases[1:]
	}
}

func (r *run) stepEnd() {
	i, user := r.pick(), r.user()
	want := r.m.find(user, i.id)
	s, ok := r.End(user, i.id)
	if ok != (want != nil) || ok && s.Inner != want.inner {
		r.t.Fatalf("End: got %v and %v, want %+v", s, ok, want)
	}
	if ok {
		want.over = true
	}
}

func (r *run) stepSweep() {
	var got []string
	for ended := r.Sweep(); ended != nil; ended = r.Sweep() {
		for _, e := range ended {
			got = append(got, e.Inner)
		}
	}
	want := r.m.sweep()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Fatalf("Sweep: got %v, want %v", got, want)
	}
}

// check compares what can be counted.
func (r *run) check() {
	want, _ := r.m.count(func(i *item) bool { return !i.pending })
	if got := r.Len(); got != want {
		r.t.Fatalf("Len: got %d, want %d", got, want)
	}
	if held, _ := r.m.count(func(*item) bool { return true }); r.held != held || r.streams != r.m.streams(func(*item) bool { return true }) {
		r.t.Fatalf("got %d held and %d streams, want %d and the model's", r.held, r.streams, held)
	}
	for _, u := range r.users {
		if u.held == 0 && u.streams == 0 {
			r.t.Fatalf("user %s is kept for nothing", u.name)
		}
	}
}

func TestTableIsLikeTheModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 9))
			cfg := Config{
				Idle: time.Minute, Lifetime: time.Duration(1+rng.IntN(8)) * time.Minute, Pending: 30 * time.Second,
				PerUser: 1 + rng.IntN(5), Total: 5 + rng.IntN(6), Streams: 1 + rng.IntN(2), StreamsPerUser: 2, StreamsTotal: 3,
			}
			r := &run{fixture: newFixture(t, cfg), rng: rng}
			r.m.cfg = cfg
			r.Len()
			steps := []func(){
				r.stepTime, r.stepReserve, r.stepReserve, r.stepReserve, r.stepSettle, r.stepSettle, r.stepLookup,
				r.stepLookup, r.stepLookup, r.stepStream, r.stepStream, r.stepRelease, r.stepEnd, r.stepSweep,
			}
			for range 1500 {
				steps[rng.IntN(len(steps))]()
				r.check()
			}
		})
	}
}
