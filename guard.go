package harden

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/audit"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/ratelimit"
	"github.com/hardenmcp/harden/session"
	"github.com/hardenmcp/harden/validate"
)

// A Guard stands in front of MCP servers. Make one with [New]; it is safe for
// concurrent use, and one Guard may guard several servers, which then share its
// budgets and its audit log. A session of one of them is unknown to the others.
type Guard struct {
	http     HTTP
	bounds   Bounds
	versions versionPolicy
	waivers  []string

	auth     *auth.Verifier // nil when waived or for stdio only
	open     *access.Principal
	stated   *access.Principal
	sessions *session.Table
	limits   *ratelimit.Limiter
	validate validate.Config
	gate     *validate.Validator
	log      *audit.Log

	mu        sync.Mutex
	closed    bool
	guarded   map[*mcp.Server]bool
	endpoints []*endpoint
	calls     sync.WaitGroup
	stop      context.CancelFunc
	stopped   context.Context
}

// New returns a Guard with every protection on. It returns an error that names
// the option or field when a setting is missing or out of bounds, and when the
// MCPGODEBUG environment variable weakens the SDK. It writes a start record,
// with all waivers, to the audit log.
func New(opts ...Option) (*Guard, error) {
	s := settings{seen: map[string]bool{}}
	for _, o := range opts {
		if err := o(&s); err != nil {
			return nil, err
		}
	}
	if err := checkEnvironment(os.Getenv("MCPGODEBUG")); err != nil {
		return nil, err
	}
	g := &Guard{stated: s.stated, validate: s.validate, guarded: map[*mcp.Server]bool{}}
	if err := g.assemble(&s); err != nil {
		return nil, err
	}
	g.waivers = waiversOf(&s)
	g.stopped, g.stop = context.WithCancel(context.Background())
	start := audit.Record{Time: time.Now(), ID: newID(), Kind: "start", Outcome: "allowed", Waivers: g.waivers}
	if err := g.log.Write(context.Background(), &start); err != nil {
		return nil, fmt.Errorf("harden: audit: %w", err)
	}
	return g, nil
}

// assemble makes the leaves.
func (g *Guard) assemble(s *settings) error {
	var err error
	if g.bounds, err = s.bounds.filled(); err != nil {
		return err
	}
	if g.versions, err = newVersionPolicy(s.versions); err != nil {
		return err
	}
	if g.sessions, err = session.New(s.sessions); err != nil {
		return err
	}
	if g.limits, err = ratelimit.New(s.limits); err != nil {
		return err
	}
	if g.gate, err = validate.New(s.validate); err != nil {
		return err
	}
	if g.log, err = audit.New(s.audit); err != nil {
		return err
	}
	switch {
	case s.auth != nil && s.noAuth.Granted():
		return errors.New("harden: WithAuth and WithoutAuth exclude each other")
	case s.auth != nil:
		if g.auth, err = auth.New(*s.auth); err != nil {
			return err
		}
	case s.noAuth.Granted():
		g.open = access.Principal{Issuer: "waived", Subject: "anonymous", Method: "waived"}.WithUserID()
	}
	g.http, err = s.http.filled(g.auth)
	return err
}

// filled returns h with its defaults, which come from the resource's URI.
func (h HTTP) filled(v *auth.Verifier) (HTTP, error) {
	resource := &url.URL{Path: "/mcp"}
	if v != nil {
		var err error
		if resource, err = url.Parse(v.Resource()); err != nil {
			return h, fmt.Errorf("harden: resource: %w", err)
		}
	}
	if h.Path == "" {
		h.Path = resource.Path
	}
	if h.Path == "" {
		h.Path = "/"
	}
	if h.Path[0] != '/' || strings.ContainsAny(h.Path, "?#*{} ") {
		return h, fmt.Errorf("harden: HTTP.Path %q is not an absolute path", h.Path)
	}
	if len(h.Hosts) == 0 && resource.Host != "" {
		h.Hosts = []string{resource.Host}
	}
	for _, o := range h.Origins {
		if u, err := url.Parse(o); err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
			return h, fmt.Errorf("harden: HTTP.Origins: %q is not an origin such as https://app.example", o)
		}
	}
	fill := func(v *int, def int) { *v = defaulted(*v, def) }
	fill(&h.HeaderLines, 64)
	fill(&h.HeaderBytes, 16<<10)
	h.StreamAge = defaulted(h.StreamAge, time.Hour)
	if h.HeaderLines < 0 || h.HeaderBytes < 0 || h.StreamAge < 0 {
		return h, errors.New("harden: HTTP: HeaderLines, HeaderBytes and StreamAge cannot be negative")
	}
	h.Hosts, h.Origins = slices.Clone(h.Hosts), slices.Clone(h.Origins)
	return h, nil
}

