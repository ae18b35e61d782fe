package access

import (
	"errors"
	"time"
)

// A Reason is why a call was refused. It is a closed set: the peer sees the
// string and one fixed sentence for it, and programs may match on it.
type Reason string

// The reasons.
const (
	// Unauthenticated: there is no proof of who calls, or it does not hold.
	Unauthenticated Reason = "unauthenticated"
	// Forbidden: the caller is known and may not do this, whatever it asks for.
	Forbidden Reason = "forbidden"
	// InsufficientScope: the caller may do this with a token of more scopes;
	// Error.Scopes lists all that the operation needs.
	InsufficientScope Reason = "insufficient_scope"
	// RateLimited: a budget is used up; Error.RetryAfter says for how long.
	RateLimited Reason = "rate_limited"
	// Invalid: the message or its arguments break a rule; Error.Violations say
	// where and which.
	Invalid Reason = "invalid"
	// TooLarge: a size, depth or count limit was passed.
	TooLarge Reason = "too_large"
	// NotFound: there is no such method, tool, resource, prompt or session, or
	// this caller may not know of it.
	NotFound Reason = "not_found"
	// Conflict: the message contradicts itself, its headers or its session.
	Conflict Reason = "conflict"
	// Unavailable: something that the decision needs cannot answer now.
	Unavailable Reason = "unavailable"
	// Internal: anything else went wrong. The peer learns nothing more.
	Internal Reason = "internal"
)

// Message returns the fixed sentence that a refused peer is shown. It tells an
// honest caller what to do next, and nothing about the server.
func (r Reason) Message() string {
	switch r {
	case Unauthenticated:
		return "Authentication is required: get an access token for this server and send it as a Bearer token."
	case Forbidden:
		return "This caller may not do this."
	case InsufficientScope:
		return "The access token lacks a scope for this operation: get one with the scopes that are named and try again."
	case RateLimited:
		return "Too many requests: wait for the time that is given and try again."
	case Invalid:
		return "The request is not valid: correct what is named and try again."
	case TooLarge:
		return "The request is larger than this server accepts."
	case NotFound:
		return "There is no such thing here, or it has expired."
	case Conflict:
		return "The request contradicts its own headers or session."
	case Unavailable:
		return "The server cannot decide about this request now: try again later."
	default:
		return "The request could not be completed: quote the correlation ID to the operator."
	}
}

// A Violation says where arguments break which rule, and never what they hold.
type Violation struct {
	// Pointer is the place, an RFC 6901 JSON Pointer; "" is the whole value.
	Pointer string `json:"pointer"`
	// Rule is the rule that was broken, such as "required" or "maxLength".
	Rule string `json:"rule"`
	// Expected says what would be right, such as "integer" or "at most 10".
	Expected string `json:"expected,omitempty"`
}

// An Error is a refusal. Reason, RetryAfter, Scopes and Violations are for the
// peer; Err is for the operator, goes to the audit record only, and never
// reaches the peer. An Error must not be changed after it was made.
type Error struct {
	Reason Reason
	// RetryAfter is how long to wait before the same call can succeed; zero
	// when waiting does not help.
	RetryAfter time.Duration
	// Scopes are all the scopes that the operation needs, for InsufficientScope.
	Scopes []string
	// Violations say what to correct, for Invalid. A refusal lists a bounded
	// number of them.
	Violations []Violation
	// Rule names the rule or setting that decided, for the audit record.
	Rule string
	// Err is the cause.
	Err error
}

// Error returns the reason and the operator's cause: it is for logs, not for
// peers.
func (e *Error) Error() string {
	if e.Err == nil {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Err.Error()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// Deny returns a refusal for reason, with the operator's cause err, which may
// be nil.
func Deny(reason Reason, err error) *Error { return &Error{Reason: reason, Err: err} }

// AsError returns err as a refusal: the first *Error in its chain, or one of
// reason [Internal] that holds err. It returns nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) && e != nil {
		return e
	}
	return Deny(Internal, err)
}

// safeError marks text that its author wrote for the model.
type safeError struct{ err error }

func (e *safeError) Error() string { return e.err.Error() }
func (e *safeError) Unwrap() error { return e.err }

// Safe marks err as fit for the model: when a tool returns it, its text is
// shown. The text of every other error that a tool returns stays with the
// operator, for it may hold addresses, paths or queries. Safe(nil) is nil.
func Safe(err error) error {
	if err == nil {
		return nil
	}
	return &safeError{err}
}

// SafeText returns the text of the part of err that was marked with [Safe], and
// whether there is one. Text that was added around the mark by wrapping is not
// part of it.
func SafeText(err error) (string, bool) {
	var s *safeError
	if !errors.As(err, &s) {
		return "", false
	}
	return s.Error(), true
}
