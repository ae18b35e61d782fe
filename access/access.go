// Package access holds the words that every part of harden shares: who calls
// ([Principal]), what is called ([Call]), who decides ([Check]) and how a
// refusal is said ([Error]).
//
// A protection is a [Check]: it looks at a Call and answers nil, or an *Error
// with a [Reason]. It writes nothing and knows neither HTTP nor the SDK; only
// the root package acts on what it says.
//
//	func (p *Policy) Check(_ context.Context, c *access.Call) error {
//		if c.Principal == nil {
//			return access.Deny(access.Unauthenticated, errNoCaller)
//		}
//		return nil
//	}
//
// What it does not do: it makes no decision of its own, and it does not keep
// what a Check was shown.
package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
	"time"
)

// A Principal is a caller whose identity was proven for the request at hand.
// It is made by the caller stage from a verified token, or stated by the
// application on transports that carry no credentials. It must not be changed
// after it was made: verified-token caches share it between requests.
type Principal struct {
	// Issuer and Subject name the user (RFC 9068 iss and sub). Both are always
	// set; a stated Principal uses an issuer of the application's choosing.
	Issuer, Subject string
	// Client is the OAuth client that the token was issued to (RFC 9068
	// client_id, or azp), or "" when the issuer does not say.
	Client string
	// Tenant is the issuer's tenant, or "".
	Tenant string
	// Audience holds the servers that the token is for (RFC 7519 aud).
	Audience []string
	// Scopes holds the granted scopes, in the issuer's order.
	Scopes []string
	// Method says how the caller proved itself: "jwt", "stated", "waived".
	Method string
	// TokenID is the token's jti, or "".
	TokenID string
	// ACR and AMR say how strong the user's login was (RFC 9068 acr, amr).
	ACR string
	AMR []string
	// AuthTime is when the user logged in; the zero time when unknown.
	AuthTime time.Time
	// Issued and Expires bound the proof. A zero Expires means that the proof
	// does not end by itself, which only a stated or waived Principal may say.
	Issued, Expires time.Time

	userID string
}

// WithUserID returns a copy of p that remembers its [Principal.UserID], so that
// asking again costs nothing. Verifiers call it once per token.
func (p Principal) WithUserID() *Principal {
	p.userID = ""
	p.userID = p.UserID()
	return &p
}

// UserID returns an opaque name for the user: 32 hexadecimal digits of a
// SHA-256 over issuer, subject, client and tenant, each with its length in
// front so that no two callers share one. It is the same for every token of
// that user at that client, and is what sessions and budgets are bound to.
func (p *Principal) UserID() string {
	if p.userID != "" {
		return p.userID
	}
	b := make([]byte, 0, 256)
	for _, s := range [...]string{p.Issuer, p.Subject, p.Client, p.Tenant} {
		n := len(s)
		b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		b = append(b, s...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// HasScope reports whether scope was granted. It is an exact match.
func (p *Principal) HasScope(scope string) bool { return slices.Contains(p.Scopes, scope) }

// A Call is one MCP method call as the checks see it, whichever transport it
// came by. A Check must not change it nor keep it.
type Call struct {
	// ID is the correlation ID, which the refused caller is shown and which
	// every audit record of the call carries.
	ID string
	// Principal is who calls; nil when nobody was proven.
	Principal *Principal
	// Transport is "http", "stdio" or "other".
	Transport string
	// Peer is the network address of the caller after trusted proxies, and the
	// zero Addr where there is none.
	Peer netip.Addr
	// Version is the MCP protocol version of the call, or "" before it is known.
	Version string
	// Session is the caller's protocol session ID, or "". It is a secret.
	Session string
	// Method is the MCP method, such as "tools/call".
	Method string
	// Name is what the method acts on: the tool, the prompt, or the resource
	// URI; for completion/complete, the prompt or the template. Else "".
	Name string
	// Arguments are the exact bytes of the arguments of a tool or prompt, as
	// the handler will get them. Nil when there are none.
	Arguments json.RawMessage
	// Params are the exact bytes of the whole params member, where the
	// transport shows them. A Check that needs more than Name and Arguments
	// reads them here.
	Params json.RawMessage
	// Notification is true for a message that will not be answered.
	Notification bool
	// Bytes is the size of the message.
	Bytes int
	// Received is when the call arrived.
	Received time.Time
}

// A Check decides about a call. It returns nil to let the call go on, or an
// error to refuse it: an [*Error], which carries its reason to the peer, or any
// other error, which the peer sees as [Internal]. A Check must be safe for
// concurrent use.
type Check interface {
	Check(ctx context.Context, c *Call) error
}

// A CheckFunc is a function used as a [Check].
type CheckFunc func(ctx context.Context, c *Call) error

// Check calls f.
func (f CheckFunc) Check(ctx context.Context, c *Call) error { return f(ctx, c) }
