package auth

import (
	"errors"
	"strings"

	"github.com/hardenmcp/harden/access"
)

var (
	errNoHeader   = errors.New("auth: no Authorization header")
	errTwoHeaders = errors.New("auth: more than one Authorization header")
	errScheme     = errors.New("auth: Authorization scheme is not Bearer")
	errNoToken    = errors.New("auth: Bearer without a token")
	errHeaderForm = errors.New("auth: Bearer token has a character outside RFC 6750")
)

// Header returns the token of the lines of the Authorization header, as in
// http.Header.Values (RFC 6750 §2.1, RFC 9110 §11.4). There must be one line,
// with the scheme Bearer in any case, one space and a token of the characters
// of b64token. No line, another scheme or no token is refused as
// [access.Unauthenticated]; several lines or a malformed token, which two
// readers could read differently, as [access.Invalid]. The Rule is
// "authorization", "scheme" or "form". It does not bound the size:
// [Verifier.Verify] does. It is safe for concurrent use.
func Header(values []string) (string, error) {
	switch len(values) {
	case 0:
		return "", refuse(access.Unauthenticated, "authorization", errNoHeader)
	case 1:
	default:
		return "", refuse(access.Invalid, "authorization", errTwoHeaders)
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer"):
		return "", refuse(access.Unauthenticated, "scheme", errScheme)
	case token == "":
		return "", refuse(access.Unauthenticated, "authorization", errNoToken)
	case !isB64Token(token):
		return "", refuse(access.Invalid, "form", errHeaderForm)
	}
	return token, nil
}

// isB64Token reports whether s is a b64token: letters, digits and -._~+/ with
// only = at the end.
func isB64Token(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		if !b64Alphabet[body[i]] {
			return false
		}
	}
	return body != ""
}

// b64Alphabet are the bytes of a b64token but for the padding.
var b64Alphabet = func() (in [256]bool) {
	for _, c := range []byte("-._~+/0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		in[c] = true
	}
	return in
}()

// refuse returns a refusal of a named rule.
func refuse(reason access.Reason, rule string, err error) *access.Error {
	return &access.Error{Reason: reason, Rule: rule, Err: err}
}
