package hardentest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
)

// signatures are those of the right algorithm that do not hold.
func (f *forger) signatures() {
	good := f.iss.Token(Audience(f.resource))
	header, claims, signature := cut(good)
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	must(err)

	flipped := append([]byte(nil), raw...)
	flipped[len(flipped)/2] ^= 1
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
	must(err)
	for name, sig := range ordered(
		"signature with one bit flipped", flipped,
		"signature cut short", raw[:len(raw)-1],
		"signature with a byte more", append(append([]byte(nil), raw...), 0),
		"signature that is empty", nil,
		"signature of zeros", make([]byte, 64),
		"signature in ASN.1", der,
	) {
		f.add(ruleSigned, name, header+"."+claims+"."+b64(sig))
	}
	_, adminClaims := f.good(Subject("root")).parts()
	otherHeader, _ := f.good(Header("cty", "x")).parts()
	f.add(ruleSigned, "claims changed after signing", header+"."+adminClaims+"."+signature)
	f.add(ruleSigned, "header changed after signing", otherHeader+"."+claims+"."+signature)
}

// algorithms are tokens that choose how they want to be verified.
func (f *forger) algorithms() {
	_, _, signature := cut(f.iss.Token(Audience(f.resource)))
	for _, none := range []string{"none", "None", "nOnE", "NONE"} {
		h, c := f.good(Header("alg", none)).parts()
		f.add(ruleSigned, "algorithm "+none, h+"."+c+".")
	}
	h, c := f.good(Header("alg", "none")).parts()
	f.add(ruleSigned, "algorithm none with a signature", h+"."+c+"."+signature)

	k := f.iss.signer("ES256")
	jwk, err := json.Marshal(k.public())
	must(err)
	secrets := ordered(
		"HMAC with the public key in PEM", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.der()}),
		"HMAC with the public key in DER", k.der(),
		"HMAC with the public key as a JWK", jwk,
		"HMAC with an empty key", nil,
	)
	for name, secret := range secrets {
		h, c := f.good(Header("alg", "HS256")).parts()
		f.add(ruleAlgorithm, name, compact(h, c, func(input []byte) []byte {
			mac := hmac.New(sha256.New, secret)
			mac.Write(input)
			return mac.Sum(nil)
		}))
	}
	f.issue(ruleAlgorithm, "no algorithm", Header("alg", nil))
	f.issue(ruleAlgorithm, "algorithm that is empty", Header("alg", ""))
	f.issue(ruleAlgorithm, "algorithm that nobody knows", Header("alg", "ES256X"))
	f.issue(ruleAlgorithm, "algorithm of another key type", Header("alg", "RS256"))
	f.issue(ruleAlgorithm, "algorithm of another size", Header("alg", "ES384"))
	f.issue(ruleAlgorithm, "algorithm in small letters", Header("alg", "es256"))
	f.issue(ruleAlgorithm, "algorithm that is a number", Header("alg", 256))
	f.issue(ruleSigned, "key ID of another key", Header("kid", f.iss.signer("EdDSA").id))
	f.issue(ruleSigned, "key ID that is a path", Header("kid", "../../../../dev/null"))
	f.issue(ruleSigned, "key ID that is a number", Header("kid", 1))
}

// headers are tokens whose header asks for something else.
func (f *forger) headers() {
	own := newKey("ES256", f.iss.signer("ES256").id)
	f.issue(ruleCritical, "critical extension that is unknown", Header("crit", []string{"http://example.org/x"}), Header("http://example.org/x", true))
	f.issue(ruleCritical, "critical list that is empty", Header("crit", []string{}))
	f.issue(ruleCritical, "critical list of a registered name", Header("crit", []string{"alg"}))
	f.issue(ruleCritical, "unencoded payload", Header("crit", []string{"b64"}), Header("b64", false))
	f.add(ruleOwnKey, "key in the token", f.good(Header("jwk", own.public())).sign(own))
	f.add(ruleOwnKey, "key in the token, without a key ID", f.good(Header("jwk", own.public()), Header("kid", nil)).sign(own))
	f.add(ruleOwnKey, "key set of the attacker", f.good(Header("jku", "https://attacker.example/jwks")).sign(own))
	f.add(ruleOwnKey, "certificate chain in the token", f.good(Header("x5c", []string{base64.StdEncoding.EncodeToString(own.der())})).sign(own))
	f.add(ruleOwnKey, "certificate of the attacker", f.good(Header("x5u", "https://attacker.example/cert")).sign(own))
	f.issue(ruleType, "ID token", Header("typ", "JWT"), Claim("aud", []string{"app", f.resource}), Claim("nonce", "n-1"), Claim("client_id", nil))
	f.issue(ruleType, "no type", Header("typ", nil))
	f.issue(ruleType, "type of a logout token", Header("typ", "logout+jwt"))
	f.issue(ruleType, "type of a DPoP proof", Header("typ", "dpop+jwt"))
	f.issue(ruleType, "type that is longer", Header("typ", "at+jwt2"))
}

