package auth

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hardenmcp/harden/access"
)

func (p *provider) reply(h http.HandlerFunc) { p.answer.Store(&h) }

func TestKeyRotation(t *testing.T) {
	p, c := newProvider(t), newClock()
	v := newVerifier(t, p.config(c))
	old := p.good().sign()
	if _, err := v.Verify(ctx(), old); err != nil {
		t.Fatal(err)
	}
	p.withdrawAll()
	p.publish("new", "other")
	fresh := p.good().head(set{"alg": "EdDSA", "kid": "new"}).by("other").sign()

	_, err := v.Verify(ctx(), fresh)
	wantRefusal(t, err, access.Unauthenticated, "kid") // throttled
	c.pass(30 * time.Second)
	if _, err := v.Verify(ctx(), fresh); err != nil {
		t.Errorf("token of the new key after the throttle: %v", err)
	}
	_, err = v.Verify(ctx(), old)
	wantRefusal(t, err, access.Unauthenticated, "kid") // was in the cache
}

func TestKeptKeyKeepsItsTokens(t *testing.T) {
	p, c := newProvider(t), newClock()
	v := newVerifier(t, p.config(c))
	tok := p.good().sign()
	a, err := v.Verify(ctx(), tok)
	if err != nil {
		t.Fatal(err)
	}
	c.pass(9 * time.Minute)
	p.publish("more", "other")
	c.pass(50 * time.Second)
	_, _ = v.Verify(ctx(), p.good().head(set{"kid": "x"}).sign())
	if n := p.hits.Load(); n != 2 {
		t.Fatalf("got %d fetches, want 2", n)
	}
	if b, err := v.Verify(ctx(), tok); a != b {
		t.Errorf("got another principal (%v), want the remembered one", err)
	}
}

func TestBackgroundRefresh(t *testing.T) {
	p, c := newProvider(t), newClock()
	cfg := p.config(c)
	cfg.MaxLifetime = 24 * time.Hour
	v := newVerifier(t, cfg)
	tok := p.good().with(set{"exp": start.Add(20 * time.Hour).Unix()}).sign()
	verify := func() error { _, err := v.Verify(ctx(), tok); return err }
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	c.pass(10*time.Minute - 1)
	_ = verify()
	v.settle()
	if n := p.hits.Load(); n != 1 {
		t.Fatalf("got %d fetches before Refresh, want 1", n)
	}
	c.pass(1)
	if err := verify(); err != nil { // from the cache, and starts a fetch
		t.Fatal(err)
	}
	v.settle()
	if n := p.hits.Load(); n != 2 {
		t.Fatalf("got %d fetches after Refresh, want 2", n)
	}
	p.down.Store(true)
	c.pass(70*time.Minute - 1)
	if err := verify(); err != nil {
		t.Errorf("a moment before the end of Stale: %v", err)
	}
	v.settle()
	c.pass(1)
	e := wantRefusal(t, verify(), access.Unavailable, "keys")
	if e.RetryAfter <= 0 {
		t.Errorf("got RetryAfter %v, want a time", e.RetryAfter)
	}
	v.settle()
	p.down.Store(false)
	c.pass(time.Minute)
	if err := verify(); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

func TestOutage(t *testing.T) {
	p, c := newProvider(t), newClock()
	v := newVerifier(t, p.config(c))
	p.down.Store(true)
	_, err := v.Verify(ctx(), p.good().sign())
	wantRefusal(t, err, access.Unavailable, "keys")
	p.down.Store(false)
	_, err = v.Verify(ctx(), p.good().sign())
	wantRefusal(t, err, access.Unavailable, "keys") // within the pause
	c.pass(time.Second)
	if _, err := v.Verify(ctx(), p.good().sign()); err != nil {
		t.Errorf("after the pause: %v", err)
	}
	p.down.Store(true)
	c.pass(time.Minute)
	_, err = v.Verify(ctx(), p.good().head(set{"kid": "new"}).sign())
	wantRefusal(t, err, access.Unavailable, "keys") // nobody knows that key
	if _, err := v.Verify(ctx(), p.good().with(set{"jti": "2"}).sign()); err != nil {
		t.Errorf("known key during the outage: %v", err)
	}
}

func TestStrangersCannotHammerTheProvider(t *testing.T) {
	p, c := newProvider(t), newClock()
	v := newVerifier(t, p.config(c))
	if _, err := v.Verify(ctx(), p.good().sign()); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		_, err := v.Verify(ctx(), p.good().head(set{"kid": fmt.Sprint("k", i)}).sign())
		wantRefusal(t, err, access.Unauthenticated, "kid")
		c.pass(time.Second / 4) // 50 s in all
	}
	if n := p.hits.Load(); n != 2 {
		t.Errorf("got %d fetches, want 2", n)
	}
}

