package harden

import (
	"errors"
	"net/http"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/session"
	"github.com/hardenmcp/harden/validate"
)

// noInner stands for the session of an inner server that has none: the peer
// still gets a session of ours, bound to its caller.
const noInner = "-"

var errNoSession = errors.New("harden: no session header")

// checkHandle makes sure that the session is this caller's. Sessions never say
// who calls: that was settled before (row E01). The IDs that peers see are
// ours, so they are random and bound whatever the inner server does; its own
// IDs stay inside.
func (e *endpoint) checkHandle(x *httpExchange) error {
	if isModern(x.call.Version) {
		return nil
	}
	id := x.r.Header.Get("Mcp-Session-Id")
	if x.msg != nil && x.msg.Kind == validate.Request && x.msg.Method == "initialize" {
		return e.reserve(x, id)
	}
	if id == "" {
		// The SDK would open a session for it (rows E06, T09).
		return &access.Error{Reason: access.Invalid, Rule: "request", Err: errNoSession}
	}
	return e.resume(x, id)
}

// reserve takes a place for a new session before anything is allocated.
func (e *endpoint) reserve(x *httpExchange, id string) error {
	if id != "" {
		return &access.Error{Reason: access.Invalid, Rule: "request", Err: errors.New("harden: initialize within a session")}
	}
	var err error
	x.reservation, err = e.sessions.Reserve(e.user(x.call.Principal))
	return err
}

func (e *endpoint) resume(x *httpExchange, id string) error {
	user := e.user(x.call.Principal)
	s, err := e.sessions.Lookup(user, id)
	if err != nil {
		refusal := *access.AsError(err)
		refusal.Rule = "session"
		return &refusal
	}
	if s.Version != x.call.Version {
		// Rows D04, T09: the version is settled once.
		return headerRefusal("version header %q, session %q", x.call.Version, s.Version)
	}
	x.sessionID, x.inner = id, s.Inner
	x.call.Session, x.record.Session = id, s.Hash
	switch x.r.Method {
	case http.MethodGet:
		x.streamEnd = s.Expires
		x.release, err = e.sessions.Stream(user, id)
		return err
	case http.MethodDelete:
		e.sessions.End(user, id)
	}
	return nil
}

// translateSession gives the peer our ID for the session that the inner server
// opened.
func (x *httpExchange) translateSession(h http.Header) error {
	inner := h.Get("Mcp-Session-Id")
	h.Del("Mcp-Session-Id")
	if x.reservation == nil || x.negotiated == "" {
		return nil
	}
	if !x.e.versions.allows(x.negotiated) || isModern(x.negotiated) {
		return versionRefusal(x.negotiated, x.e.versions.allowed)
	}
	if inner == "" {
		inner = noInner
	}
	id, err := x.reservation.Commit(inner, x.negotiated)
	x.reservation = nil
	if err != nil {
		x.e.endInner(session.Ended{User: x.e.user(x.call.Principal), Inner: inner, Version: x.negotiated})
		return err
	}
	h["Mcp-Session-Id"] = []string{id}
	return nil
}

// user is whose the session is: a session of one server means nothing at
// another server of the same guard.
func (e *endpoint) user(p *access.Principal) string { return p.UserID() + e.suffix }
