// Package hardentest is for the tests of servers that harden guards: an
// identity provider that issues good and bad tokens ([NewIssuer], [BadTokens]),
// a guarded server in two lines ([Serve]) and a sink that keeps audit records
// for assertions ([Recorder]).
//
//	func TestNotesAreGuarded(t *testing.T) {
//		e := hardentest.Serve(t, newServer()) // newServer returns an *mcp.Server
//		session, err := e.Client(t.Context(), e.Token(hardentest.Subject("alice")), "2026-07-28")
//		if err != nil {
//			t.Fatal(err)
//		}
//		if _, err := session.ListTools(t.Context(), nil); err != nil {
//			t.Error(err)
//		}
//		for _, bad := range hardentest.BadTokens(e.Issuer, e.URL) {
//			if _, err := e.Client(t.Context(), bad.Token, "2026-07-28"); err == nil {
//				t.Errorf("%s was let in: %s", bad.Name, bad.Rule)
//			}
//		}
//	}
//
// The provider speaks HTTP on loopback and signs with the standard library, so
// that the verifier under test is not judged by its own code.
//
// What it does not do: it has no login and no token endpoint, its keys are made
// for one test and forgotten, and nothing here belongs in a program that serves
// strangers.
package hardentest
