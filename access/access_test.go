package access_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/quick"
	"time"

	"github.com/hardenmcp/harden/access"
)

func TestUserIDTellsCallersApart(t *testing.T) {
	base := access.Principal{Issuer: "https://idp.example", Subject: "alice", Client: "app", Tenant: "t"}
	seen := map[string]access.Principal{}
	for _, p := range []access.Principal{
		base,
		{Issuer: base.Issuer, Subject: "alicea", Client: "pp", Tenant: "t"}, // the border moved
		{Issuer: base.Issuer, Subject: "alice", Client: "appt"},
		{Issuer: base.Issuer, Subject: "alice", Client: "app"},
		{Issuer: base.Issuer + "/", Subject: "alice", Client: "app", Tenant: "t"},
		{Issuer: base.Issuer, Subject: "bob", Client: "app", Tenant: "t"},
		{},
	} {
		id := p.UserID()
		if len(id) != 32 {
			t.Errorf("got %q, want 32 digits", id)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("%+v and %+v have one ID", p, other)
		}
		seen[id] = p
	}
}

func TestUserIDIsTheSameForEveryTokenOfTheUser(t *testing.T) {
	a := access.Principal{Issuer: "i", Subject: "s", TokenID: "1", Scopes: []string{"x"}}
	b := access.Principal{Issuer: "i", Subject: "s", TokenID: "2", Expires: time.Unix(1, 0)}
	if a.UserID() != b.UserID() || a.WithUserID().UserID() != a.UserID() {
		t.Error("got different IDs for one user")
	}
	remembered := a.WithUserID()
	copied := *remembered
	copied.Subject = "other"
	if copied.WithUserID().UserID() == remembered.UserID() {
		t.Error("WithUserID kept the ID of another subject")
	}
	if n := testing.AllocsPerRun(10, func() { _ = remembered.UserID() }); n != 0 {
		t.Errorf("got %v allocations, want none for a remembered ID", n)
	}
}

func TestUserIDNeverCollides(t *testing.T) {
	differ := func(a, b [4]string) bool {
		p := func(s [4]string) access.Principal {
			return access.Principal{Issuer: s[0], Subject: s[1], Client: s[2], Tenant: s[3]}
		}
		pa, pb := p(a), p(b)
		return (a == b) == (pa.UserID() == pb.UserID())
	}
	if err := quick.Check(differ, nil); err != nil {
		t.Error(err)
	}
}

func TestHasScopeIsExact(t *testing.T) {
	p := access.Principal{Scopes: []string{"notes.read", ""}}
	for scope, want := range map[string]bool{"notes.read": true, "notes": false, "notes.readx": false, "Notes.read": false, "x": false} {
		if got := p.HasScope(scope); got != want {
			t.Errorf("%q: got %v, want %v", scope, got, want)
		}
	}
}

var reasons = []access.Reason{
	access.Unauthenticated, access.Forbidden, access.InsufficientScope, access.RateLimited, access.Invalid,
	access.TooLarge, access.NotFound, access.Conflict, access.Unavailable, access.Internal,
}

func TestEveryReasonHasItsSentence(t *testing.T) {
	seen := map[string]access.Reason{}
	for _, r := range reasons {
		m := r.Message()
		if m == "" {
			t.Errorf("%s has no sentence", r)
		}
		if other, ok := seen[m]; ok {
			t.Errorf("%s and %s say the same", r, other)
		}
		seen[m] = r
	}
	if access.Reason("made up").Message() != access.Internal.Message() {
		t.Error("an unknown reason should say what internal says")
	}
}

func TestAsError(t *testing.T) {
	refusal := access.Deny(access.Forbidden, errors.New("cause"))
	for _, tc := range []struct {
		name string
		err  error
		want access.Reason
	}{
		{"a refusal", refusal, access.Forbidden},
		{"a wrapped refusal", fmt.Errorf("outer: %w", refusal), access.Forbidden},
		{"joined", errors.Join(errors.New("x"), refusal), access.Forbidden},
		{"any other error", errors.New("db down"), access.Internal},
		{"a typed nil", (*access.Error)(nil), access.Internal},
	} {
		if got := access.AsError(tc.err); got.Reason != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got.Reason, tc.want)
		}
	}
	if access.AsError(nil) != nil {
		t.Error("nil: got a refusal")
	}
}

func TestErrorTextIsForTheOperator(t *testing.T) {
	cause := errors.New("kid 7 is not known")
	err := access.Deny(access.Unauthenticated, cause)
	if err.Error() != "unauthenticated: kid 7 is not known" || !errors.Is(err, cause) {
		t.Errorf("got %q", err)
	}
	if got := access.Deny(access.Forbidden, nil).Error(); got != "forbidden" {
		t.Errorf("got %q", got)
	}
}

func TestSafeText(t *testing.T) {
	inner := errors.New("the title is empty")
	for _, tc := range []struct {
		name string
		err  error
		text string
		ok   bool
	}{
		{"marked", access.Safe(inner), "the title is empty", true},
		{"marked, then wrapped", fmt.Errorf("postgres://u:p@db: %w", access.Safe(inner)), "the title is empty", true},
		{"not marked", inner, "", false},
		{"nil", nil, "", false},
	} {
		if text, ok := access.SafeText(tc.err); text != tc.text || ok != tc.ok {
			t.Errorf("%s: got %q %v, want %q %v", tc.name, text, ok, tc.text, tc.ok)
		}
	}
	if access.Safe(nil) != nil {
		t.Error("Safe(nil) is not nil")
	}
	if !errors.Is(access.Safe(inner), inner) {
		t.Error("the mark hides the error")
	}
}

func TestCheckFunc(t *testing.T) {
	var check access.Check = access.CheckFunc(func(_ context.Context, c *access.Call) error {
		if c.Principal == nil {
			return access.Deny(access.Unauthenticated, nil)
		}
		return nil
	})
	if err := check.Check(t.Context(), &access.Call{}); err == nil {
		t.Error("no caller: got no refusal")
	}
	if err := check.Check(t.Context(), &access.Call{Principal: &access.Principal{}}); err != nil {
		t.Errorf("caller: got %v", err)
	}
}

func ExampleDeny() {
	err := access.Deny(access.Forbidden, errors.New("policy: bob may not delete"))
	fmt.Println(err.Reason, "|", err.Reason.Message())
	// Output: forbidden | This caller may not do this.
}

func ExampleSafe() {
	err := fmt.Errorf("query notes: %w", access.Safe(errors.New("there is no note of that title")))
	text, ok := access.SafeText(err)
	fmt.Println(text, ok)
	// Output: there is no note of that title true
}

func ExampleAsError() {
	fmt.Println(access.AsError(errors.New("db down")).Reason)
	// Output: internal
}

func ExampleCheckFunc() {
	office := access.CheckFunc(func(_ context.Context, c *access.Call) error {
		if !c.Peer.IsPrivate() {
			return access.Deny(access.Forbidden, nil)
		}
		return nil
	})
	fmt.Println(office.Check(context.Background(), &access.Call{}))
	// Output: forbidden
}

func ExamplePrincipal() {
	p := access.Principal{Issuer: "https://login.example", Subject: "alice", Scopes: []string{"notes.read"}}
	fmt.Println(p.HasScope("notes.read"), p.HasScope("notes.write"), len(p.UserID()))
	// Output: true false 32
}
