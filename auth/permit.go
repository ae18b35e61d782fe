package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hardenmcp/harden/access"
)

// A Rule permits something. Make one with [Permit]; the zero Rule permits
// nothing and is refused by [New]. A Rule is immutable.
type Rule struct {
	targets []string
	scopes  []string
}

// Permit returns a rule that permits targets to every authenticated caller that
// holds the baseline scopes; [Rule.Scopes] asks for more. A target is a kind
// and a name:
//
//	tool:echo            calls of that tool
//	prompt:review        gets of that prompt, and completions for it
//	resource:file:///*   reads of and subscriptions to those URIs, and completions for those templates
//	method:tasks/get     a method that is not part of the core protocol
//
// In a name, * stands for any run of characters, "/" included, and nothing else
// is special. Methods that act on a tool, prompt or resource are permitted by
// that target only. The danger of "tool:*": it permits tools that are added
// later. A * never reaches a URI with dot segments, backslashes or encoded
// dots and separators, so that "file:///pub/*" is not a way to
// "file:///pub/../secret". Mistakes are reported by [New].
func Permit(targets ...string) Rule { return Rule{targets: slices.Clone(targets)} }

// Scopes returns a copy of r that also needs scopes. All scopes of all rules
// that match a call are needed, so another rule can only tighten.
func (r Rule) Scopes(scopes ...string) Rule {
	r.scopes = slices.Concat(r.scopes, scopes)
	return r
}

// The kinds of targets.
const (
	kindTool     = "tool"
	kindPrompt   = "prompt"
	kindResource = "resource"
	kindMethod   = "method"
)

// methods says what every method of the protocol acts on, in both generations.
// kindMethod is for methods that act on nothing that a rule could name: those
// are open to every caller with the baseline scopes. subscriptions/listen is
// one of them because its URIs are checked one by one as resources/read.
var methods = map[string]string{
	"initialize":                       kindMethod,
	"ping":                             kindMethod,
	"server/discover":                  kindMethod,
	"logging/setLevel":                 kindMethod,
	"tools/list":                       kindMethod,
	"prompts/list":                     kindMethod,
	"resources/list":                   kindMethod,
	"resources/templates/list":         kindMethod,
	"subscriptions/listen":             kindMethod,
	"notifications/initialized":        kindMethod,
	"notifications/cancelled":          kindMethod,
	"notifications/progress":           kindMethod,
	"notifications/roots/list_changed": kindMethod,
	"tools/call":                       kindTool,
	"prompts/get":                      kindPrompt,
	"resources/read":                   kindResource,
	"resources/subscribe":              kindResource,
	"resources/unsubscribe":            kindResource,
	"completion/complete":              kindCompletion,
}

// kindCompletion is the kind of a completion, whose name says the real kind.
const kindCompletion = "completion"

// A grant is one target of one rule.
type grant struct {
	target string // as written
	pattern
	scopes []string
}

// A policy is the table of permissions.
type policy struct {
	literal map[string]map[string][]*grant // by kind and name
	globs   map[string][]*grant            // by kind
	all     []*grant
}

