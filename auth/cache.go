package auth

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/hardenmcp/harden/access"
)

// An entry is what is remembered of a verified token.
type entry struct {
	principal *access.Principal
	key       *key
	keys      *keySource
}

// A cache remembers verified tokens by their SHA-256, so that a memory dump of
// it holds no token. It holds a bounded number, and only tokens that an issuer
// signed get in: a stranger cannot push others out.
type cache struct {
	shards []shard
}

type shard struct {
	mu      sync.RWMutex
	entries map[[sha256.Size]byte]*entry
	limit   int
}

func newCache(size int) *cache {
	n := min(16, size)
	c := &cache{shards: make([]shard, n)}
	for i := range c.shards {
		c.shards[i].limit = size / n
		c.shards[i].entries = map[[sha256.Size]byte]*entry{}
	}
	return c
}

// digest is the key of a token.
func digest(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

func (c *cache) shard(sum [sha256.Size]byte) *shard {
	return &c.shards[int(sum[0])%len(c.shards)]
}

// get returns the entry for a token that has not expired, or nil. Skew does not
// count here: past exp a token is verified again.
func (c *cache) get(sum [sha256.Size]byte, now time.Time) *entry {
	s := c.shard(sum)
	s.mu.RLock()
	e := s.entries[sum]
	s.mu.RUnlock()
	if e == nil || !now.Before(e.principal.Expires) {
		return nil
	}
	return e
}

// put remembers a token, unless it has expired.
func (c *cache) put(sum [sha256.Size]byte, e entry, now time.Time) {
	if !now.Before(e.principal.Expires) {
		return
	}
	s := c.shard(sum)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.entries[sum]; !ok && len(s.entries) >= s.limit {
		s.evict(now)
	}
	s.entries[sum] = &e
}

// evict makes room: it removes the expired among a few entries, or else one of
// them. Iteration starts at a random place, so nobody can aim.
func (s *shard) evict(now time.Time) {
	var victim [sha256.Size]byte
	looked, removed := 0, false
	for sum, e := range s.entries {
		victim = sum
		if !now.Before(e.principal.Expires) {
			delete(s.entries, sum)
			removed = true
		}
		if looked++; looked == 8 {
			break
		}
	}
	if !removed {
		delete(s.entries, victim)
	}
}
