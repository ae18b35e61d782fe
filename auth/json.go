package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of JSON that others wrote. Documents are bounded in size before
// they get here.
const (
	maxDepth   = 16
	maxMembers = 128
)

var (
	errJSON    = errors.New("is not JSON in UTF-8")
	errObject  = errors.New("is not a JSON object")
	errTwice   = errors.New("has the same member twice")
	errDepth   = errors.New("is nested too deep")
	errMembers = errors.New("has an object of too many members")
	errString  = errors.New("is not a string")
	errStrings = errors.New("is not an array of strings")
	errUnicode = errors.New("is not well-formed text")
)

// A member is a name and the bytes of its value.
type member struct {
	name  string
	value []byte
}

// members returns the members of a JSON object. Unlike encoding/json it refuses
// the same name twice, at any depth, and text that is not UTF-8: both are ways
// to make two readers see different claims (RFC 8259 §4 and §8.1).
func members(src []byte) ([]member, error) {
	if !utf8.Valid(src) || !json.Valid(src) {
		return nil, errJSON
	}
	w := walker{src: src}
	if w.space(); src[w.i] != '{' {
		return nil, errObject
	}
	w.top = make([]member, 0, 16)
	if err := w.value(0); err != nil {
		return nil, err
	}
	return w.top, nil
}

// A walker goes once over JSON that is known to be valid.
type walker struct {
	src []byte
	i   int
	top []member
}

func (w *walker) space() {
	for w.i < len(w.src) && strings.IndexByte(" \t\r\n", w.src[w.i]) >= 0 {
		w.i++
	}
}

// value steps over the value at w.i.
func (w *walker) value(depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	switch w.src[w.i] {
	case '{':
		return w.object(depth)
	case '[':
		return w.array(depth)
	case '"':
		w.str()
		return nil
	default:
		for w.i < len(w.src) && strings.IndexByte(",]} \t\r\n", w.src[w.i]) < 0 {
			w.i++
		}
		return nil
	}
}

// str steps over a string and returns its bytes without the quotes.
func (w *walker) str() []byte {
	w.i++
	start := w.i
	for w.src[w.i] != '"' {
		if w.src[w.i] == '\\' {
			w.i++
		}
		w.i++
	}
	w.i++
	return w.src[start : w.i-1]
}

func (w *walker) object(depth int) error {
	var buf [16]string
	names := buf[:0]
	w.i++
	for w.space(); w.src[w.i] != '}'; w.space() {
		if w.src[w.i] == ',' {
			w.i++
			w.space()
		}
		name, err := unquote(w.str())
		if err != nil {
			return err
		}
		for _, n := range names {
			if n == name {
				return errTwice
			}
		}
		if names = append(names, name); len(names) > maxMembers {
			return errMembers
		}
		if err := w.member(name, depth); err != nil {
			return err
		}
	}
	w.i++
	return nil
}

// member steps over the colon and the value of a member.
func (w *walker) member(name string, depth int) error {
	w.space()
	w.i++ // the colon
	w.space()
	start := w.i
	if err := w.value(depth + 1); err != nil {
		return err
	}
	if depth == 0 {
		w.top = append(w.top, member{name, w.src[start:w.i]})
	}
	return nil
}

func (w *walker) array(depth int) error {
	w.i++
	for w.space(); w.src[w.i] != ']'; w.space() {
		if w.src[w.i] == ',' {
			w.i++
			w.space()
		}
		if err := w.value(depth + 1); err != nil {
			return err
		}
	}
	w.i++
	return nil
}

// unquote returns the text between the quotes of a JSON string. encoding/json
// writes U+FFFD for half a surrogate pair, which would make different names
// equal, so text with that character is refused.
func unquote(s []byte) (string, error) {
	if bytes.IndexByte(s, '\\') < 0 {
		return string(s), nil
	}
	var out string
	if err := json.Unmarshal(append(append([]byte{'"'}, s...), '"'), &out); err != nil {
		return "", errJSON
	}
	if strings.ContainsRune(out, utf8.RuneError) {
		return "", errUnicode
	}
	return out, nil
}

// text reads a JSON string.
func text(value []byte) (string, error) {
	if value[0] != '"' {
		return "", errString
	}
	return unquote(value[1 : len(value)-1])
}

// label reads a JSON string that names somebody or something: not empty, at most
// 512 bytes, without control characters.
func label(value []byte) (string, error) {
	s, err := text(value)
	switch {
	case err != nil:
		return "", err
	case s == "":
		return "", errors.New("is empty")
	case len(s) > 512:
		return "", errors.New("is longer than 512 bytes")
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", errUnicode
	}
	return s, nil
}

// texts reads a JSON array of at most limit strings.
func texts(value []byte, limit int) ([]string, error) {
	if value[0] != '[' {
		return nil, errStrings
	}
	var out []string
	w := walker{src: value, i: 1}
	for w.space(); w.src[w.i] != ']'; w.space() {
		if w.src[w.i] == ',' {
			w.i++
			w.space()
		}
		if w.src[w.i] != '"' {
			return nil, errStrings
		}
		s, err := unquote(w.str())
		if err != nil {
			return nil, err
		}
		if out = append(out, s); len(out) > limit {
			return nil, fmt.Errorf("has more than %d entries", limit)
		}
	}
	return out, nil
}

// clip bounds text of strangers in errors.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "..."
	}
	return s
}
