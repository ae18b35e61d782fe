package hardentest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"math/big"
)

// key signs with the standard library alone: the verifier under test uses a JWT
// library, and a fault of that library must not cancel itself out here.
type key struct {
	id, algorithm string
	private       crypto.Signer
}

func newKey(algorithm, id string) *key {
	var (
		private crypto.Signer
		err     error
	)
	switch algorithm {
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case "RS256":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("algorithm %q is not ES256, EdDSA or RS256", algorithm)
	}
	if err != nil {
		panic("hardentest: " + err.Error())
	}
	return &key{id: id, algorithm: algorithm, private: private}
}

// sign returns the JWS signature of input (RFC 7518 section 3, RFC 8037).
func (k *key) sign(input []byte) []byte {
	sum := sha256.Sum256(input)
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
		must(err)
		return joined(r, s)
	case ed25519.PrivateKey:
		return ed25519.Sign(private, input)
	default:
		sig, err := k.private.Sign(rand.Reader, sum[:], crypto.SHA256)
		must(err)
		return sig
	}
}

// joined is the signature form of RFC 7518 section 3.4: two fixed-size numbers.
func joined(r, s *big.Int) []byte {
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return sig
}

// public returns the JWK of the public key (RFC 7517 section 4).
func (k *key) public() map[string]any {
	m := map[string]any{"kid": k.id, "alg": k.algorithm, "use": "sig"}
	switch public := k.private.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 0x04, x, y
		must(err)
		m["kty"], m["crv"], m["x"], m["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(public)
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(public.N.Bytes()), b64(big.NewInt(int64(public.E)).Bytes())
	}
	return m
}

// der is the public key as a file would hold it.
func (k *key) der() []byte {
	b, err := x509.MarshalPKIXPublicKey(k.private.Public())
	must(err)
	return b
}

// must panics when the standard library cannot sign or write a key of its own
// making, which no test can cause.
func must(err error) {
	if err != nil {
		panic("hardentest: " + err.Error())
	}
}
