package harden

import (
	"net/http"
	"strings"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/auth"
)

// wellKnown is where RFC 9728 section 3 puts the metadata of a resource.
const wellKnown = "/.well-known/oauth-protected-resource"

// metadata serves the protected resource metadata. It is public: it says where
// to get a token, and nothing else.
type metadata struct {
	path string
	body []byte
}

func newMetadata(v *auth.Verifier) *metadata {
	return &metadata{path: v.MetadataPath(), body: v.Metadata()}
}

// serves reports whether the request is for the metadata: at the place derived
// from the resource's path, or at the root, where older clients look.
func (m *metadata) serves(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, wellKnown) && (r.URL.Path == m.path || r.URL.Path == wellKnown)
}

// serveMetadata pays from the peer's budget like any other request.
func (x *httpExchange) serveMetadata() {
	x.claimed.Store(true) // public, and no call: it leaves no record unless refused
	if !x.e.hostAllowed(x.r.Host) {
		x.refuse("shape", shapeError(access.Forbidden, "host", "host %q is not served", x.r.Host))
		return
	}
	if err := x.e.checkPeer(x); err != nil {
		x.refuse("peer", err)
		return
	}
	h := x.w.Header()
	// Any page may read it, also a browser client's on another origin.
	h.Set("Access-Control-Allow-Origin", "*")
	h.Del("Cross-Origin-Resource-Policy")
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "GET")
		h.Set("Access-Control-Allow-Headers", "Mcp-Protocol-Version")
		x.w.WriteHeader(http.StatusNoContent)
		return
	default:
		h.Set("Allow", "GET")
		plainRefusal(x.w, http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", "application/json")
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodGet {
		_, _ = x.w.Write(x.e.metadata.body)
	}
}
