package validate

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hardenmcp/harden/access"
)

// A span is where a value stands in reader.out. A zero kind means that there
// is none.
type span struct {
	kind       jsontext.Kind
	start, end int
}

// A reader reads one JSON text, within limits, and writes it to out in
// canonical form. jsontext refuses what is not JSON, not UTF-8, a lone
// surrogate, or a member that occurs twice; the reader refuses the rest.
type reader struct {
	limits  *Limits
	src     bytes.Buffer
	dec     *jsontext.Decoder
	out     []byte
	scratch []byte
	depth   int
	members int
	spans   [slots]span

	// What was found to break the protocol. The reader goes on after such a
	// finding, because the ID may come last.
	rule       string
	cause      error
	violations []access.Violation
}

var readers = sync.Pool{New: func() any {
	return &reader{dec: jsontext.NewDecoder(new(bytes.Buffer))}
}}

// keep bounds what one pooled reader holds on to.
const keep = 64 << 10

func newReader(limits *Limits, body []byte) *reader {
	r := readers.Get().(*reader)
	r.limits = limits
	r.reset(body)
	return r
}

func (r *reader) reset(body []byte) {
	r.src = *bytes.NewBuffer(body) // read in place: jsontext does not write to it
	r.dec.Reset(&r.src)
	r.out = r.out[:0]
	r.depth, r.members = 0, 0
	r.spans = [slots]span{}
	r.rule, r.cause, r.violations = "", nil, nil
}

func (r *reader) free() {
	if cap(r.out) > keep || cap(r.scratch) > keep || r.members > keep/64 {
		return
	}
	r.reset(nil)
	readers.Put(r)
}

// checkSize refuses what is not worth a look.
func checkSize(body []byte, limit int) error {
	if len(body) > limit {
		return tooLarge("bytes", "", limit, "validate: %d bytes, the bound is %d", len(body), limit)
	}
	if bytes.HasPrefix(body, []byte("\xef\xbb\xbf")) {
		return parseError("bom", "", errors.New("validate: byte order mark"))
	}
	return nil
}

// value reads the next value, of shape s where that is not nil.
func (r *reader) value(s *shape) error {
	switch r.dec.PeekKind() {
	case '{':
		return r.object(s)
	case '[':
		return r.array(s)
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		return r.syntax(err)
	}
	switch v.Kind() {
	case '"':
		_, err = r.text(v, r.limits.String, "string")
		return err
	case '0':
		if err := r.number(v); err != nil {
			return err
		}
	}
	r.out = append(r.out, v...)
	return nil
}

func (r *reader) object(s *shape) error {
	if err := r.enter(); err != nil {
		return err
	}
	if s != nil {
		for _, c := range s.clear {
			r.spans[c] = span{}
		}
	}
	var others map[string]struct{}
	r.out = append(r.out, '{')
	for r.dec.PeekKind() != '}' {
		name, err := r.dec.ReadValue() // jsontext takes nothing but a string here
		if err != nil {
			return r.syntax(err)
		}
		if err := r.member(); err != nil {
			return err
		}
		r.comma('{')
		f, err := r.name(s, name, &others)
		if err != nil {
			return err
		}
		r.out = append(r.out, ':')
		if err := r.field(s, f); err != nil {
			return err
		}
	}
	if err := r.leave(); err != nil {
		return err
	}
	r.out = append(r.out, '}')
	if s != nil && s.check != nil {
		s.check(r)
	}
	return nil
}

func (r *reader) array(s *shape) error {
	if err := r.enter(); err != nil {
		return err
	}
	var item *shape
	if s != nil {
		item = s.item
	}
	r.out = append(r.out, '[')
	for r.dec.PeekKind() != ']' {
		if err := r.member(); err != nil {
			return err
		}
		r.comma('[')
		kind := r.dec.PeekKind()
		if err := r.value(item); err != nil {
			return err
		}
		if item != nil && kind != '{' {
			r.refuse(item.rule, r.pointer(), "type", "an object")
		}
	}
	if err := r.leave(); err != nil {
		return err
	}
	r.out = append(r.out, ']')
	return nil
}

// enter reads the beginning of an object or array.
func (r *reader) enter() error {
	if _, err := r.dec.ReadToken(); err != nil {
		return r.syntax(err)
	}
	if r.depth++; r.depth > r.limits.Depth {
		return tooLarge("depth", r.pointer(), r.limits.Depth, "validate: nested deeper than %d", r.limits.Depth)
	}
	return nil
}

// leave reads the end of an object or array.
func (r *reader) leave() error {
	if _, err := r.dec.ReadToken(); err != nil {
		return r.syntax(err)
	}
	r.depth--
	return nil
}

// member counts a member or item.
func (r *reader) member() error {
	if r.members++; r.members > r.limits.Members {
		return tooLarge("members", r.pointer(), r.limits.Members, "validate: more than %d members", r.limits.Members)
	}
	return nil
}

