package auth

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hardenmcp/harden/access"
)

// claims are the claims of an access token that are used (RFC 9068 §2.2).
type claims struct {
	access.Principal
	azp       string
	notBefore time.Time
	scope     []string // nil when absent
	scp       []string // nil when absent
}

// readClaims reads the members that matter. Every other claim is ignored, as
// RFC 7519 §4 asks; cnf is not, because it says that this is no bearer token.
func readClaims(all []member, tenant string) (*claims, error) {
	c := &claims{}
	for _, m := range all {
		if err := c.read(m, tenant); err != nil {
			return nil, refuse(access.Unauthenticated, m.name, fmt.Errorf("auth: claim %s %w", m.name, err))
		}
	}
	return c, nil
}

func (c *claims) read(m member, tenant string) (err error) {
	switch m.name {
	case "iss":
		c.Issuer, err = text(m.value)
	case "sub":
		c.Subject, err = label(m.value)
	case "client_id":
		c.Client, err = label(m.value)
	case "azp":
		c.azp, err = label(m.value)
	case "jti":
		c.TokenID, err = label(m.value)
	case "acr":
		c.ACR, err = label(m.value)
	case "amr":
		c.AMR, err = texts(m.value, 32)
	case "aud":
		c.Audience, err = audience(m.value)
	case "exp":
		c.Expires, err = date(m.value)
	case "iat":
		c.Issued, err = date(m.value)
	case "nbf":
		c.notBefore, err = date(m.value)
	case "auth_time":
		c.AuthTime, err = date(m.value)
	case "scope":
		c.scope, err = scopeText(m.value)
	case "scp":
		c.scp, err = scopeList(m.value)
	case "cnf":
		err = errors.New("binds the token to a key, which is not checked here")
	}
	if err == nil && m.name == tenant {
		c.Tenant, err = label(m.value)
	}
	return err
}

// check applies the rules of RFC 9068 §4 to claims whose signature holds.
func (v *Verifier) check(c *claims, h *header, now time.Time) error {
	no := func(rule, format string, args ...any) error {
		return refuse(access.Unauthenticated, rule, fmt.Errorf("auth: "+format, args...))
	}
	switch {
	case !slices.Contains(c.Audience, v.resource):
		return no("aud", "audience %q is not this server (%q)", clip(strings.Join(c.Audience, " ")), v.resource)
	case c.Expires.IsZero():
		return no("exp", "token does not expire")
	case !now.Before(c.Expires.Add(v.skew)):
		return no("exp", "token expired at %v", c.Expires)
	case c.Issued.IsZero():
		return no("iat", "token does not say when it was issued")
	case now.Add(v.skew).Before(c.Issued):
		return no("iat", "token is issued in the future, at %v", c.Issued)
	case now.Add(v.skew).Before(c.notBefore):
		return no("nbf", "token is not valid before %v", c.notBefore)
	case !c.Issued.Before(c.Expires) || c.Expires.Sub(c.Issued) > v.lifetime:
		return no("lifetime", "token lives for %v, more than %v or not at all", c.Expires.Sub(c.Issued), v.lifetime)
	case c.Subject == "":
		return no("sub", "token names no subject")
	case c.azp != "" && c.Client != "" && c.azp != c.Client:
		return no("client_id", "client_id %q and azp %q differ", clip(c.Client), clip(c.azp))
	case h.isAccessToken() && c.azp == "" && c.Client == "":
		return no("client_id", "token names no client")
	case h.isAccessToken() && c.TokenID == "":
		return no("jti", "token has no identifier")
	case c.scope != nil && c.scp != nil && !sameSet(c.scope, c.scp):
		return no("scope", "scope and scp differ")
	}
	return nil
}

// principal is the caller that checked claims name.
func (c *claims) principal() *access.Principal {
	p := c.Principal
	p.Method = "jwt"
	if p.Client == "" {
		p.Client = c.azp
	}
	if p.Scopes = c.scope; p.Scopes == nil {
		p.Scopes = c.scp
	}
	return p.WithUserID()
}

// audience reads aud, which is a string or an array of strings.
func audience(value []byte) ([]string, error) {
	if value[0] == '"' {
		s, err := text(value)
		return []string{s}, err
	}
	return texts(value, 64)
}

// scopeText reads a scope claim (RFC 8693 §4.2): scopes with one space between.
func scopeText(value []byte) ([]string, error) {
	s, err := text(value)
	if err != nil {
		return nil, err
	}
	if s == "" {
		return []string{}, nil
	}
	return checkedScopes(strings.Split(s, " "))
}

// scopeList reads an scp claim, which some issuers use in place of scope: an
// array, or the text of a scope claim.
func scopeList(value []byte) ([]string, error) {
	if value[0] == '"' {
		return scopeText(value)
	}
	list, err := texts(value, 256)
	if err != nil {
		return nil, err
	}
	return checkedScopes(append([]string{}, list...))
}

func checkedScopes(list []string) ([]string, error) {
	if len(list) > 256 {
		return nil, errors.New("has more than 256 entries")
	}
	for _, s := range list {
		if !isScope(s) {
			return nil, fmt.Errorf("holds %q, which is not a scope", clip(s))
		}
	}
	return list, nil
}

func sameSet(a, b []string) bool {
	in := func(list []string) func(string) bool {
		return func(s string) bool { return !slices.Contains(list, s) }
	}
	return !slices.ContainsFunc(a, in(b)) && !slices.ContainsFunc(b, in(a))
}

// date reads a NumericDate (RFC 7519 §2) between 1970 and 9999, fractions cut.
func date(value []byte) (time.Time, error) {
	f, err := strconv.ParseFloat(string(value), 64)
	// A string would be parsed by a reader that is less strict: value[0] is a
	// quote then, which ParseFloat refuses. 0 is refused so that the zero Time
	// means that a claim is absent.
	if err != nil || math.IsNaN(f) || f < 1 || f > 253402300799 {
		return time.Time{}, errors.New("is not a number of seconds since 1970")
	}
	return time.Unix(int64(f), 0).UTC(), nil
}