func TestOneFetchAtATime(t *testing.T) {
	p := newProvider(t)
	p.gate = make(chan struct{})
	v := newVerifier(t, p.config(newClock()))
	tok := p.good().sign()
	gone, cancel := context.WithCancel(ctx())
	cancel()
	_, err := v.Verify(gone, tok)
	wantRefusal(t, err, access.Unavailable, "keys") // the fetch goes on
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := v.Verify(ctx(), tok); err != nil {
				t.Error(err)
			}
		})
	}
	close(p.gate)
	wg.Wait()
	if n := p.hits.Load(); n != 1 {
		t.Errorf("got %d fetches, want 1", n)
	}
}

func TestClose(t *testing.T) {
	p := newProvider(t)
	v := newVerifier(t, p.config(newClock()))
	if _, err := v.Verify(ctx(), p.good().sign()); err != nil {
		t.Fatal(err)
	}
	v.Close()
	v.Close()
	if _, err := v.Verify(ctx(), p.good().with(set{"jti": "2"}).sign()); err != nil {
		t.Errorf("known key after Close: %v", err)
	}
}

// TestBadKeySets: whatever a provider answers, it is an outage, not a crash and
// not an open door.
func TestBadKeySets(t *testing.T) {
	key := func(edit string) string {
		j := jwkOf("ec", private()["ec"].Public())
		return `{"keys":[{"kty":"EC","kid":"ec","crv":"P-256","x":"` + j["x"] + `","y":"` + j["y"] + `"` + edit + `}]}`
	}
	elsewhere := newProvider(t)
	for _, tc := range []struct {
		name  string
		reply http.HandlerFunc
	}{
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/keys", http.StatusFound)
		}},
		{"huge", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(key(`,"pad":"` + strings.Repeat("x", maxDocument) + `"`)))
		}},
		{"65 keys", body(`{"keys":[` + strings.Repeat(`{},`, 64) + `{}]}`)},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }},
		{"not JSON", body(`<html>`)},
		{"trailing bytes", body(key("") + "x")},
		{"no keys", body(`{"keys":[]}`)},
		{"keys null", body(`{"keys":null}`)},
		{"Keys", body(strings.Replace(key(""), "keys", "Keys", 1))},
		{"kid twice", body(key(`,"kid":"other"`))},
		{"for encryption", body(key(`,"use":"enc"`))},
		{"for signing only", body(key(`,"key_ops":["sign"]`))},
		{"alg of another kind", body(key(`,"alg":"RS256"`))},
		{"private", body(key(`,"d":"` + strings.Repeat("A", 43) + `"`))},
		{"symmetric", body(`{"keys":[{"kty":"oct","kid":"ec","k":"AAAA"}]}`)},
		{"point that is not on the curve", body(strings.Replace(key(""), `"x":"`, `"x":"AA`, 1))},
		{"weak", body(`{"keys":[{"kty":"RSA","kid":"ec","e":"AQAB","n":"` + jwkOf("", private()["weak"].Public())["n"] + `"}]}`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newProvider(t)
			p.reply(tc.reply)
			v := newVerifier(t, p.config(newClock()))
			_, err := v.Verify(ctx(), p.good().sign())
			wantRefusal(t, err, access.Unavailable, "keys")
		})
	}
	if elsewhere.hits.Load() != 0 {
		t.Error("a redirect was followed")
	}
	p := newProvider(t)
	p.reply(body(key(`,"use":"sig","alg":"ES256","key_ops":["verify"]`)))
	if _, err := newVerifier(t, p.config(newClock())).Verify(ctx(), p.good().sign()); err != nil {
		t.Errorf("the same key as it should be: %v", err)
	}
}

func body(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
}

func TestTwoKeysOfOneName(t *testing.T) {
	p := newProvider(t)
	p.publish("ec", "ec")
	v := newVerifier(t, p.config(newClock()))
	_, err := v.Verify(ctx(), p.good().sign())
	wantRefusal(t, err, access.Unauthenticated, "kid")
	_, err = v.Verify(ctx(), p.good().head(set{"kid": nil}).sign())
	wantRefusal(t, err, access.Unauthenticated, "kid")
}

func BenchmarkVerify(b *testing.B) {
	for _, bc := range []struct{ alg, key string }{{"RS256", "rsa"}, {"ES256", "ec"}, {"EdDSA", "ed"}} {
		p := newProvider(b)
		v := newVerifier(b, p.config(newClock()))
		tok := p.good().head(set{"alg": bc.alg, "kid": bc.key}).by(bc.key).sign()
		if _, err := v.Verify(ctx(), tok); err != nil {
			b.Fatal(err)
		}
		b.Run("cached/"+bc.alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = v.Verify(ctx(), tok)
			}
		})
		b.Run("cold/"+bc.alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = v.verify(ctx(), tok, start)
			}
		})
		k := v.issuers[p.URL].keys.set.Load().find(&header{alg: bc.alg, kid: bc.key})
		parts, err := split(tok)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("signature/"+bc.alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = verifySignature(k, bc.alg, parts.signed, parts.signature)
			}
		})
	}
}
