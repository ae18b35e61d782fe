package auth

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hardenmcp/harden/access"
)

// policyOf returns a Verifier that is used for its permissions alone.
func policyOf(tb testing.TB, scopes []string, rules ...Rule) *Verifier {
	return newVerifier(tb, Config{
		Resource: resource, Issuers: []Issuer{{URL: "https://login.example"}}, Scopes: scopes, Rules: rules,
	})
}

func callOf(method, name string, scopes ...string) *access.Call {
	return &access.Call{Method: method, Name: name, Principal: &access.Principal{Issuer: "i", Subject: "s", Scopes: scopes}}
}

func TestCheck(t *testing.T) {
	v := policyOf(t, []string{"mcp"},
		Permit("tool:echo", "prompt:hello"),
		Permit("tool:note_*").Scopes("notes.read"),
		Permit("tool:note_delete").Scopes("notes.write", "notes.read"),
		Permit("resource:file:///pub/*"),
		Permit("resource:file:///pub/deep/../odd"),
		Permit("resource:note://*/body"),
		Permit("resource:file:///{name}"),
		Permit("method:tasks/get"),
		Permit("method:x/*").Scopes("x"),
		Permit("method:logging/setLevel").Scopes("admin"),
	)
	const none = access.Reason("")
	for _, tc := range []struct {
		name   string
		call   *access.Call
		reason access.Reason
		scopes []string
	}{
		{"a permitted tool", callOf("tools/call", "echo", "mcp"), none, nil},
		{"a permitted tool without the baseline", callOf("tools/call", "echo"), access.InsufficientScope, []string{"mcp"}},
		{"baseline in another case", callOf("tools/call", "echo", "MCP"), access.InsufficientScope, []string{"mcp"}},
		{"a tool that no rule names", callOf("tools/call", "other", "mcp"), access.NotFound, nil},
		{"a tool in another case", callOf("tools/call", "Echo", "mcp"), access.NotFound, nil},
		{"a tool with a longer name", callOf("tools/call", "echo2", "mcp"), access.NotFound, nil},
		{"a tool without a name", callOf("tools/call", "", "mcp"), access.NotFound, nil},
		{"a wildcard", callOf("tools/call", "note_read", "mcp", "notes.read"), none, nil},
		{"a wildcard matches nothing at all too", callOf("tools/call", "note_", "mcp", "notes.read"), none, nil},
		{"a wildcard without its scope", callOf("tools/call", "note_read", "mcp"), access.InsufficientScope, []string{"mcp", "notes.read"}},
		{"all rules that match count", callOf("tools/call", "note_delete", "mcp", "notes.read"), access.InsufficientScope, []string{"mcp", "notes.read", "notes.write"}},
		{"all scopes of all rules", callOf("tools/call", "note_delete", "mcp", "notes.read", "notes.write"), none, nil},
		{"a prompt", callOf("prompts/get", "hello", "mcp"), none, nil},
		{"a prompt by the name of a tool", callOf("prompts/get", "echo", "mcp"), access.NotFound, nil},
		{"a tool by the name of a prompt", callOf("tools/call", "hello", "mcp"), access.NotFound, nil},
		{"a resource", callOf("resources/read", "file:///pub/a/b.txt", "mcp"), none, nil},
		{"a subscription", callOf("resources/subscribe", "file:///pub/a", "mcp"), none, nil},
		{"the end of a subscription", callOf("resources/unsubscribe", "file:///pub/a", "mcp"), none, nil},
		{"a dot within a name", callOf("resources/read", "file:///pub/.a/..b/c.", "mcp"), none, nil},
		{"a resource in the middle", callOf("resources/read", "note://7/body", "mcp"), none, nil},
		{"a resource with another end", callOf("resources/read", "note://7/body2", "mcp"), access.NotFound, nil},
		{"a resource outside", callOf("resources/read", "file:///etc/passwd", "mcp"), access.NotFound, nil},
		{"a way up", callOf("resources/read", "file:///pub/../etc/passwd", "mcp"), access.NotFound, nil},
		{"a way up at the end", callOf("resources/read", "file:///pub/..", "mcp"), access.NotFound, nil},
		{"a way up in escapes", callOf("resources/read", "file:///pub/%2E%2e/etc", "mcp"), access.NotFound, nil},
		{"a way up in double escapes", callOf("resources/read", "file:///pub/%252e%252e/etc", "mcp"), access.NotFound, nil},
		{"a way up with backslashes", callOf("resources/read", `file:///pub/..\etc`, "mcp"), access.NotFound, nil},
		{"a slash in escapes", callOf("resources/read", "file:///pub/a%2fb", "mcp"), access.NotFound, nil},
		{"a NUL", callOf("resources/read", "file:///pub/a\x00", "mcp"), access.NotFound, nil},
		{"a way up that is permitted to the letter", callOf("resources/read", "file:///pub/deep/../odd", "mcp"), none, nil},
		{"a completion for a prompt", callOf("completion/complete", "prompt:hello", "mcp"), none, nil},
		{"a completion for a template", callOf("completion/complete", "resource:file:///{name}", "mcp"), none, nil},
		{"a completion for another prompt", callOf("completion/complete", "prompt:other", "mcp"), access.NotFound, nil},
		{"a completion for a tool", callOf("completion/complete", "tool:echo", "mcp"), access.NotFound, nil},
		{"a completion for a method", callOf("completion/complete", "method:tasks/get", "mcp"), access.NotFound, nil},
		{"a completion for nothing", callOf("completion/complete", "", "mcp"), access.NotFound, nil},
		{"a named method", callOf("tasks/get", "", "mcp"), none, nil},
		{"a method with another end", callOf("tasks/list", "", "mcp"), access.NotFound, nil},
		{"methods by wildcard", callOf("x/y", "", "mcp", "x"), none, nil},
		{"methods by wildcard without the scope", callOf("x/y", "", "mcp"), access.InsufficientScope, []string{"mcp", "x"}},
		{"an open method that a rule tightens", callOf("logging/setLevel", "", "mcp"), access.InsufficientScope, []string{"admin", "mcp"}},
		{"an open method with the scope of its rule", callOf("logging/setLevel", "", "mcp", "admin"), none, nil},
		{"a method in another case", callOf("Ping", "", "mcp"), access.NotFound, nil},
		{"a notification that the protocol does not have", callOf("notifications/evil", "", "mcp"), access.NotFound, nil},
		{"no method", callOf("", "", "mcp"), access.NotFound, nil},
		{"nobody", &access.Call{Method: "ping"}, access.Unauthenticated, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := v.Check(ctx(), tc.call)
			if tc.reason == none {
				if err != nil {
					t.Errorf("got %v, want it allowed", err)
				}
				return
			}
			e := access.AsError(err)
			if e == nil || e.Reason != tc.reason || e.Rule == "" || e.Err == nil {
				t.Fatalf("got %+v, want %q with a rule and a cause", e, tc.reason)
			}
			if diff := cmp.Diff(tc.scopes, e.Scopes); diff != "" {
				t.Errorf("scopes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestT26_WildcardsDoNotReachOutOfTheirDirectory: the SDK's templates match
// both of these URIs.
func TestT26_WildcardsDoNotReachOutOfTheirDirectory(t *testing.T) {
	v := policyOf(t, nil, Permit("resource:file:///docs/*", "resource:file:///p/*"))
	for _, uri := range []string{"file:///docs/..%2f..%2fetc%2fpasswd", "file:///p/../../etc/passwd", "file:///p/.", "file:///p/..;a/b"} {
		wantRefusal(t, v.Check(ctx(), callOf("resources/read", uri)), access.NotFound, "permit")
	}
	for _, uri := range []string{"file:///docs/a..b", "file:///p/a%20b"} {
		if err := v.Check(ctx(), callOf("resources/read", uri)); err != nil {
			t.Errorf("%s: got %v, want it allowed", uri, err)
		}
	}
}

// TestEveryMethod: without a rule the open methods are open to those with the
// baseline scopes, and every other one is closed.
func TestEveryMethod(t *testing.T) {
	v := policyOf(t, []string{"mcp"})
	open := strings.Fields(`initialize ping server/discover logging/setLevel
		tools/list prompts/list resources/list resources/templates/list subscriptions/listen
		notifications/initialized notifications/cancelled notifications/progress notifications/roots/list_changed`)
	closed := strings.Fields(`tools/call prompts/get resources/read resources/subscribe resources/unsubscribe
		completion/complete tasks/get tasks/list tasks/cancel tasks/result sampling/createMessage roots/list`)
	for _, m := range open {
		if err := v.Check(ctx(), callOf(m, "", "mcp")); err != nil {
			t.Errorf("%s: got %v, want it allowed", m, err)
		}
		wantRefusal(t, v.Check(ctx(), callOf(m, "")), access.InsufficientScope, "scope")
	}
	for _, m := range closed {
		wantRefusal(t, v.Check(ctx(), callOf(m, "x", "mcp")), access.NotFound, "permit")
	}
	if got, want := len(open)+6, len(methods); got != want {
		t.Errorf("got %d methods here, want the %d of the table", got, want)
	}
}

// TestHiddenLooksAbsent: a refusal must not tell whether a tool exists.
func TestHiddenLooksAbsent(t *testing.T) {
	v := policyOf(t, []string{"mcp"}, Permit("tool:echo"))
	a := wantRefusal(t, v.Check(ctx(), callOf("tools/call", "hidden")), access.NotFound, "permit")
	b := wantRefusal(t, v.Check(ctx(), callOf("tools/call", "absent")), access.NotFound, "permit")
	if a.Reason.Message() != b.Reason.Message() || a.Scopes != nil || b.Scopes != nil {
		t.Errorf("got %+v and %+v, want no difference", a, b)
	}
}

func TestNames(t *testing.T) {
	v := policyOf(t, nil, Permit("tool:echo", "tool:note_*", "prompt:hello", "method:a/b", "resource:x:*"))
	for _, tc := range []struct {
		name           string
		tools, prompts []string
		wrong          []string
	}{
		{"all there", []string{"echo", "note_read"}, []string{"hello"}, nil},
		{"more than named", []string{"echo", "note_read", "z"}, []string{"hello", "z"}, nil},
		{"a tool is missing", []string{"note_read"}, []string{"hello"}, []string{"tool:echo"}},
		{"nothing for a wildcard", []string{"echo"}, []string{"hello"}, []string{"tool:note_*"}},
		{"a prompt among the tools", []string{"echo", "note_", "hello"}, nil, []string{"prompt:hello"}},
		{"nothing there", nil, nil, []string{"tool:echo", "tool:note_*", "prompt:hello"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := v.Names(tc.tools, tc.prompts)
			if (err == nil) != (tc.wrong == nil) {
				t.Fatalf("got %v, want mistakes %q", err, tc.wrong)
			}
			for _, w := range tc.wrong {
				if !strings.Contains(err.Error(), `"`+w+`"`) {
					t.Errorf("got %v, want %q named", err, w)
				}
			}
		})
	}
}

func TestBadRules(t *testing.T) {
	for name, rule := range map[string]Rule{
		"zero":                      {},
		"no target":                 Permit(),
		"no kind":                   Permit("echo"),
		"no name":                   Permit("tool:"),
		"empty":                     Permit(""),
		"unknown kind":              Permit("tools:echo"),
		"kind in capitals":          Permit("Tool:echo"),
		"completion kind":           Permit("completion:x"),
		"method with a target":      Permit("method:tools/call"),
		"second target":             Permit("tool:echo", "x"),
		"nine wildcards":            Permit("tool:" + strings.Repeat("*", 9)),
		"wildcard scope":            Permit("tool:echo").Scopes("notes.*"),
		"offline_access":            Permit("tool:echo").Scopes("offline_access"),
		"scope with a space":        Permit("tool:echo").Scopes("a b"),
		"empty scope":               Permit("tool:echo").Scopes(""),
		"scope with a quote":        Permit("tool:echo").Scopes(`a"`),
		"scope beyond ASCII":        Permit("tool:echo").Scopes("é"),
		"scope with a control byte": Permit("tool:echo").Scopes("a\x7f"),
	} {
		if _, err := New(Config{Resource: resource, Issuers: []Issuer{{URL: "https://login.example"}}, Rules: []Rule{rule}}); err == nil {
			t.Errorf("%s: New accepted it", name)
		}
	}
}

// TestRulesAreImmutable: a Rule that was given away does not change.
func TestRulesAreImmutable(t *testing.T) {
	targets := []string{"tool:echo"}
	base := Permit(targets...)
	targets[0] = "tool:evil"
	a, b := base.Scopes("a"), base.Scopes("b")
	v := policyOf(t, nil, a)
	if err := v.Check(ctx(), callOf("tools/call", "echo", "a")); err != nil {
		t.Errorf("got %v, want scope a alone to be needed", err)
	}
	wantRefusal(t, policyOf(t, nil, b).Check(ctx(), callOf("tools/call", "echo", "a")), access.InsufficientScope, "scope")
}

func FuzzPattern(f *testing.F) {
	f.Add("a*b", "axxb")
	f.Add("*", "")
	f.Add("a*a", "a")
	f.Add("a**b*", "ab")
	f.Fuzz(func(t *testing.T, pat, s string) {
		if strings.Count(pat, "*") > 4 || len(s) > 40 || len(pat) > 40 {
			return
		}
		if got, want := newPattern(pat).match(s), slowMatch(pat, s); got != want {
			t.Errorf("%q against %q: got %v, want %v", pat, s, got, want)
		}
	})
}

// slowMatch is the reference: * is any run of bytes.
func slowMatch(pat, s string) bool {
	switch {
	case pat == "":
		return s == ""
	case pat[0] == '*':
		return slowMatch(pat[1:], s) || s != "" && slowMatch(pat, s[1:])
	default:
		return s != "" && s[0] == pat[0] && slowMatch(pat[1:], s[1:])
	}
}

func BenchmarkCheck(b *testing.B) {
	rules := []Rule{Permit("tool:note_*").Scopes("notes.read"), Permit("tool:*").Scopes("mcp")}
	for _, n := range strings.Fields("a b c d e f g h i j k l m n o p") {
		rules = append(rules, Permit("tool:note_"+n).Scopes("notes.write"))
	}
	v := policyOf(b, []string{"mcp"}, rules...)
	for name, c := range map[string]*access.Call{
		"allow":  callOf("tools/call", "note_p", "mcp", "notes.read", "notes.write"),
		"open":   callOf("tools/list", "", "mcp"),
		"scopes": callOf("tools/call", "note_p", "mcp", "notes.read"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = v.Check(ctx(), c)
			}
		})
	}
}
