package validate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/hardenmcp/harden/access"
)

var errUnknown = errors.New("validate: no schema was learned for this tool")

// Check checks the arguments of a tools/call against the schema that was
// learned, and lets every other call through. It implements [access.Check].
//
// A tool that was not learned is refused as not_found. Arguments that break
// the schema are refused as invalid with Rule "schema" and Violations that say
// where and which rule, never what was sent. Arguments that the gate would
// refuse are refused here too, for not every transport has the gate. A check
// that takes more than Limits.Steps is refused as too_large, and one that ctx
// ends as unavailable.
func (v *Validator) Check(ctx context.Context, c *access.Call) error {
	if c.Method != "tools/call" {
		return nil
	}
	v.mu.RLock()
	t := v.tools[c.Name]
	v.mu.RUnlock()
	if t == nil {
		return &access.Error{Reason: access.NotFound, Rule: "schema", Err: errUnknown}
	}
	var args any = map[string]any{}
	if len(c.Arguments) > 0 {
		var err error
		if args, err = decode(&v.limits, c.Arguments); err != nil {
			return err
		}
	}
	return t.check(ctx, c.Name, args)
}

func (t *tool) check(ctx context.Context, name string, args any) error {
	p, err := t.program()
	if err != nil {
		return access.Deny(access.Internal, err)
	}
	found, err := p.run(ctx, args, t.limits.Steps)
	select {
	case t.programs <- p:
	default:
	}
	if err != nil {
		return failure(name, err, t.limits)
	}
	found = append(found, t.unknown(args)...)
	if len(found) == 0 {
		return nil
	}
	found = sorted(found, t.limits.Violations)
	return &access.Error{
		Reason: access.Invalid, Rule: "schema", Violations: found,
		Err: fmt.Errorf("validate: tool %q: %s at %q", name, found[0].Rule, found[0].Pointer),
	}
}

// program takes a program that is free, or compiles one more.
func (t *tool) program() (*program, error) {
	select {
	case p := <-t.programs:
		return p, nil
	default:
		return t.compile()
	}
}

// run checks args and returns what they break. An error means that there is no
// answer.
func (p *program) run(ctx context.Context, args any, steps int) (found []access.Violation, err error) {
	p.ctx, p.steps = ctx, steps
	defer func() {
		p.ctx = nil
		if r := recover(); r != nil {
			found, err = nil, caught(r)
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	broken := p.schema.Validate(args)
	var e *jsonschema.ValidationError
	if errors.As(broken, &e) {
		return flatten(e), nil
	}
	return nil, broken
}

var errEngine = errors.New("validate: the schema engine panicked")

// caught is the error for a panic. The text of a panic may hold arguments, that
// of the runtime does not.
func caught(r any) error {
	switch r := r.(type) {
	case runtime.Error:
		return fmt.Errorf("%w: %w", errEngine, r)
	case error:
		if errors.Is(r, errSteps) || errors.Is(r, context.Canceled) || errors.Is(r, context.DeadlineExceeded) {
			return r
		}
	}
	return fmt.Errorf("%w: %T", errEngine, r)
}

func failure(name string, err error, limits *Limits) error {
	err = fmt.Errorf("validate: tool %q: %w", name, err)
	switch {
	case errors.Is(err, errSteps):
		return &access.Error{
			Reason: access.TooLarge, Rule: "steps", Err: err,
			Violations: []access.Violation{{Rule: "steps", Expected: "at most " + strconv.Itoa(limits.Steps)}},
		}
	case errors.Is(err, errEngine):
		return &access.Error{Reason: access.Invalid, Rule: "schema", Err: err}
	}
	return &access.Error{Reason: access.Unavailable, Rule: "schema", Err: err}
}

// unknown returns the members that a closed root does not know.
func (t *tool) unknown(args any) []access.Violation {
	members, _ := args.(map[string]any)
	if !t.closed {
		return nil
	}
	var found []access.Violation
	for name := range members {
		if _, ok := t.names[name]; !ok && !t.matches(name) {
			found = append(found, absent("/"+escapeToken(name), "additionalProperties"))
		}
	}
	return found
}

func (t *tool) matches(name string) bool {
	for _, p := range t.patterns {
		if p.MatchString(name) {
			return true
		}
	}
	return false
}

func absent(pointer, rule string) access.Violation {
	return access.Violation{Pointer: shorten(pointer), Rule: rule, Expected: "no such member"}
}

// sorted sorts violations and returns the first ones, without repetitions.
func sorted(found []access.Violation, limit int) []access.Violation {
	slices.SortFunc(found, func(a, b access.Violation) int {
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Expected, b.Expected))
	})
	found = slices.Compact(found)
	return found[:min(len(found), limit)]
}

