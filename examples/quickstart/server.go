package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden"
	"github.com/hardenmcp/harden/audit"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/insecure"
)

// This file is what you copy.

// newHandler guards a server that answers at resource, for callers with tokens
// of issuer.
func newHandler(resource, issuer string, log slog.Handler) (*harden.Guard, http.Handler, error) {
	guard, err := harden.New(
		harden.WithAuth(auth.Config{
			Resource: resource,
			Issuers:  []auth.Issuer{{URL: issuer}},
			Scopes:   []string{"notes.read"},
			Rules: []auth.Rule{
				auth.Permit("tool:read_note", "tool:schedule", "tool:crash"),
				auth.Permit("tool:write_note").Scopes("notes.write"),
			},
			// Delete this line when your issuer speaks https.
			Loopback: insecure.Because("the identity provider of this demo is on loopback"),
		}),
		harden.WithAudit(audit.Config{Handlers: []slog.Handler{log}}),
	)
	if err != nil {
		return nil, nil, err
	}
	handler, err := guard.Handler(newServer())
	return guard, handler, err
}

type note struct {
	Title string `json:"title" jsonschema:"title of the note"`
}

type text struct {
	Title string `json:"title" jsonschema:"title of the note"`
	Text  string `json:"text"  jsonschema:"what it is to say"`
}

// newServer is an MCP server as you have it: nothing in it knows of the guard,
// but for write_note, which asks who calls.
func newServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "1.0.0"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "read_note", Description: "Read a note"}, func(_ context.Context, _ *mcp.CallToolRequest, in note) (*mcp.CallToolResult, any, error) {
		return say("%s: buy milk", in.Title), nil, nil
	})
	mcp.AddTool(s, &mcp.Tool{Name: "write_note", Description: "Write a note"}, func(ctx context.Context, _ *mcp.CallToolRequest, in text) (*mcp.CallToolResult, any, error) {
		caller, ok := harden.Caller(ctx)
		if !ok {
			return nil, nil, errors.New("served without the guard")
		}
		return say("%s was written for %s", in.Title, caller.Subject), nil, nil
	})
	s.AddTool(&mcp.Tool{Name: "schedule", Description: "Schedule a reminder", InputSchema: scheduleSchema}, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return say("scheduled"), nil
	})
	s.AddTool(&mcp.Tool{Name: "crash", Description: "Panic", InputSchema: map[string]any{"type": "object"}}, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		panic("dial tcp 10.0.0.5:5432: password of the database is hunter2")
	})
	return s
}

func say(format string, args ...any) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprintf(format, args...)}}}
}