func defaulted[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// checkEnvironment refuses compatibility switches of the SDK: each of them
// turns a fix off (see docs/rough-edges.md).
func checkEnvironment(mcpgodebug string) error {
	if strings.TrimSpace(mcpgodebug) == "" {
		return nil
	}
	return fmt.Errorf("harden: MCPGODEBUG=%q weakens the SDK: unset it", mcpgodebug)
}

func waiversOf(s *settings) []string {
	var out []string
	add := func(name string, granted bool, reason string) {
		if granted {
			out = append(out, name+": "+reason)
		}
	}
	add("WithoutAuth", s.noAuth.Granted(), s.noAuth.Reason())
	if s.auth != nil {
		add("auth.Config.Loopback", s.auth.Loopback.Granted(), s.auth.Loopback.Reason())
	}
	add("ratelimit.Config.Unlimited", s.limits.Unlimited.Granted(), s.limits.Unlimited.Reason())
	add("validate.Config.Open", s.validate.Open.Granted(), s.validate.Open.Reason())
	return out
}

// Waivers lists every weakening that is in force, each as "setting: reason".
func (g *Guard) Waivers() []string { return slices.Clone(g.waivers) }

// Handler returns the hardened endpoint of server: it serves HTTP.Path, and the
// resource metadata of RFC 9728 at its well-known place. It installs the
// guard's middleware, so call it after every AddReceivingMiddleware of your
// own, which then run inside the guard. It returns an error when
// authentication is neither configured nor waived, when server is guarded
// already, when a tool's schema cannot be compiled, and when a permission names
// a tool or prompt that server does not have. To learn those it connects to
// server once in memory, so tools are registered first.
func (g *Guard) Handler(server *mcp.Server) (http.Handler, error) {
	e, err := g.newEndpoint()
	if err != nil {
		return nil, err
	}
	if err := g.claim(server); err != nil {
		return nil, err
	}
	if err := e.inspect(server); err != nil {
		g.disclaim(server)
		return nil, err
	}
	e.serveSDK(server)
	return e, nil
}

// Wrap returns the hardened endpoint of any MCP HTTP handler: a server made
// with another SDK, or a reverse proxy to a server in another language. All
// stages apply as for [Guard.Handler], with these differences: tools are
// learned when they are first called, so a permission that names a tool which
// does not exist is not an error; batches are always refused; and text that
// the inner server marks as a tool error is passed on as it is.
func (g *Guard) Wrap(inner http.Handler) (http.Handler, error) {
	if inner == nil {
		return nil, errors.New("harden: Wrap needs a handler")
	}
	e, err := g.newEndpoint()
	if err != nil {
		return nil, err
	}
	e.serveInner(inner)
	return e, nil
}

// newEndpoint returns an endpoint without an inner server.
func (g *Guard) newEndpoint() (*endpoint, error) {
	if g.auth == nil && g.open == nil {
		return nil, errors.New("harden: no authentication: give WithAuth, or WithoutAuth with a reason")
	}
	e := &endpoint{Guard: g}
	if err := e.init(); err != nil {
		return nil, err
	}
	if g.auth != nil {
		e.metadata = newMetadata(g.auth)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, errors.New("harden: the guard is closed")
	}
	e.suffix = "@" + strconv.Itoa(len(g.endpoints))
	g.endpoints = append(g.endpoints, e)
	return e, nil
}

// claim marks server as guarded: two guards would audit and charge every call
// twice.
func (g *Guard) claim(server *mcp.Server) error {
	if server == nil {
		return errors.New("harden: no server")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.guarded[server] {
		return errors.New("harden: this server is guarded already")
	}
	g.guarded[server] = true
	return nil
}

// disclaim undoes claim for a server that could not be guarded after all.
func (g *Guard) disclaim(server *mcp.Server) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.guarded, server)
}

// Middleware returns the method stages as receiving middleware, for servers on
// transports of their own. Install it last, in a call of its own. The caller is
// the one of [WithPrincipal]; without one, every call is refused. Tools are
// learned when they are first called.
func (g *Guard) Middleware() mcp.Middleware {
	e := &endpoint{Guard: g}
	if err := e.init(); err != nil {
		// The same configuration made g.gate, so this cannot fail.
		panic(err)
	}
	return e.middleware
}

// Close ends the guard: new requests are refused, open streams end, and calls
// that are under way may finish until ctx is done. Then it ends all sessions
// and closes the audit log. It returns the first error. Calling it again does
// nothing.
func (g *Guard) Close(ctx context.Context) error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	g.mu.Unlock()

	g.stop()
	err := g.drain(ctx)
	for _, ended := range g.sessions.EndAll() {
		g.endSession(ended)
	}
	if g.auth != nil {
		g.auth.Close()
	}
	stop := audit.Record{Time: time.Now(), ID: newID(), Kind: "stop", Outcome: "allowed"}
	return errors.Join(err, g.log.Write(ctx, &stop), g.log.Close(ctx))
}

// endSession tells the server whose session it was.
func (g *Guard) endSession(ended session.Ended) {
	g.mu.Lock()
	endpoints := slices.Clone(g.endpoints)
	g.mu.Unlock()
	for _, e := range endpoints {
		e.endInner(ended)
	}
}

// drain waits for the calls under way.
func (g *Guard) drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() { g.calls.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("harden: calls still under way: %w", ctx.Err())
	}
}

// enter counts a request that is under way, and reports false when the guard
// is closed.
func (g *Guard) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.calls.Add(1)
	return true
}
