package session

import "time"

// A list is a ring of entries in the order of their deadlines. Every entry has
// a link of its own for each list that it can be in, so that moving it costs no
// allocation and no search.
type list struct{ root link }

type link struct {
	prev, next *link
	entry      *entry
}

func (l *list) init() { l.root.prev, l.root.next = &l.root, &l.root }

// first returns the entry that has been in l the longest, or nil.
func (l *list) first() *entry { return l.root.next.entry }

// after returns the entry that follows k in its list, or nil.
func after(k *link) *entry { return k.next.entry }

func (l *list) push(k *link) {
	k.prev, k.next = l.root.prev, &l.root
	k.prev.next, l.root.prev = k, k
}

// remove takes k out of its list. It does nothing when k is in none.
func (k *link) remove() {
	if k.next == nil {
		return
	}
	k.prev.next, k.next.prev = k.next, k.prev
	k.prev, k.next = nil, nil
}

// A clock counts time that passed and never runs back.
type clock struct {
	last   time.Time
	passed time.Duration
}

// read moves the clock to now and returns the time that passed since the first
// read. Of the wall clock and the monotonic one it follows the one that moved
// further: the monotonic one stops while a machine sleeps, and sleep must not
// lengthen the life of a session. A step back counts as no time.
func (c *clock) read(now time.Time) time.Duration {
	if !c.last.IsZero() {
		d := max(0, now.Sub(c.last), now.Round(0).Sub(c.last.Round(0)))
		// More than any life is as good as that; it must not overflow.
		c.passed += min(d, maxLifetime)
	}
	c.last = now
	return c.passed
}
