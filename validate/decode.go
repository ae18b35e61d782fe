package validate

import (
	"encoding/json"

	"github.com/go-json-experiment/json/jsontext"
)

// decode reads a whole JSON text within limits, as strictly as the gate, into
// map[string]any, []any, string, json.Number, bool and nil.
func decode(limits *Limits, text []byte) (any, error) {
	if err := checkSize(text, limits.Bytes); err != nil {
		return nil, err
	}
	r := newReader(limits, text)
	defer r.free()
	v, err := r.tree()
	if err != nil {
		return nil, err
	}
	return v, r.end()
}

func (r *reader) tree() (any, error) {
	switch r.dec.PeekKind() {
	case '{':
		return r.mapTree()
	case '[':
		return r.sliceTree()
	}
	v, err := r.dec.ReadValue()
	if err != nil {
		return nil, r.syntax(err)
	}
	switch v.Kind() {
	case '"':
		return r.stringTree(v, r.limits.String, "string")
	case '0':
		return json.Number(v), r.number(v)
	case 't':
		return true, nil
	case 'f':
		return false, nil
	}
	return nil, nil
}

func (r *reader) mapTree() (any, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	m := map[string]any{}
	for r.dec.PeekKind() != '}' {
		v, err := r.dec.ReadValue()
		if err != nil {
			return nil, r.syntax(err)
		}
		if err := r.member(); err != nil {
			return nil, err
		}
		name, err := r.stringTree(v, r.limits.Key, "key")
		if err != nil {
			return nil, err
		}
		if m[name], err = r.tree(); err != nil {
			return nil, err
		}
	}
	return m, r.leave()
}

func (r *reader) sliceTree() (any, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	s := []any{}
	for r.dec.PeekKind() != ']' {
		if err := r.member(); err != nil {
			return nil, err
		}
		v, err := r.tree()
		if err != nil {
			return nil, err
		}
		s = append(s, v)
	}
	return s, r.leave()
}

func (r *reader) stringTree(v jsontext.Value, limit int, rule string) (string, error) {
	r.out = r.out[:0] // the canonical form is not wanted here
	b, err := r.text(v, limit, rule)
	return string(b), err
}

// itemsOf returns the items of a canonical array, at most limit of them.
func itemsOf(list []byte, limit int) []jsontext.Value {
	r := newReader(&Limits{}, list)
	defer r.free()
	if _, err := r.dec.ReadToken(); err != nil {
		return nil
	}
	var items []jsontext.Value
	for len(items) < limit && r.dec.PeekKind() != ']' {
		v, err := r.dec.ReadValue()
		if err != nil {
			return nil
		}
		items = append(items, v)
	}
	return items
}
