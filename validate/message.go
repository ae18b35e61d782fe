package validate

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/hardenmcp/harden/access"
)

// A Kind says what sort of message a [Message] is.
type Kind uint8

// The kinds. The zero Kind is that of a message that could not be told apart.
const (
	Request      Kind = iota + 1 // is answered
	Notification                 // is never answered
	Response                     // answers a request of the server
)

// A Message is one JSON-RPC message that can be read in one way only. After a
// refusal it holds Kind, ID, Method and Name as far as they were readable, and
// nothing else. It must not be changed: its parts share memory.
type Message struct {
	Kind Kind
	// ID is the id, an integer or a string. Nil for notifications.
	ID json.RawMessage
	// Method is "" for responses.
	Method string
	// Name is what the method acts on: the tool, the prompt, the resource URI
	// or the task; "prompt:" or "resource:" and the reference for
	// completion/complete. Else "".
	Name string
	// Version is the protocol version that the message states in its _meta
	// (2026-07-28 and later), or "". It is not compared with anything.
	Version string
	// Requested is the protocolVersion that initialize asks for, else "".
	Requested string
	// LogLevel is the log level that the message asks for, or "".
	LogLevel string
	// URIs are the resources of a subscriptions/listen.
	URIs []string
	// Params is the params member, nil when there is none.
	Params json.RawMessage
	// Arguments are the arguments of a tool or prompt, nil when there are none.
	Arguments json.RawMessage
	// Canonical is the whole message: members in the order jsonrpc, id, method,
	// params or result or error, no white space between tokens, as few escapes
	// as JSON allows, and numbers with the digits that they came with. Reading
	// it again gives the same bytes.
	Canonical []byte
}

var (
	errBatch    = errors.New("validate: an array where one message was wanted")
	errNoBatch  = errors.New("validate: one message where an array was wanted")
	errNoObject = errors.New("validate: the message is not an object")
	errEmpty    = errors.New("validate: empty batch")
	errTwins    = errors.New("validate: two requests of a batch have one id")
)

// Read reads body, which must be exactly one JSON-RPC 2.0 message. The Message
// is never nil; with an error it says whom to answer.
//
// An error is an [*access.Error]. Its Reason is too_large, and Rule the limit
// that was passed; or it is invalid, and Rule is "parse" for what is no strict
// JSON (-32700), "batch" for an array (-32600), "request" for what is no
// JSON-RPC request (-32600), or "params" (-32602). Violations say where. No
// error holds a value of the message.
func (v *Validator) Read(body []byte) (*Message, error) {
	if err := checkSize(body, v.limits.Bytes); err != nil {
		return &Message{}, err
	}
	r := newReader(&v.limits, body)
	defer r.free()
	return r.message()
}

// ReadBatch reads body, which must be an array of one to limit messages, as
// protocol version 2025-03-26 had them. The first message that breaks a rule
// refuses them all; the limits count for the batch as a whole, and its requests
// must have different IDs. Errors are as for [Validator.Read], with the Rule
// "batch" for what is wrong with the array.
func (v *Validator) ReadBatch(body []byte, limit int) ([]*Message, error) {
	if err := checkSize(body, v.limits.Bytes); err != nil {
		return nil, err
	}
	r := newReader(&v.limits, body)
	defer r.free()
	if r.dec.PeekKind() != '[' {
		return nil, r.notArray()
	}
	parts, err := r.parts(limit)
	if err != nil {
		return nil, err
	}
	return v.readParts(parts)
}

func (r *reader) notArray() error {
	if _, err := r.dec.ReadValue(); err != nil {
		return r.syntax(err)
	}
	return invalid("batch", errNoBatch)
}

