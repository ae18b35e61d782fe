package validate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hardenmcp/harden/access"
)

// maxPointer bounds a pointer that a refusal shows.
const maxPointer = 512

func (r *reader) pointer() string { return shorten(string(r.dec.StackPointer())) }

// shorten returns the longest part of a JSON Pointer that leads to the place,
// or to what the place is in.
func shorten(p string) string {
	if len(p) <= maxPointer {
		return p
	}
	return p[:max(strings.LastIndexByte(p[:maxPointer+1], '/'), 0)]
}

// syntax says what jsontext found, without the bytes that it found.
func (r *reader) syntax(err error) error {
	rule, what := "syntax", "not JSON"
	pointer, offset := "", r.dec.InputOffset()
	var s *jsontext.SyntacticError
	if errors.As(err, &s) {
		pointer, offset = shorten(string(s.JSONPointer)), s.ByteOffset
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		rule, what = "duplicate", "a member occurs twice"
		if pointer == "/id" {
			r.spans[slotID] = span{} // nobody can say which one it is
		}
	case !utf8.Valid(r.dec.UnreadBuffer()):
		rule, what = "utf8", "not JSON in UTF-8"
	}
	return parseError(rule, pointer, fmt.Errorf("validate: %s, at offset %d, %q", what, offset, pointer))
}

// refuse notes that the message breaks a rule of the protocol. What is wrong
// with the request itself outranks what is wrong with its params.
func (r *reader) refuse(rule, pointer, broken, expected string) {
	v := access.Violation{Pointer: pointer, Rule: broken, Expected: expected}
	if r.cause == nil || rule == "request" && r.rule != rule {
		r.rule = rule
		r.cause = fmt.Errorf("validate: %s at %q: want %s", broken, pointer, expected)
	}
	if len(r.violations) < r.limits.Violations {
		r.violations = append(r.violations, v)
	}
}

// refusal is what refuse noted, or nil.
func (r *reader) refusal() error {
	if r.cause == nil {
		return nil
	}
	return &access.Error{Reason: access.Invalid, Rule: r.rule, Violations: r.violations, Err: r.cause}
}

func parseError(broken, pointer string, err error) error {
	return &access.Error{
		Reason: access.Invalid, Rule: "parse", Err: err,
		Violations: []access.Violation{{Pointer: pointer, Rule: broken}},
	}
}

func tooLarge(rule, pointer string, limit int, format string, args ...any) error {
	if pointer != "" {
		format, args = format+" at %q", append(args, pointer)
	}
	return &access.Error{
		Reason: access.TooLarge, Rule: rule, Err: fmt.Errorf(format, args...),
		Violations: []access.Violation{{Pointer: pointer, Rule: rule, Expected: "at most " + strconv.Itoa(limit)}},
	}
}

func kindNames(kinds string) string {
	names := make([]string, 0, 2)
	for _, k := range []byte(kinds) {
		switch k {
		case '"':
			names = append(names, "a string")
		case '0':
			names = append(names, "a number")
		case '{':
			names = append(names, "an object")
		case '[':
			names = append(names, "an array")
		case 't':
			names = append(names, "a boolean")
		}
	}
	return strings.Join(names, " or ")
}