// forms are tokens that are not three parts of base64url JSON.
func (f *forger) forms() {
	good := f.iss.Token(Audience(f.resource))
	header, claims, signature := cut(good)
	k := f.iss.signer("ES256")
	signed := func(h, c string) string { return compact(b64([]byte(h)), b64([]byte(c)), k.sign) }
	text := func(part string) string {
		b, err := base64.RawURLEncoding.DecodeString(part)
		must(err)
		return string(b)
	}
	h, c := text(header), text(claims)
	f.add(ruleForm, "one part", "opaque")
	f.add(ruleForm, "two parts", header+"."+claims)
	f.add(ruleForm, "four parts", good+"."+signature)
	f.add(ruleForm, "five parts, an encrypted token", b64([]byte(`{"alg":"dir","enc":"A128GCM"}`))+"..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA")
	f.add(ruleForm, "cut in the middle", good[:len(good)/2])
	f.add(ruleForm, "dots only", "..")
	f.add(ruleForm, "JSON serialization", `{"protected":"`+header+`","payload":"`+claims+`","signature":"`+signature+`"}`)
	f.add(ruleForm, "two tokens", good+","+good)
	f.add(ruleForm, "padded", good+"==")
	f.add(ruleForm, "signature spelled another way", respell(good))
	f.add(ruleForm, "characters outside of base64url", header+".%00"+claims+"."+signature)
	f.add(ruleJSON, "header that is not JSON", signed(h[1:], c))
	f.add(ruleJSON, "claims that are not JSON", signed(h, c[1:]))
	f.add(ruleJSON, "claims that are an array", signed(h, "["+c+"]"))
	f.add(ruleJSON, "claims with text after them", signed(h, c+`{"sub":"root"}`))
	f.add(ruleJSON, "claims that are null", signed(h, "null"))
	f.add(ruleJSON, "audience twice", signed(h, `{"aud":"https://other.example/mcp",`+c[1:]))
	f.add(ruleJSON, "subject twice", signed(h, `{"sub":"root",`+c[1:]))
	f.add(ruleJSON, "algorithm twice", signed(`{"alg":"none",`+h[1:], c))
	f.add(ruleJSON, "audience in capitals only", signed(h, strings.Replace(c, `"aud"`, `"AUD"`, 1)))
}

// claims are those of the wrong type.
func (f *forger) claims() {
	f.issue(ruleClaims, "subject that is empty", Subject(""))
	f.issue(ruleClaims, "no subject", Claim("sub", nil))
	f.issue(ruleClaims, "subject that is null", Claim("sub", json.RawMessage("null")))
	f.issue(ruleClaims, "subject that is a number", Claim("sub", 7))
	f.issue(ruleClaims, "subject that is an array", Claim("sub", []string{"alice"}))
	f.issue(ruleClaims, "client that is a number", Claim("client_id", 7))
	f.issue(ruleClaims, "scope that is a number", Claim("scope", 7))
	f.issue(ruleClaims, "scope that is an object", Claim("scope", map[string]bool{"notes.write": true}))
	f.issue(ruleBound, "bound to a key, without proof of it", Claim("cnf", map[string]string{"jkt": b64(make([]byte, 32))}))
	f.issue(ruleBound, "bound to a certificate, without it", Claim("cnf", map[string]string{"x5t#S256": b64(make([]byte, 32))}))
	f.issue(ruleSize, "huge", Claim("padding", strings.Repeat("A", 18<<10)))
	f.issue(ruleSize, "subject that is huge", Subject(strings.Repeat("a", 18<<10)))
}

// respell changes the last character of a token to one that differs in the four
// bits that stand for nothing: 64 bytes are 85 characters and 2 bits.
func respell(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(alphabet[strings.IndexByte(alphabet, token[last])|1])
}

func cut(token string) (header, claims, signature string) {
	p := strings.Split(token, ".")
	return p[0], p[1], p[2]
}

// ordered pairs names with bytes, in the order that they are written in.
func ordered(pairs ...any) func(yield func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for i := 0; i < len(pairs); i += 2 {
			b, _ := pairs[i+1].([]byte)
			if !yield(pairs[i].(string), b) {
				return
			}
		}
	}
}
