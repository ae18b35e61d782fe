package ratelimit

import (
	"net/netip"
	"testing"
	"time"
)

// FuzzPeerKey: two addresses share a budget exactly when a slow reading of the
// rule says so.
func FuzzPeerKey(f *testing.F) {
	for _, s := range [][2]string{
		{"192.0.2.1", "::ffff:192.0.2.1"}, {"fe80::1%a", "fe80::2%b"}, {"::", "0.0.0.0"}, {"", "::"},
		{"2001:db8::1", "2001:db8:0:1::1"}, {"::ffff:0:0", "0.0.0.0"}, {"64:ff9b::1", "64:ff9b::2"},
	} {
		f.Add(s[0], s[1])
	}
	network := func(s string) netip.Prefix {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}
		}
		a = a.Unmap().WithZone("")
		n := 64
		if a.Is4() {
			n = 32
		}
		return netip.PrefixFrom(a, n).Masked()
	}
	f.Fuzz(func(t *testing.T, s1, s2 string) {
		a, _ := netip.ParseAddr(s1)
		b, _ := netip.ParseAddr(s2)
		if got, want := peerKey(a) == peerKey(b), network(s1) == network(s2); got != want {
			t.Errorf("%q and %q: got same %v, want %v", s1, s2, got, want)
		}
	})
}

// FuzzSchedule: any rate and any schedule give the waits of the slow meter.
func FuzzSchedule(f *testing.F) {
	f.Add(1, int64(time.Second), 1, []byte{0, 255, 1, 2})
	f.Add(3, int64(10), 2, []byte{1, 1, 1, 1, 1})
	f.Add(1_000_000, int64(7), 1_000_000, []byte{0, 0, 0})
	f.Add(1, int64(24*time.Hour), 30, []byte{9, 9, 9, 9})
	f.Fuzz(func(t *testing.T, requests int, per int64, burst int, steps []byte) {
		r := Rate{requests, time.Duration(per), burst}
		r, err := r.filled("x", defaultPeer)
		if err != nil {
			t.Skip()
		}
		b, m := newBench(r, 64), newMeter(r)
		unit := max(1, int64(r.Per)/int64(r.Requests)/100)
		for _, step := range steps[:min(len(steps), 200)] {
			b.at += int64(step) * unit
			got, want := int64(b.wait(7)), m.take(b.at)
			if got != want || got > int64(r.Per) {
				t.Fatalf("rate %v: got wait %d, want %d", r, got, want)
			}
		}
	})
}
