package harden

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden/access"
)

// extraKey is where the exchange travels inside auth.TokenInfo.Extra. It is the
// only value there, and it is per request, which the context is not: in session
// mode the SDK reuses that of the request which opened the session.
const extraKey = "github.com/hardenmcp/harden"

// exchangeOf returns the exchange that req belongs to. A message that came
// through our own HTTP seam brings its exchange along; on transports without
// HTTP the application stated the caller; anything else has no caller.
func (e *endpoint) exchangeOf(method string, req mcp.Request) *exchange {
	extra := req.GetExtra()
	if extra == nil {
		return e.statedExchange(method, req)
	}
	var carried *exchange
	if extra.TokenInfo != nil {
		carried, _ = extra.TokenInfo.Extra[extraKey].(*exchange)
	}
	if carried == nil {
		x := &exchange{req: req}
		x.call = callOf(method, req)
		x.call.Transport = "other"
		return x
	}
	if !carried.batch && carried.claimed.CompareAndSwap(false, true) {
		carried.req = req
		return carried
	}
	x := &exchange{req: req}
	c := callOf(method, req)
	x.call = carried.call
	x.call.Method, x.call.Name, x.call.Arguments = c.Method, c.Name, c.Arguments
	x.call.Notification = c.Notification
	return x
}

// statedExchange is an exchange of a transport without HTTP.
func (e *endpoint) statedExchange(method string, req mcp.Request) *exchange {
	x := &exchange{req: req}
	x.call = callOf(method, req)
	x.call.Transport = e.transport
	x.call.Principal = e.stated
	return x
}

// callOf reads what the checks need from a decoded request.
func callOf(method string, req mcp.Request) access.Call {
	c := access.Call{
		ID:           newID(),
		Method:       method,
		Notification: strings.HasPrefix(method, "notifications/"),
		Received:     time.Now(),
	}
	if v, ok := req.(interface{ ProtocolVersion() string }); ok && req.GetSession() != nil {
		c.Version = v.ProtocolVersion()
	}
	switch p := req.GetParams().(type) {
	case *mcp.CallToolParamsRaw:
		c.Name, c.Arguments = p.Name, p.Arguments
	case *mcp.GetPromptParams:
		c.Name = p.Name
		if p.Arguments != nil {
			c.Arguments, _ = json.Marshal(p.Arguments) // a map of strings
		}
	case *mcp.ReadResourceParams:
		c.Name = p.URI
	case *mcp.SubscribeParams:
		c.Name = p.URI
	case *mcp.UnsubscribeParams:
		c.Name = p.URI
	case *mcp.CompleteParams:
		c.Name = completionName(p.Ref)
	}
	return c
}

// completionName is what a completion is about, in the form of
// validate.Message.Name.
func completionName(ref *mcp.CompleteReference) string {
	switch {
	case ref == nil:
		return ""
	case ref.Name != "":
		return "prompt:" + ref.Name
	default:
		return "resource:" + ref.URI
	}
}
