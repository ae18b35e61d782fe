package harden

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/audit"
)

// An exchange is one message on its way through the stages, whichever way it
// came in.
type exchange struct {
	call   access.Call
	record audit.Record
	// claimed is set by whoever will write the record: the method seam when
	// the message gets there, else the HTTP seam.
	claimed atomic.Bool
	// refused is what the peer is told, set by the method seam before its
	// answer is written.
	refused atomic.Pointer[wireError]
	// written says that the record is out.
	written bool
	// batch says that several messages share this exchange.
	batch bool
	// req is the SDK's request, and nil behind Wrap.
	req mcp.Request
	// paid and checked say that the HTTP seam charged the caller, and checked
	// the arguments, for this very message.
	paid, checked bool
	// list asks the server for its tools, past all stages.
	list func(ctx context.Context, x *exchange, cursor string) (*mcp.ListToolsResult, error)
	// ended is the user of a session that the guard itself ends.
	ended string
	// negotiated is the version that an initialize was answered with.
	negotiated string
}

// An outcome is what a handler returned: a result of the SDK, or the bytes of
// the result member behind Wrap.
type outcome struct {
	result mcp.Result
	raw    json.RawMessage
}

// A methodHandler is the rest of the method stages.
type methodHandler func(ctx context.Context, x *exchange) (outcome, error)

// newID returns a correlation ID: a version 7 UUID, so that records sort by
// time.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		// Only when the system's random source fails, which ends the process
		// in crypto/rand first.
		return uuid.NewString()
	}
	return id.String()
}

// step notes the decision of a stage in the record.
func (x *exchange) step(stage string, err error) {
	if err == nil {
		return
	}
	e := access.AsError(err)
	x.record.Steps = append(x.record.Steps, audit.Step{Stage: stage, Reason: string(e.Reason), Rule: e.Rule})
}

// fill copies what the call is into the record.
func (x *exchange) fill() {
	c, r := &x.call, &x.record
	r.Time, r.ID, r.Transport = c.Received, c.ID, c.Transport
	if c.Peer.IsValid() {
		r.Peer = c.Peer.String()
	}
	if p := c.Principal; p != nil {
		r.Issuer, r.Subject, r.Client, r.Tenant, r.AuthMethod = p.Issuer, p.Subject, p.Client, p.Tenant, p.Method
	}
	r.Version, r.Method, r.Name, r.BytesIn = c.Version, c.Method, c.Name, c.Bytes
	if len(c.Arguments) > 0 {
		r.ArgumentsDigest = audit.Digest(c.Arguments)
	}
}

// conclude writes the record. A call whose record cannot be written has no
// answer either.
func (g *Guard) conclude(ctx context.Context, x *exchange, err error) error {
	x.fill()
	r := &x.record
	x.written = true
	r.Duration = time.Since(x.call.Received)
	switch {
	case err != nil:
		e := access.AsError(err)
		r.Kind, r.Outcome, r.Reason, r.Rule = "refusal", "refused", string(e.Reason), e.Rule
		if e.Reason == access.Internal {
			r.Kind, r.Outcome = "call", "failed"
		}
		if e.Err != nil {
			r.Cause = e.Err.Error()
		}
	default:
		r.Kind, r.Outcome = "call", "allowed"
	}
	// The record of a call outlives the request that was cancelled.
	if werr := g.log.Write(context.WithoutCancel(ctx), r); werr != nil {
		return access.Deny(access.Unavailable, fmt.Errorf("harden: audit: %w", werr))
	}
	return nil
}

// errPanic is the cause of a call that panicked.
type errPanic struct {
	value any
	stack []byte
}

func (e *errPanic) Error() string { return fmt.Sprintf("harden: panic: %v\n%s", e.value, e.stack) }

// callerKey is the key of the Principal in a handler's context.
type callerKey struct{}

// Caller returns who calls, for use in tool, prompt and resource handlers. It
// is the caller of this very request, also where the SDK reuses the context of
// the request that opened the session. It reports false outside a guard.
func Caller(ctx context.Context) (*access.Principal, bool) {
	x, ok := ctx.Value(callerKey{}).(*exchange)
	if !ok || x.call.Principal == nil {
		return nil, false
	}
	return x.call.Principal, true
}

// CorrelationID returns the ID that the audit record of this call carries, for
// a handler's own logs, and "" outside a guard.
func CorrelationID(ctx context.Context) string {
	if x, ok := ctx.Value(callerKey{}).(*exchange); ok {
		return x.call.ID
	}
	return ""
}
