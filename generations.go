package harden

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden/session"
)

// serveSDK puts the endpoint in front of a server of the SDK. No one handler
// of the SDK serves both generations: 2026-07-28 wants a stateless one, older
// versions with sessions a stateful one. Both stand on the same server, and
// the version, which was checked, chooses between them.
func (e *endpoint) serveSDK(server *mcp.Server) {
	server.AddReceivingMiddleware(e.middleware)
	get := func(*http.Request) *mcp.Server { return server }
	opts := mcp.StreamableHTTPOptions{
		Logger:              slog.New(slog.DiscardHandler), // it logs session IDs
		MaxRequestBodyBytes: int64(e.tools.MaxBytes()) * 2, // ours was smaller
		// Its Host check is weaker than ours, and refuses names that ours
		// allows (row C04).
		DisableLocalhostProtection: true,
		// Rows C17, T27: a client that is gone needs no result.
		PropagateRequestCancellation: true,
	}
	legacy := e.carry(mcp.NewStreamableHTTPHandler(get, &opts))
	opts.Stateless = true
	modern := e.carry(mcp.NewStreamableHTTPHandler(get, &opts))
	e.forward = func(x *httpExchange) {
		inner := legacy
		if isModern(x.call.Version) {
			inner = modern
		}
		x.serve(inner, &x.writer)
	}
	e.end = func(s session.Ended) { endSession(legacy, e.http.Path, s) }
}

// serve hands the request on with the canonical body.
func (x *httpExchange) serve(inner http.Handler, w http.ResponseWriter) {
	r := x.r
	if r.Method == http.MethodPost {
		r.Body = io.NopCloser(bytes.NewReader(x.body))
		r.ContentLength = int64(len(x.body))
		r.Header["Content-Length"] = []string{strconv.Itoa(len(x.body))}
		r.TransferEncoding = nil
	} else {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	inner.ServeHTTP(w, r)
}

// carry puts the caller where the SDK looks for it. The SDK's context key is
// its own, so the only way in is RequireBearerToken: it is given a verifier
// that only hands out what the caller stage proved (T34).
func (e *endpoint) carry(inner http.Handler) http.Handler {
	verify := func(ctx context.Context, _ string, _ *http.Request) (*sdkauth.TokenInfo, error) {
		x, ok := ctx.Value(callerKey{}).(*exchange)
		if ok && x.ended != "" {
			return &sdkauth.TokenInfo{UserID: x.ended}, nil
		}
		if !ok || x.call.Principal == nil {
			return nil, sdkauth.ErrInvalidToken
		}
		p := x.call.Principal
		return &sdkauth.TokenInfo{
			Scopes:     p.Scopes,
			Expiration: p.Expires,
			UserID:     p.UserID(),
			Extra:      map[string]any{extraKey: x},
		}, nil
	}
	opts := &sdkauth.RequireBearerTokenOptions{
		// The caller stage judged the expiry, with its own clock and skew. A
		// second judgement here could only differ.
		AllowMissingExpiration: true,
		ClockSkew:              24 * time.Hour,
	}
	clean := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		delete(r.Header, "Authorization")
		inner.ServeHTTP(w, r)
	})
	required := sdkauth.RequireBearerToken(verify, opts)(clean)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header["Authorization"] = placeholder
		required.ServeHTTP(w, r)
	})
}

// placeholder satisfies RequireBearerToken. It is not a credential.
var placeholder = []string{"Bearer verified"}

// endSession sends the DELETE that a peer would send. The caller that the SDK
// bound the session to is only known by its ID now.
func endSession(inner http.Handler, path string, s session.Ended) {
	ctx := context.WithValue(context.Background(), callerKey{}, &exchange{ended: s.User})
	r, err := http.NewRequestWithContext(ctx, http.MethodDelete, path, http.NoBody)
	if err != nil {
		return
	}
	r.Header.Set("Mcp-Session-Id", s.Inner)
	r.Header.Set("Mcp-Protocol-Version", s.Version)
	inner.ServeHTTP(&discard{header: http.Header{}}, r)
}

// discard is a ResponseWriter for requests that nobody waits for.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}
