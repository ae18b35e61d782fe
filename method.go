package harden

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden/access"
)

var (
	errNoCaller = errors.New("harden: no principal")
	errNoTool   = errors.New("harden: no such tool")
)

// before makes a stage of a check.
func before(name string, check func(*endpoint, context.Context, *exchange) error) func(*endpoint, methodHandler) methodHandler {
	return func(e *endpoint, next methodHandler) methodHandler {
		return func(ctx context.Context, x *exchange) (outcome, error) {
			if err := check(e, ctx, x); err != nil {
				x.step(name, err)
				return outcome{}, err
			}
			return next(ctx, x)
		}
	}
}

// observe writes the record and keeps a panic inside the call.
func (e *endpoint) observe(next methodHandler) methodHandler {
	return func(ctx context.Context, x *exchange) (out outcome, err error) {
		out, err = guarded(ctx, x, next)
		if x.call.Notification && err == nil {
			// The HTTP seam wrote the record of a notification; on stdio
			// there is nothing to answer for.
			if x.call.Transport == "http" {
				return out, nil
			}
		}
		if err != nil {
			w := e.wire(&x.call, err)
			x.record.Status, x.record.Code = w.status, w.code
		}
		x.record.IsError = out.isError()
		if werr := e.conclude(ctx, x, err); werr != nil {
			return outcome{}, werr
		}
		return out, err
	}
}

// guarded runs next and turns a panic into an error.
func guarded(ctx context.Context, x *exchange, next methodHandler) (out outcome, err error) {
	defer func() {
		if v := recover(); v != nil {
			out, err = outcome{}, access.Deny(access.Internal, &errPanic{v, debug.Stack()})
		}
	}()
	return next(ctx, x)
}

func (e *endpoint) checkCall(_ context.Context, x *exchange) error {
	if x.call.Principal == nil {
		return access.Deny(access.Unauthenticated, errNoCaller)
	}
	if v := x.call.Version; v != "" && !e.versions.allows(v) && x.call.Method != "initialize" {
		return versionRefusal(v, e.versions.allowed)
	}
	return nil
}

func (e *endpoint) checkPermit(ctx context.Context, x *exchange) error {
	return e.permit(ctx, &x.call)
}

// permit asks whether the caller may do this. Without authentication there are
// no permissions to ask; a caller that the application stated is asked when
// there are rules.
func (e *endpoint) permit(ctx context.Context, c *access.Call) error {
	if e.auth == nil {
		return nil
	}
	return e.auth.Check(ctx, c)
}

func (e *endpoint) checkBudget(ctx context.Context, x *exchange) error {
	if x.paid {
		return nil
	}
	return e.limits.Check(ctx, &x.call)
}

// checkArguments validates the arguments of a tool against its schema. A tool
// that is not known yet is looked up first.
func (e *endpoint) checkArguments(ctx context.Context, x *exchange) error {
	if x.call.Method != "tools/call" || x.checked {
		return nil
	}
	if !e.tools.Known(x.call.Name) {
		if err := e.relearn(ctx, x); err != nil {
			return err
		}
	}
	return e.tools.Check(ctx, &x.call)
}

// bound gives the handler a deadline. Streams have their own, set at the HTTP
// seam.
func (e *endpoint) bound(next methodHandler) methodHandler {
	return func(ctx context.Context, x *exchange) (outcome, error) {
		if x.call.Method == "subscriptions/listen" {
			return next(ctx, x)
		}
		ctx, cancel := context.WithTimeout(ctx, e.bounds.Call)
		defer cancel()
		return next(ctx, x)
	}
}

// chain builds the method stages around handler.
func (e *endpoint) chain(handler methodHandler) methodHandler {
	for i := len(methodStages) - 1; i >= 0; i-- {
		handler = methodStages[i].wrap(e, handler)
	}
	return handler
}

// middleware runs the method stages for a server of the SDK.
func (e *endpoint) middleware(next mcp.MethodHandler) mcp.MethodHandler {
	chain := e.chain(func(ctx context.Context, x *exchange) (outcome, error) {
		res, err := next(ctx, x.call.Method, x.req)
		return outcome{result: res}, err
	})
	list := func(ctx context.Context, x *exchange, cursor string) (*mcp.ListToolsResult, error) {
		return listTools(ctx, next, x.req, cursor)
	}
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		x := e.exchangeOf(method, req)
		x.list = list
		ctx = context.WithValue(ctx, callerKey{}, x)
		out, err := chain(ctx, x)
		if err != nil {
			return e.answer(x, err)
		}
		if strings.HasPrefix(method, "notifications/") {
			return nil, nil
		}
		return out.result, nil
	}
}

// listTools asks a server of the SDK for one page of tools within the session
// of req.
func listTools(ctx context.Context, next mcp.MethodHandler, req mcp.Request, cursor string) (*mcp.ListToolsResult, error) {
	ss, ok := req.GetSession().(*mcp.ServerSession)
	if !ok {
		return nil, errNoTool
	}
	res, err := next(ctx, "tools/list", &mcp.ListToolsRequest{
		Session: ss,
		Params:  &mcp.ListToolsParams{Cursor: cursor},
		Extra:   req.GetExtra(),
	})
	if err != nil {
		return nil, err
	}
	page, ok := res.(*mcp.ListToolsResult)
	if !ok {
		return nil, errNoTool
	}
	return page, nil
}
