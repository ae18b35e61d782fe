package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws/jwsbb"
)

// maxKeys bounds the keys of one issuer.
const maxKeys = 64

// cryptoPublicKey is the parameter of the Equal methods of public keys.
type cryptoPublicKey = crypto.PublicKey

// verifySignature checks a signature with a key that fits alg. It uses the
// building blocks of jwx: its readers of whole tokens cost more than all of
// this package's checks together.
func verifySignature(k *key, alg, signed string, signature []byte) error {
	if alg == "Ed25519" { // the name that RFC 9864 gave to EdDSA with this curve
		alg = "EdDSA"
	}
	return jwsbb.Verify(k.public, alg, []byte(signed), signature)
}

// readKeySet reads a JWK set (RFC 7517 §5). Keys that cannot verify a signature
// are passed over, as §5 asks. A set without any key that can is an error, so
// that a broken answer does not replace keys that work.
func readKeySet(body []byte) ([]*key, error) {
	all, err := members(body)
	if err != nil {
		return nil, fmt.Errorf("auth: key set: %w", err)
	}
	i := slices.IndexFunc(all, func(m member) bool { return m.name == "keys" })
	var raw []json.RawMessage
	if i < 0 || json.Unmarshal(all[i].value, &raw) != nil {
		return nil, errors.New("auth: key set has no array of keys")
	}
	if len(raw) > maxKeys {
		return nil, fmt.Errorf("auth: key set has more than %d keys", maxKeys)
	}
	var keys []*key
	var errs []error
	for _, r := range raw {
		k, err := readKey(r)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("auth: key set has no key for signatures: %w", errors.Join(errs...))
	}
	return keys, nil
}

// readKey reads one public key.
func readKey(raw []byte) (*key, error) {
	j, err := jwk.ParseKey(raw)
	if err != nil {
		return nil, err
	}
	if private, err := jwk.IsPrivateKey(j); err != nil || private {
		return nil, errors.New("auth: key is symmetric or private")
	}
	if use, ok := j.KeyUsage(); ok && use != "sig" {
		return nil, errors.New("auth: key is not for signatures")
	}
	if ops, ok := j.KeyOps(); ok && !slices.Contains(ops, jwk.KeyOpVerify) {
		return nil, errors.New("auth: key is not for verifying")
	}
	k := &key{}
	k.kid, _ = j.KeyID()
	if alg, ok := j.Algorithm(); ok {
		k.alg = alg.String()
	}
	if err := jwk.Export(j, &k.public); err != nil {
		return nil, err
	}
	if k.kind = kindOf(k.public); k.kind == "" || k.alg != "" && algorithms[k.alg] != k.kind {
		return nil, errors.New("auth: key is weak, of an unknown kind, or not of its algorithm")
	}
	return k, nil
}

// kindOf returns the kind of a public key, or "" for one that is not used: RSA
// below 2048 bits is weak (RFC 7518 §3.3), above 8192 slow.
func kindOf(public any) string {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < 2048 || n > 8192 || p.E < 3 || p.E%2 == 0 {
			return ""
		}
		return "RSA"
	case *ecdsa.PublicKey:
		return p.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return ""
}
