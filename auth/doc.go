// Package auth decides who calls and what that caller may do: it turns an OAuth
// access token into an [access.Principal], and checks calls against a table of
// permissions that refuses by default.
//
//	v, err := auth.New(auth.Config{
//		Resource: "https://notes.example/mcp",
//		Issuers:  []auth.Issuer{{URL: "https://login.example"}},
//		Rules: []auth.Rule{
//			auth.Permit("tool:read_note"),
//			auth.Permit("tool:write_note").Scopes("notes.write"),
//		},
//	})
//	...
//	principal, err := v.Verify(ctx, token)
//
// It stops: tokens that were issued for another server (RFC 8707 §2), by
// another issuer, or with another key; expired, undated and over-long tokens;
// ID tokens and other JWTs that are no access tokens (RFC 9068 §4); unsigned
// and HMAC tokens, keys that travel inside a token, and critical headers (RFC
// 8725 §3); tokens that two JSON readers read differently; tokens that are
// bound to a key which nobody checked (RFC 7800 cnf); strangers who make the
// server hammer its identity provider; and an issuer's metadata that points
// into the private network.
//
// It does not stop a token that was stolen from its owner and is replayed at
// this same server before it expires: that needs a sender constraint (RFC 9449
// or RFC 8705). It does not ask the issuer whether a token was revoked. It
// believes what a configured issuer signs.
//
// How a token is verified, cheapest test first: size and form, the strict JSON
// of header and claims, the issuer that iss names, the algorithm, that issuer's
// key, the signature, then the claims of RFC 9068 §4. Keys are found with RFC
// 8414 or OpenID discovery, and no network traffic happens before the first
// token comes.
package auth
