package main

import (
	"net/http"
	"strings"
)

// tokens are those of the demo.
type tokens struct {
	reader, writer, bob, flood, other, late string
}

func (p *peer) tokens() (t tokens, err error) {
	for _, ask := range []struct {
		token            *string
		client, resource string
		scopes           string
	}{
		{&t.reader, "alice", p.resource, "notes.read"},
		{&t.writer, "alice", p.resource, "notes.read notes.write"},
		{&t.bob, "bob", p.resource, "notes.read"},
		{&t.flood, "flood", p.resource, "notes.read"},
		{&t.other, "alice", "https://other.example/mcp", "notes.read"},
		{&t.late, "late", p.resource, "notes.read"},
	} {
		if *ask.token, err = p.getToken(ask.client, ask.resource, strings.Fields(ask.scopes)...); err != nil {
			return t, err
		}
	}
	return t, nil
}

// script is the demo: what is asked, in order, and what must come back.
func script(p *peer) ([]row, error) {
	t, err := p.tokens()
	if err != nil {
		return nil, err
	}
	type object = map[string]any
	read := object{"title": "shopping"}
	write := object{"title": "shopping", "text": "eggs"}
	reminder := func(minutes int) object {
		return object{"reminder": object{"title": "tea", "priority": "high", "minutes": minutes}}
	}
	call := func(token, version, tool string, arguments any) func() (observed, error) {
		return func() (observed, error) { return p.call(token, version, tool, arguments) }
	}
	send := func(body string, headers ...string) func() (observed, error) {
		return func() (observed, error) { return p.send(t.reader, modern, "read_note", body, headers...) }
	}
	plain := toolCall(modern, "read_note", `{"title":"shopping"}`)
	allowed := func(message string) want { return want{status: http.StatusOK, outcome: "allowed", message: message} }
	noProof := want{status: http.StatusUnauthorized, code: 401, outcome: "refused", reason: "unauthenticated", challenge: `error="invalid_token"`}
	first := noProof
	first.challenge = "resource_metadata="

	var asked []string // the scopes of the step-up challenge
	return []row{
		{"read a note", modern, call(t.reader, modern, "read_note", read), allowed("buy milk")},
		{"read a note, older protocol", legacy, call(t.reader, legacy, "read_note", read), allowed("buy milk")},
		{"structured input", modern, call(t.reader, modern, "schedule", reminder(5)), allowed("scheduled")},
		{"no token", modern, call("", modern, "read_note", read), first},
		{"token for another audience", modern, call(t.other, modern, "read_note", read), noProof},
		{"expired token", legacy, call(t.late, legacy, "read_note", read), noProof},
		{"algorithm none", modern, call(unsigned(t.reader), modern, "read_note", read), noProof},
		{"missing scope", modern, func() (observed, error) {
			o, err := p.call(t.reader, modern, "write_note", write)
			asked = challenged(o.challenge)
			return o, err
		}, want{status: http.StatusForbidden, code: 403, outcome: "refused", reason: "insufficient_scope", challenge: `error="insufficient_scope"`}},
		{"the same with the scopes that were asked for", modern, func() (observed, error) {
			token, err := p.getToken("alice", p.resource, asked...)
			if err != nil {
				return observed{}, err
			}
			return p.call(token, modern, "write_note", write)
		}, allowed("written for alice")},
		{"missing scope, older protocol", legacy, call(t.reader, legacy, "write_note", write),
			want{status: http.StatusForbidden, code: 403, outcome: "refused", reason: "insufficient_scope", challenge: `error="insufficient_scope"`}},
		{"another user's session ID", legacy, func() (observed, error) { return p.steal(t.reader, t.bob) },
			want{status: http.StatusNotFound, code: 404, outcome: "refused", reason: "not_found"}},
		{"schema violation: 5000 minutes", modern, call(t.reader, modern, "schedule", reminder(5000)),
			want{status: http.StatusOK, toolError: true, outcome: "refused", reason: "invalid", message: "/reminder/minutes"}},
		{"duplicate JSON key", modern, send(strings.Replace(plain, `"name":`, `"name":"write_note","name":`, 1)),
			want{status: http.StatusBadRequest, code: -32700, outcome: "refused", reason: "invalid"}},
		{"foreign Origin", modern, send(plain, "Origin", "https://evil.example"),
			want{status: http.StatusForbidden, code: 403, outcome: "refused", reason: "forbidden"}},
		{"panic in a tool", modern, call(t.reader, modern, "crash", object{}),
			want{status: http.StatusInternalServerError, code: -32603, outcome: "failed", reason: "internal"}},
		{"and the server still answers", modern, call(t.reader, modern, "read_note", read), allowed("buy milk")},
		{"flood", modern, func() (observed, error) { return p.flood(t.flood) },
			want{status: http.StatusTooManyRequests, code: 429, outcome: "refused", reason: "rate_limited"}},
	}, nil
}

// steal uses the session of one caller with the token of another.
func (p *peer) steal(owner, thief string) (observed, error) {
	session, _, err := p.connect(owner, legacy)
	if err != nil {
		return observed{}, err
	}
	defer session.Close()
	return p.send(thief, legacy, "read_note", toolCall(legacy, "read_note", `{"title":"shopping"}`), "Mcp-Session-Id", session.ID())
}
