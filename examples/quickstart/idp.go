package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"slices"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/crypto"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// idp is a small identity provider on the server framework of zitadel/oidc: it
// serves discovery, a key set and the client_credentials grant. It issues
// access tokens of RFC 9068 for the server that the resource parameter names
// (RFC 8707). Yours is Keycloak, Entra ID, Auth0, Zitadel or the like.
type idp struct {
	op.UnimplementedServer // answers every other endpoint and grant with an error
	issuer                 string
	key                    *ecdsa.PrivateKey
	clients                map[string]*client
}

// client is who may ask for tokens. Embedding the interface leaves the methods
// that only other grants call without an answer.
type client struct {
	op.Client
	id, secret string
	scopes     []string
	lifetime   time.Duration
}

func (c *client) GetID() string               { return c.id }
func (c *client) AuthMethod() oidc.AuthMethod { return oidc.AuthMethodBasic }
func (c *client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeClientCredentials}
}

const keyID = "demo-1"

var endpoints = op.Endpoints{Token: op.NewEndpoint("/token"), JwksURI: op.NewEndpoint("/keys")}

func newIDP(issuer string) (http.Handler, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	p := &idp{issuer: issuer, key: key, clients: map[string]*client{}}
	both := []string{"notes.read", "notes.write"}
	for _, c := range []*client{
		{id: "alice", secret: "alice-secret", scopes: both, lifetime: 10 * time.Minute},
		{id: "bob", secret: "bob-secret", scopes: both, lifetime: 10 * time.Minute},
		{id: "flood", secret: "flood-secret", scopes: both, lifetime: 10 * time.Minute},
		// Its tokens are issued as expired ones, for the demo.
		{id: "late", secret: "late-secret", scopes: both, lifetime: -10 * time.Minute},
	} {
		p.clients[c.id] = c
	}
	return op.RegisterServer(p, endpoints), nil
}

// Discovery serves /.well-known/openid-configuration.
func (p *idp) Discovery(context.Context, *op.Request[struct{}]) (*op.Response, error) {
	return op.NewResponse(&oidc.DiscoveryConfiguration{
		Issuer:                            p.issuer,
		TokenEndpoint:                     endpoints.Token.Absolute(p.issuer),
		JwksURI:                           endpoints.JwksURI.Absolute(p.issuer),
		GrantTypesSupported:               []oidc.GrantType{oidc.GrantTypeClientCredentials},
		TokenEndpointAuthMethodsSupported: []oidc.AuthMethod{oidc.AuthMethodBasic},
		ScopesSupported:                   []string{"notes.read", "notes.write"},
	}), nil
}

// Keys serves the key set.
func (p *idp) Keys(context.Context, *op.Request[struct{}]) (*op.Response, error) {
	return op.NewResponse(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: p.key.Public(), KeyID: keyID, Algorithm: string(jose.ES256), Use: "sig"},
	}}), nil
}

// VerifyClient checks the client's secret.
func (p *idp) VerifyClient(_ context.Context, r *op.Request[op.ClientCredentials]) (op.Client, error) {
	c := p.clients[r.Data.ClientID]
	if c == nil || subtle.ConstantTimeCompare([]byte(c.secret), []byte(r.Data.ClientSecret)) != 1 {
		return nil, oidc.ErrInvalidClient()
	}
	return c, nil
}

// ClientCredentialsExchange issues the token. The framework would sign it with
// typ "JWT", which a strict server refuses, so it is signed here.
func (p *idp) ClientCredentialsExchange(_ context.Context, r *op.ClientRequest[oidc.ClientCredentialsRequest]) (*op.Response, error) {
	c := r.Client.(*client)
	resource := r.Form.Get("resource")
	if resource == "" {
		return nil, oidc.ErrInvalidRequest().WithDescription("resource is missing: for which server is the token (RFC 8707)?")
	}
	scopes := slices.DeleteFunc(slices.Clone(r.Data.Scope), func(s string) bool { return !slices.Contains(c.scopes, s) })
	token, err := p.sign(c, resource, scopes)
	if err != nil {
		return nil, err
	}
	return op.NewResponse(&oidc.AccessTokenResponse{
		AccessToken: token,
		TokenType:   oidc.BearerToken,
		ExpiresIn:   uint64(max(0, c.lifetime.Seconds())),
		Scope:       scopes,
	}), nil
}

func (p *idp) sign(c *client, resource string, scopes oidc.SpaceDelimitedArray) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: keyID}},
		(&jose.SignerOptions{}).WithType("at+jwt"),
	)
	if err != nil {
		return "", err
	}
	// An expired token was issued before it ended.
	age := max(0, -2*c.lifetime)
	claims := oidc.NewAccessTokenClaims(p.issuer, c.id, []string{resource}, time.Now().Add(c.lifetime), rand.Text(), c.id, age)
	claims.Claims = map[string]any{"scope": scopes.String()}
	return crypto.Sign(claims, signer)
}