// flatten turns the engine's tree of errors into a list.
func flatten(e *jsonschema.ValidationError) []access.Violation {
	var found, outer []access.Violation
	var visit func(*jsonschema.ValidationError)
	visit = func(e *jsonschema.ValidationError) {
		switch e.ErrorKind.(type) {
		case nil, *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
			for _, c := range e.Causes {
				visit(c)
			}
		default:
			if strings.HasPrefix(e.SchemaURL, closedURL) {
				outer = append(outer, violations(e)...)
				return
			}
			found = append(found, violations(e)...)
		}
	}
	visit(e)
	if len(found) == 0 {
		// Only then: a part that failed describes no members, and all of
		// them would look unknown.
		return outer
	}
	return found
}

// violations says what one error of the engine means. It uses what the schema
// wants and where, and never what the engine got.
func violations(e *jsonschema.ValidationError) []access.Violation {
	at := pointerOf(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return members(at, k.Missing, "required", "present")
	case *kind.DependentRequired:
		return members(at, k.Missing, "dependentRequired", "present")
	case *kind.Dependency:
		return members(at, k.Missing, "dependencies", "present")
	case *kind.AdditionalProperties:
		return members(at, k.Properties, "additionalProperties", "no such member")
	case *kind.FalseSchema:
		return []access.Violation{absent(at, falseRule(e.SchemaURL))}
	case *kind.RefCycle:
		return []access.Violation{{Pointer: shorten(at), Rule: "$ref"}}
	}
	rule := "schema"
	if path := e.ErrorKind.KeywordPath(); len(path) > 0 {
		rule = path[0]
	}
	return []access.Violation{{Pointer: shorten(at), Rule: rule, Expected: clip(expected(e))}}
}

func members(at string, names []string, rule, want string) []access.Violation {
	found := make([]access.Violation, len(names))
	for i, name := range names {
		found[i] = access.Violation{Pointer: shorten(at + "/" + escapeToken(name)), Rule: rule, Expected: want}
	}
	return found
}

func pointerOf(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(escapeToken(t))
	}
	return b.String()
}

// falseRule is the keyword that a schema of false stands under.
func falseRule(location string) string {
	last := location[strings.LastIndexByte(location, '/')+1:]
	if keywords[last] == '1' {
		return last
	}
	return "false"
}

// expected says what the schema wants.
func expected(e *jsonschema.ValidationError) string {
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		return strings.Join(k.Want, " or ")
	case *kind.Const:
		return literal(k.Want)
	case *kind.Enum:
		return list(k.Want)
	case *kind.MinLength:
		return "at least " + strconv.Itoa(k.Want) + " characters"
	case *kind.MaxLength:
		return "at most " + strconv.Itoa(k.Want) + " characters"
	case *kind.Pattern:
		return "a match of " + k.Want
	case *kind.UniqueItems:
		return "no two equal items"
	case *kind.AnyOf:
		return "one of the alternatives" + types(e)
	case *kind.OneOf:
		return "exactly one of the alternatives" + types(e)
	}
	return cmp.Or(expectedCount(e.ErrorKind), expectedNumber(e.ErrorKind))
}

func expectedCount(k jsonschema.ErrorKind) string {
	least := func(n int, what string) string { return "at least " + strconv.Itoa(n) + " " + what }
	most := func(n int, what string) string { return "at most " + strconv.Itoa(n) + " " + what }
	switch k := k.(type) {
	case *kind.MinItems:
		return least(k.Want, "items")
	case *kind.MaxItems:
		return most(k.Want, "items")
	case *kind.MinProperties:
		return least(k.Want, "members")
	case *kind.MaxProperties:
		return most(k.Want, "members")
	case *kind.MinContains:
		return least(k.Want, "such items")
	case *kind.MaxContains:
		return most(k.Want, "such items")
	case *kind.Contains:
		return least(1, "such item")
	}
	return ""
}

func expectedNumber(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Minimum:
		return "at least " + rational(k.Want)
	case *kind.Maximum:
		return "at most " + rational(k.Want)
	case *kind.ExclusiveMinimum:
		return "more than " + rational(k.Want)
	case *kind.ExclusiveMaximum:
		return "less than " + rational(k.Want)
	case *kind.MultipleOf:
		return "a multiple of " + rational(k.Want)
	}
	return ""
}

func rational(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// types names the types of alternatives that failed by their type alone, as in
// a value that may be null.
func types(e *jsonschema.ValidationError) string {
	var want []string
	for _, c := range e.Causes {
		k, ok := c.ErrorKind.(*kind.Type)
		if !ok || len(c.InstanceLocation) != len(e.InstanceLocation) {
			return ""
		}
		want = append(want, k.Want...)
	}
	if len(want) == 0 {
		return ""
	}
	return ": " + strings.Join(want, " or ")
}

// maxExpected bounds what a violation says about the schema.
const maxExpected = 200

func clip(s string) string {
	if len(s) <= maxExpected {
		return s
	}
	return strings.ToValidUTF8(s[:maxExpected], "") + "…"
}

func literal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "another value"
	}
	return string(b)
}

func list(values []any) string {
	var b strings.Builder
	for i, v := range values {
		if b.Len() > maxExpected {
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(literal(v))
	}
	return b.String()
}
