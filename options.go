package harden

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/audit"
	"github.com/hardenmcp/harden/auth"
	"github.com/hardenmcp/harden/insecure"
	"github.com/hardenmcp/harden/ratelimit"
	"github.com/hardenmcp/harden/session"
	"github.com/hardenmcp/harden/validate"
)

// An Option sets one protection of a [Guard]. Giving the same option twice is
// an error of [New], for the second would silently replace the first.
type Option func(*settings) error

// settings is what the options fill in.
type settings struct {
	seen map[string]bool

	auth     *auth.Config
	noAuth   insecure.Waiver
	sessions session.Config
	limits   ratelimit.Config
	validate validate.Config
	audit    audit.Config
	http     HTTP
	versions []string
	stated   *access.Principal
	bounds   Bounds
}

func once(name string, set func(*settings) error) Option {
	return func(s *settings) error {
		if s.seen[name] {
			return fmt.Errorf("harden: %s is given twice", name)
		}
		s.seen[name] = true
		return set(s)
	}
}

// WithAuth says who may call and what for. A guard whose [Guard.Handler] or
// [Guard.Wrap] is used needs it, or [WithoutAuth].
func WithAuth(cfg auth.Config) Option {
	return once("WithAuth", func(s *settings) error { s.auth = &cfg; return nil })
}

// WithoutAuth serves HTTP without authentication and without permissions:
// every caller is one and the same anonymous [access.Principal]. Only requests
// that arrive at a loopback address or a unix socket are served.
func WithoutAuth(w insecure.Waiver) Option {
	return once("WithoutAuth", func(s *settings) error {
		if !w.Granted() {
			return errors.New("harden: WithoutAuth needs a reason, made by insecure.Because")
		}
		s.noAuth = w
		return nil
	})
}

// WithSessions sets the limits of protocol sessions, which only versions before
// 2026-07-28 have. Default: the zero [session.Config].
func WithSessions(cfg session.Config) Option {
	return once("WithSessions", func(s *settings) error { s.sessions = cfg; return nil })
}

// WithLimits sets the budgets of network peers and callers. Default: the zero
// [ratelimit.Config].
func WithLimits(cfg ratelimit.Config) Option {
	return once("WithLimits", func(s *settings) error { s.limits = cfg; return nil })
}

// WithValidation sets the bounds of messages and arguments. Default: the zero
// [validate.Config].
func WithValidation(cfg validate.Config) Option {
	return once("WithValidation", func(s *settings) error { s.validate = cfg; return nil })
}

// WithAudit says where audit records go. Default: JSON lines to standard error.
func WithAudit(cfg audit.Config) Option {
	return once("WithAudit", func(s *settings) error { s.audit = cfg; return nil })
}

// WithHTTP sets the shape of the HTTP endpoint. Default: the zero [HTTP].
func WithHTTP(cfg HTTP) Option {
	return once("WithHTTP", func(s *settings) error { s.http = cfg; return nil })
}

// WithVersions names the protocol versions that are served; every other is
// refused. Default: "2025-11-25" and "2026-07-28". The older versions that the
// SDK knows may be named; "2025-03-26" and before let in requests without a
// version header, and batches.
func WithVersions(versions ...string) Option {
	return once("WithVersions", func(s *settings) error { s.versions = versions; return nil })
}

// WithPrincipal states who calls over transports that carry no credentials:
// [Guard.Stdio] and [Guard.Middleware]. It has no default, and HTTP never uses
// it. Issuer and Subject are required; Method becomes "stated".
func WithPrincipal(p access.Principal) Option {
	return once("WithPrincipal", func(s *settings) error {
		if p.Issuer == "" || p.Subject == "" {
			return errors.New("harden: WithPrincipal: Issuer and Subject are required")
		}
		p.Method = "stated"
		s.stated = p.WithUserID()
		return nil
	})
}

// WithBounds sets the deadline and the result size of calls. Default: the zero
// [Bounds].
func WithBounds(b Bounds) Option {
	return once("WithBounds", func(s *settings) error { s.bounds = b; return nil })
}

// HTTP is the shape of the endpoint. The zero value serves the path and the
// host of the configured resource, to callers that are not browsers.
type HTTP struct {
	// Path is the one path that is served. Default: the path of
	// auth.Config.Resource, or "/mcp" without authentication.
	Path string
	// Hosts are the values of the Host header that are served, matched exactly
	// but for case: "host" or "host:port". It is the defence against DNS
	// rebinding. Default: the host of auth.Config.Resource; without
	// authentication localhost, 127.0.0.1 and [::1] on any port.
	Hosts []string
	// Origins are the values of the Origin header that are served, matched
	// exactly, such as "https://app.example". Default: none. Requests without
	// an Origin, which browsers cannot make across sites, are let through.
	Origins []string
	// TrustedProxies are the networks of reverse proxies whose X-Forwarded-For
	// is believed, for budgets and audit. Default: none, so the peer is the
	// address that connected.
	TrustedProxies []netip.Prefix
	// HeaderLines bounds the number of header lines. Default 64.
	HeaderLines int
	// HeaderBytes bounds the size of all header lines. Default 16 KiB.
	HeaderBytes int
	// StreamAge bounds how long one GET or subscriptions/listen stream may
	// live; it also ends when the token does. Default 1 hour.
	StreamAge time.Duration
}

// Bounds limit what one call may take. The zero value means the defaults.
type Bounds struct {
	// Call is the deadline of the context that a handler gets. Default 1
	// minute, at most 1 hour.
	Call time.Duration
	// ResultBytes bounds a result. Default 4 MiB, at most 64 MiB.
	ResultBytes int
}

func (b Bounds) filled() (Bounds, error) {
	if b.Call == 0 {
		b.Call = time.Minute
	}
	if b.ResultBytes == 0 {
		b.ResultBytes = 4 << 20
	}
	if b.Call < 0 || b.Call > time.Hour {
		return b, fmt.Errorf("harden: Bounds.Call %v is not within 0 to 1h", b.Call)
	}
	if b.ResultBytes < 0 || b.ResultBytes > 64<<20 {
		return b, fmt.Errorf("harden: Bounds.ResultBytes %d is not within 0 to 64 MiB", b.ResultBytes)
	}
	return b, nil
}