// parts splits an array.
func (r *reader) parts(limit int) ([][]byte, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	var parts [][]byte
	for r.dec.PeekKind() != ']' {
		if len(parts) == limit {
			return nil, tooLarge("batch", "", limit, "validate: batch of more than %d messages", limit)
		}
		part, err := r.dec.ReadValue()
		if err != nil {
			return nil, r.syntax(err)
		}
		parts = append(parts, part) // stays as it is: the buffer is the body
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return nil, r.syntax(err)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	if len(parts) == 0 {
		return nil, invalid("batch", errEmpty)
	}
	return parts, nil
}

func (v *Validator) readParts(parts [][]byte) ([]*Message, error) {
	limits := v.limits
	ids := make(map[string]bool, len(parts))
	messages := make([]*Message, len(parts))
	for i, part := range parts {
		r := newReader(&limits, part)
		m, err := r.message()
		limits.Members -= r.members
		r.free()
		if err != nil {
			return nil, within(i, err)
		}
		if m.Kind == Request {
			if ids[string(m.ID)] {
				return nil, within(i, invalid("batch", errTwins))
			}
			ids[string(m.ID)] = true
		}
		messages[i] = m
	}
	return messages, nil
}

// within moves the pointers of err into item i of a batch.
func within(i int, err error) error {
	e := *access.AsError(err)
	moved := make([]access.Violation, len(e.Violations))
	for j, v := range e.Violations {
		v.Pointer = "/" + strconv.Itoa(i) + v.Pointer
		moved[j] = v
	}
	e.Violations = moved
	return &e
}

func invalid(rule string, err error) error {
	return &access.Error{Reason: access.Invalid, Rule: rule, Err: err}
}

// message reads the one message that r stands before.
func (r *reader) message() (*Message, error) {
	if err := r.scan(); err != nil {
		return r.partly(), err
	}
	if r.late() {
		// The params came before the method that says what they are. The
		// canonical form has them in order.
		r.reset(r.assemble())
		if err := r.scan(); err != nil {
			return r.partly(), err
		}
	}
	m := r.judge()
	if err := r.refusal(); err != nil {
		return r.partly(), err
	}
	r.fill(m)
	return m, nil
}

// scan reads the whole text into out and spans.
func (r *reader) scan() error {
	switch r.dec.PeekKind() {
	case '{':
	case '[':
		return invalid("batch", errBatch)
	default:
		if err := r.value(nil); err != nil {
			return err
		}
		return invalid("request", errNoObject)
	}
	if err := r.object(envelope); err != nil {
		return err
	}
	return r.end()
}

// late reports whether the params were read without knowing the method.
func (r *reader) late() bool {
	p, m := r.spans[slotParams], r.spans[slotMethod]
	return p.kind != 0 && m.kind != 0 && p.start < m.start && r.cause == nil
}

// order is the order of members in the canonical form.
var order = [...]struct {
	slot slot
	head string
}{
	{slotJSONRPC, `"jsonrpc":`}, {slotID, `"id":`}, {slotMethod, `"method":`},
	{slotParams, `"params":`}, {slotResult, `"result":`}, {slotError, `"error":`},
}

// assemble returns the canonical form of what was read, and moves the spans of
// the envelope there.
func (r *reader) assemble() []byte {
	b := make([]byte, 0, len(r.out))
	b = append(b, '{')
	for _, o := range order {
		s := &r.spans[o.slot]
		if s.kind == 0 {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, o.head...)
		start := len(b)
		b = append(b, r.out[s.start:s.end]...)
		if o.slot == slotParams {
			// What lies inside params moves along.
			a := &r.spans[slotArguments]
			a.start, a.end = a.start-s.start+start, a.end-s.start+start
		}
		s.start, s.end = start, len(b)
	}
	return append(b, '}')
}

// fill sets the parts of m that share the canonical form.
func (r *reader) fill(m *Message) {
	m.Canonical = r.assemble()
	part := func(s slot) json.RawMessage {
		p := r.spans[s]
		if p.kind == 0 {
			return nil
		}
		return m.Canonical[p.start:p.end:p.end]
	}
	m.ID, m.Params = part(slotID), part(slotParams)
	if m.Kind != Response {
		m.Arguments = part(slotArguments)
	}
}

// partly is what is known of a message that was refused.
func (r *reader) partly() *Message {
	m := &Message{Kind: r.kind(), Method: r.methodName()}
	if id := r.raw(slotID); r.validID(slotID) {
		m.ID = bytes.Clone(id)
	}
	if r.rule != "params" || r.cause == nil {
		return m
	}
	m.Name, _ = r.subject(m.Method)
	return m
}