// comma separates a member or item from the one before.
func (r *reader) comma(open byte) {
	if r.out[len(r.out)-1] != open {
		r.out = append(r.out, ',')
	}
}

// field reads the value of a member that was just named.
func (r *reader) field(s *shape, f *field) error {
	if f == nil {
		return r.value(nil)
	}
	kind := r.dec.PeekKind()
	if f.kinds != "" && strings.IndexByte(f.kinds, byte(kind)) < 0 && kind != jsontext.KindInvalid {
		r.refuse(s.rule, r.pointer(), "type", kindNames(f.kinds))
	}
	child := f.child
	if f.slot == slotParams {
		child = r.paramsShape()
	}
	start := len(r.out)
	if err := r.value(child); err != nil {
		return err
	}
	if f.slot != noSlot {
		r.spans[f.slot] = span{kind, start, len(r.out)}
	}
	return nil
}

// name reads a member's name and finds what the protocol says about it. The
// set others holds the folded names of this object that the protocol does not
// know.
func (r *reader) name(s *shape, v jsontext.Value, others *map[string]struct{}) (*field, error) {
	name, err := r.text(v, r.limits.Key, "key")
	if err != nil || s == nil {
		return nil, err
	}
	if f := s.fields[string(name)]; f != nil {
		return f, nil
	}
	r.otherName(s, string(name), others)
	return s.each, nil
}

// otherName judges a name that the protocol does not know.
func (r *reader) otherName(s *shape, name string, others *map[string]struct{}) {
	folded := fold(name)
	known, twin := s.folded[folded]
	switch {
	case twin:
		r.refuse(s.rule, r.pointer(), "case", "exactly "+strconv.Quote(known))
		return
	case s.closed:
		r.refuse(s.rule, r.pointer(), "unknown", "no other member")
		return
	case hasControl(name):
		r.refuse(s.rule, r.pointer(), "control", "a name without control characters")
	}
	if s.mixed {
		return
	}
	if _, twin := (*others)[folded]; twin {
		r.refuse(s.rule, r.pointer(), "case", "one spelling of this member")
	}
	if *others == nil {
		*others = map[string]struct{}{}
	}
	(*others)[folded] = struct{}{}
}

// text writes a string with as few escapes as JSON allows, and returns what it
// says, until the next call.
func (r *reader) text(v jsontext.Value, limit int, rule string) ([]byte, error) {
	if bytes.IndexByte(v, '\\') < 0 {
		if len(v)-2 > limit {
			return nil, tooLarge(rule, r.pointer(), limit, "validate: %s of %d bytes, the bound is %d", rule, len(v)-2, limit)
		}
		r.out = append(r.out, v...)
		return v[1 : len(v)-1], nil
	}
	var err error
	if r.scratch, err = jsontext.AppendUnquote(r.scratch[:0], v); err != nil {
		return nil, r.syntax(err)
	}
	if len(r.scratch) > limit {
		return nil, tooLarge(rule, r.pointer(), limit, "validate: %s of %d bytes, the bound is %d", rule, len(r.scratch), limit)
	}
	if r.out, err = jsontext.AppendQuote(r.out, r.scratch); err != nil {
		return nil, r.syntax(err)
	}
	return r.scratch, nil
}

// number refuses numbers that cost too much to calculate with, and those that
// are infinite to one reader and an error to the next.
func (r *reader) number(v []byte) error {
	digits := 0
	for _, c := range v {
		if '0' <= c && c <= '9' {
			digits++
		}
	}
	if digits > r.limits.Digits {
		return tooLarge("digits", r.pointer(), r.limits.Digits, "validate: number of %d digits, the bound is %d", digits, r.limits.Digits)
	}
	e := bytes.IndexAny(v, "eE")
	if e < 0 && digits <= 300 {
		return nil
	}
	if e >= 0 {
		exp, err := strconv.Atoi(string(v[e+1:]))
		if err != nil || exp > r.limits.Exponent || exp < -r.limits.Exponent {
			return tooLarge("exponent", r.pointer(), r.limits.Exponent, "validate: exponent over %d", r.limits.Exponent)
		}
	}
	if f, err := strconv.ParseFloat(string(v), 64); err != nil || math.IsInf(f, 0) {
		return tooLarge("exponent", r.pointer(), 308, "validate: number over the range of a float64")
	}
	return nil
}

// end refuses whatever follows the value.
func (r *reader) end() error {
	if r.dec.PeekKind() == jsontext.KindInvalid && len(bytes.TrimLeft(r.dec.UnreadBuffer(), " \t\r\n")) == 0 {
		return nil
	}
	return parseError("trailing", "", fmt.Errorf("validate: bytes after the message, at offset %d", r.dec.InputOffset()))
}
