package harden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden/access"
)

// clean looks at what the handler returned before anybody else does.
func (e *endpoint) clean(next methodHandler) methodHandler {
	return func(ctx context.Context, x *exchange) (outcome, error) {
		out, err := next(ctx, x)
		if err != nil {
			return e.cleanError(x, err)
		}
		if out.result == nil {
			return e.cleanRaw(ctx, x, out)
		}
		return e.cleanResult(ctx, x, out)
	}
}

// cleanError turns the error of a tool into a tool execution error, which the
// model can read. Its text is shown only when the tool marked it as safe.
func (e *endpoint) cleanError(x *exchange, err error) (outcome, error) {
	var rpc *jsonrpc.Error
	var ours *access.Error
	if x.call.Method != "tools/call" || errors.As(err, &ours) || errors.As(err, &rpc) {
		return outcome{}, err
	}
	res := toolRefusal(x.safeText(err), isModern(x.call.Version))
	if x.req == nil {
		raw, merr := json.Marshal(res)
		return outcome{raw: raw}, merr
	}
	return outcome{result: res}, nil
}

// safeText is what a model may read of a tool's error, and notes the error for
// the operator.
func (x *exchange) safeText(err error) string {
	x.record.Cause = err.Error()
	if text, ok := access.SafeText(err); ok {
		return text
	}
	return "The tool failed. Correlation ID: " + x.call.ID
}

// cleanResult looks at a result of the SDK.
func (e *endpoint) cleanResult(ctx context.Context, x *exchange, out outcome) (outcome, error) {
	switch r := out.result.(type) {
	case *mcp.InitializeResult:
		x.negotiated = r.ProtocolVersion
	case *mcp.CallToolResult:
		if r.IsError {
			out.result = cleanToolError(x, r)
		}
	case *mcp.ListToolsResult:
		private(&r.Cacheable)
		r.Tools = visible(e, ctx, x, "tools/call", r.Tools, func(t *mcp.Tool) string { return t.Name })
	case *mcp.ListPromptsResult:
		private(&r.Cacheable)
		r.Prompts = visible(e, ctx, x, "prompts/get", r.Prompts, func(p *mcp.Prompt) string { return p.Name })
	case *mcp.ListResourcesResult:
		private(&r.Cacheable)
		r.Resources = visible(e, ctx, x, "resources/read", r.Resources, func(r *mcp.Resource) string { return r.URI })
	case *mcp.ListResourceTemplatesResult:
		private(&r.Cacheable)
	case *mcp.ReadResourceResult:
		private(&r.Cacheable)
	case *mcp.DiscoverResult:
		private(&r.Cacheable)
		r.SupportedVersions = e.supported(r.SupportedVersions)
	}
	if n := resultBytes(out.result); n > e.bounds.ResultBytes {
		return outcome{}, access.Deny(access.TooLarge, fmt.Errorf("harden: result of %d bytes, the bound is %d", n, e.bounds.ResultBytes))
	}
	return out, nil
}

// cleanToolError replaces the text of an error that a tool returned. A tool
// that wrote the text of its error result itself meant it for the model.
func cleanToolError(x *exchange, r *mcp.CallToolResult) *mcp.CallToolResult {
	err := r.GetError()
	if err == nil {
		return r
	}
	clean := *r
	clean.Content = []mcp.Content{&mcp.TextContent{Text: x.safeText(err)}}
	clean.StructuredContent = nil
	return &clean
}

// private keeps shared caches from handing one caller's answer to another: the
// SDK's default is "public" (T24). What may be cached for how long stays as the
// author said.
func private(c *mcp.Cacheable) {
	c.CacheScope = "private"
	c.TTLMs = max(c.TTLMs, 0)
}

// visible keeps the items that the caller may use, in their order. An item that
// only lacks a scope stays: the caller can step up to it.
func visible[T any](e *endpoint, ctx context.Context, x *exchange, method string, items []T, name func(T) string) []T {
	kept := items[:0:0]
	for _, it := range items {
		if e.mayKnow(ctx, x, method, name(it)) {
			kept = append(kept, it)
		}
	}
	if kept == nil {
		kept = []T{} // null is not a list
	}
	return kept
}

func (e *endpoint) mayKnow(ctx context.Context, x *exchange, method, name string) bool {
	c := x.call
	c.Method, c.Name, c.Arguments, c.Params = method, name, nil, nil
	err := e.permit(ctx, &c)
	return err == nil || access.AsError(err).Reason == access.InsufficientScope
}

// supported lists the versions that both the guard and the server serve.
func (e *endpoint) supported(versions []string) []string {
	kept := []string{}
	for _, v := range versions {
		if e.versions.allows(v) {
			kept = append(kept, v)
		}
	}
	return kept
}

// resultBytes is about how large the result will be on the wire: the sum of its
// texts and blobs. It does not encode the result, which the SDK does later.
func resultBytes(r mcp.Result) int {
	n := 0
	switch r := r.(type) {
	case *mcp.CallToolResult:
		for _, c := range r.Content {
			n += contentBytes(c)
		}
		if raw, ok := r.StructuredContent.(json.RawMessage); ok {
			n += len(raw)
		}
	case *mcp.GetPromptResult:
		for _, m := range r.Messages {
			n += contentBytes(m.Content)
		}
	case *mcp.ReadResourceResult:
		for _, c := range r.Contents {
			n += len(c.Text) + base64Bytes(len(c.Blob))
		}
	}
	return n
}

func contentBytes(c mcp.Content) int {
	switch c := c.(type) {
	case *mcp.TextContent:
		return len(c.Text)
	case *mcp.ImageContent:
		return base64Bytes(len(c.Data))
	case *mcp.AudioContent:
		return base64Bytes(len(c.Data))
	case *mcp.EmbeddedResource:
		if c.Resource != nil {
			return len(c.Resource.Text) + base64Bytes(len(c.Resource.Blob))
		}
	}
	return 0
}

func base64Bytes(n int) int { return (n + 2) / 3 * 4 }

// isError reports whether a tool said that it failed.
func (o outcome) isError() bool {
	if r, ok := o.result.(*mcp.CallToolResult); ok && r != nil {
		return r.IsError
	}
	if o.raw == nil {
		return false
	}
	var r struct {
		IsError bool `json:"isError"`
	}
	return json.Unmarshal(o.raw, &r) == nil && r.IsError
}