func newPolicy(rules []Rule) (*policy, error) {
	p := &policy{literal: map[string]map[string][]*grant{}, globs: map[string][]*grant{}}
	for i, r := range rules {
		if len(r.targets) == 0 {
			return nil, fmt.Errorf("auth: Rules[%d] has no target", i)
		}
		if err := checkScopes(r.scopes); err != nil {
			return nil, err
		}
		for _, t := range r.targets {
			if err := p.add(t, slices.Clone(r.scopes)); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (p *policy) add(target string, scopes []string) error {
	kind, name, err := splitTarget(target)
	if err != nil {
		return err
	}
	g := &grant{target: target, pattern: newPattern(name), scopes: scopes}
	p.all = append(p.all, g)
	if g.glob {
		p.globs[kind] = append(p.globs[kind], g)
		return nil
	}
	if p.literal[kind] == nil {
		p.literal[kind] = map[string][]*grant{}
	}
	p.literal[kind][name] = append(p.literal[kind][name], g)
	return nil
}

func splitTarget(target string) (kind, name string, err error) {
	kind, name, ok := strings.Cut(target, ":")
	switch {
	case !ok || name == "":
		return "", "", fmt.Errorf("auth: permission %q is not kind:name", target)
	case kind != kindTool && kind != kindPrompt && kind != kindResource && kind != kindMethod:
		return "", "", fmt.Errorf("auth: permission %q is not for a tool, prompt, resource or method", target)
	case strings.Count(name, "*") > 8:
		return "", "", fmt.Errorf("auth: permission %q has more than 8 wildcards", target)
	case kind == kindMethod && methods[name] != "" && methods[name] != kindMethod:
		return "", "", fmt.Errorf("auth: permission %q: name the tool, prompt or resource instead", target)
	}
	return kind, name, nil
}

// Check decides whether the caller may make the call; it implements
// [access.Check]. A call is allowed when a rule matches it and the caller holds
// the baseline scopes and those of all rules that match. Methods of the core
// protocol that act on nothing, such as tools/list or ping, need no rule.
//
// It refuses with [access.Unauthenticated] when there is no caller,
// [access.InsufficientScope] with all scopes that the call needs, and
// [access.NotFound] when no rule matches, so that what is hidden looks like what
// is absent. It allocates only to refuse, and is safe for concurrent use.
func (v *Verifier) Check(_ context.Context, c *access.Call) error {
	if c.Principal == nil {
		return refuse(access.Unauthenticated, "principal", errNoPrincipal)
	}
	kind, name, open := classify(c)
	matched, missing := open, ""
	for _, s := range v.scopes {
		if !c.Principal.HasScope(s) {
			missing = s
		}
	}
	for g := range v.policy.matching(kind, name) {
		matched = true
		for _, s := range g.scopes {
			if !c.Principal.HasScope(s) {
				missing = s
			}
		}
	}
	switch {
	case !matched:
		return refuse(access.NotFound, "permit", fmt.Errorf("auth: no permission for %s %q", c.Method, clip(c.Name)))
	case missing != "":
		return v.insufficient(kind, name, missing)
	}
	return nil
}

// insufficient names all scopes that a call needs, also those that the caller
// has: a client may ask for exactly these (RFC 6750 §3.1).
func (v *Verifier) insufficient(kind, name, missing string) error {
	scopes := slices.Clone(v.scopes)
	for g := range v.policy.matching(kind, name) {
		scopes = append(scopes, g.scopes...)
	}
	slices.Sort(scopes)
	e := refuse(access.InsufficientScope, "scope", fmt.Errorf("auth: token lacks scope %q for %s %q", missing, kind, clip(name)))
	e.Scopes = slices.Compact(scopes)
	return e
}

// classify says what a call acts on, and whether it needs no rule.
func classify(c *access.Call) (kind, name string, open bool) {
	switch kind = methods[c.Method]; kind {
	case kindMethod:
		return kindMethod, c.Method, true
	case "":
		return kindMethod, c.Method, false
	case kindCompletion:
		kind, name, _ = strings.Cut(c.Name, ":")
		if kind != kindPrompt && kind != kindResource {
			return "", "", false
		}
		return kind, name, false
	default:
		return kind, c.Name, false
	}
}

// matching yields the grants for a name.
func (p *policy) matching(kind, name string) func(yield func(*grant) bool) {
	return func(yield func(*grant) bool) {
		for _, g := range p.literal[kind][name] {
			if !yield(g) {
				return
			}
		}
		if len(p.globs[kind]) == 0 || kind == kindResource && !isPlainURI(name) {
			return
		}
		for _, g := range p.globs[kind] {
			if g.match(name) && !yield(g) {
				return
			}
		}
	}
}

// Names checks the rules against the tools and prompts that a server has, and
// returns an error that names every target which matches none of them: a
// permission for a name that does not exist is a spelling mistake, and the tool
// that was meant is closed. Resources and methods are not checked.
func (v *Verifier) Names(tools, prompts []string) error {
	var errs []error
	for _, g := range v.policy.all {
		var names []string
		switch kind, _, _ := strings.Cut(g.target, ":"); kind {
		case kindTool:
			names = tools
		case kindPrompt:
			names = prompts
		default:
			continue
		}
		if !slices.ContainsFunc(names, g.match) {
			errs = append(errs, fmt.Errorf("auth: permission %q matches nothing that this server has", g.target))
		}
	}
	return errors.Join(errs...)
}

// A pattern is a name with wildcards, cut at them, so that matching takes time
// in proportion to the name.
type pattern struct {
	glob  bool
	parts []string
}

func newPattern(s string) pattern {
	return pattern{glob: strings.Contains(s, "*"), parts: strings.Split(s, "*")}
}

func (p pattern) match(s string) bool {
	first, last := p.parts[0], p.parts[len(p.parts)-1]
	if !p.glob {
		return s == first
	}
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range p.parts[1 : len(p.parts)-1] {
		_, rest, ok := strings.Cut(s, part)
		if !ok {
			return false
		}
		s = rest
	}
	return true
}

// isPlainURI reports whether uri means the same to everyone who resolves it.
func isPlainURI(uri string) bool {
	for i := range len(uri) {
		switch c := uri[i]; {
		case c == '\\' || c < ' ' || c == 0x7f:
			return false
		case c == '%' && i+2 < len(uri):
			switch strings.ToLower(uri[i+1 : i+3]) {
			case "2e", "2f", "5c", "00", "25":
				return false
			}
		case c == '.' && isDotSegment(uri, i):
			return false
		}
	}
	return true
}

// isDotSegment reports whether the dot at i starts a segment of one or two dots.
func isDotSegment(uri string, i int) bool {
	if i > 0 && uri[i-1] != '/' && uri[i-1] != ':' {
		return false
	}
	rest := strings.TrimPrefix(uri[i+1:], ".")
	return rest == "" || strings.IndexByte("/?#;", rest[0]) >= 0
}
