package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const modern, legacy = "2026-07-28", "2025-11-25"

// peer is the scripted client.
type peer struct {
	ctx              context.Context
	resource, issuer string
}

// getToken asks the identity provider for a token, as curl would.
func (p *peer) getToken(client, resource string, scopes ...string) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {resource}, "scope": {strings.Join(scopes, " ")}}
	r, err := http.NewRequestWithContext(p.ctx, http.MethodPost, p.issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client, client+"-secret")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
		Error string `json:"error_description"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if answer.Token == "" {
		return "", fmt.Errorf("no token for %s: %d %s", client, resp.StatusCode, answer.Error)
	}
	return answer.Token, nil
}

// connect opens an SDK session. The observed answer is that of the last request
// in it.
func (p *peer) connect(token, version string) (*mcp.ClientSession, *tap, error) {
	t := &tap{token: token}
	client := mcp.NewClient(&mcp.Implementation{Name: "demo", Version: "1.0.0"}, nil)
	session, err := client.Connect(p.ctx, &mcp.StreamableClientTransport{
		Endpoint:   p.resource,
		HTTPClient: &http.Client{Transport: t},
		MaxRetries: -1,
	}, &mcp.ClientSessionOptions{ProtocolVersion: version})
	return session, t, err
}

// call connects with the SDK, calls a tool and disconnects. A refusal is not an
// error here: it is what was observed.
func (p *peer) call(token, version, tool string, arguments any) (observed, error) {
	session, t, err := p.connect(token, version)
	if err != nil {
		return refusal(t, err)
	}
	_, err = session.CallTool(p.ctx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
	o, err := refusal(t, err)
	// After a refusal the SDK may have given the session up already.
	_ = session.Close()
	return o, err
}

// refusal returns what was observed, and err only when nothing was.
func refusal(t *tap, err error) (observed, error) {
	o := t.seen()
	if o.status == 0 && err == nil {
		err = errors.New("no answer was observed")
	}
	if o.status != 0 {
		err = nil
	}
	return o, err
}

// send posts body as it stands: for what the SDK client is too polite to do.
func (p *peer) send(token, version, tool, body string, headers ...string) (observed, error) {
	r, err := http.NewRequestWithContext(p.ctx, http.MethodPost, p.resource, strings.NewReader(body))
	if err != nil {
		return observed{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("MCP-Protocol-Version", version)
	if version == modern {
		r.Header.Set("Mcp-Method", "tools/call")
		r.Header.Set("Mcp-Name", tool)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	t := &tap{token: token}
	resp, err := t.RoundTrip(r)
	if err != nil {
		return observed{}, err
	}
	return t.seen(), resp.Body.Close()
}

// flood calls until it is refused.
func (p *peer) flood(token string) (observed, error) {
	const enough = 2000
	for range enough {
		o, err := p.send(token, modern, "read_note", toolCall(modern, "read_note", `{"title":"x"}`))
		if err != nil || o.status != http.StatusOK {
			return o, err
		}
	}
	return observed{}, fmt.Errorf("%d calls and no refusal", enough)
}

// toolCall is the body of a tools/call.
func toolCall(version, tool, arguments string) string {
	meta := ""
	if version == modern {
		meta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"` + version + `","io.modelcontextprotocol/clientCapabilities":{}}`
	}
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments + meta + `}}`
}

// unsigned returns the claims of a good token under algorithm none.
func unsigned(token string) string {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`))
	return header + "." + strings.Split(token, ".")[1] + "."
}

// challenged returns the scopes that a WWW-Authenticate header asks for.
func challenged(header string) []string {
	_, rest, _ := strings.Cut(header, `scope="`)
	scopes, _, _ := strings.Cut(rest, `"`)
	return strings.Fields(scopes)
}
